"""examples/job_queue: each job is done, or dead and told; a worker that dies loses none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import trio

from examples.job_queue.queue import SCHEMA, Job, Jobs, Policy
from examples.job_queue.worker import utc_now, work
from tests.support import ROOT
from trio_sqlrepo import Database, open_database

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = Policy(lease=30 * SECOND, max_attempts=3, back_off=SECOND)

WORKER_THAT_HANGS = f"""
import sys, trio
from datetime import datetime
from examples.job_queue.worker import work
from examples.job_queue.queue import SCHEMA, Jobs
from trio_sqlrepo import open_database

async def hang(job):
    print("at work on", job.id, flush=True)
    await trio.sleep_forever()

async def main():
    async with open_database(sys.argv[1], repositories=[Jobs], migrations=[SCHEMA]) as db:
        await work(db, hang, clock=lambda: datetime.fromisoformat({NOON.isoformat()!r}))

trio.run(main)
"""


@attrs.define
class Clock:
    """A wall clock that the test turns."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def open_queue(path: Path | str) -> AsyncIterator[Database]:
    with trio.fail_after(60):  # a job that nobody takes fails the test instead of hanging it
        async with open_database(path, repositories=[Jobs], migrations=[SCHEMA]) as db:
            yield db


async def until_none_is_ready(db: Database) -> None:
    async with db.live(Jobs(db).next_due) as dues:
        async for due in dues:
            if due is None:
                return


async def test_many_workers_do_each_job_once(db_path: Path) -> None:
    done: list[int] = []

    async def handle(job: Job) -> None:
        await trio.lowlevel.checkpoint()
        done.append(job.id)

    async with open_queue(db_path) as db, trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(work, db, handle, POLICY, Clock())
        ids = [await Jobs(db).enqueue("x", {}, NOON) for _ in range(50)]
        await until_none_is_ready(db)
        nursery.cancel_scope.cancel()
    assert sorted(done) == ids


async def test_a_sleeping_worker_wakes_for_a_new_job(db_path: Path) -> None:
    send, receive = trio.open_memory_channel[str](0)

    async def handle(job: Job) -> None:
        await send.send(job.payload["name"])

    async with open_queue(db_path) as db, trio.open_nursery() as nursery:
        nursery.start_soon(work, db, handle, POLICY, Clock())
        for name in ("first", "second"):  # nothing is ready in between
            await Jobs(db).enqueue("x", {"name": name}, NOON)
            assert await receive.receive() == name
            await until_none_is_ready(db)
        nursery.cancel_scope.cancel()


async def test_a_worker_wakes_when_a_job_becomes_due(db_path: Path) -> None:
    attempts: list[int] = []

    async def handle(job: Job) -> None:
        attempts.append(job.attempts)
        if job.attempts == 1:
            raise OSError("not yet")

    policy = attrs.evolve(POLICY, back_off=0.05 * SECOND)
    async with open_queue(db_path) as db, trio.open_nursery() as nursery:
        nursery.start_soon(work, db, handle, policy)
        await Jobs(db).enqueue("x", {}, utc_now())
        await until_none_is_ready(db)  # nobody else writes: only the clock can wake the worker
        nursery.cancel_scope.cancel()
    assert attempts == [1, 2]


async def test_no_two_claims_get_the_same_job(db_path: Path) -> None:
    async with open_queue(db_path) as db:
        jobs = Jobs(db)
        ids = {await jobs.enqueue("x", {}, NOON) for _ in range(20)}
        claimed: list[int] = []

        async def claim() -> None:
            job = await jobs.claim(NOON, POLICY)
            if job is not None:
                claimed.append(job.id)

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(claim)
        assert len(claimed) == 20
        assert set(claimed) == ids


async def test_the_job_of_a_killed_worker_is_claimed_again(db_path: Path) -> None:
    async with open_queue(db_path) as db:
        jobs = Jobs(db)
        id = await jobs.enqueue("x", {}, NOON)
        with subprocess.Popen(
            [sys.executable, "-c", WORKER_THAT_HANGS, db_path],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as worker:
            assert worker.stdout is not None
            try:
                said = await trio.to_thread.run_sync(worker.stdout.readline)
            finally:
                worker.kill()  # SIGKILL, in the middle of the job
        assert said == f"at work on {id}\n"

        lease_end = NOON + Policy().lease
        assert await jobs.claim(lease_end - SECOND, POLICY) is None
        again = await jobs.claim(lease_end, POLICY)
        assert again is not None
        assert (again.id, again.attempts) == (id, 2)


async def test_a_cancelled_worker_leaves_its_job_to_the_lease() -> None:
    clock = Clock()
    async with open_queue(":memory:") as db:
        id = await Jobs(db).enqueue("x", {}, NOON)
        async with trio.open_nursery() as nursery:

            async def leave(job: Job) -> None:
                nursery.cancel_scope.cancel()
                await trio.sleep_forever()

            nursery.start_soon(work, db, leave, POLICY, clock)
        job = await Jobs(db).get(id)
        assert job is not None
        assert (job.state, job.attempts, job.due) == ("ready", 1, NOON + POLICY.lease)
