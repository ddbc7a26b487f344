"""`History`: what concurrent tasks did, as it happens."""

from __future__ import annotations

import json
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, TypeVarTuple, final

import attrs
import trio

from trio_sqlrepo import DatabaseReplaced, InternalError, OutcomeUnknown, SqlRepoError
from trio_sqlrepo.testing.histories._lines import read_lines
from trio_sqlrepo.testing.histories._operation import Operation, Outcome
from trio_sqlrepo.testing.histories._transactions import TRANSACTION, Append, Read, as_data

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from typing import Unpack

    from trio_sqlrepo.testing.histories._transactions import Key, Value

R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")

# Nobody can say whether what raised these was applied: of an InternalError nothing is known, and
# a file that no longer bears the path may hold the COMMIT.
_UNKNOWN: Final = (OutcomeUnknown, DatabaseReplaced, InternalError)


class Sink(Protocol):
    """Where lines go: a text file."""

    def write(self, text: str, /) -> object:
        """Take one line, with its end."""
        ...

    def flush(self) -> object:
        """See that it survives this process."""
        ...


@attrs.define(eq=False)
class Recording:
    """An operation under way, in a block of `History.operation`.

    Set `value` to what the operation gave; None is a value too.
    """

    _history: History
    _number: int
    task: str
    name: str
    _invoked: int
    _arguments: list[Any]
    value: Any = None
    # None while it is under way.
    _outcome: Outcome | None = attrs.field(default=None, init=False)
    _completed: int | None = attrs.field(default=None, init=False)
    _error: str | None = attrs.field(default=None, init=False)

    def _give(self, value: Any) -> None:
        self.value = value

    def _as_operation(self) -> Operation:
        outcome = self._outcome or Outcome.UNKNOWN
        return Operation(
            task=self.task,
            name=self.name,
            arguments=tuple(self._arguments),
            invoked=self._invoked,
            completed=None if outcome is Outcome.UNKNOWN else self._completed,
            outcome=outcome,
            value=self.value if outcome is Outcome.RETURNED else None,
            error=self._error,
        )


@final
@attrs.define(eq=False)
class TransactionRecording(Recording):
    """A transaction under way, in a block of `History.transaction`.

    Say what it does step by step: an append just before it is sent, a read when its answer is
    there. Or plan the steps of a body, and say what it `ran` when it has returned.
    """

    def append(self, key: Key, value: Value) -> None:
        """Record that `value` is about to be appended to the list of `key`."""
        self._step(Append(key, value))

    def read(self, key: Key, values: Iterable[Value]) -> None:
        """Record that the list of `key` was read as `values`."""
        self._step(Read(key, values))

    def ran(self, steps: Iterable[Append | Read]) -> None:
        """Record what a planned transaction did, all of it and in order."""
        self._give([as_data(step) for step in steps])

    def _step(self, step: Append | Read) -> None:
        data = as_data(step)
        self._arguments.append(data)
        self._history._write({"id": self._number, "argument": data})


