"""Opening a connection: the path, the journal mode, the settings; or a sentence why not.

A file that can't be used as configured is left as it was: nothing is written before SQLite has
read its header and taken every setting; a new file is made once it has taken them in memory.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

import apsw

from trio_sqlrepo._base.driver import Interrupted, Role
from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    DiskFull,
    InternalError,
    OpenError,
)
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.busy import PAUSE, BusyHandler, never
from trio_sqlrepo._sqlite.cache import RING
from trio_sqlrepo._sqlite.driver import SqliteDriver
from trio_sqlrepo._sqlite.filesystem import refuse_network
from trio_sqlrepo._sqlite.gate import Gate, Mode
from trio_sqlrepo._sqlite.identity import FileIdentity
from trio_sqlrepo._sqlite.link import Link
from trio_sqlrepo._sqlite.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.config import SQLiteConfig

MEMORY = ":memory:"
# Before it, two connections that write and checkpoint at one instant can damage the file
# (https://sqlite.org/wal.html#walresetbug).
_SAFE_VERSION = (3, 51, 3)


def open_driver(
    path: str,
    config: SQLiteConfig,
    role: Role,
    *,
    give_up: Callable[[], bool] = never,
    create: bool = True,
    keep_mode: bool = False,
) -> SqliteDriver:
    """Open one connection on the calling thread, which alone may use it.

    Args:
        path: a file's path, never a URI; or ":memory:" for a private database (role SOLE).
        config: its settings.
        role: what it is for. A READER needs a file that a writer has opened before.
        give_up: becomes `Driver.give_up`; it is asked while locks are awaited here already.
        create: make the file if there is none.
        keep_mode: use it in the journal mode that it has, to look at a file that may be anybody's.

    Raises:
        OpenError: the file can't be used as configured. It is left as it was.
        DatabaseLocked, DatabaseCorrupt, DiskFull: what other processes or the disk did.
    """
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < _SAFE_VERSION:
        raise OpenError(
            f"SQLite {version} can damage a database in WAL mode when two connections write and"
            " checkpoint at once; install an apsw that carries 3.51.3 or later."
        )
    memory = path == MEMORY
    if memory and role is not Role.SOLE:
        raise InternalError("Each connection to :memory: is a database of its own.")
    new = False
    if not memory:
        path = os.path.abspath(path)  # noqa: PTH100  # also makes "file:x" a plain name
        new = not _check_path(path)
        if role is Role.MIGRATOR:  # the first connection of a database
            refuse_network(path)
    busy = BusyHandler(config.busy_timeout, give_up)
    try:
        if new:
            _rehearse(config, role)
        connection = _connect(path, role, None if memory else config.vfs, create=create)
    except apsw.Error as error:
        failure = _unopened(path, error, busy)
    else:
        try:
            return _set_up(connection, path, config, role, busy, memory=memory, keep_mode=keep_mode)
        except apsw.Error as error:
            failure = _unopened(path, error, busy)
            connection.close(force=True)
        except BaseException:
            connection.close(force=True)
            raise
    raise failure


def _check_path(path: str) -> bool:
    """See that it is, or can become, a database's file; whether it is there."""
    if "\0" in path:
        raise OpenError(f"{path!r} contains a null character; no file has such a name.")
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # a Path would normalise the name
    except FileNotFoundError:
        parent = os.path.dirname(path)  # noqa: PTH120
        if not os.path.isdir(parent):  # noqa: PTH112
            raise OpenError(
                f"{path} can't be made: there is no directory {parent}; make it, or correct the"
                " path."
            ) from None
        return False
    except OSError as error:
        raise OpenError(f"{path} can't be reached: {error.strerror}.") from error
    else:
        if stat.S_ISDIR(mode):
            raise OpenError(f"{path} is a directory; give the name of a database file.")
        if not stat.S_ISREG(mode):
            raise OpenError(f"{path} is no regular file; a database must be one.")
        return True


def _rehearse(config: SQLiteConfig, role: Role) -> None:
    """Take every setting in memory, before there is a file.

    SQLite makes it as soon as it opens it, so that an extension that can't be loaded would leave an
    empty one; and to delete that might be to delete what another process has begun to use.
    """
    connection = apsw.Connection(MEMORY)
    try:
        Settings(connection, config, role).make(memory=True)
    finally:
        connection.close(force=True)


def _connect(path: str, role: Role, vfs: str | None, *, create: bool) -> apsw.Connection:
    if vfs is not None and vfs not in apsw.vfs_names():
        raise OpenError(
            f"SQLiteConfig.vfs names {vfs!r}, which is not registered; these are:"
            f" {', '.join(sorted(apsw.vfs_names()))}."
        )
    flags = apsw.SQLITE_OPEN_READWRITE
    if create and not role.reads_only:
        flags |= apsw.SQLITE_OPEN_CREATE
    return apsw.Connection(path, flags=flags, vfs=vfs, statementcachesize=RING)


