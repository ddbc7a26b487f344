"""Backups: who makes them, when, and what their callers hear meanwhile.

The connection is one of its own, opened for each backup and closed after it. Not a reader's: a
backup lasts as long as its file is large, and would take that reader from the calls. Nor the
checkpointer's: the read transaction that a backup holds keeps the WAL from being cut, but not from
being moved into the file as far as the backup's view reaches, which is the checkpointer's work. For
a database in memory there is only one connection, and calls wait while it copies.

One backup at a time: two would halve each other's disk, and the second one starts with the newest
state when it starts.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, final

import trio
from trio.lowlevel import current_trio_token, enable_ki_protection

from trio_sqlrepo._base.backup import BackupProgress
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._sqlite.backup import Copy
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.thread import Worker

Progress = Callable[[BackupProgress], object]


class MakeCopy(Protocol):
    """Makes a copy of the database at hand, which is nothing yet; see `Copy`."""

    def __call__(
        self,
        target: str,
        *,
        overwrite: bool,
        check: Callable[[], None],
        report: Callable[[BackupProgress], None],
    ) -> Copy:
        """Make it."""
        ...


_EVERY: Final = 0.05  # seconds between two reports
# How often a thread that waits for its report to be heard looks if anybody still wants it. Seconds.
_LOOK: Final = 0.01
_LABEL: Final = "Database.backup"


@final
class Backups:
    """Makes the backups of one database. Loop thread only, save `Copy` and `_Reporter`."""

    def __init__(self, make_copy: MakeCopy, *, in_memory: bool) -> None:
        self._make_copy = make_copy
        self._turn = trio.Lock()
        # None: the one connection of a database in memory makes them.
        self.lane = None if in_memory else Lane("backup", smallest=0, largest=1, reserved=0)

    def __repr__(self) -> str:
        return f"<Backups {self._turn.statistics().tasks_waiting} waiting>"

    def attach(self, pool: Pool) -> None:
        """Serve this pool, which has no supervisor yet."""
        pool.backups = self
        if self.lane is not None:
            pool.lanes += (self.lane,)

    @enable_ki_protection
    async def make(
        self, pool: Pool, target: str, *, overwrite: bool, progress: Progress | None
    ) -> None:
        """Make one and return when it is in its place, on the disk.

        Raises:
            BackupError, DiskFull: it can't be made there, or is not sound.
            SqlRepoError: the pool takes no calls, or what reading the database met.
            Exception: what `progress` raised.
        """
        async with self._turn:
            reporter = None if progress is None else _Reporter(progress)
            new_copy = partial(self._make_copy, target, overwrite=overwrite)
            work = partial(_make, new_copy, reporter)
            job = Job(Kind.BACKUP, _LABEL, writes=False, work=work)
            if self.lane is None:
                await pool.run(job)
                return
            worker = await self._worker(pool, self.lane)
            try:
                await run_on(pool, worker, job)
            finally:
                if worker in self.lane.workers:
                    self.lane.dismiss(worker)
                    worker.wake()

    @staticmethod
    async def _worker(pool: Pool, lane: Lane) -> Worker:
        """Open a connection; what is in its way is for the caller, and for the pool to judge."""
        while pool.state is State.OPEN:
            for worker in lane.workers:
                if not worker.leaving:
                    return worker  # of a backup that was cancelled while it was opened
            try:
                await pool.open(lane, 1)
            except SqlRepoError as error:
                pool.on_fault(error)
                raise
        raise pool.refusal()


def _make(new_copy: Callable[..., Copy], reporter: _Reporter | None, hands: Hands) -> None:
    """Make a copy of what the open read transaction sees. Worker thread."""
    report = _unheard if reporter is None else partial(reporter.report, hands)
    copy = new_copy(check=partial(_check, hands), report=report)
    try:
        copy.open()
        hands.driver.apply(copy.fill, ())
        hands.driver.rollback()  # from here on it keeps nothing in the WAL
        copy.seal()
        _check(hands)
        # As before a COMMIT: if nobody waits for it any more, there must be none.
        if not hands.ticket.may_commit():
            raise Interrupted("The backup was given up.")
        copy.publish()
    finally:
        copy.discard()


def _check(hands: Hands) -> None:
    hands.check()
    if hands.ticket.abandoned:
        raise Interrupted("The backup was given up.")


def _unheard(_: BackupProgress) -> None:
    """Nobody wants to know."""


@final
class _Reporter:
    """Has the caller's function called on the loop thread, while the backup's thread waits for it.

    It waits so that nothing is under way when the copy gets its name: what the function raises
    ends the backup, and leaves nothing. One that never returns stops the loop, not only this.
    """

    def __init__(self, progress: Progress) -> None:
        """Loop thread, in the calling task's context."""
        self._progress = progress
        self._token = current_trio_token()
        self._context = contextvars.copy_context()
        self._heard = threading.Event()
        self._error: BaseException | None = None  # the loop, before `_heard`; then the thread
        self._live = True  # the thread; the loop reads it
        self._stage: str | None = None  # worker thread: of the last report
        self._due = 0.0  # worker thread: when another of this stage is

    def report(self, hands: Hands, progress: BackupProgress) -> None:
        """Tell it, unless it was told just now. Worker thread."""
        is_last = progress.pages_done == progress.pages_total
        if progress.stage == self._stage and monotonic() < self._due and not is_last:
            return
        self._heard.clear()
        self._token.run_sync_soon(self._hear, progress)
        try:
            while not self._heard.wait(_LOOK):
                _check(hands)
        except BaseException:
            self._live = False  # it was cancelled: its caller may be elsewhere when this is heard
            raise
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._stage = progress.stage
        self._due = monotonic() + _EVERY

    def _hear(self, progress: BackupProgress) -> None:
        if self._live:
            try:
                self._context.run(self._progress, progress)
            except BaseException as error:  # noqa: BLE001  # the caller's, and goes there
                self._error = error
        self._heard.set()
