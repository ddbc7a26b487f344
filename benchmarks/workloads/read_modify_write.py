"""What does a transaction cost that reads, changes and writes a row?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import APSW_ONE_HOP, BARE, OURS, OURS_BLOCK, PEERS
from benchmarks.data import TALLIES
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import FAILED, PER_CALL, Workload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    def increment(id: int) -> Awaitable[object]:
        return client.increment(id % TALLIES + 1)

    return await closed_loop(loop, size, increment, tasks=10)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, lambda id: bare.increment(id % TALLIES + 1), chunk=10)


WORKLOAD = Workload(
    name="read_modify_write",
    question="What does a read-modify-write transaction cost ten tasks? (ours: body, and block)",
    contenders=(OURS, OURS_BLOCK, APSW_ONE_HOP, *PEERS, BARE),
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
    columns=(*PER_CALL, *FAILED),
)
