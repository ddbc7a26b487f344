"""One backup: a copy of a database that appears under its name whole and verified, or not at all.

SQLite's online backup (https://sqlite.org/backup.html) copies pages in steps. It starts anew when
another connection writes between two of them, unless the source holds a read transaction: then all
steps see one committed state, however busy the database is. So one is held, and what it costs is
that the WAL cannot be cut meanwhile. Some rows of the argument, for 46 MB and a writer that commits
all the time, are in docs/backup.md.

The way of a copy:

  1. `open`: a temporary file beside the target, made by this process alone (O_EXCL).
  2. `fill`: the pages, in short steps. What was written goes to the disk every few MiB: one fsync
     of everything at the end would be a step that nobody can cancel, and would stall other writers.
  3. `seal`: the copy leaves WAL mode, is closed, opened anew and checked by SQLite, and synced.
  4. `publish`: it gets its name, atomically, and the directory is synced.

Until 4 nothing bears the target's name. `discard` takes the temporary file away, whatever happened;
only a process that is killed leaves it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import apsw

from trio_sqlrepo._base.backup import BackupProgress
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import BackupError, DiskFull
from trio_sqlrepo._sqlite import codes, proof
from trio_sqlrepo._sqlite.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_sqlrepo._base.config import SQLiteConfig

MEMORY: Final = ":memory:"
# Copied in one step: a millisecond or two, between which a cancellation is heard. Bytes.
_STEP: Final = 1 << 18
# Written between two fdatasyncs. Bytes.
_SYNC_EVERY: Final = 1 << 24
# Steps of SQLite's machine between two looks whether the check of the copy was cancelled.
_LOOK_EVERY: Final = 10_000
# Of a database in memory. As SQLite makes files, less what the umask takes.
_MODE: Final = 0o644
_SIDECARS: Final = ("-wal", "-journal", "-shm")
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# File systems without hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
# What SQLite reports of a file that it writes. Anything else a step meets is the source's.
_WRITING: Final = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_DIR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DELETE,
    }
)


@final
class Copy:
    """A copy on its way to `target`. One thread's."""

    def __init__(
        self,
        source: str,
        config: SQLiteConfig,
        target: str,
        *,
        overwrite: bool,
        check: Callable[[], None],
        report: Callable[[BackupProgress], None],
    ) -> None:
        """Nothing is touched yet.

        Args:
            source: the database's path, or ":memory:".
            config: its settings: what its schema needs, to be checked, is on the copy as well.
            target: where the copy goes.
            overwrite: replace what bears that name.
            check: called between steps; what it raises ends the copy.
            report: called with how far it has come, likewise.
        """
        self._source = source
        self._config = config
        # A link is followed: where it leads the copy goes.
        self._target = os.path.realpath(target)
        self._overwrite = overwrite
        self._check = check
        self._report = report
        self._directory = os.path.dirname(self._target)  # noqa: PTH120
        self._temporary = os.path.join(  # noqa: PTH118
            self._directory, f".trio_sqlrepo-backup-{secrets.token_hex(8)}"
        )
        self._descriptor: int | None = None  # of the temporary file, as long as that is ours
        self._connection: apsw.Connection | None = None  # to it
        self._pages = 0

    def __repr__(self) -> str:
        return f"<Copy of {self._source} to {self._target}>"

    # -- the way -----------------------------------------------------------------------------

    def open(self) -> None:
        """Look at the target and make the temporary file.

        Raises:
            BackupError: the copy can't be made there.
            DiskFull: there is no room for an empty file.
        """
        self._look_at_target()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with self._blaming_system("can't be made there"):
            self._descriptor = os.open(self._temporary, flags, self._mode())
        with self._blaming_sqlite():
            self._connection = connection = self._connect()
            for pragma in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = MEMORY",
                "synchronous = FULL",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()

    def fill(self, source: apsw.Connection) -> None:
        """Copy every page. `source` holds a read transaction, so that all are of one moment.

        Raises:
            apsw.Error: reading the source failed.
            BackupError, DiskFull: writing the copy did.
        """
        assert self._connection is not None
        page_size: Any = source.execute("PRAGMA page_size").fetchall()[0][0]
        at_once = max(_STEP // page_size, 1)
        unsynced = 0
        backup = self._connection.backup("main", source, "main")
        try:
            while not backup.done:
                self._check()
                try:
                    backup.step(at_once)
                except apsw.Error as error:
                    if not _is_of_target(error):
                        raise
                    failure = self._converted(error)
                else:
                    self._tell(backup)
                    unsynced += at_once * page_size
                    if unsynced >= _SYNC_EVERY:
                        self._sync(os.fdatasync)
                        unsynced = 0
                    continue
                raise failure
            self._pages = backup.page_count
        finally:
            # Otherwise it says again what the last step has said.
            backup.close(force=True)

    def seal(self) -> None:
        """Make a plain file of it, see that it is sound, and have the disk take it.

        Raises:
            BackupError, DiskFull: it is not, or could not be.
        """
        assert self._connection is not None
        with self._blaming_sqlite():
            # It was copied with the source's mode, and would ask for a WAL whenever it is opened.
            ((mode,),) = self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            self._connection.close()
        if mode != "delete":  # pragma: no cover  # SQLite keeps it where another uses the file
            self._fail(f"can't leave the journal mode {mode!r}")
        self._report(
            BackupProgress(stage="verifying", pages_done=self._pages, pages_total=self._pages)
        )
        with self._blaming_sqlite():
            damage = self._damage()
        if damage is not None:
            self._fail(
                f"is damaged; PRAGMA integrity_check says: {damage}. Look at the database by the"
                " same PRAGMA"
            )
        self._sync(os.fsync)

    def publish(self) -> None:
        """Give the copy its name.

        Raises:
            BackupError, DiskFull: that is not possible, or another file has got it meanwhile.
        """
        self._look_at_target()
        with self._blaming_system("can't be given its name"):
            if self._overwrite:
                os.replace(self._temporary, self._target)  # noqa: PTH105
            else:
                self._link()
        with self._blaming_system("is in its place, but its directory can't be synced"):
            _sync_directory(self._directory)

    def discard(self) -> None:
        """Close what is open and remove what is temporary. Never raises."""
        if self._connection is not None:
            with contextlib.suppress(apsw.Error):
                self._connection.close(force=True)
            self._connection = None
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        for suffix in ("", *_SIDECARS):
            with contextlib.suppress(OSError):
                os.unlink(self._temporary + suffix)  # noqa: PTH108

    # -- its steps ---------------------------------------------------------------------------

    def _look_at_target(self) -> None:
        target = self._target
        if not os.path.isdir(self._directory):  # noqa: PTH112
            self._fail(
                f"can't be made: there is no directory {self._directory}; make it, or correct the"
                " path"
            )
        if self._source != MEMORY:
            real = os.path.realpath(self._source)
            if target in {real + suffix for suffix in ("", *_SIDECARS)} or _are_same(target, real):
                self._fail("would be the database itself; give another name")
        try:
            mode = os.lstat(target).st_mode
        except OSError:  # there is nothing, or making the file will say why it can't be seen
            pass
        else:
            if not stat.S_ISREG(mode):
                self._fail("can't be made: something that is no regular file bears its name")
            if not self._overwrite:
                self._fail("exists already; give another name, or overwrite=True to replace it")
        for suffix in _SIDECARS:
            if os.path.lexists(target + suffix):
                self._fail(
                    f"can't be made: {target + suffix} lies beside it, so a program has that"
                    " database open or did not close it, and SQLite would apply the one to the"
                    " other. Give another name, or move both away"
                )

    def _mode(self) -> int:
        """Who may read the source may read the copy, less what the umask takes."""
        try:
            return stat.S_IMODE(os.stat(self._source).st_mode)  # noqa: PTH116  # as in `identity`
        except OSError:  # it is in memory, or gone
            return _MODE

    def _connect(self) -> apsw.Connection:
        """Open the temporary file as the source's connections are."""
        connection = apsw.Connection(
            self._temporary, flags=apsw.SQLITE_OPEN_READWRITE, vfs=self._config.vfs
        )
        try:
            Settings(connection, self._config, Role.MIGRATOR).make(memory=False)
        except BaseException:
            connection.close(force=True)
            raise
        return connection

    def _tell(self, backup: apsw.Backup) -> None:
        total = backup.page_count
        self._report(
            BackupProgress(stage="copying", pages_done=total - backup.remaining, pages_total=total)
        )

    def _damage(self) -> str | None:
        """What is wrong with the copy, by a connection that has none of it in memory."""
        connection = self._connection = self._connect()
        stopped: list[BaseException] = []

        def look() -> bool:
            try:
                self._check()
            except BaseException as error:  # noqa: BLE001  # raised below
                stopped.append(error)
            return bool(stopped)

        connection.set_progress_handler(look, _LOOK_EVERY)
        try:
            found = proof.damage(connection, "integrity_check")
        except apsw.InterruptError:
            raise stopped[0] from None  # nobody else interrupts this connection
        connection.close()
        return found

    def _sync(self, sync: Callable[[int], None]) -> None:
        assert self._descriptor is not None
        with self._blaming_system("can't be brought to the disk"):
            sync(self._descriptor)

    def _link(self) -> None:
        """Rename it, unless a file has got the name meanwhile: a plain rename would replace it."""
        try:
            os.link(self._temporary, self._target)
        except FileExistsError:
            self._fail("exists already: another program has just made it")
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(self._temporary, self._target)  # noqa: PTH104

    # -- what goes wrong ---------------------------------------------------------------------

    def _fail(self, why: str) -> NoReturn:
        raise BackupError(f"The backup {self._target} {why}.")

    @contextlib.contextmanager
    def _blaming_system(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._refused(error, what) from error

    def _refused(self, error: OSError, what: str) -> BackupError | DiskFull:
        if error.errno in _NO_ROOM:
            return self._full()
        return BackupError(f"The backup {self._target} {what}: {error.strerror or error}.")

    def _full(self) -> DiskFull:
        return DiskFull(
            f"The disk is too full for the backup {self._target}; nothing of it stays.",
            code=apsw.SQLITE_FULL,
            extended_code=apsw.SQLITE_FULL,
        )

    @contextlib.contextmanager
    def _blaming_sqlite(self) -> Iterator[None]:
        """Whatever SQLite says in this block, it says of the copy."""
        try:
            yield
        except apsw.Error as error:
            failure = self._converted(error)
        else:
            return
        raise failure

    def _converted(self, error: apsw.Error) -> BackupError | DiskFull:
        report = codes.Report.of(error)
        if report is not None and report.primary == apsw.SQLITE_FULL:
            return self._full()
        name = type(error).__name__ if report is None else report.name
        return BackupError(
            f"The backup {self._target} can't be written or read back ({name}); look at the disk"
            " that it was to be on."
        )


def _is_of_target(error: apsw.Error) -> bool:
    report = codes.Report.of(error)
    return report is not None and (
        report.primary == apsw.SQLITE_FULL or report.extended in _WRITING
    )


def _are_same(one: str, other: str) -> bool:
    """Whether they are two names of one file."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
