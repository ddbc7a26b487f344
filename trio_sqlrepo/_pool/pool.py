"""The loop's side of the pool: submit a job, wait for it, hear what threads report.

All of it runs on the loop thread under KI protection, so that no Ctrl-C tears the bookkeeping.
A job's way: `run` submits it to a lane and suspends its task; a thread claims and runs it; the
message that brings it back lands in `_hear`, which reschedules the task.

Cancellation:

- not claimed yet: the loop claims it itself; nothing ran; the task gets `Cancelled` at once.
- claimed: the loop sets `cancelled` and interrupts; the task stays suspended until the thread
  has let go (of a read that runs no more, it has). If the thread says it stopped, the task gets
  `Cancelled`; if the job had ended before, its result as if it had not been cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import trio
from trio.lowlevel import (
    Abort,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
    wait_task_rescheduled,
)

from trio_sqlrepo._base.job import Stopped
from trio_sqlrepo._pool import refusals
from trio_sqlrepo._pool.ahead import Ahead
from trio_sqlrepo._pool.hub import Hub
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.backup import Backups
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._worker.thread import Worker

_OPEN: Final = State.OPEN


@final
class Pool(Hub):
    """What sessions send their calls to."""

    backups: Backups | None = None  # attached when it is made; none in tests that need none
    # The supervisor's: open connections of a lane and wait until they are.
    open: Callable[[Lane, int], Awaitable[None]]

    @enable_ki_protection
    async def run(self, job: Job) -> Any:
        """Queue the job and wait for its result. A checkpoint.

        Raises:
            PoolClosed, ForkedProcess: the pool takes no calls.
            PoolOverloaded: too many wait; the job was not queued.
            PoolTimeout: no connection took it in time; it did not run.
            ReentrantUse: its task holds what it asks for.
        """
        # Every call passes here: no step that could be spared.
        if self.state is not _OPEN:
            raise self.refusal()
        try:
            task = current_task()
        except RuntimeError:
            raise self.explain_outside(job.label) from None
        views = job.views
        if not views:
            # A view needs no such step: cancelled, it is withdrawn once it waits, or its result
            # is dropped.
            await checkpoint_if_cancelled()
        lane = self.writers if job.writes else self.readers
        if lane.sole or lane.holders or lane.leases or len(lane.queue) >= self.most_waiting:
            refusals.check_wait(self, lane, task, job)
        job.task = task
        job.enqueued = self.now()
        self.sequence = job.sequence = self.sequence + 1
        outstanding = self.outstanding
        lone = views and not (outstanding or self._lone)
        if lone:
            job.lone = True
            self._lone = job
        outstanding.add(job)
        worker = lane.submit(job)
        if worker is not None:
            worker.wakes += 1
            worker.signal.set()
        elif not (lane.serial or self.stalls.armed):
            self.stalls.arm()
        if not self.deadlines.armed:
            self.deadlines.arm()
        if lone:
            return await self._run_lone(job, lane)
        job.pool = self
        job.lane = lane
        return await wait_task_rescheduled(job)

    async def _run_lone(self, job: Job, lane: Lane) -> Any:
        """Wait for the only call under way, a read, by hearing its thread oneself.

        Saves the dispatcher's step and a pass of the loop, a quarter of a lone call's time. Whoever
        hears a message, this task or the dispatcher, hears all of them.
        """
        try:
            if self._outbox:
                # The thread was as fast as its wake-up. The call is a checkpoint all the same.
                self._hear_now()
                await checkpoint()
            while job.task is not None:
                await self._hear_lone()
        except BaseException:
            # Cancelled (or Ctrl-C), and it stays so: a read has no outcome that must be told.
            if (
                job.task is not None
                and not self.withdraw(job, lane)
                and self.state is not State.FORKED
            ):
                if not self.interrupt(job):
                    self.drop(job)  # as in `abort`
                await self._outlast(job)
            raise
        finally:
            self._lone = None
            self._lone_waits = job.lone = False
            # Only now look once more: the thread appends, and then looks at these two.
            if self._outbox:
                self.hear()
        if job.error is None:
            return job.value
        if isinstance(job.error, Stopped):
            raise refusals.closed_under(self.name, job)
        try:
            raise job.error
        finally:
            del job  # its error's traceback would hold this frame, and this frame the error

    async def _outlast(self, job: Job) -> None:
        """Wait until the thread has let go of a lone job that was interrupted.

        A Ctrl-C does not end this wait, though trio delivers it to the main task in a shield, too:
        the answer would come to a task that waits for something else by then.
        """
        ctrl_c: KeyboardInterrupt | None = None
        with trio.CancelScope(shield=True):
            while job.task is not None:
                try:
                    await self._hear_lone()
                except KeyboardInterrupt as error:
                    ctrl_c = error
        if ctrl_c is not None:
            raise ctrl_c

    async def _hear_lone(self) -> None:
        self._lone_waits = True
        # Only now look: the thread appends, then looks whether to wake this task.
        if not self._outbox:
            await trio.lowlevel.wait_readable(self._lone_signal.fileno())
            self._lone_signal.clear()
        self._hear_now()

    def _hear_now(self) -> None:
        self._lone_hears = True
        try:
            self.hear()
        finally:
            self._lone_hears = False

    @enable_ki_protection
    async def command(self, worker: Worker, job: Job, *, shielded: bool = False) -> Any:
        """Send a job to the worker that a lease holds, and wait for its result.

        `shielded`: the wait is not cancelled, for a job that only ends things.
        """
        task = self._check_command(worker, job)
        if not shielded:
            await checkpoint_if_cancelled()
        return await self._send(worker, job, task, shielded=shielded)

    @enable_ki_protection
    def send_ahead(self, worker: Worker, job: Job) -> Ahead:
        """Send a job to the worker that a lease holds, for somebody to wait for later."""
        job.holder = ahead = Ahead(self, job, self._check_command(worker, job).name)
        self._post_to(worker, job, None)
        return ahead

    def _check_command(self, worker: Worker, job: Job) -> trio.lowlevel.Task:
        """Refuse what can't be sent to a lent worker; otherwise whose command it is."""
        if self.state in {State.FORKED, State.FAILED, State.STOPPED}:
            raise self.refusal()
        if worker not in self.lane_of(worker).held:
            # It ended under its session: closed, or its connection was lost.
            raise refusals.lost(job) if self.state is State.OPEN else self.refusal()
        try:
            return current_task()
        except RuntimeError:
            raise self.explain_outside(job.label) from None

    @enable_ki_protection
    async def probe(self, worker: Worker, job: Job) -> Any:
        """Send a health check to a worker that was reserved for it, and wait for its result."""
        return await self._send(worker, job, current_task(), shielded=False)

    async def _send(
        self, worker: Worker, job: Job, task: trio.lowlevel.Task, *, shielded: bool
    ) -> Any:
        self._post_to(worker, job, task)

        def abort(raise_cancel: Callable[[], Any]) -> Abort:
            if shielded and self.state is not State.FORKED:
                return Abort.FAILED
            return self.abort(job, raise_cancel)

        return await wait_task_rescheduled(abort)

    def _post_to(self, worker: Worker, job: Job, task: trio.lowlevel.Task | None) -> None:
        job.task = task
        job.enqueued = self.now()
        self.sequence = job.sequence = self.sequence + 1
        self.outstanding.add(job)
        worker.mailbox.append(job)
        worker.wake()

    def abort(self, job: Job, raise_cancel: Callable[[], Any]) -> Abort:
        """Trio cancels the task that waits for the job. Called once per job."""
        if self.withdraw(job, job.lane) or self.state is State.FORKED:
            return Abort.SUCCEEDED  # in a forked child there is no thread that could answer
        job.raise_cancel = raise_cancel
        if not self.interrupt(job) and job.views:
            # A read that has ended: its result may lie behind one that is slow.
            self.drop(job)
            return Abort.SUCCEEDED
        return Abort.FAILED
