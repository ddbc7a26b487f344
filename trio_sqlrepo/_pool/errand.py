"""Jobs of the pool's own, which no call waits for. Loop thread only.

`Pool.run` is the way of calls, and has not one step for what is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio.lowlevel import checkpoint_if_cancelled, current_task, wait_task_rescheduled

from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.thread import Worker


async def run_on(pool: Pool, place: Lane | Worker, job: Job, *, urgent: bool = False) -> Any:
    """Have a job done in its turn on a lane, or by one worker next; wait for its result.

    No bound of the queue refuses it: what keeps a busy pool well must not wait for a calm one.
    `urgent`, on the writers' lane: it is the very next that is served. The worker may be idle or
    just opened; if it ends instead, the error says so.

    Raises:
        SqlRepoError: the pool takes no jobs, the worker has ended, or what the job met.
    """
    if pool.state is not State.OPEN:
        raise pool.refusal()
    await checkpoint_if_cancelled()
    job.task = current_task()
    job.enqueued = pool.now()
    pool.sequence = job.sequence = pool.sequence + 1
    pool.outstanding.add(job)
    lane: Lane | None = None
    if isinstance(place, Lane):
        lane = place
        if urgent:
            # It stands in the queue as well, so that no wake-up for it is lost. Whoever comes to
            # it there finds it claimed.
            lane.urgent = job
        if (woken := lane.submit(job)) is not None:
            woken.wake()
    else:
        _hand_over(pool.lane_of(place), place, job)

    job.pool = pool
    job.lane = lane
    try:
        return await wait_task_rescheduled(job)
    finally:
        if urgent and lane is not None:
            lane.urgent = None


def _hand_over(lane: Lane, worker: Worker, job: Job) -> None:
    if worker in lane.idle:
        lane.idle.remove(worker)
        lane.busy[worker] = None
    worker.mailbox.append(job)
    worker.wake()
