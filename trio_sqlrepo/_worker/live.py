"""The thread side of live queries: a worker of their own, and the view that they are run on.

One job looks at everything that may have changed, on one committed state (`View`), where each
statement with the same parameters runs once, however many watch it. What tells whether a watcher's
value has changed are the rows themselves, as SQLite gave them:

1. What the watcher's last value was made of is read again, statement after statement, until one
   gives other rows. If none does, the value is what it was: nothing is built.
2. Otherwise the value is made anew, from rows that are shared, out of objects that are not.

A body is made anew by running it: it meets the rows that were read for others, so a hundred
watchers of it cost no more statements than one.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import attrs

from trio_sqlrepo._base.driver import Interrupted, Verdict
from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.footprint import NOTHING, Footprint
from trio_sqlrepo._base.job import Row, RowBuilder, SqlValue, Statement, Stopped
from trio_sqlrepo._worker.thread import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_sqlrepo._base.job import Parameters
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.record import Tally

# The format without back references: those depend on which values are one object.
_PLAIN: Final = 2
# What ends a value, not the look at it.
_OF_THE_QUERY: Final = Verdict.NOT_APPLIED


@final
class LiveReader(Worker):
    """Looks at what is watched, whenever it is sent a job. It has no inbox to draw from."""

    def _turn(self) -> bool:
        if not self.mailbox:
            return False
        self._serve_mail()
        return True


@final
@attrs.frozen
class Read:
    """One statement that a value rests on, and what it gave.

    Equal to another one if the same statement gave the same rows, to the type and the bit.
    """

    what: Statement | str
    key: Hashable = attrs.field(repr=False)  # `what`, and the parameters to the type
    stamp: bytes = attrs.field(repr=False)  # columns and rows
    parameters: Any = attrs.field(eq=False, repr=False)
    footprint: Footprint = attrs.field(eq=False)


Reads = tuple[Read, ...]


class Watched(NamedTuple):
    """What is to be looked at for one watcher."""

    make: Callable[[View], Any]
    known: tuple[Reads, ...]  # of values that need not be made again


class Found(NamedTuple):
    """What came of that."""

    reads: Reads  # what the value rests on; of an error, as far as it came
    is_made: bool = False
    value: Any = None
    error: BaseException | None = None


def look(watched: Sequence[Watched], hands: Hands) -> list[Found]:
    """Look at all of it, in the read transaction that is open.

    Raises what is no watcher's error but the connection's or the pool's: a cancellation, a lock, a
    failing disk.
    """
    view = View(hands)
    return [view.look_at(each) for each in watched]


@final
class _Rows(NamedTuple):
    """What one statement gave on this view."""

    rows: list[Row]
    build: RowBuilder | None  # None: ad-hoc SQL
    read: Read


@final
class View:
    """One committed state, where the same statement runs once. Worker thread only.

    To a body it looks like the `Hands` of a job and their driver.
    """

    __slots__ = ("_hands", "_known", "_noted")

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._known: dict[Hashable, _Rows] = {}
        self._noted: list[Read] = []  # by the value that is being made

    def __repr__(self) -> str:
        return f"<View of {len(self._known)} results>"

    def look_at(self, watched: Watched) -> Found:
        """See whether one watcher's value is still what it was; otherwise make it."""
        self._noted = []
        try:
            for known in watched.known:
                if (again := self._reread(known)) is not None:
                    return Found(again)
            value = watched.make(self)
        except BaseException as error:  # noqa: BLE001  # the watcher's, or raised again
            self._raise_if_not_of_the_query(error)
            return Found(tuple(self._noted), error=error)
        return Found(tuple(self._noted), is_made=True, value=value)

    def _reread(self, known: Reads) -> Reads | None:
        """Read again what a value rests on; None as soon as something is not as it was."""
        again = []
        for read in known:
            self._hands.check()
            found = self._rows(read.what, read.key, read.parameters).read
            if found != read:
                return None
            again.append(found)
        return tuple(again)

    def _raise_if_not_of_the_query(self, error: BaseException) -> None:
        if isinstance(error, (Interrupted, Stopped)):
            raise error
        if not isinstance(error, (SqlRepoError, MemoryError)):
            return  # a body's own
        if self._hands.driver.verdict(error) is not _OF_THE_QUERY:
            raise error

    def _take(self, what: Statement | str, parameters: Any) -> _Rows:
        """Read for the value that is being made, and note that it rests on this."""
        self._hands.check()
        parameters = fixed(parameters)
        found = self._rows(what, (what, *_exact(parameters)), parameters)
        self._noted.append(found.read)
        return found

    def _rows(self, what: Statement | str, key: Hashable, parameters: Any) -> _Rows:
        found = self._known.get(key)
        if found is None:
            if isinstance(what, str):
                found = self._execute(what, key, parameters)
            else:
                found = self._fetch(what, key, parameters)
            self._known[key] = found
        return found

    def _fetch(self, statement: Statement, key: Hashable, parameters: Parameters) -> _Rows:
        hands = self._hands
        record = hands.tally.statements[statement.number]
        record.calls += 1
        with record.timed(hands.clock):
            columns, rows, build, footprint = hands.driver.fetch(statement, parameters)
        record.rows += len(rows)
        stamp = marshal.dumps((columns, rows), _PLAIN)
        return _Rows(rows, build, Read(statement, key, stamp, parameters, footprint))

    def _execute(self, sql: str, key: Hashable, parameters: Any) -> _Rows:
        driver = self._hands.driver
        rows = driver.execute(sql, parameters)
        stamp = marshal.dumps(rows, _PLAIN)
        return _Rows(rows, None, Read(sql, key, stamp, parameters, driver.read_by(sql)))

    # -- what a body sees: as `Hands` --------------------------------------------------------

    @property
    def driver(self) -> View:
        """Itself: what a body asks of a driver, the view answers."""
        return self

    @property
    def clock(self) -> Callable[[], float]:
        """What work is measured by."""
        return self._hands.clock

    @property
    def tally(self) -> Tally:
        """Where it is counted."""
        return self._hands.tally

    def check(self) -> None:
        """Raise `Interrupted` if the job is cancelled."""
        self._hands.check()

    def call(self, statement: Statement, parameters: Parameters) -> Any:
        """Run a declared read; give what the call returns."""
        return _finished(statement, self._built(statement, parameters))

    def call_many(self, statement: Statement, batch: Sequence[Parameters]) -> Any:
        """Run it once for each element; give what the call returns."""
        rows = [row for parameters in batch for row in self._built(statement, parameters)]
        return _finished(statement, rows)

    def _built(self, statement: Statement, parameters: Parameters) -> list[Any]:
        found = self._take(statement, parameters)
        build = found.build
        assert build is not None, "a declared read has a builder"
        return [build(row) for row in found.rows]

    # -- and as `Driver` ---------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether the view is still there."""
        return self._hands.driver.in_transaction

    def is_read_only(self, sql: str) -> bool:
        """Whether `sql` may run here."""
        return self._hands.driver.is_read_only(sql)

    def execute(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue]
    ) -> list[Row]:
        """Run one ad-hoc statement and give all its rows."""
        return list(self._take(sql, parameters).rows)

    def stream(self, statement: Statement, parameters: Parameters) -> OpenResult:
        """Start a read whose rows are built bit by bit. All of them are read at once."""
        return OpenResult(self._take(statement, parameters))


