"""What does a durable insert cost when fifty tasks insert at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AIOSQLITE,
    APSW,
    BARE,
    BARE_ONE_COMMIT,
    OURS,
    TO_THREAD,
)
from benchmarks.goals import Ratio
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    return await closed_loop(loop, size, client.insert, tasks=50)


def run_bare(bare: Bare, size: Size) -> Metrics:
    bare.begin()
    return bare_loop(size, bare.insert, chunk=10, finish=bare.commit)


WORKLOAD = Workload(
    name="durable_inserts",
    question="What does a durable insert cost when fifty tasks insert at once?",
    contenders=(OURS, APSW, AIOSQLITE, TO_THREAD, BARE, BARE_ONE_COMMIT),
    goals=(
        Ratio(of=APSW.name, to=OURS.name, at_least=8.0),
        Ratio(of=AIOSQLITE.name, to=OURS.name, at_least=14.0),
    ),
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
)
