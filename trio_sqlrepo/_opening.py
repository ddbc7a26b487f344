"""`open_database`: the nursery that owns everything."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, final

import attrs
import cattrs
import trio

from trio_sqlrepo._base.config import PoolConfig, SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import DatabaseReplaced, DeclarationError, OpenError
from trio_sqlrepo._data.contract import Contract, check_repositories
from trio_sqlrepo._data.migrate import migrate
from trio_sqlrepo._data.migration import Migration, read_migrations
from trio_sqlrepo._database import Database
from trio_sqlrepo._pool.backup import Backups
from trio_sqlrepo._pool.block import block
from trio_sqlrepo._pool.fork import guard
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.live import LiveQueries
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.supervisor import Supervisor
from trio_sqlrepo._pool.wal import Governor
from trio_sqlrepo._repository import Repository
from trio_sqlrepo._sqlite import FileIdentity, SqliteDriver, open_driver
from trio_sqlrepo._sqlite.backup import Copy
from trio_sqlrepo._worker.checkpointer import Checkpointer
from trio_sqlrepo._worker.commit import Writer
from trio_sqlrepo._worker.live import LiveReader
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from contextlib import AbstractAsyncContextManager

    from trio_sqlrepo._base.driver import Driver
    from trio_sqlrepo._data.migration import MigrationSource

MEMORY: Final = ":memory:"
_POOL: Final = PoolConfig()
_SQLITE: Final = SQLiteConfig()


def open_database(
    path: str | os.PathLike[str],
    *,
    repositories: Iterable[type[Repository]] = (),
    migrations: MigrationSource = None,
    pool: PoolConfig = _POOL,
    sqlite: SQLiteConfig = _SQLITE,
    converter: cattrs.Converter | None = None,
) -> AbstractAsyncContextManager[Database]:
    """Open a database file for an `async with` block, creating it if there is none.

    Entering opens the connections, applies the migrations, checks every declared query against
    the schema and compiles it on every connection. Leaving finishes queued calls for up to
    `PoolConfig.drain_timeout` seconds, interrupts the rest, closes the connections and ends their
    threads. An exception of the block leaves it as itself, never in an exception group.

    Args:
        path: the file; never read as a URI. `":memory:"` is a private database in memory whose
            one connection serves reads and writes.
        repositories: the repository classes that will be bound to it.
        migrations: a directory of `NNNN_name.sql` (and `.py`) files, or a `MigrationSet`, or a
            sequence of these, of `Migration` and of SQL scripts; each is applied once, in order.
        pool: how many connections serve, how long calls wait.
        sqlite: how each connection is set up.
        converter: the cattrs converter for column values of types of your own.

    Raises:
        OpenError: the file can't be opened, is no database, or can't be set up as configured.
        MigrationError: a migration failed, an applied one was changed or is missing, or the
            database belongs to a newer version of the application.
        DeclarationError: declared queries do not fit; all of them are listed.
    """
    if isinstance(repositories, type):
        message = f"open_database() takes a list: repositories=[{repositories.__name__}]."
        raise TypeError(message)
    _expect("pool", pool, PoolConfig)
    _expect("sqlite", sqlite, SQLiteConfig)
    return open_of_parts(Parts(), path, tuple(repositories), migrations, pool, sqlite, converter)


@attrs.frozen(kw_only=True)
class Parts:
    """What a database is built of. The test kit puts its own in their place."""

    open_driver: Callable[..., SqliteDriver] = open_driver
    # Called with each worker before its thread starts: may give it another signal and clock.
    equip: Callable[[Worker], object] | None = None
    run_thread: Callable[..., Awaitable[object]] | None = None  # for trio.to_thread.run_sync


def _expect(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        message = (
            f"open_database({name}=...) takes a {kind.__name__}, not {type(value).__name__}; from a"
            f" mapping make one by {kind.__name__}.from_mapping(...)."
        )
        raise TypeError(message)


@block("open_database")
async def open_of_parts(  # noqa: PLR0917  # open_database's own, in its order
    parts: Parts,
    path: str | os.PathLike[str],
    repositories: tuple[type[Repository], ...],
    migrations: MigrationSource,
    config: PoolConfig,
    sqlite: SQLiteConfig,
    converter: cattrs.Converter | None,
) -> AsyncGenerator[Database]:
    name = _checked_path(path)
    opener = _Opener(
        parts=parts,
        path=name if name == MEMORY else _absolute(name),
        repositories=repositories,
        migrations=read_migrations(migrations),
        sqlite=sqlite,
        converter=converter,
        sole=name == MEMORY or config.max_readers == 0,
    )
    writers, readers = _make_lanes(config, opener)
    governor = None if name == MEMORY else Governor(opener.path, sqlite.wal_size_limit)
    live = LiveQueries(own_connection=not opener.sole, others=name != MEMORY)
    backups = Backups(partial(Copy, opener.path, sqlite), in_memory=name == MEMORY)
    pool = Pool(name, config, readers, writers, governor, live=live)
    backups.attach(pool)
    guard(pool)

    def make_worker(lane: Lane, worker_name: str) -> Worker:
        worker: Worker
        if lane is readers:
            worker = Reader(worker_name, opener.open_reader, lane, pool.post)
        elif lane is writers:
            worker = Writer(
                worker_name, opener.open_writer, lane, pool.post,
                group_commit=config.group_commit,
            )  # fmt: skip
        elif lane is live.lane:
            worker = LiveReader(worker_name, opener.open_observer, lane, pool.post)
        elif lane is backups.lane:
            worker = Reader(worker_name, opener.open_copier, lane, pool.post)
        else:
            worker = Checkpointer(worker_name, opener.open_checkpointer, lane, pool.post)
        if parts.equip is not None:
            parts.equip(worker)
        return worker

    raised: BaseException | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            pool.now = trio.lowlevel.current_clock().current_time
            supervisor = Supervisor(
                pool, nursery, make_worker,
                renewable=name != MEMORY, run_thread=parts.run_thread,
            )  # fmt: skip
            supervisor.start()
            try:
                await supervisor.open(writers, 1)  # migrates and checks before all others
                await supervisor.open(writers, writers.smallest - 1)
                await supervisor.open(readers, readers.smallest)
                yield Database._make(pool, opener.contract)
            except BaseException as error:
                raised = error
                raise
            finally:
                # In a task of its own: trio delivers a Ctrl-C to the main task, whatever shields
                # it, and closing half-way would wait for ever. The nursery waits for this one.
                nursery.start_soon(supervisor.close, name="trio_sqlrepo close")
    except BaseExceptionGroup as group:
        _raise_alone(group, raised)
    finally:
        del raised
    if pool.failure is not None:
        raise pool.failure


def _raise_alone(group: BaseExceptionGroup[BaseException], raised: BaseException | None) -> None:
    """Raise what the nursery wrapped as itself, without the wrapping in its context."""
    # If there are two, the second is a Ctrl-C that came while the nursery waited.
    error: BaseException = group.exceptions[-1]
    if error is raised:
        context = raised.__context__
    elif len(group.exceptions) > 1:
        context = raised
    else:
        # trio has copied the block's own group, or a bug in here has raised alone.
        if isinstance(error, BaseExceptionGroup) and isinstance(raised, BaseExceptionGroup):
            error = raised
        context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context, raised, group


def _checked_path(path: object) -> str:
    if not isinstance(path, (str, os.PathLike)):
        message = f"open_database() takes a path as str or PathLike, not {type(path).__name__}."
        raise TypeError(message)
    name = os.fspath(path)
    if not isinstance(name, str):
        message = f"open_database() takes a path of str, not of {type(name).__name__}."
        raise TypeError(message)
    if not name or "\0" in name:
        message = f"{name!r} is no file name. Give a path, or ':memory:'."
        raise OpenError(message)
    return name


def _absolute(name: str) -> str:
    # Not resolve(): the path is what users see, and a link in it is theirs to move.
    return os.path.abspath(name)  # noqa: PTH100  # see above


def _make_lanes(config: PoolConfig, opener: _Opener) -> tuple[Lane, Lane]:
    writers = Lane(
        "writer",
        smallest=1 if opener.path == MEMORY else config.max_writers,
        largest=1 if opener.path == MEMORY else config.max_writers,
        reserved=0,
    )
    readers = Lane(
        "reader",
        smallest=0 if opener.sole else config.min_readers,
        largest=0 if opener.sole else config.max_readers,
        reserved=config.reserved_readers,
    )
    return writers, readers


@final
@attrs.define(eq=False)
class _Opener:
    """Opens connections, on the threads that will own them.

    The first one, a writer, migrates and checks the declarations before any other is opened.
    A connection is its worker's from the moment it is there, and the worker closes it.
    """

    parts: Parts
    path: str
    repositories: tuple[type[Repository], ...]
    migrations: tuple[Migration, ...]
    sqlite: SQLiteConfig
    converter: cattrs.Converter | None
    sole: bool
    contract: Contract = attrs.field(init=False)
    _checked: bool = attrs.field(init=False, default=False)
    # The files that serve: set by the first connection, and by one that found others well. No
    # other connection is opened at that time.
    _files: FileIdentity | None = attrs.field(init=False, default=None)

    def open_writer(self, worker: Worker) -> Driver:
        if not self._checked and self.path != MEMORY:
            self._migrate(worker)
        driver = self._open(worker, Role.SOLE if self.sole else Role.WRITER)
        if not self._checked:
            if self.path == MEMORY:
                driver.enforce_foreign_keys(on=False)
                migrate(driver, self.migrations)
                driver.enforce_foreign_keys(on=self.sqlite.foreign_keys)
            self.contract = check_repositories(
                self.repositories, driver.inspect, self.converter,
                base=Repository, describe=driver.describe_table,
            )  # fmt: skip
            self._files = driver.files
            self._checked = True
        if worker.suspicion is not None:
            driver.verify()
        self._prepare(worker, driver)
        if worker.suspicion is not None:
            self._files = driver.files
        return driver

    def open_reader(self, worker: Worker) -> Driver:
        driver = self._open(worker, Role.READER)
        self._prepare(worker, driver)
        return driver

    def open_observer(self, worker: Worker) -> Driver:
        # What is watched is compiled when it is looked at first.
        driver = self._open(worker, Role.READER)
        worker.tally.make_room(len(self.contract.statements))
        return driver

    def open_copier(self, worker: Worker) -> Driver:
        return self._open(worker, Role.READER)  # it runs no declared query

    def open_checkpointer(self, worker: Worker) -> Driver:
        return self._open(worker, Role.CHECKPOINTER)

    def _prepare(self, worker: Worker, driver: SqliteDriver) -> None:
        worker.tally.make_room(len(self.contract.statements))
        try:
            driver.prepare(self.contract.statements)
        except DeclarationError as error:
            if self._files is not None and self._files.has_moved:
                raise DatabaseReplaced(
                    f"{self.path} is another file than the one opened, and does not fit the"
                    f" declared queries. Restore the file. {error}"
                ) from None
            # A query that a schema change has made unfit must not keep a connection from being
            # opened: its next call says so, the others are compiled and go on.

    def _open(self, worker: Worker, role: Role) -> SqliteDriver:
        files = self._files
        if files is not None and worker.suspicion is None:
            files.check_database()
        elif files is not None and (wal := files.leaves_wal()) is not None:
            raise DatabaseReplaced(
                f"{self.path} is another file than the one opened, and {wal} beside it belongs to"
                " the earlier one, whose last writes it holds. Stop every process that has that one"
                " open; then restore it, or move its WAL away."
            )
        driver = self.parts.open_driver(
            self.path,
            self.sqlite,
            role,
            give_up=lambda: worker.stopping,
            create=not self._checked,
        )
        worker.adopt(driver)
        if files is not None and worker.suspicion is None:
            files.check_database()  # again, because it may have been another one that was opened
        return driver

    def _migrate(self, worker: Worker) -> None:
        """Apply the migrations on a connection of their own: without foreign keys."""
        driver = self._open(worker, Role.MIGRATOR)
        try:
            migrate(driver, self.migrations)
        finally:
            driver.close()
