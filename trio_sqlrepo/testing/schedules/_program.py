"""What a schedule is made of: operations, and what happens to them while they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

import attrs

from trio_sqlrepo.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._database import Database


@runtime_checkable
class Operation(Protocol):
    """Something that a task of a schedule does with the database.

    A frozen attrs class or dataclass with a method `run` is one. Its repr should be the expression
    that makes it: it stands in the literal that replays a schedule.
    """

    async def run(self, database: Database) -> Any:
        """Do it. It may wait for the database, for trio's own events and locks and for its clock.

        Not for other threads, processes or sockets: a schedule can't steer those.
        """
        ...


@final
class Call:
    """A call of one method of a repository, as an operation.

    `Call(Accounts.deposit, account=1, amount=5)` runs `Accounts(database).deposit(account=1,
    amount=5)`.
    """

    __slots__ = ("arguments", "method", "repository")

    def __init__(self, method: Callable[..., Awaitable[Any]], /, **arguments: Any) -> None:
        """Note the method, as `Accounts.deposit`, and what it gets."""
        self.method: Callable[..., Awaitable[Any]] = method
        self.arguments: dict[str, Any] = arguments

    def __repr__(self) -> str:
        # The class and the method; a class made in a test has more before it.
        name = ".".join(self.method.__qualname__.split(".")[-2:])
        given = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"Call({name}{given})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Call):
            return NotImplemented
        return (self.method, self.arguments) == (other.method, other.arguments)

    def __hash__(self) -> int:
        return hash((self.method, *self.arguments))  # the arguments need not be hashable


@final
@attrs.frozen
class Cancelled:
    """An operation that is cancelled `after` so many moves from its start.

    A move is a step of any thread or task of the schedule; 0 cancels before it starts.
    """

    operation: Operation | Call
    after: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def __repr__(self) -> str:
        return f"Cancelled({self.operation!r}, after={self.after})"


@final
@attrs.frozen
class Deadline:
    """An operation in a `trio.move_on_after(seconds)` block."""

    operation: Operation | Call
    seconds: float = attrs.field(validator=attrs.validators.ge(0.0))

    def __repr__(self) -> str:
        return f"Deadline({self.operation!r}, seconds={self.seconds!r})"


Step = Operation | Call | Cancelled | Deadline


def _tasks(tasks: Iterable[Iterable[Step]]) -> tuple[tuple[Step, ...], ...]:
    return tuple(tuple(steps) for steps in tasks)


def _switches(switches: Mapping[int, int]) -> dict[int, int]:
    return dict(sorted(switches.items()))


@final
@attrs.frozen
class Schedule:
    """What several tasks do at once, and in which order it happens: one run, to be repeated.

    Attributes:
        tasks: for each task, what it does, one after the other.
        faults: what goes wrong; calls are counted from the moment the tasks start.
        switches: which decisions are taken otherwise than by the first choice: the number of the
            decision, from 0, and the number of the choice (see `docs/testing.md`). Without any,
            a task runs until it waits, a thread until it rests.
    """

    tasks: tuple[tuple[Step, ...], ...] = attrs.field(converter=_tasks)
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=tuple[Fault, ...])
    switches: Mapping[int, int] = attrs.field(factory=dict, converter=_switches)

    def __repr__(self) -> str:
        return self.literal()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001  # Hypothesis's own
        """Print it in a falsifying example as the literal that it is."""
        printer.text("<...>" if cycle else self.literal())

    def literal(self, *, indent: str | None = None) -> str:
        """The expression that makes it.

        Args:
            indent: what each of its lines starts with; None for a single line.
        """
        one = indent is None
        inner = "" if one else f"\n{indent}        "
        gap = ", " if one else ","
        rows = [self._bracketed(steps) for steps in self.tasks]
        last = "" if one or not rows else f",\n{indent}    "
        fields = [f"tasks=[{inner}{(gap + inner).join(rows)}{last}]"]
        if self.faults:
            fields.append(f"faults={self._bracketed(self.faults)}")
        if self.switches:
            fields.append(f"switches={dict(self.switches)!r}")
        if one:
            return f"Schedule({', '.join(fields)})"
        lines = "".join(f"{indent}    {field},\n" for field in fields)
        return f"{indent}Schedule(\n{lines}{indent})"

    @staticmethod
    def _bracketed(things: Sequence[object]) -> str:
        return f"[{', '.join(map(repr, things))}]"
