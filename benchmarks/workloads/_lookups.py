"""Lookups of one row by so many tasks at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import LOOKUP_PEERS, OURS
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import FAILED, PER_CALL, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders import Client, Contender
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


def curve(
    name: str,
    question: str,
    contenders: tuple[Contender, ...],
    not_run: Mapping[str, str],
    *,
    size: Size | None = None,
    quick: Size | None = None,
    expected: float = 0.0,
) -> Workload:
    """Ask what a lookup of fifty tasks costs at each point of a curve."""
    return Workload(
        name=name,
        question=question,
        contenders=contenders,
        size=size or Size(seconds=1.0),
        quick=quick or Size(seconds=0.05),
        run=partial(run, tasks=50),
        run_bare=run_bare,
        one_core=True,
        rounds=7,
        compare="cpu_us",  # of one core: what others do on it meanwhile does not count
        reads_only=True,
        not_run=not_run,
        expected=expected,
    )
