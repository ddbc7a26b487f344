"""Workers: trio tasks that claim jobs, run them, and sleep until there is something to do."""

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn

import trio

from examples.job_queue.queue import Job, Jobs, Policy
from trio_sqlrepo import Database

Handler = Callable[[Job], Awaitable[None]]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


async def work(
    db: Database, handle: Handler, policy: Policy | None = None, clock: Clock = utc_now
) -> NoReturn:
    """Run jobs until cancelled; start as many as you like, in as many processes as you like.

    A job that is under way when the worker is cancelled is not given back: like that of a worker
    that was killed, it is due again when its lease ends.
    """
    policy = policy or Policy()
    jobs = Jobs(db)
    # The feed is open before the first look. What is committed between a look and the wait below is
    # waiting in it, so no job can slip through.
    async with db.changes() as changes:
        while True:
            due = await jobs.next_due()
            if due is not None and due <= clock():
                # Another worker may be faster, then there is none left to claim. Looking first
                # keeps workers from writing, and so from waking each other, for nothing.
                job = await jobs.claim(clock(), policy)
                if job is not None:
                    await run(jobs, job, handle, policy, clock)
                continue
            pause = math.inf if due is None else (due - clock()).total_seconds()
            with trio.move_on_after(max(pause, 0)):
                async for change in changes:
                    if change.touches("job"):  # by another process too
                        break


async def run(jobs: Jobs, job: Job, handle: Handler, policy: Policy, clock: Clock) -> None:
    """Run one claimed job, and write down how it ended."""
    try:
        # Its lease must not end while the job runs on: two workers would be at it.
        with trio.fail_after(policy.lease.total_seconds()):
            await handle(job)
    except Exception as error:  # noqa: BLE001  # whatever a job raises, the worker goes on
        await jobs.fail(job, f"{type(error).__name__}: {error}", clock(), policy)
    else:
        await jobs.finish(job.id, job.attempts)
