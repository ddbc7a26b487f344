"""The lane's decisions: whom to wake, when, and for whom."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio

from tests.fake_driver import call
from tests.pool.support import Crew, lease_job
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._worker.thread import NEVER, Worker

numbers = itertools.count(1)


def reading(name: str = "r") -> Job:
    job = call(name, writes=False)
    job.sequence = next(numbers)
    return job


def leasing() -> Job:
    job = lease_job()
    job.sequence = next(numbers)
    return job


class Lanes:
    """A lane of either kind, and workers that rest in it."""

    def __init__(self, **settings: Any) -> None:
        self.crew = Crew(PoolConfig(**settings))

    def rest(self, lane: Lane, count: int) -> list[Worker]:
        workers = []
        for _ in range(count):
            worker = self.crew.make_worker(lane, f"{lane.name} {len(lane.workers) + 1}")
            lane.opening += 1
            lane.opened(worker)
            assert lane.rested(worker) is None
            workers.append(worker)
        return workers


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(max_readers=4, reserved_readers=1, max_writers=2)


@pytest.fixture
def readers(lanes: Lanes) -> Lane:
    return lanes.crew.readers


@pytest.fixture
def writers(lanes: Lanes) -> Lane:
    return lanes.crew.writers


# -- calls -----------------------------------------------------------------------------------------


def test_an_idle_reader_is_woken_the_warmest_first(lanes: Lanes, readers: Lane) -> None:
    _, second = lanes.rest(readers, 2)
    job = reading()
    assert readers.submit(job) is second
    assert list(readers.queue) == [job]


def test_a_flood_of_cheap_calls_wakes_one(lanes: Lanes, readers: Lane) -> None:
    lanes.rest(readers, 3)
    assert readers.submit(reading()) is not None
    assert [readers.submit(reading()) for _ in range(5)] == [None] * 5


def test_behind_slow_ones_an_idle_reader_is_woken(lanes: Lanes, readers: Lane) -> None:
    lanes.rest(readers, 3)
    first = readers.submit(reading())
    assert first is not None
    first.slow = True
    second = readers.submit(reading())
    assert second not in {None, first}
    assert readers.submit(reading()) is None  # the second is not slow


def test_one_that_is_woken_for_a_slow_call_looks_at_the_queue_again(
    lanes: Lanes, readers: Lane
) -> None:
    """Submitted between its last look and the loop's hearing that it rests."""
    (worker,) = lanes.rest(readers, 1)
    assert readers.submit(reading()) is worker
    readers.queue.clear()  # it took the job
    assert readers.submit(reading()) is None
    assert readers.rested(worker) is worker


def test_writers_have_one_turn_between_them(lanes: Lanes, writers: Lane) -> None:
    lanes.rest(writers, 2)
    first = writers.submit(call("a"))
    assert first is not None
    first.slow = True  # says nothing here
    assert writers.submit(call("b")) is None
    writers.granted(first, granted_lease(writers))
    assert writers.submit(call("c")) is None
    assert writers.released(first) is None
    assert writers.submit(call("d")) is None
    assert writers.rested(first) is first


def granted_lease(lane: Lane) -> Job:
    lease = lease_job(writes=True)
    lease.task = object()
    lane.submitted += 1
    return lease


def test_an_idle_writer_is_not_woken_while_another_opens(lanes: Lanes, writers: Lane) -> None:
    (idle,) = lanes.rest(writers, 1)
    opening = lanes.crew.make_worker(writers, "writer 2")
    writers.opening += 1
    writers.opened(opening)
    assert writers.submit(call("a")) is None
    assert writers.rested(opening) is opening  # the warmest; and the turn is nobody's
    assert writers.idle == [idle]


def test_a_spare_takes_over_at_once_when_a_writer_dies(lanes: Lanes, writers: Lane) -> None:
    spare, warm = lanes.rest(writers, 2)
    assert writers.submit(call("a")) is warm
    assert writers.lost(warm) is spare
    assert writers.busy == {spare: None}


def test_a_lost_worker_leaves_its_work_to_an_idle_one(lanes: Lanes, readers: Lane) -> None:
    cold, warm = lanes.rest(readers, 2)
    assert readers.submit(reading()) is warm
    assert readers.lost(warm) is cold
    assert readers.lost(cold) is None
    assert (readers.idle, readers.busy, readers.workers) == ([], {}, [])


