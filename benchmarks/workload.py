"""What a workload says of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.contenders import Client, Contender
from benchmarks.contenders.bare import Bare
from benchmarks.data import FileKind
from benchmarks.goals import GOALS
from benchmarks.loops import Loop
from benchmarks.measure import Metrics, Size

if TYPE_CHECKING:
    from benchmarks.judge import Goal


@attrs.frozen
class Column:
    """One figure of the report."""

    metric: str
    title: str
    digits: int = 1


PER_CALL = (Column("us", "µs per call"), Column("cpu_us", "CPU µs"))
FAILED = (
    Column("refused", "refused", 0),
    Column("lock_errors", "lock errors", 0),
    Column("errors", "errors", 0),
    Column("lost", "lost", 0),
)

_USUAL = FileKind()
_OWN_CHOICE = "it is a matter of this library's own settings"


@attrs.frozen(kw_only=True)
class Workload:
    """One question, who answers it, and how.

    One of `run` and `run_file` is given: the latter opens the database by itself.
    """

    name: str
    question: str
    contenders: tuple[Contender, ...]  # the first is what the others are compared with
    size: Size
    quick: Size
    run: Callable[[Client, Loop, Size], Awaitable[Metrics]] | None = None
    run_file: Callable[[Contender, Path, Loop, Size], Awaitable[Metrics]] | None = None
    run_bare: Callable[[Bare, Size], Metrics] | None = None
    one_core: bool = False
    rounds: int = 5
    columns: tuple[Column, ...] = PER_CALL
    compare: str = "us"  # the figure whose ratios are shown
    more_is_better: bool = False  # of that figure
    file: FileKind = _USUAL
    reads_only: bool = False  # measured on the one file, not on a copy
    not_run: Mapping[str, str] = attrs.field(factory=dict)  # who does not take part, and why
    patience: float = 120.0  # seconds a child may take beyond twice the size's
    expected: float = 0.0  # seconds a child takes, where it is not what the size says

    @property
    def goals(self) -> tuple[Goal, ...]:
        """What it is held to."""
        return GOALS.get(self.name, ())

    def size_for(self, contender: Contender, size: Size, file: FileKind) -> Size:
        """What a contender is asked to do, with its own numbers, on that file."""
        return attrs.evolve(
            size,
            tasks=min(filter(None, (size.tasks, contender.tasks)), default=0),
            count=contender.count or size.count,
            rows=file.rows,
        )

    def file_for(self, contender: Contender, most_rows: int | None = None) -> FileKind:
        """The file that a contender gets, cut to so many rows."""
        file = contender.file or self.file
        return file if most_rows is None else attrs.evolve(file, rows=min(file.rows, most_rows))


def own_choice(*contenders: Contender) -> dict[str, str]:
    """Say why peers take no part in a question about this library's own settings."""
    return {contender.name: _OWN_CHOICE for contender in contenders}
