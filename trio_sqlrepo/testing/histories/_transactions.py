"""Transactions over lists: what they did in steps, as recorded and as judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import attrs

from trio_sqlrepo.testing.histories._operation import Operation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

TRANSACTION: Final = "transaction"  # the name of such operations

_MOST_SHOWN: Final = 6

Key: TypeAlias = str | int
Value: TypeAlias = str | int


@final
@attrs.frozen
class Append:
    """A value was appended to the list of a key. Each value goes to a key once in a history."""

    key: Key
    value: Value

    def __str__(self) -> str:
        return f"append({self.key!r}, {self.value!r})"


def _values(values: Iterable[Value] | None) -> tuple[Value, ...] | None:
    return None if values is None else tuple(values)


@final
@attrs.frozen
class Read:
    """The list of a key was read; `values` is None as long as it isn't known what was seen."""

    key: Key
    values: tuple[Value, ...] | None = attrs.field(default=None, converter=_values)

    def __str__(self) -> str:
        return f"read({self.key!r})" + ("" if self.values is None else f" → {shown(self.values)}")


def shown(values: tuple[Value, ...]) -> str:
    """A list in words: of a long one the end, where transactions differ."""
    hidden = len(values) - _MOST_SHOWN
    if hidden <= 1:
        return str(list(values))
    return f"[{hidden} values, {str(list(values[hidden:]))[1:]}"


def as_data(step: Append | Read) -> tuple[Any, ...]:
    """A step as a history holds it, and as JSON does."""
    if isinstance(step, Append):
        return "append", step.key, step.value
    return "read", step.key, None if step.values is None else list(step.values)


def _from_data(data: Any, operation: Operation) -> Append | Read:
    match data:
        case ["append", str() | int() as key, str() | int() as value]:
            return Append(key, value)
        case ["read", str() | int() as key, list() | tuple() | None as values]:
            return Read(key, values)
        case _:
            raise ValueError(
                f"A transaction of task {operation.task} holds {data!r}, which is no step of one:"
                " record transactions by History.transaction()."
            )


@final
@attrs.frozen(eq=False)
class Transaction:
    """A transaction as it is judged.

    Attributes:
        number: its place in the history, from 1.
        operation: what was recorded.
        steps: what it did; of one that did not return, what it was about to do.
    """

    number: int
    operation: Operation = attrs.field(repr=False)
    steps: tuple[Append | Read, ...]

    def __str__(self) -> str:
        return f"T{self.number} (task {self.operation.task})"

    @property
    def returned(self) -> bool:
        """Whether it was acknowledged."""
        return self.operation.outcome is Outcome.RETURNED

    @property
    def failed(self) -> bool:
        """Whether it is known to have left nothing."""
        return self.operation.outcome is Outcome.FAILED

    def appends(self) -> list[Append]:
        """What it appends, in order."""
        return [step for step in self.steps if isinstance(step, Append)]

    def describe(self) -> str:
        """Who it is and what it did."""
        did = ", ".join(map(str, self.steps)) or "nothing"
        known = "" if self.returned else f" ({self.operation.answer})"
        return f"{self} did {did}{known}"


def transactions_of(operations: Iterable[Operation]) -> list[Transaction]:
    """The transactions of a history, in the order in which they began."""
    found = [operation for operation in operations if operation.name == TRANSACTION]
    found.sort(key=lambda operation: operation.invoked)
    return [
        Transaction(number, operation, _steps(operation))
        for number, operation in enumerate(found, 1)
    ]


def _steps(operation: Operation) -> tuple[Append | Read, ...]:
    returned = operation.outcome is Outcome.RETURNED
    data: Iterable[Any] = operation.value if returned else operation.arguments
    return tuple(_from_data(list(step), operation) for step in data)