def _set_up(
    connection: apsw.Connection,
    path: str,
    config: SQLiteConfig,
    role: Role,
    busy: BusyHandler,
    *,
    memory: bool,
    keep_mode: bool,
) -> SqliteDriver:
    if not memory and connection.readonly("main"):
        raise OpenError(f"{path} may not be written to; change its permissions.")
    connection.set_busy_handler(busy)
    _ask(connection, "PRAGMA schema_version")  # reads the header: is it a database at all?
    new = not _ask(connection, "PRAGMA page_count")
    if new and config.page_size is not None:
        _ask(connection, f"PRAGMA page_size = {config.page_size}")
    settings = Settings(connection, config, role)
    settings.make(memory=memory)
    if memory:
        _ask(connection, "PRAGMA journal_mode = MEMORY")
    elif keep_mode:
        pass
    elif role.reads_only:
        _expect_wal(path, _ask(connection, "PRAGMA journal_mode"))
    else:
        _expect_wal(path, _switch_to_wal(connection, busy))
    if new and config.page_size not in {None, _ask(connection, "PRAGMA page_size")}:
        raise OpenError(f"{path} was not made with SQLiteConfig.page_size, {config.page_size}.")
    settings.seal()
    gate = Gate(reader=role.reads_only)
    connection.authorizer = gate
    link = Link(connection, gate, busy, role)
    # The WAL exists from the first page read to the last connection's end.
    _ask(connection, "PRAGMA schema_version")
    if role in {Role.WRITER, Role.SOLE} and not memory:
        link.gauge.install(connection)
    identity = None if memory else FileIdentity(path, connection.filename_wal)
    driver = SqliteDriver(link, settings, identity, path)
    gate.mode = Mode.QUERY
    return driver


def _ask(connection: apsw.Connection, pragma: str) -> object:
    rows = connection.execute(pragma).fetchall()
    return rows[0][0] if rows else None


def _switch_to_wal(connection: apsw.Connection, busy: BusyHandler) -> object:
    """Switch unless it is done already, whoever else is doing the same.

    1. Two processes open a new file and both read "delete".
    2. One takes the exclusive lock that the switch needs. SQLite does not call the busy handler
       for it, but fails the other at once.
    3. The other waits here, reads the mode again, and finds "wal".
    """
    deadline = time.monotonic() + busy.timeout
    while True:
        try:
            mode = _ask(connection, "PRAGMA journal_mode")
            return mode if mode == "wal" else _ask(connection, "PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            busy.gave_up = busy.give_up()
            if busy.gave_up or time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE)


def _expect_wal(path: str, mode: object) -> None:
    if mode != "wal":
        raise OpenError(
            f"{path} can't be used in WAL mode, its journal mode stays {mode!r}: the file system"
            " may not support it."
        )


def _unopened(path: str, error: Exception, busy: BusyHandler) -> Exception:
    """Make our error of what SQLite said while opening. No value is bound here."""
    report = codes.Report.of(error)
    if report is None:
        return InternalError(f"apsw refused a call of this library ({type(error).__name__}).")
    code = report.primary
    if code in {apsw.SQLITE_BUSY, apsw.SQLITE_PROTOCOL}:
        kind = Interrupted if busy.gave_up else DatabaseLocked
        busy.gave_up = False
        text = (
            f"{path} can't be opened: another process has locked it for longer than"
            f" SQLiteConfig.busy_timeout, {busy.timeout:g} s."
        )
        return report.error(kind, text)
    if code == apsw.SQLITE_CORRUPT:
        return report.error(DatabaseCorrupt, f"{path} is damaged ({report.name}).")
    if code == apsw.SQLITE_FULL:
        return report.error(DiskFull, f"{path} can't be made a database: the disk is full.")
    if code == apsw.SQLITE_NOTADB:
        failure = OpenError(
            f"{path} is no SQLite database, or is encrypted. Correct the path; of an encrypted file"
            " give a decrypted copy."
        )
    elif code in {apsw.SQLITE_CANTOPEN, apsw.SQLITE_READONLY, apsw.SQLITE_PERM}:
        failure = OpenError(
            f"{path}, or a file beside it, can't be opened for writing ({report.name});"
            " look at the permissions of both the file and its directory."
        )
    else:
        failure = OpenError(f"{path} can't be opened: {report.message} ({report.name}).")
    failure.__cause__ = error
    return failure
