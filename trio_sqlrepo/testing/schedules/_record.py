"""What happened in a run, in order, and how each call ended."""

from __future__ import annotations

import enum
from typing import Any, final

import attrs

from trio_sqlrepo.testing.faults import Fired
from trio_sqlrepo.testing.schedules._program import Call, Operation, Schedule


class Ending(enum.Enum):
    """How a call of a schedule ended."""

    RETURNED = "returned"
    RAISED = "raised"
    CANCELLED = "cancelled"  # it raised `trio.Cancelled`, and so did its scope


@final
@attrs.frozen(kw_only=True)
class Done:
    """One call of a task, from its start to its end.

    Attributes:
        task: which task made it, from 0.
        operation: what was called.
        ending: how it ended.
        value: what it returned, None otherwise.
        error: what it raised, None otherwise.
        started, ended: the moves at which it did; two calls overlap if neither ended before the
            other started.
        cancelled_at: when it was told to stop, in seconds of the schedule's clock; None if it
            was not, or had ended.
        ended_at: when it ended, by the same clock.
    """

    task: int
    operation: Operation | Call
    ending: Ending
    value: Any = None
    error: BaseException | None = None
    started: int
    ended: int
    cancelled_at: float | None
    ended_at: float

    @property
    def acknowledged(self) -> bool:
        """Whether it returned, so that all it wrote must be there."""
        return self.ending is Ending.RETURNED


@final
@attrs.frozen
class Event:
    """Something that happened. `tasks` are those it happened for; none: for the pool alone."""

    move: int
    time: float  # seconds, by the schedule's clock
    tasks: tuple[int, ...]
    connection: str | None  # "writer 1"; None for what happens on the loop
    text: str


@final
@attrs.frozen
class Run:
    """What became of a schedule.

    Attributes:
        schedule: what was run.
        calls: how each call ended, in the order in which they ended.
        events: all that happened, in order. The same for each run of the same schedule.
        fired: the faults that were met.
        seconds: how long it took by the schedule's clock.
    """

    schedule: Schedule
    calls: tuple[Done, ...]
    events: tuple[Event, ...]
    fired: tuple[Fired, ...]
    seconds: float

    @property
    def acknowledged(self) -> tuple[Done, ...]:
        """The calls that returned."""
        return tuple(done for done in self.calls if done.acknowledged)

    def timeline(self) -> str:
        """What each task did, in columns, from top to bottom."""
        return timeline(len(self.schedule.tasks), self.events)


_GAP = "  "
_WIDEST = 40  # characters of a column; longer texts are cut


def timeline(tasks: int, events: tuple[Event, ...]) -> str:
    """Write events in columns: one for each task, one for what no task waits for."""
    rows = [_row(tasks, event) for event in events]
    columns = [f"task {number}" for number in range(tasks)]
    if any(row[tasks] for row in rows):
        columns.append("connections")
    rows = [columns, ["-" * len(column) for column in columns], *rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    return "\n".join(
        _GAP.join(row[place].ljust(width) for place, width in enumerate(widths)).rstrip()
        for row in rows
    )


def _row(tasks: int, event: Event) -> list[str]:
    row = [""] * (tasks + 1)
    text = event.text if event.connection is None else f"{event.connection}: {event.text}"
    if len(text) > _WIDEST:
        text = text[: _WIDEST - 1] + "…"
    for place in event.tasks or (tasks,):
        row[place] = text
    return row
