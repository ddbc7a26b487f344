"""What a worker asks of an engine: one connection, used by one thread.

`_worker` knows this protocol only, so another engine is one folder beside `_sqlite`, and tests
inject faults with a driver of their own.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from trio_sqlrepo._base.errors import SqlError
from trio_sqlrepo._base.footprint import Footprint
from trio_sqlrepo._base.job import Row, RowBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trio_sqlrepo._base.inspection import Inspection
    from trio_sqlrepo._base.job import Parameters, SqlValue, Statement

R = TypeVar("R")


class Verdict(enum.Enum):
    """What an error says of the work that met it, and of the connection."""

    NOT_APPLIED = "not applied"  # the statement left nothing; the connection is well
    BUSY = "busy"  # not applied: a lock of another process; may be tried again
    RETIRE = "retire"  # not applied; the connection must be replaced
    UNKNOWN = "unknown"  # a COMMIT failed half-way; the connection must be replaced


class Role(enum.Enum):
    """What a connection is for."""

    WRITER = "writer"
    READER = "reader"  # can't write: query_only and an authorizer
    SOLE = "sole"  # writes, and reads in `begin_read` transactions that forbid writes
    MIGRATOR = "migrator"  # foreign keys off, so that table rebuilds lose no children
    CHECKPOINTER = "checkpointer"  # moves the WAL into the file; can't write otherwise

    @property
    def reads_only(self) -> bool:
        """Whether nothing may be written through it."""
        return self in {Role.READER, Role.CHECKPOINTER}


class CheckpointMode(enum.Enum):
    """SQLite's own: each does what the one before does, and more."""

    PASSIVE = "passive"  # moves into the file what no reader needs; waits for nobody
    RESTART = "restart"  # waits for all who use the WAL: the next write begins it anew
    TRUNCATE = "truncate"  # cuts the WAL's file to nothing


class Checkpoint(NamedTuple):
    """What a checkpoint came to. Where SQLite does not say, the numbers are 0."""

    busy: bool  # a reader, or another process, kept it from its end
    frames: int  # in the WAL
    done: int  # of these, how many are in the database file


class Fetched(NamedTuple):
    """The rows of a declared read as the engine gave them, and what they rest on."""

    columns: tuple[str, ...]
    rows: list[Row]
    build: RowBuilder  # for these columns
    footprint: Footprint


class Interrupted(SqlError):
    """`Driver.abort` ended a statement, or `give_up` a wait. Never leaves the library."""


class OpenRows(Protocol):
    """A declared read half-way, from `Driver.stream`."""

    @property
    def has_more(self) -> bool:
        """Whether another `fetch` may give rows, or an error."""
        ...

    def fetch(self, most: int, size: int, seconds: float) -> list[Any]:
        """Step and build up to `most` rows: fewer if they weigh `size` bytes or take `seconds`.

        These two are looked at every few rows. If a row fails to fit, those before it are given
        first, and the next call raises. The statement is reset with the last row, and if this
        raises.
        """
        ...

    def close(self) -> None:
        """Reset the statement; a second call does nothing."""
        ...


