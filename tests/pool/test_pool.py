"""What calls and sessions are told when their pool fails, closes, or loses their connection."""

from __future__ import annotations

import signal
import threading

import pytest
import trio
from trio.lowlevel import enable_ki_protection
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fake_driver import Act, Halt, broken, call
from tests.pool.house import Answer, House, a_house, ask
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.errors import InternalError, PoolClosed, SessionEnded, SqlError
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._pool.lease import Lease


async def test_a_session_whose_pool_has_failed_is_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        async with a_house() as house:
            lease = await Lease.acquire(house.pool, "the session", writes=True)
            house.pool.fail(ZeroDivisionError("a bug"))
            house.pool.fail(ValueError("a second one, which is not told"))
            with pytest.raises(InternalError):
                await lease.run(call("late"))


async def test_a_session_whose_connection_is_lost_is_ended() -> None:
    async with a_house() as house, trio.open_nursery() as nursery:
        lease = await Lease.acquire(house.pool, "the session", writes=True)
        (worker,) = house.writers.workers
        halt = Halt()
        answer = await _command(nursery, lease, call("halting", Act(halt=halt)))
        await until(halt.reached.is_set)
        behind = await _command(nursery, lease, call("behind"))
        await until(lambda: len(worker.mailbox) == 1)
        dead = call("dead")
        del dead.claim
        worker.mailbox.append(dead)
        house.pool.bury(worker, broken())
        for one in (answer, behind):
            await one.given.wait()
            assert isinstance(one.error, SqlError)
        with pytest.raises(SessionEnded):
            await lease.run(call("late"))
        halt.go.set()
        await until(lambda: house.writers.workers)
        worker.stop()


async def _command(nursery: trio.Nursery, lease: Lease, job: Job) -> Answer:
    answer = Answer()
    nursery.start_soon(answer.take, lambda: lease.run(job))
    return answer


async def test_closing_interrupts_what_runs_and_refuses_what_waits() -> None:
    halt, reading = Halt(), Halt()
    async with trio.open_nursery() as nursery:
        async with a_house() as house:
            # The lone read first: its task hears its thread itself.
            lone = ask(nursery, house, call("lone", Act(halt=reading), writes=False))
            await until(reading.reached.is_set)
            behind = ask(nursery, house, call("behind", writes=False))
            running = ask(nursery, house, call("running", Act(adds=("no",), halt=halt)))
            await until(halt.reached.is_set)
            queued = ask(nursery, house, call("queued"))
            await until(lambda: house.writers.waiting == 1 and house.readers.waiting == 1)
        for answer in (lone, behind, running, queued):
            await answer.given.wait()
            assert isinstance(answer.error, PoolClosed)
    assert "was closed while lone ran" in str(lone.error)
    assert house.file.rows == []
    assert house.file.open_connections == 0
    with pytest.raises(PoolClosed):
        await house.pool.run(call("late"))


def test_ctrl_c_does_not_end_the_wait_for_a_thread() -> None:
    """Its answer would wake the main task, which waits for something else by then."""
    reached, let_go = threading.Event(), threading.Event()

    def stand_still() -> None:
        reached.set()
        assert let_go.wait(PATIENCE)

    @enable_ki_protection  # so that it is the main task that is interrupted
    async def interrupt(house: House, scope: trio.CancelScope) -> None:
        await until(reached.is_set)
        (job,) = house.pool.outstanding
        scope.cancel()
        await until(lambda: job.cancelled)
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            await wait_all_tasks_blocked()
        assert job in house.pool.outstanding
        let_go.set()

    async def main() -> None:
        async with a_house() as house, trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(interrupt, house, scope)
                with pytest.raises(KeyboardInterrupt):
                    await house.pool.run(call("lone", Act(during=stand_still), writes=False))

    trio.run(main)


async def test_a_lone_read_that_no_thread_took_is_refused_at_the_end(
    mock_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        async with a_house(min_readers=0, max_readers=1) as house:
            house.readers.degraded = "for the test"
            lone = ask(nursery, house, call("lone", writes=False))
            await until(lambda: house.readers.waiting == 1)
        await lone.given.wait()
    assert isinstance(lone.error, PoolClosed)