@final
class History:
    """Records operations of concurrent tasks, in order of one clock.

    Iterating gives the operations, in the order in which they began. With a `sink` each event is
    written as a line of JSON when it happens: what a process had done when it was killed is in the
    file, an operation without an end is unknown. Histories of several processes on one machine
    share a clock and may be `merged`. Values are kept, not copied: don't change them afterwards.

    Args:
        process: goes before the names of tasks, where histories are to be merged.
        sink: a text file for the lines. Arguments and values must then be what JSON holds.
        clock: gives growing whole numbers; the default is `time.monotonic_ns`, the same for all
            processes of a machine.
        cancelled: what became of an operation that raised `trio.Cancelled`. This library's calls
            have not committed then; where the operation is several calls, nobody knows.
        failures: exceptions that say that nothing was applied, beside this library's own.
    """

    def __init__(
        self,
        process: str = "",
        *,
        sink: Sink | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        cancelled: Literal["failed", "unknown"] = "failed",
        failures: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._process = process
        self._sink = sink
        self._clock = clock
        self._now = -1
        self._cancelled = Outcome(cancelled)
        self._failures = failures
        self._recordings: list[Recording] = []
        self._loaded: list[Operation] = []
        self._names: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()
        self._used: dict[str, int] = {}  # how many tasks have borne a name

    def __repr__(self) -> str:
        return f"<History of {len(self)} operations>"

    def __len__(self) -> int:
        return len(self._loaded) + len(self._recordings)

    def __iter__(self) -> Iterator[Operation]:
        found = [*self._loaded, *(recording._as_operation() for recording in self._recordings)]
        return iter(sorted(found, key=lambda operation: operation.invoked))

    async def call(
        self,
        name: str,
        function: Callable[[Unpack[Arguments]], Awaitable[R]],
        *args: *Arguments,
    ) -> R:
        """Await `function(*args)`, record it as `name`; give what it gives, raise what it raises.

        It returned, and its value is recorded; or raised `OutcomeUnknown`, and its outcome is
        unknown; or another error of this library, and nothing was applied. Of other exceptions
        nothing is known, unless the history was told (`cancelled`, `failures`).
        """
        with self.operation(name, *args) as recording:
            recording.value = value = await function(*args)
        return value

    @contextmanager
    def operation(
        self, name: str, *arguments: object, task: str | None = None
    ) -> Iterator[Recording]:
        """Record the block as one operation; its outcome is judged as by `call`.

        Args:
            name: what is done.
            arguments: to what.
            task: who does it; the current trio task if nobody is named.
        """
        with self._recorded(Recording, name, list(arguments), task) as recording:
            yield recording

    @contextmanager
    def transaction(
        self, *planned: Append | Read, task: str | None = None
    ) -> Iterator[TransactionRecording]:
        """Record the block as one transaction over lists, for `check_serializability`.

        Args:
            planned: what it will do, where it is done as a whole: a body, or a single call. Without
                `ran` an acknowledged plan is taken as done.
            task: as for `operation`.
        """
        data = [as_data(step) for step in planned]
        with self._recorded(TransactionRecording, TRANSACTION, data, task) as recording:
            yield recording
            if recording.value is None:
                recording._give(list(recording._arguments))

    @classmethod
    def merged(cls, *histories: Iterable[Operation]) -> History:
        """One history of several, whose clocks must be one and whose tasks differ in name."""
        history = cls()
        history._loaded = [operation for each in histories for operation in each]
        return history

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> History:
        """The history that another one has written to its sink; tuples come back as lists.

        A last line that is torn is left out: its process was killed.

        Raises:
            ValueError: another line is none of a history.
        """
        return cls.merged(read_lines(lines))

    def outcome_of(self, error: BaseException) -> Outcome:
        """What an exception says of the operation that raised it."""
        if isinstance(error, BaseExceptionGroup):
            outcomes = {self.outcome_of(each) for each in error.exceptions}
            return Outcome.FAILED if outcomes == {Outcome.FAILED} else Outcome.UNKNOWN
        if isinstance(error, trio.Cancelled):
            return self._cancelled
        known = not isinstance(error, _UNKNOWN) and isinstance(error, SqlRepoError)
        return Outcome.FAILED if known or isinstance(error, self._failures) else Outcome.UNKNOWN

    # -- inside --------------------------------------------------------------------------------

    @contextmanager
    def _recorded(
        self, kind: type[Any], name: str, arguments: list[Any], task: str | None
    ) -> Iterator[Any]:
        recording = self._begin(kind, name, arguments, task)
        try:
            yield recording
        except BaseException as error:
            recording._error = f"{type(error).__name__}: {error}".removesuffix(": ")
            self._end(recording, self.outcome_of(error))
            raise
        self._end(recording, Outcome.RETURNED)

    def _begin(
        self, kind: type[Recording], name: str, arguments: list[Any], task: str | None
    ) -> Recording:
        who = self._process + (self._task_name() if task is None else task)
        number = len(self._recordings)
        # Before the line is written, as the end is after it was seen: the more an operation
        # spans, the less is claimed of its order.
        recording = kind(self, number, who, name, self._tick(), arguments)
        self._recordings.append(recording)
        self._write({
            "id": number, "task": who, "name": name, "arguments": arguments,
            "invoked": recording._invoked,
        })  # fmt: skip
        return recording

    def _end(self, recording: Recording, outcome: Outcome) -> None:
        recording._completed = self._tick()
        recording._outcome = outcome
        self._write({
            "id": recording._number, "outcome": outcome.value, "value": recording.value,
            "error": recording._error, "completed": recording._completed,
        })  # fmt: skip

    def _tick(self) -> int:
        """The time; within one history no two events share it."""
        self._now = max(self._now + 1, self._clock())
        return self._now

    def _write(self, line: dict[str, Any]) -> None:
        if self._sink is not None:
            self._sink.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._sink.flush()

    def _task_name(self) -> str:
        """The current task's name, with a number if another task has borne it."""
        who: object = threading.current_thread()
        if trio.lowlevel.in_trio_task():
            who = trio.lowlevel.current_task()
        known = self._names.get(who)
        if known is None:
            # trio's default is the function's whole path.
            name = str(who.name).rpartition(".")[2]  # type: ignore[attr-defined]  # both have one
            self._used[name] = number = self._used.get(name, 0) + 1
            known = self._names[who] = name if number == 1 else f"{name} {number}"
        return known
