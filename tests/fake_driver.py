"""An engine in memory that does what a test tells it: the `Driver` protocol without SQLite.

A statement does what its first parameter, a `Play`, says: adds rows, fails, loses the transaction,
waits. So a test scripts each run of each job, and sees in `log` what a worker made of it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs

from tests.waiting import PATIENCE
from trio_sqlrepo._base.driver import Checkpoint, CheckpointMode, Fetched, Interrupted, Verdict
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReplaced,
    ForeignKeyViolation,
    InternalError,
    OutcomeUnknown,
    SqlError,
)
from trio_sqlrepo._base.footprint import EVERYTHING, Footprint
from trio_sqlrepo._base.inspection import Inspection
from trio_sqlrepo._base.job import Job, Kind, Statement, query_job

R = TypeVar("R")

BROKEN: Final = 10  # SQLITE_IOERR: the code of an error after which the connection must go


def broken(text: str = "The disk is on fire.") -> SqlError:
    """An error after which the connection must be replaced."""
    return SqlError(text, code=BROKEN)


class Halt:
    """A point where a thread stops until the test lets it go, or it is interrupted."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def wait_reached(self) -> None:
        assert self.reached.wait(PATIENCE)

    def stop_here(self, driver: FakeDriver) -> None:
        self.reached.set()
        while not (self.go.wait(0.001) or driver.aborted):
            pass


@attrs.frozen(kw_only=True)
class Act:
    """What a statement does in one run, in the order of these fields."""

    adds: tuple[str, ...] = ()
    during: Callable[[], object] = int  # called while it runs
    halt: Halt | None = None
    breaks: int = 0  # deferred foreign keys that are broken by it
    vanishes: bool = False  # SQLite ends the whole transaction
    keeps: bool = False  # if it raises, what it has added stays (OR FAIL)
    raises: BaseException | None = None
    returns: Any = 1


class Play:
    """The acts of a statement, one for each run; the last one for all further runs."""

    def __init__(self, *acts: Act) -> None:
        self.acts = acts
        self.runs = 0

    def next(self) -> Act:
        self.runs += 1
        return self.acts[min(self.runs, len(self.acts)) - 1]


