"""How long does it take to open a database with so many declared queries and readers?"""

from __future__ import annotations

from array import array
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import OPENING, PEERS
from benchmarks.contenders.ours import many_queries
from benchmarks.measure import Metrics, Size, Watch, percentiles
from benchmarks.workload import Column, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.loops import Loop


async def run_file(contender: Contender, path: Path, _loop: Loop, size: Size) -> Metrics:
    taken = array("d")

    async def open_once() -> None:
        started = perf_counter()
        async with contender.open(path):
            taken.append(perf_counter() - started)

    if contender.options.get("queries"):
        many_queries(contender.options["queries"])
    await open_once()
    first = taken.pop()
    watch = Watch()
    until = perf_counter() + size.seconds
    while True:
        await open_once()
        if perf_counter() >= until:
            break
    return {**watch.read(len(taken)), **percentiles(taken), "first_ms": first * 1e3}


WORKLOAD = Workload(
    name="opening",
    question="How long does opening take, with every declared query checked and compiled?",
    contenders=OPENING,
    size=Size(seconds=2.0),
    quick=Size(seconds=0.05),
    run_file=run_file,
    rounds=3,
    columns=(
        Column("first_ms", "first ms"),
        Column("p50_ms", "p50 ms"),
        Column("p95_ms", "p95 ms"),
        Column("cpu_us", "CPU µs", 0),
    ),
    compare="p50_ms",
    reads_only=True,
    not_run={peer.name: "it declares, checks and compiles nothing at opening" for peer in PEERS},
    expected=3,
)
