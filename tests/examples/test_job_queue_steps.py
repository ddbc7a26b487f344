"""examples/job_queue: the steps of one job, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import attrs
import pytest
import trio

from examples.job_queue.queue import SCHEMA, Job, Jobs, Policy
from examples.job_queue.worker import run
from trio_sqlrepo.testing import assert_no_full_scans, memory_database

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = Policy(lease=30 * SECOND, max_attempts=3, back_off=SECOND)


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    async with memory_database(Jobs, migrations=[SCHEMA]) as db:
        yield Jobs(db)


async def claimed(jobs: Jobs, now: datetime = NOON) -> Job:
    job = await jobs.claim(now, POLICY)
    assert job is not None
    return job


async def test_jobs_come_by_when_they_are_due(jobs: Jobs) -> None:
    later = await jobs.enqueue("x", {"n": "later"}, NOON + SECOND)
    now = await jobs.enqueue("x", {"n": "now"}, NOON)
    assert (await claimed(jobs)).id == now
    assert await jobs.claim(NOON, POLICY) is None
    assert await jobs.next_due() == NOON + SECOND
    assert (await claimed(jobs, NOON + SECOND)).id == later


async def test_a_finished_job_is_gone(jobs: Jobs) -> None:
    id = await jobs.enqueue("x", {}, NOON)
    job = await claimed(jobs)
    assert await jobs.finish(id, job.attempts) == 1
    assert await jobs.get(id) is None


async def test_retries_wait_twice_as_long_each_time_and_then_the_job_is_dead(jobs: Jobs) -> None:
    id = await jobs.enqueue("x", {}, NOON)
    now = NOON
    for seconds in (1, 2):
        assert await jobs.fail(await claimed(jobs, now), "broken", now, POLICY)
        assert await jobs.next_due() == now + seconds * SECOND
        now += seconds * SECOND
    assert await jobs.fail(await claimed(jobs, now), "broken for good", now, POLICY)

    assert await jobs.claim(now + timedelta(days=1), POLICY) is None
    (dead,) = await jobs.dead()
    assert (dead.id, dead.attempts, dead.error) == (id, 3, "broken for good")

    assert await jobs.revive(id, now) == 1
    assert (await claimed(jobs, now)).attempts == 1


async def test_a_job_that_kills_its_workers_dies_too(jobs: Jobs) -> None:
    id = await jobs.enqueue("x", {}, NOON)
    now = NOON
    for _ in range(3):  # no worker comes back
        await claimed(jobs, now)
        now += POLICY.lease
    assert await jobs.claim(now, POLICY) is None
    (dead,) = await jobs.dead()
    assert (dead.id, dead.error) == (id, "no worker lived to tell")


async def test_who_has_lost_the_lease_changes_nothing(jobs: Jobs) -> None:
    id = await jobs.enqueue("x", {}, NOON)
    slow = await claimed(jobs)
    fast = await claimed(jobs, NOON + POLICY.lease)
    assert await jobs.finish(id, slow.attempts) == 0
    assert not await jobs.fail(slow, "too late", NOON, POLICY)
    assert await jobs.get(id) == fast


async def test_a_job_that_outlives_its_lease_is_stopped_and_has_failed(jobs: Jobs) -> None:
    id = await jobs.enqueue("x", {}, NOON)

    async def hang(job: Job) -> None:
        await trio.sleep_forever()

    short = attrs.evolve(POLICY, lease=timedelta(0))
    with trio.fail_after(60):
        await run(jobs, await claimed(jobs), hang, short, lambda: NOON)
    job = await jobs.get(id)
    assert job is not None
    assert job.error is not None
    assert job.error.startswith("TooSlowError")


def test_every_query_uses_an_index() -> None:
    assert_no_full_scans(Jobs, migrations=[SCHEMA])
