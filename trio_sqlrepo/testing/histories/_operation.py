"""One operation of a history: who did what, when, and what came of it."""

from __future__ import annotations

import enum
from typing import Any, final

import attrs


class Outcome(enum.Enum):
    """What came of an operation."""

    RETURNED = "returned"  # it took effect, and gave a value
    FAILED = "failed"  # it is known that it took no effect
    UNKNOWN = "unknown"  # it may take effect, at any time after it began, or never


@final
@attrs.frozen(kw_only=True)
class Operation:
    """One operation of a task.

    Attributes:
        task: who did it. The operations of one task come one after the other.
        name: what was done.
        arguments: to what.
        invoked: when it began, in nanoseconds or steps of a clock that all tasks share.
        completed: when its outcome was known, by the same clock; None if that is unknown.
        outcome: what came of it.
        value: what it gave, if it returned.
        error: the text of what it raised.

    Raises:
        ValueError: `completed` lies before `invoked`, or does not go with the outcome.
    """

    task: str
    name: str
    arguments: tuple[Any, ...] = ()
    invoked: int
    completed: int | None = None
    outcome: Outcome = Outcome.RETURNED
    value: Any = None
    error: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.completed is None) is not (self.outcome is Outcome.UNKNOWN):
            raise ValueError(
                f"{self.name} of task {self.task} has the outcome {self.outcome.value!r} and"
                f" completed={self.completed}: exactly the unknown ones have no end."
            )
        if self.completed is not None and self.completed < self.invoked:
            raise ValueError(
                f"{self.name} of task {self.task} ended at {self.completed}, before it began at"
                f" {self.invoked}: both must come from one clock."
            )

    def __str__(self) -> str:
        return f"{self.called} → {self.answer}"

    @property
    def called(self) -> str:
        """The call in words: `put('a', 1)`."""
        return f"{self.name}({', '.join(map(repr, self.arguments))})"

    @property
    def answer(self) -> str:
        """What came of it, in words."""
        if self.outcome is Outcome.RETURNED:
            return repr(self.value)
        return self.outcome.value if self.error is None else f"{self.outcome.value}: {self.error}"

    def precedes(self, other: Operation) -> bool:
        """Whether it was over before the other began. Two ends of one moment tell no order."""
        return self.completed is not None and self.completed < other.invoked
