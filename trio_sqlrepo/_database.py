"""`Database`: the session that lasts as long as its `open_database` block."""

from __future__ import annotations

import contextvars
import inspect
import os
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, Unpack, final

import trio

from trio_sqlrepo._base.errors import BackupError
from trio_sqlrepo._base.job import Job, Kind, Row, query_job
from trio_sqlrepo._data.body import check_not_bound_to_connection
from trio_sqlrepo._data.calls import (
    LoopSession,
    checked_bindings,
    execute_reading,
    execute_writing,
)
from trio_sqlrepo._data.live import ChangeFeed, Live, asked, changes_block, live_block
from trio_sqlrepo._data.stream import OwnFeed
from trio_sqlrepo._data.transaction import (
    Snapshot,
    Transaction,
    snapshot_block,
    transaction_block,
)
from trio_sqlrepo._pool.health import check
from trio_sqlrepo._pool.report import describe_pool
from trio_sqlrepo._pool.state import running_on
from trio_sqlrepo._query.streams import RowStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from trio_sqlrepo._base.backup import BackupProgress
    from trio_sqlrepo._base.health import Health
    from trio_sqlrepo._base.stats import Stats
    from trio_sqlrepo._data.contract import Contract
    from trio_sqlrepo._data.session import Bindings
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._query.plan import Plan
    from trio_sqlrepo._sqlite import Connection
    from trio_sqlrepo._worker.hands import Hands

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@final
class Database(LoopSession):
    """An open database, from `open_database`. Any number of tasks may use it at once.

    Reads run on reader connections, each seeing the newest committed state; writes run one after
    the other, many in one COMMIT, and return once they are on disk. All async methods are
    checkpoints and may be cancelled: a call that raises `trio.Cancelled` has left nothing.

    Every call may raise `PoolClosed`, `PoolTimeout`, `PoolOverloaded`, `ReentrantUse` or
    `ForkedProcess` without having run.
    """

    __slots__ = ()

    @classmethod
    def _make(cls, pool: Pool, contract: Contract) -> Database:
        database = cls.__new__(cls)
        database._pool = pool
        pool.explain_outside = cls._explain_outside
        pool.statements = contract.statements
        database._contract = contract
        return database

    def __repr__(self) -> str:
        return f"<Database {self._pool.name!r} {self._pool.state.value}>"

    async def execute(self, sql: str, parameters: Bindings = ()) -> list[Row]:
        checked_bindings(sql, parameters)
        reading = partial(execute_reading, sql, parameters)
        rows = await self._send(Job(Kind.ADHOC, "execute", writes=False, work=reading))
        if rows is None:
            writing = partial(execute_writing, sql, parameters)
            job = Job(Kind.ADHOC, "execute", writes=True, parameters=(sql,), work=writing)
            rows = await self._send(job)
        return rows  # type: ignore[no-any-return]  # both give rows

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Give a block that holds the writer: COMMIT at its end, ROLLBACK if it raises.

        Entering waits for the writer, leaving for the disk. Every other write waits meanwhile:
        keep it short, and prefer a `@transaction` body, which waits for nothing but queries.

        Raises:
            ReentrantUse: this task holds the writer already.
            DatabaseError: the COMMIT failed (from the block's end); see `OutcomeUnknown`.
        """
        return transaction_block(self._pool, self._contract)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Give a block that holds one reader and sees one committed state, fixed on entry.

        Raises:
            ReentrantUse: this task holds every reader that snapshots may take.
        """
        return snapshot_block(self._pool, self._contract)

    async def read(
        self, function: Callable[[Connection, Unpack[Arguments]], R], *args: *Arguments
    ) -> R:
        """Run `function(connection, *args)` on a reader's thread, in one read transaction.

        Args:
            function: a plain function. It gets the raw connection (apsw's), must not keep it, and
                touches no trio object. Its context variables are the caller's.
            args: what it gets further.

        Raises: what the function raises; SQLite's errors as `DatabaseError`.
        """
        return await self._apply("Database.read", function, args, writes=False)  # type: ignore[no-any-return]

    async def write(
        self, function: Callable[[Connection, Unpack[Arguments]], R], *args: *Arguments
    ) -> R:
        """Run `function(connection, *args)` on the writer's thread, in a transaction of its own.

        As `read`; committed when the function returns, undone when it raises. It is never run
        twice, and may not begin, commit or roll back by itself.
        """
        return await self._apply("Database.write", function, args, writes=True)  # type: ignore[no-any-return]

    def live(
        self, call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AbstractAsyncContextManager[Live[T]]:
        """Give a block with the values of `call(*args, **kwargs)`: now, and whenever they change.

        A new value comes after each commit that changes it: of this database at once, of another
        process within `PoolConfig.live_poll_interval`. Values are compared by the rows they are
        made of, so a change that changes nothing gives none; and a slow consumer gets the latest.
        It is run on a connection of its own, once for all who watch the same; each gets objects of
        its own. Entering does not wait; the first value comes with the first step of the loop.

        Args:
            call: a declared query that reads, or a @snapshot body, of a repository that is bound
                to this Database. It is not called here. A body is run again and again: all it
                depends on should be its arguments and what it reads.
            args: its arguments, checked at once.
            kwargs: likewise.

        Raises:
            TypeError, MappingError: it is no such method, or the arguments do not fit it.
            ReadOnlySession: it writes.
            SessionError: its repository is bound to something else.
        """
        return live_block(self._pool, asked(self, call, args, kwargs))

    def changes(self) -> AbstractAsyncContextManager[ChangeFeed]:
        """Give a block that is told what is committed: by table, as SQLite's compiler says.

        For caches and the like; for values see `live`. What is committed before it is entered is
        not told.
        """
        return changes_block(self._pool)

    async def check(self) -> Health:
        """Probe every idle connection now, and look at the file if the database is out of service.

        Connections at work are told of and left alone. What fails is replaced, as after the
        periodic probes. Waits for each probe up to `PoolConfig.health_check_timeout`, and as long
        again for one that does not come back from its interrupt.

        Raises:
            PoolClosed, ForkedProcess: the database is closed, or another process's.
        """
        return await check(self._pool)

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[BackupProgress], object] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Copy the database as it is now to a file, while reads and writes go on.

        The copy is one committed state: that of the moment the copying starts, after every write
        that was acknowledged before the call. It gets its name only when it is whole, was checked
        by `PRAGMA integrity_check` and is on the disk; whatever ends the call before leaves
        nothing, and a process that is killed at most a hidden `.trio_sqlrepo-backup-…` beside it.
        It is one plain file in journal mode `delete`, with the permissions of the database;
        `open_database` opens it like any other.

        Backups of one database are made one after the other, on a connection of their own. A
        database in memory has one connection only, and calls wait while it is copied.

        Args:
            path: of the copy, in a directory that exists. A symbolic link is followed.
            progress: a plain function, called on the loop's thread every 50 ms or so; what it
                raises ends the backup.
            overwrite: replace a file of that name, in one step.

        Raises:
            BackupError: the copy can't be made there, or is not sound.
            DiskFull: there is no room for it.
            PoolClosed, ForkedProcess: the database is closed, or another process's.
            DatabaseError: what reading the database met, or why it is out of service.
        """
        target = _checked_target(path)
        if inspect.iscoroutinefunction(progress) or not (progress is None or callable(progress)):
            kind = (
                "async one" if callable(progress) else f"object of type {type(progress).__name__}"
            )
            raise TypeError(f"Database.backup(progress=...) takes a plain function, not an {kind}.")
        await trio.lowlevel.checkpoint()
        backups = self._pool.backups
        assert backups is not None
        await backups.make(self._pool, target, overwrite=overwrite, progress=progress)

    def stats(self) -> Stats:
        """Give this moment's counters. Does not wait."""
        return describe_pool(self._pool, self._contract.statements)

    async def _apply(
        self,
        label: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        writes: bool,
    ) -> Any:
        if inspect.iscoroutinefunction(function):
            message = (
                f"{label}() runs a plain function on the connection's thread; it was given the"
                f" coroutine function {function.__qualname__}. Use a @transaction or @snapshot"
                " body."
            )
            raise TypeError(message)
        label = f"{label}({getattr(function, '__qualname__', type(function).__name__)})"
        lane = self._pool.writers if writes else self._pool.readers
        work = partial(_apply_in, contextvars.copy_context(), lane, function, args)
        return await self._send(Job(Kind.FUNCTION, label, writes=writes, work=work))

    def _call(self, plan: Plan, parameters: Any) -> Awaitable[Any]:
        statement = plan.statement
        if statement.connection_bound:
            check_not_bound_to_connection(plan)
        return self._pool.run(query_job(statement, parameters, batch=plan.batch))

    def _stream(self, plan: Plan, parameters: Any) -> RowStream[Any]:
        return RowStream._make(OwnFeed(self._pool, plan.statement, parameters))

    def _send(self, job: Job) -> Awaitable[Any]:
        return self._pool.run(job)


def _checked_target(path: object) -> str:
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(name, str):
        raise TypeError(
            f"Database.backup() takes a path as str or PathLike, not {type(path).__name__}."
        )
    if not name or "\0" in name or name == ":memory:":
        raise BackupError(f"{name!r} is no file name. Give the path that the copy is to have.")
    return os.path.abspath(name)  # noqa: PTH100  # relative to where the caller is now


def _apply_in(
    context: contextvars.Context,
    lane: Lane,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    hands: Hands,
) -> Any:
    context.run(running_on.set, lane)
    return context.run(hands.driver.apply, function, args)
