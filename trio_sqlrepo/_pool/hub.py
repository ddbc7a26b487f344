"""The calls under way: what threads report of them, and what their tasks are told.

All of it runs on the loop thread under KI protection, so that no Ctrl-C tears the bookkeeping.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import outcome
import trio
from trio.lowlevel import enable_ki_protection, reschedule

from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._pool import refusals
from trio_sqlrepo._pool.ahead import Ahead, Holding
from trio_sqlrepo._pool.alarm import Alarm
from trio_sqlrepo._pool.live import LiveQueries
from trio_sqlrepo._pool.state import Outage, State
from trio_sqlrepo._pool.wal import WalState
from trio_sqlrepo._pool.warnings import Observer
from trio_sqlrepo._worker.signal import Signal
from trio_sqlrepo._worker.thread import Event, Message, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_sqlrepo._base.config import PoolConfig
    from trio_sqlrepo._base.errors import SqlRepoError
    from trio_sqlrepo._base.job import Statement
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.wal import Governor

logger: Final = logging.getLogger("trio_sqlrepo")

_LEASE: Final = Kind.LEASE
_RELEASE: Final = Kind.RELEASE
_NEWS: Final = Event.NEWS
_OPEN: Final = State.OPEN


class Hub:
    """Two lanes and the messages between them and the loop. Loop thread only, save `post`."""

    def __init__(
        self,
        name: str,
        config: PoolConfig,
        readers: Lane,
        writers: Lane,
        governor: Governor | None = None,
        *,
        live: LiveQueries | None = None,
    ) -> None:
        self.name = name  # the path, for messages
        self.config = config
        self.most_waiting = config.max_waiting
        self.now: Callable[[], float] = trio.current_time  # or the clock's own, a third of that
        self.writers = writers
        self.readers = readers if readers.largest else writers  # one connection serves both
        self.lanes: tuple[Lane, ...] = (writers,)
        if self.readers is not writers:
            self.lanes += (readers,)
        self.governor = governor  # None for a database without a WAL
        if governor is not None:
            self.lanes += (governor.lane,)
        self.live = live or LiveQueries(own_connection=False, others=False)
        self.lanes += self.live.attach(self)
        self.state = State.OPEN
        self.failure: BaseException | None = None  # STOPPED: the bug, for the block to raise
        self.loss: BaseException | None = None  # STOPPED without a bug: why there is no database
        self.outage: Outage | None = None  # FAILED: why, and since when
        self.outstanding: set[Job] = set()  # submitted and not answered
        self.interrupting: set[Job] = set()  # cancelled after their claim, not answered
        self.sequence = 0  # of the newest job
        self.statements: Sequence[Statement] = ()  # set by the database
        self.streams: set[Holding] = set()  # open now
        self.observer = Observer(self)
        self._outbox: deque[Message] = deque()  # threads append, the loop pops
        self._signal = Signal(blocking=False)
        # The one call under way, if it waits for its own descriptor (`_run_lone`).
        self._lone: Job | None = None
        self._lone_signal = Signal(blocking=False)
        self._lone_waits = False  # the loop sets it, threads read it: its task must be woken
        self._lone_hears = False  # its task is hearing: it will see its own answer
        # What the watching tasks sleep on (see `_pool.watch`).
        self.deadlines = Alarm()
        self.stalls = Alarm()
        self.interrupts = Alarm()
        self._quiet = Alarm()
        # Set by the supervisor: a worker's connection opened, or its thread ends.
        self.on_opened: Callable[[Worker], None]
        self.on_ended: Callable[[Worker, BaseException | None], None]
        self.on_fault: Callable[[BaseException], None]  # of a connection whose thread will end
        self.on_returned: Callable[[Worker], None]  # it was abandoned, and has ended after all
        self.on_stuck: Callable[[Worker, Job], None]  # it does not come back from an interrupt
        self.grow: Callable[[Lane], None]  # the supervisor's: open one more
        self.attempt: Callable[[], Awaitable[None]]  # and: try now to come back into service
        # Set by the database: what is wrong with a call made where no loop runs, as in a body.
        self.explain_outside: Callable[[str], Exception]

    def __repr__(self) -> str:
        return f"<Pool {self.name!r} {self.state.value} {' '.join(map(repr, self.lanes))}>"

    # -- calls taken back ------------------------------------------------------------------

    def withdraw(self, job: Job, lane: Lane | None) -> bool:
        """Take a job back that no thread has claimed. True: it never runs, nobody answers it."""
        try:
            del job.claim
        except AttributeError:
            return False
        job.cancelled = True
        job.task = None
        self.outstanding.discard(job)
        if lane is not None:
            lane.withdraw(job)
        if self.state is not _OPEN and self.is_quiet:
            self._quiet.arm()
        return True

    def interrupt(self, job: Job) -> bool:
        """Stop a claimed job; False: its thread does not run it, and will not any more.

        Repeated until it ends (`_pool.watch`): one that comes between two statements is lost.
        """
        job.cancelled = True
        runs = job.worker is not None and job.worker.ticket.cancel(job)
        if job not in self.interrupting:
            job.interrupted = self.now()
            self.interrupting.add(job)
            self.interrupts.arm()
        return runs

    def drop(self, job: Job) -> None:
        """Forget a job whose task is told otherwise; what its thread still says nobody hears."""
        job.task = None
        self.outstanding.discard(job)
        self.interrupting.discard(job)
        if self.state is not _OPEN and self.is_quiet:
            self._quiet.arm()

    # -- what threads report -----------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Send a message to the loop. Any worker thread."""
        self._outbox.append(message)
        jobs = message.jobs
        if len(jobs) == 1 and jobs[0].lone:
            # Otherwise its task has not begun to wait: it looks at the outbox before it does.
            if self._lone_waits:
                self._lone_signal.set()
        else:
            self._signal.set()

    @enable_ki_protection
    async def dispatch(self) -> None:
        """Hear messages for as long as this task lives."""
        while True:
            await trio.lowlevel.wait_readable(self._signal.fileno())
            self._signal.clear()
            self.hear()

    def hear(self) -> None:
        """Act on what threads have posted."""
        while self._outbox:
            message = self._outbox.popleft()
            if message.changes is not None:  # of a thread that was given up, too
                self.live.note(message.changes)
            self._hear(message)

    def _hear(self, message: Message) -> None:
        worker = message.worker
        if worker.buried:  # abandoned; its calls have been answered
            if message.event is Event.ENDED:
                self.on_returned(worker)
            return
        lane = self.lane_of(worker)
        for job in message.jobs:
            if job.kind is _LEASE or job.kind is _RELEASE:
                self._note_lease(lane, worker, job)
            task = job.task
            if job.error is None and task is not None and not (self.interrupting or job.lone):
                # As `_answer`, without a step that could be spared: most calls end here.
                job.task = None
                self.outstanding.discard(job)
                reschedule(task, job)  # type: ignore[arg-type]  # as there
            else:
                self._answer(job, job.error)
        if message.event is not _NEWS:
            self._note(message, lane)
        if message.error is not None and message.event is not Event.ENDED:
            # Before any task that was answered just now runs on. Last: it hears the next messages.
            self.on_fault(message.error)
        if self.state is not _OPEN and self.is_quiet:
            self._quiet.arm()

    def _note_lease(self, lane: Lane, worker: Worker, job: Job) -> None:
        """A connection was lent, or could not be, or has come back."""
        if job.kind is _RELEASE:
            self._wake(lane.released(worker))
        elif job.error is None:
            job.enqueued = self.now()  # from here on: since when it is held
            lane.granted(worker, job)
        else:
            self._wake(lane.refused(worker, job))

    def _note(self, message: Message, lane: Lane) -> None:
        """Act on the event of a message."""
        worker = message.worker
        if message.event is Event.RESTING:
            # Otherwise a wake-up is on its way: it will rest again.
            if message.wakes == worker.wakes:
                worker.idle_since = self.now()
                self._wake(lane.rested(worker))
        elif message.event is Event.HELP:
            helper = lane.help()
            self._wake(helper)
            if helper is None:
                self.stalls.arm()
        elif message.event is Event.WAL:
            self.governor.notice(worker)  # type: ignore[union-attr]  # who asked to be told
        elif message.event is Event.OPENED:
            lane.opened(worker)
            self.on_opened(worker)
            self.live.opened(lane)
        else:
            self.bury(worker, message.error)

    @property
    def wal(self) -> WalState:
        """What is known of the write-ahead log now."""
        return WalState() if self.governor is None else self.governor.state()

    @property
    def is_quiet(self) -> bool:
        """Whether no call is under way and no session holds a connection."""
        return not self.outstanding and not any(lane.held for lane in self.lanes)

    @staticmethod
    def _wake(worker: Worker | None) -> None:
        if worker is not None:
            worker.wake()

    def lane_of(self, worker: Worker) -> Lane:
        """The lane that the worker drains."""
        return worker.inbox  # type: ignore[return-value]  # a lane is the inbox of its workers

    def bury(self, worker: Worker, error: BaseException | None) -> None:
        """A thread has ended; what it had claimed and not answered, or was sent, it never will."""
        lane = self.lane_of(worker)
        worker.buried = True
        reason = error or Stopped(worker.name)
        for job in [job for job in self.outstanding if job.worker is worker]:
            if (unknown := refusals.if_in_doubt(job)) is not None:
                self._answer(job, unknown)
            else:
                # It has not committed, and never will: whoever was cancelled may be told so.
                self._answer(job, Stopped(job.label) if job.cancelled else copy.copy(reason))
        for job in worker.mailbox:
            if job.claim:
                del job.claim
                self._answer(job, copy.copy(reason))
        worker.mailbox.clear()
        if worker in lane.workers:
            self._wake(lane.lost(worker))
            if lane.queue or lane.leases:
                self.stalls.arm()  # it may have been the one that was woken for them
        self.on_ended(worker, error)
        self.live.lost(lane, error)

    def fail(self, error: BaseException) -> None:
        """A bug: answer every call with it and take no more."""
        if self.state not in {State.STOPPED, State.FORKED}:
            self.state = State.STOPPED
            self.failure = error
            logger.error("the pool of %s has stopped", self.name, exc_info=error)
        self._refuse_all()

    def lose(self, error: BaseException) -> None:
        """The database is lost for good: answer every call with that and take no more."""
        if self.state is _OPEN:
            self.state = State.STOPPED
            self.loss = error
            logger.error("the database %s is lost: %s", self.name, error)
        self._refuse_all()

    def suspend(self, error: BaseException) -> None:
        """The file is in doubt: answer every call with that, and refuse more until `resume`."""
        self.state = State.FAILED
        self.outage = Outage(error, self.now())
        logger.error("%s is out of service: %s", self.name, error)
        self._refuse_all()

    def resume(self) -> None:
        """The file is well again."""
        assert self.outage is not None
        logger.warning("%s is in service again: %s", self.name, self.outage.cause)
        self.state = _OPEN
        self.outage = None
        self.live.doubt()

    def _refuse_all(self) -> None:
        for lane in self.lanes:
            for worker in lane.workers:
                worker.ticket.abandon()  # nobody waits for what it might commit
        self.hear()  # what has ended by now is told as it was
        self.refuse_waiting()
        for job in list(self.outstanding):
            with suppress(AttributeError):
                del job.claim  # nor shall it run: it lies in a mailbox
            self._answer(job, refusals.if_in_doubt(job) or self.refusal())
        self.live.stop()

    # -- the end -----------------------------------------------------------------------------

    async def wait_quiet(self) -> None:
        """Wait until no call is under way and no connection is held."""
        while not self.is_quiet:
            self._quiet.disarm()
            await self._quiet.wait()

    def close_signals(self) -> None:
        """Give the descriptors back. All threads have ended."""
        self._signal.close()
        if self._lone is None:  # otherwise its task still waits for the descriptor
            self._lone_signal.close()

    def renew_signals(self) -> None:
        """Share no descriptor with the parent. In a forked child."""
        self._signal.renew()
        self._lone_signal.renew()

    def refuse_waiting(self) -> None:
        """Fail every call that no thread has claimed."""
        for lane in self.lanes:
            for job in lane.waiters():
                self.withdraw_with(job, lane, self.refusal())

    # -- answers -----------------------------------------------------------------------------

    def withdraw_with(self, job: Job, lane: Lane | None, error: BaseException) -> bool:
        """Fail a job that no thread has claimed. False: one has."""
        task = job.task
        if not self.withdraw(job, lane):
            return False
        job.error = error
        if job.lone:
            self._lone_signal.set()
        elif task is not None:
            reschedule(task, outcome.Error(error))
        return True

    def _answer(self, job: Job, error: BaseException | None) -> None:
        """Give a job's outcome to its task. Cannot raise; a second answer is nothing.

        `error` is the job's own if it is finished; otherwise its thread may still touch the job.
        """
        task = job.task
        if task is None and job.holder.__class__ is not Ahead:
            return
        job.task = None
        self.outstanding.discard(job)
        if self.interrupting:
            self.interrupting.discard(job)
        if task is None:
            job.holder.answer(error)
        elif job.lone:
            job.error = error
            if not self._lone_hears:
                self._lone_signal.set()
        elif job.raise_cancel is not None and (job.views or isinstance(error, Stopped)):
            reschedule(task, outcome.capture(job.raise_cancel))
        elif error is None:
            # An `outcome.Value` for each would cost as much again: trio only unwraps it.
            reschedule(task, job)  # type: ignore[arg-type]  # a job unwraps as one does
        elif not isinstance(error, Stopped):
            reschedule(task, outcome.Error(error))
        else:
            reschedule(task, outcome.Error(refusals.closed_under(self.name, job)))

    @property
    def outage_text(self) -> str | None:
        """Why calls are refused, if the pool is out of service."""
        return None if self.outage is None else str(self.refusal())

    def refusal(self) -> SqlRepoError:
        """Why a call is refused in a state that is not OPEN."""
        if self.state is State.FORKED:
            return refusals.forked(self.name)
        if self.outage is not None:
            return refusals.out_of_service(self.name, self.outage, self.now())
        if self.state is State.STOPPED:
            return refusals.stopped(self.name, self.failure, self.loss)
        return refusals.closed(self.name, self.state.value)
