"""What does each of 100 000 rows cost that one call fetches?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import BARE, BARE_MAPPED, OURS, PEERS
from benchmarks.data import FileKind, mapped
from benchmarks.measure import Metrics, Size, bare_batches, batches
from benchmarks.workload import Column, Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop

FILE = FileKind(rows=100_000)


async def run(client: Client, _loop: Loop, size: Size) -> Metrics:
    async def everything() -> object:
        return mapped(await client.everything())

    return await batches(size, everything, size.rows)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_batches(size, bare.everything, size.rows)


WORKLOAD = Workload(
    name="hundred_thousand_rows",
    question="What does each of 100 000 rows cost? (as attrs objects with a datetime)",
    contenders=(OURS, *PEERS, BARE_MAPPED, BARE),
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
    one_core=True,
    columns=(Column("call_ms", "ms per call"), Column("us", "µs per row", 2)),
    file=FILE,
    reads_only=True,
    expected=2.5,
)
