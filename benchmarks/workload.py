"""What a workload says of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from benchmarks.contenders import Client, Contender
from benchmarks.contenders.bare import Bare
from benchmarks.goals import Goal
from benchmarks.loops import Loop
from benchmarks.measure import Metrics, Size


@attrs.frozen
class Column:
    """One figure of the report."""

    metric: str
    title: str
    digits: int = 1


PER_CALL = (Column("us", "µs per call"), Column("cpu_us", "CPU µs"))


@attrs.frozen(kw_only=True)
class Workload:
    """One question, who answers it, and the goal."""

    name: str
    question: str
    contenders: tuple[Contender, ...]  # the first is what the others are compared with
    goals: tuple[Goal, ...]
    size: Size
    quick: Size
    run: Callable[[Client, Loop, Size], Awaitable[Metrics]]
    run_bare: Callable[[Bare, Size], Metrics] | None = None
    one_core: bool = False
    rounds: int = 5
    columns: tuple[Column, ...] = PER_CALL
    compare: str = "us"  # the figure whose ratios are shown; less is better