class Driver(Protocol):
    """One connection. Every method runs on the thread that opened it, save `abort`.

    Every method that fails raises a `SqlRepoError` (or whatever a user's function raised).
    Between jobs no statement is left un-reset and no transaction open, save what a lease holds.
    """

    # Asked about once a millisecond while a lock of another process is awaited, between the
    # chunks of a long batch, and while a statement runs beside a read that is half-way; True ends
    # the wait, batch or statement with `Interrupted`. The worker sets it once, before the first
    # use.
    give_up: Callable[[], bool]

    # Asked when a write transaction begins: whether it must be noted what it writes. The worker
    # sets it once, before the first use.
    watching: Callable[[], bool]

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open (SQLite's autocommit flag is off)."""
        ...

    def abort(self) -> None:
        """End the statement that runs now, if one does. From any thread.

        While a read is half-way it may leave that to `give_up`.
        """
        ...

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...

    # -- declared statements ---------------------------------------------------------------

    def prepare(self, statements: Sequence[Statement]) -> None:
        """Compile every statement into this connection's cache and keep it there.

        Raises `DeclarationError` where the schema no longer fits one; the others are kept.
        """
        ...

    def is_precompiled(self, statement: Statement) -> bool:
        """Whether the statement will run without being compiled."""
        ...

    @property
    def compilations(self) -> int:
        """How often SQLite has compiled since opening, re-preparations included."""
        ...

    def run(self, statement: Statement, parameters: Parameters) -> Any:
        """Run it to its end; give its built rows (at most two if `single`), or its row count.

        Rows are built while stepping. The statement is reset when this returns or raises.
        If SQLite has compiled it anew, its columns are checked before a row is built.
        """
        ...

    def run_many(self, statement: Statement, batch: Sequence[Parameters]) -> Any:
        """Run it once for each element; give all built rows in order, or the sum of row counts."""
        ...

    def fetch(self, statement: Statement, parameters: Parameters) -> Fetched:
        """Run a read to its end and give its rows unbuilt (at most two if `single`)."""
        ...

    def stream(self, statement: Statement, parameters: Parameters) -> OpenRows:
        """Start a read whose rows are built bit by bit. It stays half-way between jobs.

        Other statements may run meanwhile; `commit` and `rollback` close it first.
        """
        ...

    # -- ad hoc ----------------------------------------------------------------------------

    def is_read_only(self, sql: str) -> bool:
        """Whether `sql` (one statement) may run on a reader. Raises `SqlError` if it is wrong."""
        ...

    def execute(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue]
    ) -> list[Row]:
        """Run one ad-hoc statement and give all its rows."""
        ...

    def runs_alone(self, sql: str) -> bool:
        """Whether `sql` must run outside a transaction (VACUUM)."""
        ...

    def apply(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        """Call `function(connection, *args)` with the raw connection.

        It may run any SQL its connection may, but not control transactions. Raises what it raises;
        errors of SQLite are converted.
        """
        ...

    def read_by(self, sql: str) -> Footprint:
        """What `sql` (one statement that reads) reads."""
        ...

    # -- schema --------------------------------------------------------------------------------

    def inspect(self, sql: str) -> Inspection:
        """Compile without running and say what SQLite says of it. Never raises for wrong SQL."""
        ...

    def run_script(self, sql: str) -> None:
        """Run every statement of a migration inside the open transaction.

        `BEGIN`, `COMMIT`, `SAVEPOINT`, `ATTACH` and the like are refused. An error names the
        statement's number and its line in the script.
        """
        ...

    def foreign_key_violations(self) -> list[str]:
        """What `PRAGMA foreign_key_check` finds, one sentence each, without any row's values."""
        ...

    # -- transactions ----------------------------------------------------------------------

    def begin_read(self) -> None:
        """Open a read transaction and fix its view now (reads a page).

        Forbids writes until it ends, on any connection.
        """
        ...

    def begin_write(self) -> None:
        """`BEGIN IMMEDIATE`: wait up to `busy_timeout` for other processes.

        Raises `DatabaseLocked` after that, `Interrupted` when `give_up` says so.
        """
        ...

    def commit(self) -> None:
        """COMMIT, then compare the file's identity.

        On `Verdict.NOT_APPLIED` the transaction is rolled back before this raises. Raises
        `OutcomeUnknown` where the COMMIT may be on disk, `DatabaseReplaced` where it is in a
        file that no longer bears the path. Ends a read transaction as well.
        """
        ...

    def take_changes(self) -> Footprint | None:
        """What was committed last, or more; None if that was taken already.

        All there is, if it was begun when nobody was watching.
        """
        ...

    def rollback(self) -> None:
        """ROLLBACK if a transaction is open. Never raises; see `is_clean`."""
        ...

    def savepoint(self) -> None:
        """Open a savepoint inside the open one."""
        ...

    def release(self) -> None:
        """Keep what the innermost savepoint holds."""
        ...

    def undo(self) -> None:
        """Undo what the innermost savepoint holds, and end it.

        Does nothing if the whole transaction has vanished.
        """
        ...

    @property
    def savepoint_depth(self) -> int:
        """How many savepoints are open."""
        ...

    def total_changes(self) -> int:
        """Rows changed since opening: unmoved after a statement that undid itself."""
        ...

    def has_deferred_violations(self) -> bool:
        """Whether a deferred foreign key is broken now, so that COMMIT would fail."""
        ...

    # -- judgement -------------------------------------------------------------------------

    def verdict(self, error: BaseException) -> Verdict:
        """What the error says of the work and of this connection."""
        ...

    def is_clean(self) -> bool:
        """Whether it may go back. A cheap question.

        It may with no transaction (`txn_state` NONE), nothing attached and settings as they were.
        """
        ...

    def probe(self) -> None:
        """Read a page and compare the identity of the file and its WAL with those at opening."""
        ...

    # -- upkeep ----------------------------------------------------------------------------

    @property
    def wal_frames(self) -> int:
        """Frames in the WAL after this connection's last commit; 0 without a WAL.

        Any thread may ask; asked after every commit, so it must cost nothing.
        """
        ...

    @property
    def wal_frame_bytes(self) -> int:
        """How much one frame adds to the WAL. Any thread may ask."""
        ...

    def checkpoint(self, mode: CheckpointMode, *, patience: float = 0.0) -> Checkpoint:
        """Move what is in the WAL into the file, outside of a transaction.

        Args:
            mode: how far to go. All but PASSIVE need the write lock, and that no reader uses the
                WAL.
            patience: longest wait for these, in seconds.
        """
        ...

    def data_version(self) -> int:
        """A number that moves when another connection commits, and not by this one's commits."""
        ...

    def optimize(self) -> None:
        """Renew the statistics that the query planner needs, in a write transaction of its own.

        Raises `DatabaseLocked` at once where another process holds the write lock.
        """
        ...
