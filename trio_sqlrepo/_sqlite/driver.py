"""The Driver protocol for apsw: one connection, one thread, every statement to its end."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import apsw

from trio_sqlrepo._base.driver import CheckpointMode, Interrupted
from trio_sqlrepo._base.errors import DeclarationError, SqlRepoError
from trio_sqlrepo._sqlite import codes, proof, wal
from trio_sqlrepo._sqlite.adhoc import AdHoc
from trio_sqlrepo._sqlite.declared import DeclaredStatements
from trio_sqlrepo._sqlite.inspect import Inspector
from trio_sqlrepo._sqlite.leftovers import Leftovers
from trio_sqlrepo._sqlite.script import Scripts
from trio_sqlrepo._sqlite.streams import Streams
from trio_sqlrepo._sqlite.tables import describe_table
from trio_sqlrepo._sqlite.transaction import State, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trio_sqlrepo._base.driver import Checkpoint, Verdict
    from trio_sqlrepo._base.footprint import Footprint
    from trio_sqlrepo._base.inspection import Inspection, NoTable, Table
    from trio_sqlrepo._base.job import Row, SqlValue
    from trio_sqlrepo._sqlite.cache import Kept
    from trio_sqlrepo._sqlite.identity import FileIdentity
    from trio_sqlrepo._sqlite.link import Link
    from trio_sqlrepo._sqlite.settings import Settings

R = TypeVar("R")

# How long a connection that closes waits for readers of a file that was swapped away. Seconds.
_READERS_END: Final = 10.0
_ATTEMPTS: Final = 4  # to empty its WAL


@final
class SqliteDriver(DeclaredStatements):
    """One connection of SQLite's. `open_driver` makes it.

    What runs declared statements is inherited, because a call less is 60 ns of 3 µs.

    Guarantees:
        After every method no statement of it is half-way, whether it returned or raised; save
        those that `stream` has opened, until their transaction ends.
        A declared write runs only inside `begin_write`: nothing ever autocommits.
        No error it raises, nor its cause or context, holds a bound value.
        `abort` may come from any thread at any time, also while or after it is closed.
    """

    __slots__ = (
        "__weakref__", "_adhoc", "_closed", "_data_version", "_gauge", "_identity", "_inspector",
        "_leftovers", "_lock", "_polled", "_scripts", "_settings", "path",
    )  # fmt: skip

    def __init__(
        self, link: Link, settings: Settings, identity: FileIdentity | None, path: str
    ) -> None:
        transaction = Transaction(link, identity)
        super().__init__(link, transaction)
        self.path = path
        self._settings = settings
        self._identity = identity  # None for a database in memory
        self._gauge = link.gauge
        self._inspector = Inspector(link)
        self._scripts = Scripts(link)
        self._leftovers = Leftovers(link, settings, lone=identity is None)
        self._adhoc = AdHoc(link, self._inspector, transaction, self._leftovers)
        # Between `abort` and `close`: SQLite forbids to interrupt a connection being closed.
        self._lock = threading.Lock()
        self._data_version: Kept | None = None  # compiled when it is needed first
        self._closed = False  # under `_lock`
        # Under `_lock`: reads are open half-way, so SQLite asks `give_up` and is not interrupted.
        self._polled = False
        self._streams = Streams(link, self._poll, self._verify, self._failed)

    def __repr__(self) -> str:
        state = "closed" if self._closed else self._transaction.state.value
        return f"<SqliteDriver {self.path} {self._link.role.value}, {state}>"

    @property
    def give_up(self) -> Callable[[], bool]:
        """Asked each millisecond of a wait for a lock, and between chunks of `run_many`."""
        return self._link.busy.give_up

    @give_up.setter
    def give_up(self, ask: Callable[[], bool]) -> None:
        self._link.busy.give_up = ask

    @property
    def watching(self) -> Callable[[], bool]:
        """Asked when a write transaction begins: whether to note what it writes."""
        return self._transaction.watching

    @watching.setter
    def watching(self, ask: Callable[[], bool]) -> None:
        self._transaction.watching = ask

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as SQLite sees it."""
        try:
            return self._connection.in_transaction
        except apsw.ConnectionClosedError:  # by a function that had the raw connection
            return False

    def abort(self) -> None:
        """End the statement that runs now, if one does. From any thread.

        While reads are half-way it does nothing: `give_up` is asked instead (see `streams`).
        """
        with self._lock:
            if not (self._closed or self._polled):
                self._connection.interrupt()

    def _poll(self, on: bool) -> None:  # noqa: FBT001  # the one thing it says
        with self._lock:
            self._polled = on

    def close(self) -> None:
        """Close; a second call does nothing. Never raises.

        The last connection to close checkpoints the WAL and deletes it. SQLite would do that
        inside sqlite3_close, where apsw holds the interpreter lock and every thread would stand
        still for it; so a writer checkpoints first, without that lock.
        """
        with self._lock:
            if self._closed:
                return
        self.rollback()
        if self._identity is not None and not self._link.reads_only:
            with contextlib.suppress(SqlRepoError):
                if self._identity.is_in_place:
                    self.checkpoint(CheckpointMode.PASSIVE)
                else:
                    self._empty_wal()
        with self._lock:
            self._closed = True
        # Between the lock and here no `abort` begins, and none is half-way. SQLite's last
        # checkpoint may fail; the WAL then stays, and the next connection reads it.
        with contextlib.suppress(apsw.Error):
            self._connection.close(force=True)

    def _empty_wal(self) -> None:
        """Move all of the WAL into the file that was opened, though either has lost its name.

        Where another file bears the path, SQLite would leave the WAL to that one and apply it to
        whatever stands there. Where the WAL was deleted, its content goes with the last descriptor;
        and what a checkpoint beside a reader has moved of it is no state of the file's, but parts
        of two.

        Where this connection is the first to notice, readers may be at it that are being ended: it
        waits for them until it is told to end itself. They have ended by then: the next attempt is
        free. An interrupt may still be in effect that was meant for what ran before; it ends one.
        """
        patience = _READERS_END
        for _ in range(_ATTEMPTS):
            try:
                if not self.checkpoint(CheckpointMode.TRUNCATE, patience=patience).busy:
                    return
            except Interrupted:
                continue
            patience = 0.0

    # -- ad hoc --------------------------------------------------------------------------------

    def is_read_only(self, sql: str) -> bool:
        """Whether `sql` (one statement) may run on a reader. Raises `SqlError` if it is wrong."""
        return self._adhoc.is_read_only(sql)

    def execute(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue] = ()
    ) -> list[Row]:
        """Run one ad-hoc statement and give all its rows."""
        return self._adhoc.execute(sql, parameters)

    def runs_alone(self, sql: str) -> bool:
        """Whether `sql` must run outside a transaction (VACUUM)."""
        return self._adhoc.runs_alone(sql)

    def apply(self, function: Callable[..., R], args: tuple[Any, ...] = ()) -> R:
        """Call `function(connection, *args)` with the raw connection."""
        return self._adhoc.apply(function, args)

    def read_by(self, sql: str) -> Footprint:
        """What `sql` (one statement that reads) reads."""
        try:
            return self._footprints.read_by(sql)
        except apsw.Error as error:
            failure = self._link.converted(error, sql=sql)
        raise failure

    # -- schema --------------------------------------------------------------------------------

    def inspect(self, sql: str) -> Inspection:
        """Compile without running and say what SQLite says of it. Never raises for wrong SQL."""
        return self._inspector.inspect(sql)

    def describe_table(self, name: str) -> Table | NoTable:
        """Say what a table or view is made of."""
        return describe_table(self._link, name)

    def run_script(self, sql: str) -> None:
        """Run every statement of a migration inside the open transaction."""
        if self._transaction.state is not State.WRITING:
            self._transaction.refuse_write("The script")
        try:
            self._scripts.run(sql)
        finally:
            self._transaction.notice()

    def foreign_key_violations(self) -> list[str]:
        """Say which foreign keys lead nowhere, one sentence each, without any row's values."""
        return self._scripts.foreign_key_violations()

    def enforce_foreign_keys(self, *, on: bool) -> None:
        """Switch foreign keys outside of a transaction, for migrations of a `:memory:` database.

        Its only connection has to run them; a file's migrations have the role MIGRATOR.
        """
        with self._link.as_own():
            self._settings.enforce_foreign_keys(on=on)
        self._gate.upheavals += 1  # the pragma makes every statement stale

    # -- transactions --------------------------------------------------------------------------

    def begin_read(self) -> None:
        """Open a read transaction and fix its view now. It forbids writes until it ends."""
        self._transaction.begin_read()

    def begin_write(self) -> None:
        """`BEGIN IMMEDIATE`: wait up to `busy_timeout` for other processes."""
        self._transaction.begin_write()

    def commit(self) -> None:
        """COMMIT, then compare the file's identity. Ends what `stream` has opened."""
        if self._streams:
            self._streams.close_all()
        self._transaction.commit()

    def take_changes(self) -> Footprint | None:
        """What was committed last, or more; None if that was taken already."""
        transaction = self._transaction
        changes, transaction.committed = transaction.committed, None
        return changes

    def rollback(self) -> None:
        """ROLLBACK if a transaction is open, ending open reads. Never raises; see `is_clean`."""
        with contextlib.suppress(apsw.ConnectionClosedError):  # as above
            if self._streams:
                self._streams.close_all()
            self._transaction.rollback()

    def savepoint(self) -> None:
        """Open a savepoint inside the open one."""
        self._transaction.savepoint()

    def release(self) -> None:
        """Keep what the innermost savepoint holds."""
        self._transaction.release()

    def undo(self) -> None:
        """Undo what the innermost savepoint holds, and end it."""
        self._transaction.undo()

    @property
    def savepoint_depth(self) -> int:
        """How many savepoints are open."""
        return self._transaction.depth

    def total_changes(self) -> int:
        """Rows changed since opening: unmoved after a statement that undid itself."""
        return self._connection.total_changes()

    def has_deferred_violations(self) -> bool:
        """Whether a deferred foreign key is broken now, so that COMMIT would fail."""
        return bool(self._connection.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0])

    # -- judgement -----------------------------------------------------------------------------

    def verdict(self, error: BaseException) -> Verdict:
        """What the error says of the work and of this connection."""
        return codes.verdict(error)

    def is_clean(self) -> bool:
        """Whether it may go back: no transaction, nothing left behind, settings as they were."""
        leftovers = self._leftovers
        if leftovers.suspected:
            leftovers.look_for_temporary()
        return (
            leftovers.dirt is None
            and self._transaction.state is State.NONE
            and self._connection.txn_state() == apsw.SQLITE_TXN_NONE
        )

    def probe(self) -> None:
        """Read a page and compare the identity of the file and its WAL with those at opening."""
        self._connection.release_memory()  # or the page would come out of the cache
        self._transaction.read_page()
        self._transaction.compare_files()

    @property
    def files(self) -> FileIdentity | None:
        """The files that were opened; None for a database in memory."""
        return self._identity

    def verify(self) -> None:
        """See that a file that was in doubt is well. Reads all of it; for a writer.

        Raises:
            DatabaseCorrupt: it is damaged.
            DatabaseError: what reading or writing it met.
        """
        proof.check_pages(self._link)
        proof.prove_write(self._link, self._transaction)

    # -- upkeep --------------------------------------------------------------------------------

    @property
    def wal_frames(self) -> int:
        """Frames in the WAL after this connection's last commit; 0 without a WAL."""
        return self._gauge.frames

    @property
    def wal_frame_bytes(self) -> int:
        """How much one frame adds to the WAL."""
        return self._gauge.frame_bytes

    def checkpoint(self, mode: CheckpointMode, *, patience: float = 0.0) -> Checkpoint:
        """Move what is in the WAL into the file, waiting so many seconds for readers."""
        return wal.checkpoint(self._link, mode, patience=patience)

    def data_version(self) -> int:
        """A number that moves when another connection commits, and not by this one's commits."""
        if self._data_version is None:
            self._data_version = self._link.control("PRAGMA data_version")
        try:
            (row,) = self._link.ask(self._data_version)
        except apsw.Error as error:
            failure = self._link.converted(error)
        else:
            return int(row[0])  # type: ignore[arg-type]  # SQLite gives a number
        raise failure

    def optimize(self) -> None:
        """Renew the planner's statistics, unless another process holds the write lock."""
        wal.optimize(self._link, self._transaction)
        # Whether it found anything to do or not, all that was compiled here is stale. What is
        # declared is compiled again now and not by a call; what no longer fits, its call will say.
        with contextlib.suppress(DeclarationError):
            self.prepare(list(self._kept))
