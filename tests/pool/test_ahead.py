"""Jobs that are sent before anybody waits for them."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.fake_driver import Act, Halt, broken, call
from tests.pool.support import Crew, open_crew
from tests.waiting import until
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.errors import PoolClosed, SessionEnded, SqlError
from trio_sqlrepo._pool.ahead import Ahead
from trio_sqlrepo._pool.state import State


async def test_its_answer_waits_for_whoever_asks() -> None:
    async with open_crew() as crew, crew.lease() as lease:
        ahead = lease.send_ahead(call("a", Act(returns=7), writes=False))
        assert repr(ahead) == "<Ahead a under way>"
        assert ahead.name == trio.lowlevel.current_task().name
        await until(lambda: ahead.is_answered)
        assert repr(ahead) == "<Ahead a answered>"
        assert not crew.pool.outstanding
        with trio.CancelScope() as scope:
            scope.cancel()
            await ahead.wait()
        assert scope.cancelled_caught, "waiting is a checkpoint, answered or not"
        await ahead.wait()
        assert ahead.result() == 7


async def test_whoever_waits_is_woken_once() -> None:
    halt = Halt()
    async with open_crew() as crew, crew.lease() as lease:
        ahead = lease.send_ahead(call("a", Act(halt=halt, returns=7), writes=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ahead.wait)
            await wait_all_tasks_blocked()
            halt.go.set()
        assert ahead.result() == 7


async def test_a_wait_that_is_cancelled_leaves_the_job_as_it_was() -> None:
    halt = Halt()
    async with open_crew() as crew, crew.lease() as lease:
        ahead = lease.send_ahead(call("a", Act(halt=halt, returns=7), writes=False))
        await until(halt.reached.is_set)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ahead.wait()
        assert scope.cancelled_caught
        assert not crew.pool.interrupting
        halt.go.set()
        await until(lambda: ahead.is_answered)  # nobody is woken who does not wait
        await ahead.wait()
        assert ahead.result() == 7


async def test_an_error_comes_with_the_result() -> None:
    async with open_crew() as crew, crew.lease() as lease:
        ahead = lease.send_ahead(call("a", Act(raises=ValueError("no")), writes=False))
        await ahead.wait()
        with pytest.raises(ValueError, match="no"):
            ahead.result()


async def test_stopped_before_its_turn_it_never_runs() -> None:
    halt = Halt()
    async with open_crew() as crew, crew.lease() as lease:
        first = lease.send_ahead(call("first", Act(halt=halt), writes=False))
        second = lease.send_ahead(call("second", writes=False))
        await until(halt.reached.is_set)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.wait)
            await wait_all_tasks_blocked()
            second.stop()  # whoever waits is woken
        second.stop()
        halt.go.set()
        await first.wait()
        assert await lease.run(call("third", writes=False)) == 1
        assert lease._worker.hands.driver.log == ["BEGIN", "first", "third"]  # type: ignore[attr-defined]  # a fake


async def test_stopped_while_it_runs_it_is_interrupted() -> None:
    halt = Halt()
    async with open_crew() as crew, crew.lease() as lease:
        ahead = lease.send_ahead(call("a", Act(halt=halt), writes=False))
        await until(halt.reached.is_set)
        ahead.stop()
        await ahead.wait()
        assert not crew.pool.interrupting
        assert lease._worker.hands.driver.aborts == 1  # type: ignore[attr-defined]  # a fake


async def test_a_pool_that_stops_answers_it() -> None:
    halt = Halt()
    async with open_crew() as crew:
        async with crew.lease() as lease:
            ahead = lease.send_ahead(call("a", Act(halt=halt), writes=False))
            await until(halt.reached.is_set)
            crew.pool.lose(broken())
            assert ahead.is_answered
            halt.go.set()
        with pytest.raises(SqlError, match="was lost with its only connection"):
            ahead.result()


async def test_one_that_the_pool_s_end_stopped_says_so() -> None:
    async with open_crew() as crew, crew.lease() as lease:
        ahead = Ahead(crew.pool, job := call("a", writes=False), "task")
        job.holder = ahead
        crew.pool.withdraw(job, None)
        ahead.stop()  # nobody interrupts what is withdrawn
        assert lease.state.value == "open"
    ahead = Ahead(crew.pool, call("a", writes=False), "task")
    ahead.stop()
    with pytest.raises(PoolClosed, match="was closed while a ran"):
        ahead.result()


async def test_in_a_forked_child_nothing_is_stopped() -> None:
    crew = Crew(PoolConfig())
    crew.pool.state = State.FORKED
    ahead = Ahead(crew.pool, job := call("a", writes=False), "task")
    ahead.stop()
    assert job.claim
    assert not ahead.is_answered


async def test_a_lost_connection_takes_no_more() -> None:
    async with open_crew() as crew, crew.lease() as lease:
        held = crew.readers.held.pop(lease._worker)
        with pytest.raises(SessionEnded, match="whose connection was lost"):
            lease.send_ahead(call("a", writes=False))
        crew.readers.held[lease._worker] = held
