"""What does a page of fifty rows cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import BARE, BARE_MAPPED, OURS, PEERS
from benchmarks.data import mapped
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    async def page(after: int) -> object:
        return mapped(await client.page(after))

    return await closed_loop(loop, size, page, tasks=10)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, bare.page, chunk=10)


WORKLOAD = Workload(
    name="page_of_fifty",
    question="What does a page of 50 rows cost ten tasks? (as attrs objects with a datetime)",
    contenders=(OURS, *PEERS, BARE_MAPPED, BARE),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
    one_core=True,
    reads_only=True,
)
