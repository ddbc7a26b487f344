"""The pool's clocks: deadlines of waiting calls, standing queues, repeated interrupts, old age.

Each is a task that sleeps on trio's clock only while there is something to watch for, so that
neither a call nor an idle pool pays for it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.job import Kind
from trio_sqlrepo._pool import refusals
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import NEVER

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool

# A queue whose first call has not moved for so long has an idle reader woken, or one opened. Not
# less than the interpreter's switch interval: a reader that waits for its lock is not slow, and
# another one would wait too.
_STALL: Final = 0.005
# While the queue keeps moving the looks become rarer: a tick costs as much as a call.
_STALL_SEEN_MOVING: Final = 0.01
# Ticks without a waiting call after which the stall watch goes to sleep.
_CALM: Final = 20
# An interrupt that comes between two statements is lost, so it is repeated.
_INTERRUPT_EVERY: Final = 0.01


async def watch_deadlines(pool: Pool) -> None:
    """Fail calls that have waited for `connection_timeout`.

    The wait is the same for all, so the oldest is due first, and whatever is submitted while this
    sleeps is due after it wakes.
    """
    patience = pool.config.connection_timeout
    while True:
        await pool.deadlines.wait()
        newest = pool.sequence
        due = _expire(pool, patience)
        await trio.sleep_until(min(due, trio.current_time() + patience))
        if due == math.inf and newest == pool.sequence:
            pool.deadlines.disarm()


@enable_ki_protection
def _expire(pool: Pool, patience: float) -> float:
    """Fail what is due now; when the next is."""
    now = trio.current_time()
    next_due = math.inf
    for lane in pool.lanes:
        # Two queues, in each the oldest first.
        for waiting in (lane.queue.copy(), lane.leases.copy()):
            for job in waiting:
                if not job.claim:
                    continue
                due = job.enqueued + patience
                if due > now:
                    next_due = min(next_due, due)
                    break
                if pool.withdraw_with(job, lane, refusals.timeout(pool, job, lane)):
                    lane.timeouts += job.kind is not Kind.UPKEEP  # no call of a user's
    return next_due


async def watch_stalls(pool: Pool) -> None:
    """Where reads stand still, wake an idle reader or have another one opened.

    A flood of cheap reads is served best by one reader (threads fight for the interpreter lock),
    so a submitter wakes no second one; but a query that was expected to be cheap and is not must
    not hold up the others.
    """
    lane = pool.readers
    while True:
        await pool.stalls.wait()
        calm = 0
        seen: Job | None = None
        pause = _STALL
        while calm < _CALM:
            await trio.sleep(pause)
            seen, standing = _look(lane, seen)
            calm = 0 if seen is not None else calm + 1
            if standing:
                _relieve(pool, lane)
                pause = _STALL
            else:
                pause = min(pause * 2, _STALL_SEEN_MOVING)
        pool.stalls.disarm()


def _look(lane: Lane, seen: Job | None) -> tuple[Job | None, bool]:
    """The oldest waiting call, and whether it has not moved since it was `seen`."""
    # A lease that may not be served yet is no reason to open a connection.
    waiting = [lane.leases[0]] if lane.leases and lane.lease_sequence != NEVER else []
    with suppress(IndexError):  # a thread took the last one
        waiting.append(lane.queue[0])
    if not waiting:
        return None, False
    oldest = min(waiting, key=lambda job: job.sequence)
    return oldest, oldest is seen


@enable_ki_protection
def _relieve(pool: Pool, lane: Lane) -> None:
    worker = lane.help() if lane.queue else None
    if worker is not None:
        worker.wake()
    elif lane.can_grow and not lane.opening and pool.state is State.OPEN and not lane.serial:
        pool.grow(lane)


async def watch_interrupts(pool: Pool) -> None:
    """Repeat interrupts until the jobs they were meant for have ended, or their thread is given up.

    While the pool ends, its closing decides how long threads are waited for.
    """
    patience = pool.config.health_check_timeout
    while True:
        await pool.interrupts.wait()
        while pool.interrupting:
            await trio.sleep(_INTERRUPT_EVERY)
            overdue = trio.current_time() - patience
            for job in list(pool.interrupting):
                pool.interrupt(job)
                if job.interrupted <= overdue and pool.state is State.OPEN:
                    give_up(pool, job)
        pool.interrupts.disarm()


@enable_ki_protection
def give_up(pool: Pool, job: Job) -> None:
    """Go on without the thread that does not come back from the job."""
    worker = job.worker
    if worker is not None and not worker.buried and job in pool.outstanding:
        pool.on_stuck(worker, job)


async def watch_ages(pool: Pool) -> None:
    """Close what has been idle for `max_idle`, renew what is older than `max_lifetime`."""
    while True:  # noqa: ASYNC110  # it waits for time itself
        await trio.sleep_until(_retire_old(pool))


@enable_ki_protection
def _retire_old(pool: Pool) -> float:
    now = trio.current_time()
    next_due = now + min(pool.config.max_idle, pool.config.max_lifetime)
    for lane in pool.lanes:
        # Those on their way out are gone already: counted again they would cost a second one.
        surplus = sum(not worker.leaving for worker in lane.workers) - lane.smallest
        for worker in list(lane.workers):
            due = worker.expires_at
            idle = worker in lane.idle
            if idle and surplus > 0:
                due = min(due, worker.idle_since + pool.config.max_idle)
            if due > now:
                next_due = min(next_due, due)
            elif not worker.leaving:
                surplus -= 1
                lane.dismiss(worker)
                if idle:
                    worker.wake()
    return next_due