class FakeFile:
    """What is committed, and what other processes do to it."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.locked = False  # another process holds the write lock
        self.timed_out = False  # whoever waits for the lock has waited long enough
        self.replaced = False
        self.waiting = threading.Event()  # somebody waits for the lock
        self.open_connections = 0
        self.open_errors: deque[BaseException] = deque()  # the next attempts to open it meet these
        self.drivers: list[FakeDriver] = []
        self.writing: FakeDriver | None = None
        self.checkpoints: deque[Play | None] = deque()  # what the next ones do
        self.checkpoint_log: list[str] = []  # of all connections, in order
        self.optimizing = Play(Act())
        self.data_version = 1
        self.wal_frames = self.frames_per_commit = 0


class FakeDriver:
    """One connection to a `FakeFile`."""

    def __init__(self, file: FakeFile, statements: Sequence[Statement] = ()) -> None:
        if file.open_errors:
            raise file.open_errors.popleft()
        file.open_connections += 1
        file.drivers.append(self)
        self.file = file
        self.give_up: Callable[[], bool] = lambda: False
        self.log: list[str] = []
        self.dirty: str | None = None  # why it is not clean
        self.begin_errors: deque[BaseException | None] = deque()
        self.commit_errors: deque[BaseException | None] = deque()
        self.savepoint_errors: deque[BaseException | None] = deque()
        self.during_commit: Callable[[], object] = int
        self.on_probe = Play(Act())
        self.close_error: BaseException | None = None
        self.alone_error: BaseException | None = None
        self.compilations = len(statements)
        self.aborts = 0  # that met a statement
        self.aborted = False
        self.closed = False
        self.watching: Callable[[], bool] = lambda: False
        self.changes: Footprint | None = None  # what its next COMMITs are said to have written
        self.wal_frames = 0
        self.wal_frame_bytes = 4096 + 24
        self._running: Statement | str | None = None
        self._lock = threading.Lock()
        self._rows: list[str] | None = None  # of the open transaction
        self._reading = False
        self._unknown = False  # a COMMIT failed half-way
        self._marks: list[int] = []
        self._deferred = 0
        self._changes = 0

    def __repr__(self) -> str:
        return f"<FakeDriver {self._rows!r}>"

    # -- what runs -----------------------------------------------------------------------------

    def _perform(self, name: str, play: Play, *, writes: bool) -> Any:
        act = play.next()
        self.log.append(name)
        with self._lock:
            self._running, self.aborted = name, False
        try:
            return self._act(act, writes=writes)
        finally:
            with self._lock:
                self._running = None

    def _act(self, act: Act, *, writes: bool) -> Any:
        if writes and self._rows is None:
            raise InternalError("A write outside of a transaction.")
        before = len(self._rows or ())
        if self._rows is not None:
            self._rows += act.adds
        act.during()
        if act.halt is not None:
            act.halt.stop_here(self)
        self._deferred += act.breaks
        if self.aborted:
            if writes:
                self._forget()
            raise Interrupted("interrupted")
        if act.vanishes:
            self._forget()
        if act.raises is not None and not act.keeps:
            if self._rows is not None:
                del self._rows[before:]
            raise act.raises
        self._changes += len(act.adds)
        if act.raises is not None:
            raise act.raises
        return act.returns

    def run(self, statement: Statement, parameters: Any) -> Any:
        return self._perform(statement.name, parameters[0], writes=statement.writes)

    def run_many(self, statement: Statement, batch: Sequence[Any]) -> Any:
        results = []
        for parameters in batch:
            if self.give_up():
                raise Interrupted("given up between two chunks")
            results.append(self.run(statement, parameters))
        return (
            sum(results) if statement.build is None else [row for rows in results for row in rows]
        )

    def fetch(self, statement: Statement, parameters: Any) -> Fetched:
        rows = self._perform(statement.name, parameters[0], writes=False)
        return Fetched((), rows, list, EVERYTHING)

    def stream(self, statement: Statement, parameters: Any) -> FakeRows:
        return FakeRows(self, statement, parameters[0])

    def execute(self, sql: str, parameters: Any) -> Any:
        return self._perform(sql, parameters[0], writes=not self.is_read_only(sql))

    def apply(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        return function(self, *args)

    def is_read_only(self, sql: str) -> bool:
        return sql.startswith("SELECT")

    def runs_alone(self, sql: str) -> bool:
        if self.alone_error is not None:
            raise self.alone_error
        return sql == "VACUUM"

    def read_by(self, sql: str) -> Footprint:
        return EVERYTHING

    # -- schema --------------------------------------------------------------------------------

    def prepare(self, statements: Sequence[Statement]) -> None:
        self.compilations += len(statements)

    def is_precompiled(self, statement: Statement) -> bool:
        return bool(self.compilations)

    def inspect(self, sql: str) -> Inspection:
        return Inspection()

    def run_script(self, sql: str) -> None:
        self.log.append("script")

    def foreign_key_violations(self) -> list[str]:
        return []

    # -- transactions --------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self._rows is not None or self._reading

    def begin_read(self) -> None:
        self.log.append("BEGIN")
        self._wait_for_lock(self.begin_errors.popleft() if self.begin_errors else None)
        self._reading = True

    def begin_write(self) -> None:
        self.log.append("BEGIN IMMEDIATE")
        if self.in_transaction or self._unknown:
            raise InternalError("A transaction is open.")
        self._wait_for_lock(self.begin_errors.popleft() if self.begin_errors else None)
        assert self.file.writing is None, "two writers of one pool at once"
        self.file.writing = self
        self._rows, self._deferred = [], 0

    def _wait_for_lock(self, error: BaseException | None) -> None:
        while self.file.locked:
            self.file.waiting.set()
            if self.give_up():
                raise Interrupted("gave up")
            if self.file.timed_out:
                raise DatabaseLocked("locked")
            threading.Event().wait(0.001)
        if error is not None:
            raise error

    def commit(self) -> None:
        self.log.append("COMMIT")
        rows, self._reading = self._rows, False
        self.during_commit()
        error = self.commit_errors.popleft() if self.commit_errors else None
        if error is None and rows is not None and self._deferred:
            error = ForeignKeyViolation("a deferred foreign key")
        if isinstance(error, OutcomeUnknown):
            self._unknown = True
        if error is not None:
            self._forget()
            raise error
        self._forget()
        self.file.rows += rows or ()
        if rows is not None:
            self.file.wal_frames += self.file.frames_per_commit
            self.wal_frames = self.file.wal_frames
        if self.file.replaced:
            raise DatabaseReplaced("another file")

    def take_changes(self) -> Footprint | None:
        return self.changes

    def rollback(self) -> None:
        if self.in_transaction:
            self.log.append("ROLLBACK")
        self._forget()

    def savepoint(self) -> None:
        error = self.savepoint_errors.popleft() if self.savepoint_errors else None
        if error is not None:
            raise error
        self._marks.append(len(self._rows or ()))

    def release(self) -> None:
        self._marks.pop()

    def undo(self) -> None:
        if self._rows is not None:
            del self._rows[self._marks.pop() :]

    @property
    def savepoint_depth(self) -> int:
        return len(self._marks)

    def total_changes(self) -> int:
        return self._changes

    def has_deferred_violations(self) -> bool:
        return self._deferred > 0

    def _forget(self) -> None:
        if self.file.writing is self:
            self.file.writing = None
        self._rows, self._reading, self._marks, self._deferred = None, False, [], 0

    # -- judgement -----------------------------------------------------------------------------

    def verdict(self, error: BaseException) -> Verdict:
        if isinstance(error, (OutcomeUnknown, DatabaseReplaced)):
            return Verdict.UNKNOWN
        if isinstance(error, DatabaseLocked):
            return Verdict.BUSY
        fatal = isinstance(error, (InternalError, MemoryError))
        retire = fatal or getattr(error, "code", 0) == BROKEN
        return Verdict.RETIRE if retire else Verdict.NOT_APPLIED

    def is_clean(self) -> bool:
        return not (self.in_transaction or self._unknown or self.dirty)

    def probe(self) -> None:
        self._perform("probe", self.on_probe, writes=False)

    # -- upkeep --------------------------------------------------------------------------------

    def checkpoint(self, mode: CheckpointMode, *, patience: float = 0.0) -> Checkpoint:
        """As the file's next of `checkpoints` says; otherwise nothing stands in its way."""
        assert not self.in_transaction, "a checkpoint inside a transaction"
        file = self.file
        waits = "" if mode is CheckpointMode.PASSIVE else f" {patience:.3g}"
        file.checkpoint_log.append(mode.name + waits)
        frames = file.wal_frames  # as it found them
        play = file.checkpoints.popleft() if file.checkpoints else None
        found = self._perform("checkpoint", play, writes=False) if play is not None else None
        if mode is CheckpointMode.TRUNCATE and found is None:
            self.wal_frames = file.wal_frames = frames = 0
        if mode is CheckpointMode.RESTART and found is None:
            file.wal_frames = 0  # the next COMMIT tells the connection
        if found is None:
            found = Checkpoint(busy=False, frames=frames, done=frames)
        assert isinstance(found, Checkpoint)
        return found

    def data_version(self) -> int:
        return self.file.data_version

    def optimize(self) -> None:
        self._perform("optimize", self.file.optimizing, writes=False)

    # -- the end -------------------------------------------------------------------------------

    def abort(self) -> None:
        with self._lock:
            if self._running is not None:
                self.aborted = True
                self.aborts += 1

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._forget()
            self.file.open_connections -= 1
        if self.close_error is not None:
            raise self.close_error