def test_an_idle_worker_can_be_lost(lanes: Lanes, readers: Lane) -> None:
    cold, warm = lanes.rest(readers, 2)
    assert readers.lost(cold) is None
    assert readers.idle == [warm]


def test_help_wakes_an_idle_reader(lanes: Lanes, readers: Lane, writers: Lane) -> None:
    assert readers.help() is None
    (worker,) = lanes.rest(readers, 1)
    assert readers.help() is worker
    lanes.rest(writers, 2)
    assert writers.help() is None


# -- leases ----------------------------------------------------------------------------------------


def test_a_lease_is_handed_to_an_idle_reader(lanes: Lanes, readers: Lane) -> None:
    (worker,) = lanes.rest(readers, 1)
    lease = leasing()
    assert readers.submit(lease) is worker
    assert list(worker.mailbox) == [lease]
    assert readers.held == {worker: lease}
    assert readers.lease_sequence == NEVER


def test_a_waiting_lease_is_told_to_the_threads(lanes: Lanes, readers: Lane) -> None:
    (worker,) = lanes.rest(readers, 1)
    readers.submit(reading())
    first, second = leasing(), leasing()
    assert readers.submit(first) is None
    assert readers.lease_sequence == first.sequence
    assert readers.submit(second) is None
    assert readers.rested(worker) is worker
    assert list(worker.mailbox) == [first]
    assert readers.lease_sequence == second.sequence


def test_leases_never_take_the_last_reader(lanes: Lanes, readers: Lane) -> None:
    workers = lanes.rest(readers, 4)
    leases = [leasing() for _ in range(4)]
    assert [readers.submit(lease) for lease in leases] == [*reversed(workers[1:]), None]
    assert readers.lease_sequence == NEVER  # no thread need rest for it
    assert readers.submit(reading()) is workers[0]
    assert readers.rested(workers[0]) is workers[0]  # for the call that waits, not the lease
    readers.queue.clear()
    assert readers.rested(workers[0]) is None
    lease = leases[0]
    lease.task = object()
    readers.granted(workers[3], lease)
    assert readers.released(workers[3]) is workers[0]
    assert list(workers[0].mailbox) == [leases[3]]


def test_a_lone_reader_is_lent() -> None:
    lanes = Lanes(max_readers=1, reserved_readers=1)
    (worker,) = lanes.rest(lanes.crew.readers, 1)
    assert lanes.crew.readers.submit(leasing()) is worker


def test_a_lease_that_dies_on_its_way_is_taken_back_when_the_reader_rests(
    lanes: Lanes, readers: Lane
) -> None:
    (worker,) = lanes.rest(readers, 1)
    lease = leasing()
    readers.submit(lease)
    readers.withdraw(lease)
    assert readers.held == {worker: lease}
    assert readers.rested(worker) is None
    assert readers.held == {}
    assert readers.idle == [worker]


def test_a_lease_that_waits_can_be_withdrawn(lanes: Lanes, readers: Lane) -> None:
    first, second = leasing(), leasing()
    readers.submit(first)
    readers.submit(second)
    assert readers.waiting == 2
    readers.withdraw(first)
    assert readers.lease_sequence == second.sequence
    assert readers.waiting == 1


def test_a_lease_that_could_not_begin_leaves_its_reader_free(lanes: Lanes, readers: Lane) -> None:
    (worker,) = lanes.rest(readers, 1)
    first, second = leasing(), leasing()
    readers.submit(first)
    readers.submit(second)
    assert readers.refused(worker, first) is None  # busy; it gets the next when it rests
    assert readers.held == {}
    assert readers.busy == {worker: None}
    assert readers.rested(worker) is worker
    assert readers.holders == {}


def test_a_write_lease_that_could_not_begin_held_nothing(lanes: Lanes, writers: Lane) -> None:
    (worker,) = lanes.rest(writers, 1)
    lease = granted_lease(writers)
    assert writers.refused(worker, lease) is None


def test_a_lost_worker_passes_waiting_leases_on(lanes: Lanes, readers: Lane) -> None:
    workers = lanes.rest(readers, 4)
    leases = [leasing() for _ in range(4)]
    for lease in leases:
        lease.task = object()
        readers.submit(lease)
    readers.granted(workers[3], leases[0])
    assert readers.lost(workers[3]) is workers[0]
    assert list(workers[0].mailbox) == [leases[3]]
    assert readers.holders == {}


