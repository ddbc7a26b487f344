"""What goes down from a session to a worker thread: a statement, and a job that runs it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final, final

# A value SQLite stores.
SqlValue = None | int | float | str | bytes
Row = tuple[SqlValue, ...]
# What is bound: one value for each parameter, in the order of first appearance in the SQL.
Parameters = Sequence[SqlValue]
RowBuilder = Callable[[Row], Any]


@final
class Statement:
    """A declared query after inspection: what a driver runs and how its rows are mapped.

    One per declared query and database. All fields but `cost` are set once, at opening, and
    are read by every worker thread.
    """

    __slots__ = (
        "build", "columns", "connection_bound", "cost", "counts_by_total", "finish", "name",
        "number", "parameter_count", "rebuild", "single", "sql", "writes",
    )  # fmt: skip

    def __init__(
        self,
        *,
        number: int,
        name: str,
        sql: str,
        parameter_count: int,
        writes: bool,
        columns: tuple[str, ...] = (),
        single: bool = False,
        build: RowBuilder | None = None,
        rebuild: Callable[[tuple[str, ...]], RowBuilder] | None = None,
        finish: Callable[[Any], Any] | None = None,
        counts_by_total: bool = False,
        connection_bound: bool = False,
    ) -> None:
        self.number = number  # its place in the database's list; records are kept by it
        self.name = name  # "Messages.post", as errors and stats name it
        self.sql = sql
        self.parameter_count = parameter_count
        self.writes = writes  # SQLite's own word (sqlite3_stmt_readonly)
        self.columns = columns  # column names in order, () for a statement that returns none
        self.single = single  # one row expected: fetch no more than two
        self.build = build  # maps one row with `columns`; None: no columns
        self.rebuild = rebuild  # makes `build` for other columns; raises DeclarationError
        self.finish = finish  # list of built rows, or row count -> the call's result
        self.counts_by_total = counts_by_total  # a plain INSERT: total_changes() counts its rows
        # Uses last_insert_rowid() or the like: means something only inside a transaction.
        self.connection_bound = connection_bound
        # Running mean of a call in seconds. Any worker thread stores it; a lost update loses
        # one sample of a mean and nothing else.
        self.cost = 0.0

    def __repr__(self) -> str:
        return f"<Statement {self.name} {'writes' if self.writes else 'reads'}>"


class Kind(enum.Enum):
    """How a worker must treat a job."""

    __hash__ = object.__hash__  # Enum's own is Python code, and every call looks kinds up

    CALL = "call"  # one statement, once
    BATCH = "batch"  # one statement, many times, one transaction
    BODY = "body"  # a @transaction or @snapshot body
    ADHOC = "execute"  # SQL given to Session.execute
    FUNCTION = "function"  # Database.read(fn) and Database.write(fn): never grouped or re-run
    LEASE = "lease"  # keeps its worker until it is released
    RELEASE = "release"  # ends the lease it is sent to
    PROBE = "probe"  # a health check, sent to one idle worker
    UPKEEP = "upkeep"  # the pool's own, outside of a transaction: a checkpoint
    BACKUP = "backup"  # copies the database to a file: long by nature, and leaves something


_CALL: Final = Kind.CALL
_BATCH: Final = Kind.BATCH
_HOLDING: Final = frozenset({Kind.LEASE, Kind.RELEASE, Kind.PROBE, Kind.BACKUP})


@final
class Job:
    """One unit of work and the task that waits for it.

    The upper half is what goes down: set when made, never changed. The lower half is the
    ticket; each field says who may change it.
    """

    # What most jobs leave as it is stands on the class: making a job is part of every call.
    statement: Statement | None = None
    parameters: Any = ()
    work: Callable[[Any], Any] | None = None
    claim = False  # what is read once it was deleted
    # Only looks at the database, and leaves its caller nothing to give back: when it is cancelled
    # its result can be dropped.
    views = False
    lone = False  # set on the loop before it is submitted: its task hears the thread itself
    cancelled = False  # set on the loop; read by the thread under its ticket lock
    worker: Any = None  # set by the thread that claimed it, before it reads cancelled
    task: Any = None  # loop only: who waits, None once answered
    # Loop only: the task that a lease was granted to, or who keeps what was asked for ahead.
    holder: Any = None
    pool: Any = None  # loop only: where its task waits
    lane: Any = None  # loop only: in whose queue it was put; None: it was sent to one worker
    raise_cancel: Any = None  # loop only: trio's, kept when a claimed job is cancelled
    interrupted = 0.0  # loop only: trio.current_time() of the first interrupt
    enqueued = 0.0  # loop only: trio.current_time() when submitted
    sequence = 0  # set on the loop when submitted: its place in the FIFO
    value: Any = None  # the thread, until delivered
    error: BaseException | None = None  # the thread, until delivered

    def __init__(
        self,
        kind: Kind,
        label: str,
        *,
        writes: bool,
        statement: Statement | None = None,
        parameters: Any = (),
        work: Callable[[Any], Any] | None = None,
    ) -> None:
        self.kind = kind
        self.label = label  # the query or call, as errors and stats name it
        self.writes = writes
        self.views = not writes and kind not in _HOLDING
        if statement is not None:
            self.statement = statement  # CALL and BATCH
            self.parameters = parameters  # CALL: Parameters; BATCH: a list of them
        else:
            self.work = work  # all other kinds: work(hands) on the worker thread
            self.parameters = parameters  # ADHOC: the SQL, for whoever asks how to run it
        # Whoever deletes it has the job: the thread to run it, or the loop to cancel it. Deleting
        # an attribute is atomic; exactly one wins, and the other meets AttributeError.
        self.claim = True

    def __repr__(self) -> str:
        state = "waiting" if self.claim else "cancelled" if self.cancelled else "taken"
        return f"<Job {self.label} {self.kind.value} {state}>"

    # What trio asks of a waiting task's abort function and of its outcome, a job does itself: each
    # object less is one less for the garbage collector to look at while ten thousand wait.

    def __call__(self, raise_cancel: Callable[[], Any]) -> Any:
        """Trio cancels the task that waits: say whether that ends its wait."""
        return self.pool.abort(self, raise_cancel)

    def unwrap(self) -> Any:
        """Give the value: a job that succeeded is rescheduled as its own `outcome.Value`."""
        return self.value


def query_job(statement: Statement, parameters: Any, *, batch: bool) -> Job:
    """One call of a declared query. As `Job(...)`, in half the time."""
    job = Job.__new__(Job)
    job.kind = _BATCH if batch else _CALL
    job.label = statement.name
    job.writes = statement.writes
    job.views = not statement.writes
    job.statement = statement
    job.parameters = parameters
    job.claim = True
    return job


class Stopped(BaseException):
    """What a job ends with that was cancelled after its claim; nothing of it stays.

    Never leaves the library: the loop delivers trio's own exception in its place, or
    `PoolClosed` if the pool's closing was the reason.
    """