@final
class OpenResult:
    """Rows that were read, being built."""

    __slots__ = ("_build", "_rest")

    def __init__(self, found: _Rows) -> None:
        self._build = found.build or tuple
        self._rest = found.rows

    def __repr__(self) -> str:
        return f"<OpenResult, {len(self._rest)} rows left>"

    @property
    def has_more(self) -> bool:
        """Whether there are rows left."""
        return bool(self._rest)

    def fetch(self, most: int, size: int, seconds: float) -> list[Any]:
        """Build the next rows, at most so many. They are in memory, and take no time to read."""
        del size, seconds
        rows, self._rest = self._rest[:most], self._rest[most:]
        return [self._build(row) for row in rows]

    def close(self) -> None:
        """Leave the rest."""
        self._rest = []


def footprint_of(reads: Reads) -> Footprint:
    """What a value rests on."""
    footprint = NOTHING
    for read in reads:
        footprint |= read.footprint
    return footprint


def _finished(statement: Statement, rows: list[Any]) -> Any:
    return rows if statement.finish is None else statement.finish(rows)


def fixed(parameters: Sequence[SqlValue] | Mapping[str, SqlValue]) -> Any:
    """Give parameters that nobody can change any more."""
    if isinstance(parameters, Mapping):
        return {name: _value(value) for name, value in parameters.items()}
    return tuple(map(_value, parameters))


def _value(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def _exact(parameters: Any) -> tuple[Hashable, ...]:
    """Tell parameters apart as SQLite does, where Python calls 1, 1.0 and True equal."""
    if isinstance(parameters, Mapping):
        return tuple((name, *_exact((parameters[name],))) for name in sorted(parameters))
    return tuple(
        (type(value), value.hex() if isinstance(value, float) else _value(value))
        for value in parameters
    )
