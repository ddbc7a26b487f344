"""Looking at a database file from outside: nothing is written, no file is left beside it.

Another process may serve the file meanwhile. A read-only connection is what SQLite has for that;
but where nobody has a file in WAL mode open, it would make a `-wal` and a `-shm` and leave them
behind. Such a file is at rest: all of it is in the file itself (the last connection has moved the
WAL into it and deleted that), and nobody writes. So it is read without locks, and read anew with
them if it turns out that it was not at rest all the time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import apsw

from trio_sqlrepo._base.errors import DatabaseLocked, OpenError
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.busy import BusyHandler, never
from trio_sqlrepo._sqlite.opening import _check_path, _unopened

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.config import SQLiteConfig

R = TypeVar("R")

# Of the header, where it says how the file is written (https://sqlite.org/fileformat2.html).
_VERSIONS_AT: Final = 18
_VERSIONS_WAL: Final = b"\x02\x02"
_UNREADABLE: Final = frozenset({apsw.SQLITE_CANTOPEN, apsw.SQLITE_PERM})


def look(path: str, config: SQLiteConfig, ask: Callable[[apsw.Connection], R]) -> R:
    """Give what `ask` finds, in one read transaction, on a connection that cannot write.

    It may be called a second time. Blocks: for up to `busy_timeout` if another process has locked
    the file, and as `ask` does.

    Raises:
        OpenError: it is not there, cannot be read, or is no database.
        DatabaseLocked, DatabaseCorrupt: what other processes or the disk did.
    """
    path = os.path.abspath(path)  # noqa: PTH100  # also makes "file:x" a plain name
    if not _check_path(path):
        raise OpenError(f"There is no file {path}.")
    busy = BusyHandler(config.busy_timeout, never)
    try:
        # 1. The file is at rest: it bears a date, and no WAL stands beside it.
        # 2. It is read without locks.
        # 3. If it is at rest with the same date still, nobody has written meanwhile. Otherwise
        #    what was read, or the failure to read it, means nothing: it is read with locks.
        if (before := _at_rest(path)) is not None:
            try:
                found = _ask(path, config, busy, ask, locks=False)
            except apsw.Error:
                if _at_rest(path) == before:
                    raise
            else:
                if found is not None and _at_rest(path) == before:
                    return found[0]
        found = _ask(path, config, busy, ask, locks=True)
    except apsw.Error as error:
        failure = _unseen(path, error, busy)
    else:
        assert found is not None
        return found[0]
    raise failure


def _at_rest(path: str) -> tuple[int, ...] | None:
    """The date and size of the file; None if it has a WAL."""
    # SQLite follows links before it names the WAL.
    if os.path.exists(f"{os.path.realpath(path)}-wal"):  # noqa: PTH110
        return None
    try:
        found = os.stat(path)  # noqa: PTH116  # a Path would normalise the name
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _ask(
    path: str,
    config: SQLiteConfig,
    busy: BusyHandler,
    ask: Callable[[apsw.Connection], R],
    *,
    locks: bool,
) -> tuple[R] | None:
    """Look; None if that needs locks."""
    connection = apsw.Connection(
        f"file:{quote(path)}{'' if locks else '?immutable=1'}",
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        vfs=config.vfs,
    )
    try:
        if not locks and connection.read("main", 0, _VERSIONS_AT, 2)[1] != _VERSIONS_WAL:
            return None  # one that is written without a WAL can be written at any time
        connection.set_busy_handler(busy)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return (ask(connection),)
    finally:
        connection.close(force=True)


def _unseen(path: str, error: apsw.Error, busy: BusyHandler) -> Exception:
    report = codes.Report.of(error)
    if report is not None and report.primary in _UNREADABLE:
        return OpenError(f"{path} can't be read ({report.name}); look at its permissions.")
    if report is not None and report.primary == apsw.SQLITE_READONLY:
        return OpenError(
            f"{path} can't be read without writing to it ({report.name}): a process has ended in"
            " the middle of a transaction. Let the application open it once."
        )
    failure = _unopened(path, error, busy)
    if isinstance(failure, DatabaseLocked):
        failure.add_note("It was to be read, without changing anything.")
    return failure
