"""Lookups of one row by so many tasks at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import LOOKUP_PEERS, OURS
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import FAILED, PER_CALL, Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size, *, tasks: int) -> Metrics:
    return await closed_loop(loop, size, client.lookup, tasks=tasks)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, bare.lookup)


def lookup(name: str, question: str, *, tasks: int, rounds: int = 5) -> Workload:
    """Ask what a lookup costs so many tasks."""
    return Workload(
        name=name,
        question=question,
        contenders=(OURS, *LOOKUP_PEERS),
        size=Size(seconds=1.0),
        quick=Size(seconds=0.05, tasks=min(tasks, 100)),
        run=partial(run, tasks=tasks),
        run_bare=run_bare,
        one_core=True,
        rounds=rounds,
        columns=(*PER_CALL, *FAILED[:3]),
        reads_only=True,
        expected=1.5 if tasks < 10_000 else 12,
    )
