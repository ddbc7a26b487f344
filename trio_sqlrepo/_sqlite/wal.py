"""The write-ahead log and the planner's statistics: what is kept in order between the calls.

Instead of SQLite's autocheckpoint, which makes whoever commits the thousandth page wait for the
disk, a connection that writes only counts (`Gauge`); the pool decides who checkpoints, and when.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, final

import apsw

from trio_sqlrepo._base.driver import Checkpoint, CheckpointMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._sqlite.busy import BusyHandler
    from trio_sqlrepo._sqlite.link import Link
    from trio_sqlrepo._sqlite.transaction import Transaction

# https://sqlite.org/fileformat2.html#the_write_ahead_log
_FRAME_HEADER = 24  # bytes
# Of PRAGMA optimize: ANALYZE what would profit by it (2), looking at no more of each index than is
# needed (16), and at all tables (65536), since others than this connection query them.
_OPTIMIZE = "PRAGMA optimize = 0x10012"


@final
class Gauge:
    """SQLite's WAL hook: how long the WAL is after the last commit. It replaces autocheckpoint.

    The connection's thread writes it, any thread reads it.
    """

    __slots__ = ("frame_bytes", "frames")

    def __init__(self) -> None:
        self.frames = 0
        self.frame_bytes = 0  # known once the file has been read

    def __repr__(self) -> str:
        return f"<Gauge {self.frames} frames of {self.frame_bytes} bytes>"

    def __call__(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        """Take down what SQLite says after a COMMIT."""
        self.frames = frames
        return apsw.SQLITE_OK

    def install(self, connection: apsw.Connection) -> None:
        """Listen to the connection's commits. Reads the file's header."""
        page_size: Any = connection.execute("PRAGMA page_size").fetchall()[0][0]
        self.frame_bytes = page_size + _FRAME_HEADER
        connection.set_wal_hook(self)


def checkpoint(link: Link, mode: CheckpointMode, *, patience: float) -> Checkpoint:
    """Move the WAL into the file; see `Driver.checkpoint`. Runs without the interpreter lock.

    `abort` ends it like a statement; what it had copied counts for nothing then.
    """
    run = link.connection.wal_checkpoint
    try:
        if mode is CheckpointMode.PASSIVE:
            return _counted(run("main", apsw.SQLITE_CHECKPOINT_PASSIVE))
        with _waiting(link.busy, patience):
            if mode is CheckpointMode.RESTART:
                return _counted(run("main", apsw.SQLITE_CHECKPOINT_RESTART))
            run("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return _busy(link)
    except apsw.Error as error:
        failure = link.converted(error)
    else:
        link.gauge.frames = 0
        return Checkpoint(busy=False, frames=0, done=0)
    raise failure


def _busy(link: Link) -> Checkpoint:
    """Say how far it came. apsw tells no numbers with BUSY; a PASSIVE one does, in no time."""
    with contextlib.suppress(apsw.Error):  # another process checkpoints
        counted = _counted(link.connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE))
        return counted._replace(busy=True)
    return Checkpoint(busy=True, frames=0, done=0)


def _counted(numbers: tuple[int, int]) -> Checkpoint:
    frames, done = numbers  # -1 without a WAL
    return Checkpoint(busy=False, frames=max(frames, 0), done=max(done, 0))


def optimize(link: Link, transaction: Transaction) -> None:
    """Renew the planner's statistics where they are stale; see `Driver.optimize`."""
    with _waiting(link.busy, 0.0):
        transaction.begin_write()
    try:
        with link.as_own():
            link.connection.execute(_OPTIMIZE, can_cache=False).fetchall()
    except apsw.Error as error:
        failure = link.converted(error)
    else:
        transaction.commit()
        return
    transaction.rollback()
    raise failure


@contextlib.contextmanager
def _waiting(busy: BusyHandler, patience: float) -> Iterator[None]:
    """Wait for locks so long and no longer."""
    usual, busy.timeout = busy.timeout, patience
    try:
        yield
    finally:
        busy.timeout = usual
        busy.gave_up = False
