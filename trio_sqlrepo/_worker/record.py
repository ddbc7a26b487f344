"""Counters of one worker. Its own thread writes them; the loop reads them for `stats()`.

One writer each, so `+=` loses nothing. A reader may see a call counted whose seconds are not
added yet: figures for people, exact once the worker rests.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from trio_sqlrepo._base.driver import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@final
class Record:
    """What one worker has done with one declared query."""

    __slots__ = ("calls", "errors", "max_seconds", "rows", "total_seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.rows = 0
        self.total_seconds = 0.0
        self.max_seconds = 0.0

    @contextmanager
    def timed(self, clock: Callable[[], float]) -> Iterator[None]:
        """Add the time of the block, and its error unless it was cancelled.

        The calls of `Hands`, which are the hot path, do the same in lines of their own.
        """
        started = clock()
        try:
            yield
        except Interrupted:  # whoever cancelled it knows
            raise
        except BaseException:
            self.errors += 1
            raise
        finally:
            seconds = clock() - started
            self.total_seconds += seconds
            self.max_seconds = max(self.max_seconds, seconds)

    def add(self, other: Record) -> None:
        """Add another worker's counts to these."""
        self.calls += other.calls
        self.errors += other.errors
        self.rows += other.rows
        self.total_seconds += other.total_seconds
        self.max_seconds = max(self.max_seconds, other.max_seconds)


@final
class Tally:
    """What one worker has done in all."""

    __slots__ = ("busy_seconds", "claimed", "commits", "statements", "writes")

    def __init__(self) -> None:
        self.claimed = 0  # jobs taken off the shared inbox; `Lane.waiting` is derived from it
        self.commits = 0
        self.writes = 0  # jobs whose writes these held
        self.busy_seconds = 0.0
        self.statements: list[Record] = []  # by the statement's number

    def make_room(self, statements: int) -> None:
        """Have a record for each of so many statements."""
        self.statements += [Record() for _ in range(statements - len(self.statements))]

    def add(self, other: Tally) -> None:
        """Add another worker's counts to these: a lane keeps those of workers that have gone."""
        self.claimed += other.claimed
        self.commits += other.commits
        self.writes += other.writes
        self.busy_seconds += other.busy_seconds
        self.make_room(len(other.statements))
        for mine, theirs in zip(self.statements, other.statements, strict=False):
            mine.add(theirs)
