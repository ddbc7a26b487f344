"""Workers that cannot be opened, that die, that do not come back: real threads, scripted engine."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.fake_driver import (
    Act,
    FakeDriver,
    FakeFile,
    Halt,
    broken,
    call,
    statement,
    working,
)
from tests.pool.house import House, a_house, ask, pass_time
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import (
    DatabaseReplaced,
    InternalError,
    OpenError,
    OutcomeUnknown,
    PoolClosed,
    SqlError,
)
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.report import describe_pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import Event, Worker


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_sqlrepo")


def crashing(house: House) -> Job:
    """A call after which the driver has a bug."""

    def work(hands: Any) -> None:
        def boom() -> None:
            raise ZeroDivisionError("a bug")

        hands.driver.rollback = boom

    return working(Kind.FUNCTION, "crashing", work, writes=False)


def _nothing(worker: Worker) -> None:
    pass


# -- opening ---------------------------------------------------------------------------------------


async def test_what_the_first_connections_meet_is_raised() -> None:
    file = FakeFile()
    file.open_errors.append(OpenError("no such luck"))
    with pytest.RaisesGroup(pytest.RaisesExc(OpenError, match="no such luck")):
        async with a_house(file):
            pass


async def test_a_lack_of_descriptors_at_the_start_is_an_open_error() -> None:
    async with a_house() as house:
        house.make_errors.append(OSError(24, "Too many open files"))
        with pytest.raises(OpenError, match=r"No descriptor is left for a reader connection"):
            await house.supervisor.open(house.readers, 1)


async def test_a_reader_that_cannot_be_opened_on_demand_leaves_the_lane_degraded(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    halt = Halt()
    settings: dict[str, Any] = {"min_readers": 1, "max_readers": 2, "connection_timeout": 100.0}
    async with a_house(**settings) as house, trio.open_nursery() as nursery:
        house.file.open_errors += [OpenError("first"), OpenError("second")]
        slow = ask(nursery, house, call("slow", Act(halt=halt), writes=False))
        await until(halt.reached.is_set)
        quick = ask(nursery, house, call("quick", Act(returns=2), writes=False))
        await pass_time(mock_clock, 0.001, lambda: house.readers.degraded)
        stats = describe_pool(house.pool, [statement("slow")]).readers
        assert (stats.size, stats.failed) == (1, 1)
        assert stats.degraded == "a reader connection could not be opened: first"
        assert "house.db serves with 1 reader connections: a reader connection could" in caplog.text
        # Not before its time, whatever waits.
        failed_at = trio.current_time()
        await pass_time(mock_clock, 0.001, lambda: house.readers.failed == 2)
        assert trio.current_time() - failed_at >= 0.1
        assert house.readers.degraded == "a reader connection could not be opened: second"
        failed_at = trio.current_time()
        await pass_time(mock_clock, 0.001, quick.given.is_set)
        assert trio.current_time() - failed_at >= 0.2
        assert quick.value == 2
        assert house.readers.degraded is None
        assert describe_pool(house.pool, [statement("slow")]).readers.size == 2
        assert "reader connections of house.db can be opened again" in caplog.text
        halt.go.set()
        await slow.given.wait()


async def test_all_lost_readers_come_back_when_one_can_be_opened(mock_clock: MockClock) -> None:
    settings: dict[str, Any] = {"min_readers": 2, "max_readers": 2}
    async with a_house(**settings) as house:
        old = [*house.readers.workers]
        barrier = threading.Barrier(2)
        house.before_open = lambda worker: barrier.wait(PATIENCE)
        house.file.open_errors += [OpenError("no"), OpenError("no")]
        for worker in old:
            house.readers.dismiss(worker)
            worker.wake()
        await until(lambda: house.readers.failed == 2)
        assert house.readers.degraded
        house.before_open = id
        await pass_time(mock_clock, 0.05, lambda: len(house.readers.workers) == 2)
        # The second attempt that was due finds all of them open.
        await pass_time(mock_clock, 0.5, lambda: trio.current_time() > 10.0)
        await house.at_rest()
        assert house.readers.created == 4
        assert house.readers.degraded is None


async def test_a_replacement_without_a_descriptor_degrades_the_lane(
    mock_clock: MockClock,
) -> None:
    async with a_house() as house:
        house.make_errors.append(OSError(24, "Too many open files"))
        failing = call("failing", Act(raises=broken()), writes=False)
        with pytest.raises(SqlError, match="on fire"):
            await house.pool.run(failing)
        await until(lambda: house.readers.degraded)
        assert house.readers.failed == 1
        await pass_time(mock_clock, 0.05, lambda: house.readers.workers)
        assert house.readers.degraded is None
        assert await house.pool.run(call("read", writes=False)) == 1


async def test_a_thread_that_cannot_be_started_is_tried_again(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*arguments: object, **more: object) -> None:
        raise RuntimeError("can't start new thread")

    async with a_house() as house:
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", no_thread)
            with pytest.raises(SqlError):
                await house.pool.run(call("failing", Act(raises=broken()), writes=False))
            await until(lambda: house.readers.degraded)
        assert house.readers.degraded is not None
        assert "can't start new thread" in house.readers.degraded
        await pass_time(mock_clock, 0.05, lambda: house.readers.workers)
        assert await house.pool.run(call("read", writes=False)) == 1


async def test_at_the_start_a_thread_that_cannot_be_started_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def no_thread(*arguments: object, **more: object) -> None:
        raise RuntimeError("can't start new thread")

    async with a_house() as house:
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", no_thread)
            with pytest.raises(RuntimeError, match="can't start"):
                await house.supervisor.open(house.readers, 1)


async def test_a_connection_that_is_being_opened_when_the_block_ends_is_given_up() -> None:
    halt = Halt()

    def stubborn(worker: Worker) -> None:
        halt.reached.set()
        while not worker.stopping:
            halt.go.wait(0.001)
        raise Interrupted("gave up")

    async with a_house(max_readers=2) as house:
        house.before_open = stubborn
        house.supervisor.spawn(house.readers)
        await until(halt.reached.is_set)
    assert house.readers.failed == 1
    assert house.readers.degraded is None
    assert house.file.open_connections == 0


# -- what dies -------------------------------------------------------------------------------------


async def test_a_broken_connection_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with a_house() as house:
        (old,) = house.readers.workers
        with pytest.raises(SqlError, match="on fire"):
            await house.pool.run(call("failing", Act(raises=broken()), writes=False))
        assert await house.pool.run(call("read", writes=False)) == 1
        assert house.readers.workers != [old]
        assert (house.readers.created, house.readers.replaced) == (2, 1)
        assert "reader 1 of house.db is replaced: The disk is on fire." in caplog.text
        ((_, *replaced),) = house.readers.replaced_for
        assert replaced == ["reader 1", "The disk is on fire."]


async def test_a_bug_fails_the_pool_and_the_block_raises_it_as_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        async with a_house() as house:
            with pytest.raises(ZeroDivisionError):
                await house.pool.run(crashing(house))
            assert house.pool.state is State.STOPPED
            for job in (call("write"), call("read", writes=False)):
                with pytest.raises(InternalError, match="because of a bug"):
                    await house.pool.run(job)
    assert "the pool of house.db has stopped" in caplog.text
    assert house.file.open_connections == 0


async def test_a_crash_of_a_service_fails_the_pool_and_answers_what_waits() -> None:
    halt = Halt()

    async def service(pool: object) -> None:
        raise ZeroDivisionError("a bug in a service")

    with pytest.raises(ZeroDivisionError, match="a bug in a service"):
        async with a_house() as house, trio.open_nursery() as nursery:
            running = ask(nursery, house, call("running", Act(halt=halt)))
            await until(halt.reached.is_set)
            queued = ask(nursery, house, call("queued"))
            await until(lambda: house.writers.waiting == 1)
            await house.supervisor._guard(service)
            for answer in (running, queued):
                await answer.given.wait()
                assert isinstance(answer.error, InternalError)
            halt.go.set()
    assert house.file.rows == []  # nobody waits for what it might commit


async def test_a_lost_connection_to_memory_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with a_house(renewable=False, min_readers=0, max_readers=0) as house:
        with pytest.raises(SqlError, match="on fire"):
            await house.pool.run(call("failing", Act(raises=broken())))
        await until(lambda: house.pool.state is State.STOPPED)
        with pytest.raises(SqlError, match="lost with its only connection"):
            await house.pool.run(call("later"))
        house.pool.lose(broken("told once"))
    assert house.pool.failure is None
    assert caplog.text.count("is lost") == 1


async def test_a_replaced_file_found_by_a_new_connection_is_the_end() -> None:
    async with a_house() as house:
        house.file.open_errors.append(DatabaseReplaced("another file"))
        with pytest.raises(SqlError, match="on fire"):
            await house.pool.run(call("failing", Act(raises=broken()), writes=False))
        await until(lambda: house.pool.state is State.FAILED)
        with pytest.raises(DatabaseReplaced, match="another file"):
            await house.pool.run(call("later"))


# -- closing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("committing", [False, True])
async def test_a_wedged_thread_is_abandoned_and_its_call_answered(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture, committing: bool
) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def wedge() -> None:
        reached.set()
        assert let_go.wait(PATIENCE)

    async def wait_in_vain(worker: Worker) -> None:
        await until(lambda: worker.stopping)  # the reader has ended: it had all the time it took
        await pass_time(mock_clock, 0.25, lambda: worker.buried)

    async with trio.open_nursery() as nursery:
        async with a_house() as house:
            (worker,) = house.writers.workers
            if committing:
                house.driver_of(worker).during_commit = wedge
                job = call("wedged")
            else:
                job = call("wedged", Act(adds=("wedged",), during=wedge))
            answer = ask(nursery, house, job)
            await until(reached.is_set)
            nursery.start_soon(wait_in_vain, worker)
        await answer.given.wait()
        assert isinstance(answer.error, OutcomeUnknown if committing else PoolClosed)
        assert "writer 1 of house.db did not end within" in caplog.text
        let_go.set()
        await until(lambda: any(told.event is Event.ENDED for told in house.pool._outbox.copy()))
        house.pool.hear()  # nobody listens to it any more
    assert house.file.rows == (["wedged"] if committing else [])  # the gate is shut
    worker.signal.close()
    house.pool.close_signals()


async def test_a_forked_pool_leaves_its_threads_alone() -> None:
    async with a_house() as house:
        workers = [*house.readers.workers, *house.writers.workers]
        house.pool.state = State.FORKED  # as in the child; here the threads do live
    assert house.file.open_connections == 2
    for worker in workers:
        worker.stop()
    await until(lambda: house.file.open_connections == 0)
    await until(
        lambda: sum(told.event is Event.ENDED for told in house.pool._outbox.copy()) == len(workers)
    )
    for worker in workers:
        worker.signal.close()
    house.pool.close_signals()
    assert all(isinstance(worker.driver, FakeDriver) for worker in workers)


async def test_a_thread_that_has_come_back_is_not_woken_by_closing() -> None:
    """It was given up, and its last message heard, but its task has not run yet."""
    async with trio.open_nursery() as nursery, a_house() as house:
        supervisor = house.supervisor
        ghost = house.make_worker(house.readers, "ghost")
        ghost.buried = True
        ghost.signal.close()
        supervisor._hosts[ghost] = trio.CancelScope()

        async def end_its_task() -> None:
            await until(lambda: house.pool.state is State.CLOSED)
            del supervisor._hosts[ghost]

        nursery.start_soon(end_its_task)
    assert not supervisor._hosts


async def test_a_crash_of_closing_does_not_hang() -> None:
    async def crash(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with a_house() as house:
            workers = *house.readers.workers, *house.writers.workers
            house.supervisor.end = crash  # type: ignore[method-assign, assignment]
    for worker in workers:
        worker.stop()  # or its thread would outlive the test
