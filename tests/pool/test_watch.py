"""The pool's clocks, on trio's mock clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fake_driver import call
from tests.pool.support import Crew, lease_job
from tests.waiting import until
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.errors import PoolTimeout
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool import watch
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import Event

CONNECTION_TIMEOUT = PoolConfig().connection_timeout


@asynccontextmanager
async def watching(
    crew: Crew, *services: Callable[[Pool], Awaitable[None]]
) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        for service in services:
            nursery.start_soon(service, crew.pool)
        yield nursery
        nursery.cancel_scope.cancel()


async def pass_time(clock: MockClock, seconds: float) -> None:
    await wait_all_tasks_blocked()
    clock.jump(seconds)
    await wait_all_tasks_blocked()


class Asking:
    """Tasks that wait for a call each, and how it ended."""

    def __init__(self, crew: Crew, nursery: trio.Nursery) -> None:
        self.crew = crew
        self.nursery = nursery
        self.ended: list[str] = []

    async def send(self, *jobs: Job) -> None:
        for job in jobs:
            self.nursery.start_soon(self._ask, job)
        await until(lambda: all(job in self.crew.pool.outstanding for job in jobs))

    async def _ask(self, job: Job) -> None:
        try:
            await self.crew.pool.run(job)
        except PoolTimeout:
            self.ended.append(job.label)


# -- deadlines -------------------------------------------------------------------------------------

kinds = pytest.mark.parametrize(
    "make",
    [
        lambda name: call(name, writes=True),
        lambda name: call(name, writes=False),
        lambda name: lease_job(name),  # noqa: PLW0108  # in line with the others
        lambda name: lease_job(name, writes=True),
    ],
    ids=["write", "read", "snapshot", "transaction"],
)
Make = Callable[[str], Job]


@kinds
async def test_a_call_waits_so_long_and_no_longer(make: Make, mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig())
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(make("first"))
        await pass_time(mock_clock, 10)
        await asking.send(make("second"))
        await pass_time(mock_clock, CONNECTION_TIMEOUT - 10.001)
        assert asking.ended == []
        await pass_time(mock_clock, 0.002)
        assert asking.ended == ["first"]
        await pass_time(mock_clock, 9.9)
        assert asking.ended == ["first"]
        await pass_time(mock_clock, 0.2)
        assert asking.ended == ["first", "second"]
    lane = crew.writers if make("x").writes else crew.readers
    assert (lane.timeouts, lane.waiting) == (2, 0)


async def test_what_no_call_waits_for_is_not_counted(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig())
    upkeep = Job(Kind.UPKEEP, "checkpoint", writes=True, work=lambda hands: None)
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(upkeep)
        await pass_time(mock_clock, CONNECTION_TIMEOUT)
        assert asking.ended == ["checkpoint"]
    assert crew.writers.timeouts == 0


@kinds
async def test_one_that_comes_while_the_watch_goes_to_sleep(
    make: Make, mock_clock: MockClock
) -> None:
    """Nobody waited when it looked; it sleeps on, then it must look again."""
    crew = Crew(PoolConfig())
    worker = crew.puppet(crew.readers)
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        served = call("served", writes=False)
        await asking.send(served)
        crew.readers.queue.clear()
        del served.claim
        crew.say(worker, Event.NEWS, served)
        await pass_time(mock_clock, CONNECTION_TIMEOUT)
        crew.readers.idle.clear()
        crew.pool.deadlines.arm()
        await pass_time(mock_clock, 1)
        await asking.send(make("late"))
        await pass_time(mock_clock, CONNECTION_TIMEOUT - 1)
        assert crew.pool.deadlines.armed
        await pass_time(mock_clock, 1.1)
        assert asking.ended == ["late"]


async def test_the_watch_sleeps_when_nobody_waits(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig())
    async with watching(crew, watch.watch_deadlines):
        crew.pool.deadlines.arm()
        await pass_time(mock_clock, CONNECTION_TIMEOUT)
        assert not crew.pool.deadlines.armed
        before = trio.lowlevel.current_statistics().seconds_to_next_deadline
        assert before == float("inf")


async def test_one_claimed_at_the_last_moment_is_not_refused(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig())
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        job, other = call("claimed"), call("other")
        await asking.send(job)
        await asking.send(other)
        await wait_all_tasks_blocked()

        class Claimed:
            """There when the watch looks, gone when it takes."""

            def __bool__(self) -> bool:
                del job.claim
                return True

        job.claim = Claimed()  # type: ignore[assignment]
        await pass_time(mock_clock, CONNECTION_TIMEOUT + 1)
        ended = list(asking.ended)
        crew.say(crew.puppet(crew.writers), Event.NEWS, job)  # whose thread it is answers
        assert ended == ["other"]
        assert crew.writers.timeouts == 1
        nursery.cancel_scope.cancel()


async def test_the_dead_are_passed_over(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig())
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        jobs = [call(name) for name in "abc"]
        for job in jobs:
            await asking.send(job)
        del jobs[0].claim
        await pass_time(mock_clock, CONNECTION_TIMEOUT + 1)
        ended = sorted(asking.ended)
        crew.say(crew.puppet(crew.writers), Event.NEWS, jobs[0])  # whose thread it is answers
        assert ended == ["b", "c"]
        nursery.cancel_scope.cancel()


async def test_without_a_limit_nobody_times_out(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(connection_timeout=float("inf")))
    async with watching(crew, watch.watch_deadlines) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(call("a"))
        await pass_time(mock_clock, 1e9)
        assert asking.ended == []
        nursery.cancel_scope.cancel()


# -- stalls ----------------------------------------------------------------------------------------

TICK = watch._STALL


@pytest.fixture
def grown() -> list[str]:
    return []


@pytest.fixture
def crew(grown: list[str]) -> Crew:
    crew = Crew(PoolConfig(max_readers=3))
    crew.pool.grow = lambda lane: grown.append(lane.name)
    return crew


async def test_a_queue_that_stands_still_has_an_idle_reader_woken(
    crew: Crew, grown: list[str], mock_clock: MockClock
) -> None:
    idle, busy = crew.puppet(crew.readers), crew.puppet(crew.readers)
    async with watching(crew, watch.watch_stalls) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(call("a", writes=False))  # wakes `busy`, which does not move
        await asking.send(call("b", writes=False))
        assert crew.readers.idle == [idle]
        await pass_time(mock_clock, TICK)
        assert crew.readers.idle == [idle]  # seen for the first time
        await pass_time(mock_clock, 4 * TICK)
        assert list(crew.readers.busy) == [busy, idle]
        assert grown == []
        nursery.cancel_scope.cancel()


async def test_a_queue_that_moves_wakes_nobody(crew: Crew, mock_clock: MockClock) -> None:
    idle, _ = crew.puppet(crew.readers), crew.puppet(crew.readers)
    async with watching(crew, watch.watch_stalls) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(call("0", writes=False))
        for number in range(1, 20):
            await asking.send(call(str(number), writes=False))
            await pass_time(mock_clock, 4 * TICK)
            crew.readers.queue.popleft()
        assert crew.readers.idle == [idle]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "make", [lambda: call("a", writes=False), lease_job], ids=["call", "lease"]
)
async def test_with_nobody_idle_one_more_is_opened(
    crew: Crew, grown: list[str], make: Callable[[], Job], mock_clock: MockClock
) -> None:
    async with watching(crew, watch.watch_stalls) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(make())
        await pass_time(mock_clock, TICK)
        await pass_time(mock_clock, 4 * TICK)
        assert grown == ["reader"]
        crew.readers.opening = 1
        await pass_time(mock_clock, 4 * TICK)
        assert grown == ["reader"]  # one at a time
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("why", ["degraded", "largest", "draining"])
async def test_what_can_not_grow_does_not(
    crew: Crew, grown: list[str], why: str, mock_clock: MockClock
) -> None:
    async with watching(crew, watch.watch_stalls) as nursery:
        asking = Asking(crew, nursery)
        await asking.send(call("a", writes=False))
        match why:
            case "degraded":
                crew.readers.degraded = "no more files"
            case "largest":
                crew.readers.largest = 0
            case _:
                crew.pool.state = State.DRAINING
        for _ in range(5):
            await pass_time(mock_clock, 4 * TICK)
        assert grown == []
        nursery.cancel_scope.cancel()


async def test_the_oldest_is_looked_at_whether_call_or_lease(crew: Crew) -> None:
    lease, job = lease_job(), call("a", writes=False)
    lease.sequence, job.sequence = 1, 2
    assert watch._look(crew.readers, None) == (None, False)
    crew.readers.queue.append(job)
    assert watch._look(crew.readers, None) == (job, False)
    assert watch._look(crew.readers, job) == (job, True)
    crew.readers.leases.append(lease)  # which may not be served yet
    assert watch._look(crew.readers, job) == (job, True)
    crew.readers.lease_sequence = lease.sequence
    assert watch._look(crew.readers, job) == (lease, False)


async def test_the_stall_watch_sleeps_after_a_while_of_calm(
    crew: Crew, mock_clock: MockClock
) -> None:
    async with watching(crew, watch.watch_stalls):
        crew.pool.stalls.arm()
        for _ in range(watch._CALM - 1):
            await pass_time(mock_clock, 4 * TICK)
        assert crew.pool.stalls.armed
        for _ in range(2):
            await pass_time(mock_clock, 4 * TICK)
        assert not crew.pool.stalls.armed


# -- interrupts ------------------------------------------------------------------------------------


async def test_an_interrupt_is_repeated_until_its_job_ends(
    crew: Crew, mock_clock: MockClock
) -> None:
    worker = crew.puppet(crew.writers)
    met: list[Job | None] = []
    worker.ticket._abort = lambda: met.append(worker.ticket.current)
    async with watching(crew, watch.watch_interrupts):
        job = call("a")
        job.worker = worker
        worker.ticket.begin(job)
        crew.pool.interrupt(job)
        assert met == [job]
        for expected in (2, 3):
            await pass_time(mock_clock, watch._INTERRUPT_EVERY)
            assert met == [job] * expected
        crew.pool.interrupting.discard(job)
        await pass_time(mock_clock, watch._INTERRUPT_EVERY)
        await pass_time(mock_clock, watch._INTERRUPT_EVERY)
        assert met == [job] * 3
        assert not crew.pool.interrupts.armed


async def test_who_is_buried_or_answered_is_not_given_up(crew: Crew) -> None:
    given_up: list[Job] = []
    crew.pool.on_stuck = lambda _, job: given_up.append(job)
    worker = crew.puppet(crew.writers)
    unclaimed, answered, buried = call("unclaimed"), call("answered"), call("buried")
    answered.worker = buried.worker = worker
    crew.pool.outstanding |= {unclaimed, buried}
    watch.give_up(crew.pool, unclaimed)
    watch.give_up(crew.pool, answered)
    worker.buried = True
    watch.give_up(crew.pool, buried)
    assert given_up == []
    worker.buried = False
    watch.give_up(crew.pool, buried)
    assert given_up == [buried]


# -- ages ------------------------------------------------------------------------------------------


async def test_idle_readers_shrink_to_the_smallest_number(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(min_readers=1, max_readers=3, max_idle=100.0))
    workers = [crew.puppet(crew.readers) for _ in range(3)]
    async with watching(crew, watch.watch_ages):
        await pass_time(mock_clock, 60)
        crew.say(workers[0], Event.RESTING)  # it has worked since
        crew.readers.idle.remove(workers[0])
        await pass_time(mock_clock, 39)
        assert not any(worker.leaving for worker in workers)
        await pass_time(mock_clock, 2)
        assert [worker.leaving for worker in workers] == [False, True, True]
        assert crew.readers.idle == [workers[0]]
        assert all(worker.wakes for worker in workers[1:])
        await pass_time(mock_clock, 1000)  # the last one stays
        assert not workers[0].leaving


async def test_busy_readers_do_not_shrink(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(min_readers=1, max_readers=3, max_idle=100.0))
    workers = [crew.puppet(crew.readers) for _ in range(2)]
    for worker in workers:
        crew.readers.idle.remove(worker)
        crew.readers.busy[worker] = None
    async with watching(crew, watch.watch_ages):
        await pass_time(mock_clock, 1000)
        assert not any(worker.leaving for worker in workers)


@pytest.mark.parametrize("busy", [True, False])
async def test_the_old_are_renewed_when_they_are_free(busy: bool, mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(max_lifetime=100.0))
    worker = crew.puppet(crew.writers)
    worker.expires_at = trio.current_time() + 95
    if busy:
        crew.writers.idle.remove(worker)
        crew.writers.busy[worker] = None
    wakes = worker.wakes
    async with watching(crew, watch.watch_ages):
        await pass_time(mock_clock, 94)
        assert not worker.leaving
        await pass_time(mock_clock, 2)
        assert worker.leaving
        assert worker.wakes == (wakes if busy else wakes + 1)
        await pass_time(mock_clock, 500)  # told once
        assert worker.wakes == (wakes if busy else wakes + 1)


async def test_without_ages_it_never_looks_again(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(max_idle=float("inf"), max_lifetime=float("inf")))
    crew.puppet(crew.readers)
    assert watch._retire_old(crew.pool) == float("inf")
