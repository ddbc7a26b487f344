"""Durable inserts of one row by so many tasks at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import INSERT_PEERS, OURS
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import FAILED, PER_CALL, Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size, *, tasks: int) -> Metrics:
    return await closed_loop(loop, size, client.insert, tasks=tasks)


def run_bare(bare: Bare, size: Size) -> Metrics:
    bare.begin()
    return bare_loop(size, bare.insert, chunk=10, finish=bare.commit)


def insert(name: str, question: str, *, tasks: int, rounds: int = 5) -> Workload:
    """Ask what a durable insert costs so many tasks."""
    return Workload(
        name=name,
        question=question,
        contenders=(OURS, *INSERT_PEERS),
        size=Size(seconds=1.5),
        quick=Size(seconds=0.05, tasks=min(tasks, 50)),
        run=partial(run, tasks=tasks),
        run_bare=run_bare,
        rounds=rounds,
        columns=(*PER_CALL, *FAILED),
        expected=2.5,
    )