class FakeRows:
    """A read half-way: each act gives its `returns` as one chunk; an empty one is the end."""

    def __init__(self, driver: FakeDriver, statement: Statement, play: Play) -> None:
        self._driver, self._name, self._play = driver, statement.name, play
        self.has_more = True

    def fetch(self, most: int, size: int, seconds: float) -> list[Any]:
        self.has_more = False
        rows: list[Any] = self._driver._perform(self._name, self._play, writes=False)
        self.has_more = bool(rows)
        return rows

    def close(self) -> None:
        self.has_more = False
        self._driver.log.append("reset")


# -- jobs ------------------------------------------------------------------------------------------


def statement(name: str, number: int = 0, *, writes: bool = True, rows: bool = False) -> Statement:
    """A declared query that does what its first parameter says; `rows`: it returns some."""
    return Statement(
        number=number,
        name=name,
        sql=name,
        parameter_count=1,
        writes=writes,
        build=list if rows else None,
        finish=list if rows else None,
    )


def call(name: str, *acts: Act, writes: bool = True, rows: bool = False) -> Job:
    """A call of a declared query; by default it adds a row of its name."""
    play = Play(*(acts or (Act(adds=(name,) if writes else (), returns=[name] if rows else 1),)))
    return query_job(statement(name, writes=writes, rows=rows), (play,), batch=False)


def batch(name: str, *plays: Play, writes: bool = True) -> Job:
    """A call with a batch, an element for each play."""
    return query_job(statement(name, writes=writes), [(play,) for play in plays], batch=True)


def working(kind: Kind, name: str, work: Callable[[Any], Any], *, writes: bool = True) -> Job:
    """A job of any other kind."""
    return Job(kind, name, writes=writes, work=work)