async def test_it_knows_who_holds_how_many(lanes: Lanes, readers: Lane) -> None:
    workers = lanes.rest(readers, 4)
    task = trio.lowlevel.current_task()
    leases = [leasing() for _ in range(3)]
    for lease, worker in zip(leases, reversed(workers), strict=False):
        assert not readers.blocked_by(task, lease=True)
        lease.task = task
        assert readers.submit(lease) is worker
        readers.granted(worker, lease)
    assert readers.holders == {task: 3}
    assert readers.blocked_by(task, lease=True)
    assert not readers.blocked_by(task, lease=False)  # the reserved one serves it
    for worker in list(readers.held):
        readers.released(worker)
    assert readers.holders == {}
    assert readers.leases_granted == 3


async def test_whoever_holds_the_writer_is_blocked_by_itself(lanes: Lanes, writers: Lane) -> None:
    (worker,) = lanes.rest(writers, 1)
    task = trio.lowlevel.current_task()
    assert not writers.blocked_by(task, lease=False)
    lease = granted_lease(writers)
    lease.task = task
    writers.granted(worker, lease)
    assert writers.blocked_by(task, lease=False)
    assert writers.blocked_by(task, lease=True)


# -- counting --------------------------------------------------------------------------------------


def test_waiting_is_what_nobody_took_or_gave_up(lanes: Lanes, readers: Lane) -> None:
    (worker,) = lanes.rest(readers, 1)
    jobs = [reading() for _ in range(5)]
    for job in jobs:
        readers.submit(job)
    readers.submit(leasing())
    assert readers.waiting == 6
    worker.tally.claimed += 2
    readers.withdraw(jobs[2])
    assert readers.waiting == 3
    readers.lost(worker)  # what it took stays counted
    assert readers.waiting == 3
    assert readers.claimed == 2


def test_full_counts_the_living(lanes: Lanes, readers: Lane) -> None:
    jobs = [reading() for _ in range(4)]
    for job in jobs:
        readers.submit(job)
    assert readers.is_full(4)
    assert not readers.is_full(5)
    del jobs[0].claim
    readers.withdraw(jobs[0])
    assert len(readers.queue) == 4
    assert not readers.is_full(4)
    readers.submit(leasing())
    assert readers.is_full(4)


def test_the_dead_are_cleared_away_when_they_are_half(lanes: Lanes, readers: Lane) -> None:
    jobs = [reading() for _ in range(10)]
    for job in jobs:
        readers.submit(job)
    before = readers.queue
    for job in jobs[:6]:
        assert readers.queue is before
        del job.claim
        readers.withdraw(job)
    assert list(readers.queue) == jobs[6:]
    assert len(before) == 10  # threads may still pop from the old one
    assert readers.waiters() == jobs[6:]


# -- growing and leaving ---------------------------------------------------------------------------


def test_it_grows_to_its_largest_unless_degraded(lanes: Lanes, readers: Lane) -> None:
    lanes.rest(readers, 3)
    assert readers.can_grow
    readers.opening = 1
    assert not readers.can_grow
    readers.opening = 0
    readers.degraded = "no more files"
    assert not readers.can_grow


def test_a_dismissed_worker_gets_no_more_work(lanes: Lanes, readers: Lane) -> None:
    cold, warm = lanes.rest(readers, 2)
    readers.dismiss(warm)
    assert warm.leaving
    assert readers.idle == [cold]
    assert readers.submit(reading()) is None  # `warm` counts as busy until it has ended
    assert readers.lost(warm) is cold


def test_a_busy_worker_is_dismissed_when_it_is_done(lanes: Lanes, readers: Lane) -> None:
    (worker,) = lanes.rest(readers, 1)
    readers.submit(reading())
    readers.dismiss(worker)
    assert readers.busy == {worker: None}
    assert readers.rested(worker) is worker  # woken to end, not to work
    assert readers.idle == []


def test_repr_tells_its_state(lanes: Lanes, readers: Lane) -> None:
    lanes.rest(readers, 2)
    readers.submit(leasing())
    assert repr(readers) == "<Lane reader size=2 idle=1 leased=1 waiting=0>"
