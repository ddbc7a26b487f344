"""What does a lookup cost when fifty tasks look up at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import AIOSQLITE, APSW, LOOKUP_PEERS, OURS
from benchmarks.goals import Ratio
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    return await closed_loop(loop, size, client.lookup, tasks=50)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, bare.lookup)


WORKLOAD = Workload(
    name="fifty_tasks_lookup",
    question="What does a lookup cost when fifty tasks look up at once?",
    contenders=(OURS, *LOOKUP_PEERS),
    goals=(
        Ratio(of=APSW.name, to=OURS.name, at_least=2.2),
        Ratio(of=AIOSQLITE.name, to=OURS.name, at_least=3.0),
    ),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
    one_core=True,
)
