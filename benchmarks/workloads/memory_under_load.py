"""Does memory grow over ten minutes of load?

Open load of 2000 requests a second, 40 % of them writes, with retention beside it, so that the
file stays as it is. Growth is the mean RSS of the last quarter less that of the quarter after the
first minute's tenth; what a loop keeps by its own nature is the same for all contenders.
"""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

import attrs

from benchmarks.contenders import OURS, PEERS
from benchmarks.measure import FAILURES, Metrics, Size, Watch, resident_mb
from benchmarks.workload import FAILED, Column, Workload
from benchmarks.workloads._open_load import OpenLoad

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Loop

_SLICES = 60  # looks at the memory; the latencies of a slice are forgotten at its end


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    looks: list[float] = []
    failed = dict.fromkeys(FAILURES, 0)
    acknowledged = answered = 0
    watch = Watch()
    for number in range(_SLICES):
        part = attrs.evolve(size, seed=size.seed + number)
        load = OpenLoad(client, loop, part, size.seconds / _SLICES)
        await load.run()
        acknowledged += len(load.answered[False])
        answered += len(load.answered[True]) + len(load.answered[False])
        for kind in FAILURES:
            failed[kind] += load.counts[kind]
        while pruned := await client.prune(size.rows):
            acknowledged -= pruned
        looks.append(resident_mb())
    quarter = len(looks) // 4
    settled = looks[len(looks) // 10 :]  # caches are full, threads are there
    return {
        **watch.read(answered),
        **failed,
        "first_mb": mean(settled[:quarter]),
        "last_mb": mean(settled[-quarter:]),
        "growth_mb": mean(settled[-quarter:]) - mean(settled[:quarter]),
        "most_mb": max(looks),
        "acknowledged": acknowledged,
    }


WORKLOAD = Workload(
    name="memory_under_load",
    question="Does memory grow over ten minutes of load, 2000 requests a second?",
    contenders=(OURS,),
    size=Size(seconds=600.0, rate=2_000),
    quick=Size(seconds=0.6, rate=1_000),
    run=run,
    rounds=1,
    columns=(
        Column("first_mb", "first quarter MB", 2),
        Column("last_mb", "last quarter MB", 2),
        Column("growth_mb", "growth MB", 2),
        Column("most_mb", "most MB", 2),
        *FAILED,
    ),
    compare="last_mb",
    not_run={
        peer.name: "ten minutes each, for a question about this library alone" for peer in PEERS
    },
    expected=620,
)
