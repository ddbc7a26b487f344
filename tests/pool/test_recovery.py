"""Connections that fail again and again, and a file in doubt: real threads, scripted engine."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.fake_driver import Act, Halt, broken, call, statement
from tests.pool.house import House, a_house, ask, pass_time
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseReplaced,
    OpenError,
    OutcomeUnknown,
    PoolClosed,
    SessionEnded,
    SqlError,
)
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool import recovery
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._pool.report import describe_pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import Worker

DAMAGED = DatabaseCorrupt("A page is torn.", code=10)  # a code that the scripted engine retires for


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_sqlrepo")


def read(name: str, *acts: Act) -> Job:
    return call(name, *acts, writes=False)


async def fail(house: House, error: BaseException) -> None:
    """A read meets this; its connection will end."""
    with pytest.raises(type(error)):
        await house.pool.run(read("failing", Act(raises=error)))


def replaced(house: House) -> list[str]:
    return [reason for _, _, reason in house.readers.replaced_for]


# -- replacing one connection ----------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for, without the jitter."""
    seconds: list[float] = []

    def spread(pause: float) -> float:
        seconds.append(pause)
        return pause

    monkeypatch.setattr(recovery, "_spread", spread)
    return seconds


async def test_what_fails_is_replaced_at_once_then_later_and_later(
    mock_clock: MockClock, pauses: list[float]
) -> None:
    async with a_house(max_readers=1) as house:
        await fail(house, broken())
        await until(lambda: house.readers.idle)  # trio's clock stands
        for _ in range(2):
            await fail(house, broken())
            await pass_time(mock_clock, 0.01, lambda: house.readers.idle)
            assert house.pool.state is State.OPEN
        assert house.readers.created == 4
        assert pauses == [0.1, 0.2]
        assert replaced(house) == ["The disk is on fire."] * 3


async def test_after_three_in_a_row_the_pool_is_failed_and_comes_back(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_house(max_readers=1) as house:
        for _ in range(4):
            await fail(house, broken())
            await pass_time(mock_clock, 0.01, lambda: house.readers.idle or house.pool.outage)
        assert house.pool.state is State.FAILED
        assert house.readers.created == 4  # the first one, and three in its place
        for job in (call("write"), read("read")):
            with pytest.raises(SqlError, match=r"out of service .*: The disk is on fire") as caught:
                await house.pool.run(job)
            assert caught.value.code == broken().code
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        await house.at_rest()
        assert await house.pool.run(call("write")) == 1
        assert await house.pool.run(read("read")) == 1
        assert house.file.rows == ["write"]
    assert "house.db is out of service: The disk is on fire." in caplog.text
    assert "house.db is in service again" in caplog.text


async def test_where_the_file_is_at_fault_nothing_is_replaced(mock_clock: MockClock) -> None:
    """Though a connection's end is the first that is heard of it."""
    async with a_house(max_readers=1) as house:
        (reader,) = house.readers.workers
        house.supervisor.recovery.ended(reader, DAMAGED)
        assert house.pool.state is State.FAILED
        assert not replaced(house)
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)


async def test_a_fault_that_several_connections_see_is_one(mock_clock: MockClock) -> None:
    async with a_house(min_readers=4, max_readers=4) as house, trio.open_nursery() as nursery:
        halts = [Halt() for _ in range(4)]
        for number, halt in enumerate(halts):
            ask(nursery, house, read(f"{number}", Act(halt=halt, raises=broken())))
            await pass_time(mock_clock, 0.01, halt.reached.is_set)
        await pass_time(mock_clock, 0.01, lambda: trio.current_time() > 1.0)
        for halt in halts:
            halt.go.set()
        await pass_time(mock_clock, 0.01, lambda: len(replaced(house)) == 4)
        await house.at_rest()
        assert house.pool.state is State.OPEN
        assert house.supervisor.recovery._strikes == 1


def _has(pauses: list[float], count: int) -> bool:
    return len(pauses) == count


def _is_replaced(house: House, worker: Worker) -> bool:
    return worker.buried and bool(house.readers.idle)


async def test_a_connection_that_met_a_lack_of_memory_is_replaced() -> None:
    async with a_house(max_readers=1) as house:
        await fail(house, MemoryError())
        await until(lambda: house.readers.idle)
        assert house.readers.created == 2
        assert house.pool.state is State.OPEN


async def test_after_a_calm_while_a_fault_is_the_first_again(mock_clock: MockClock) -> None:
    async with a_house(health_check_interval=10.0, max_readers=1) as house:
        for _ in range(6):
            (worker,) = house.readers.workers
            await fail(house, broken())
            await until(partial(_is_replaced, house, worker))  # at once
            mock_clock.jump(11.0)
        assert house.pool.state is State.OPEN
        assert house.supervisor.recovery._strikes == 1


async def test_a_dirty_connection_is_no_fault() -> None:
    async with a_house() as house:
        for _ in range(6):
            (worker,) = house.readers.workers
            house.driver_of(worker).dirty = "something attached"
            snapshot = Job(Kind.FUNCTION, "reading", writes=False, work=lambda hands: None)
            await house.pool.run(snapshot)
            await until(partial(_is_replaced, house, worker))
        assert house.pool.state is State.OPEN
        assert house.supervisor.recovery._strikes == 0


async def test_a_lane_that_cannot_be_opened_any_more_fails_the_pool(mock_clock: MockClock) -> None:
    """Its only connection is lost, and none can be opened in its place three times."""
    async with a_house() as house:
        house.file.open_errors += [OpenError(f"no {number}") for number in range(5)]
        await fail(house, broken())
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.FAILED)
        assert house.readers.failed == 3
        assert describe_pool(house.pool, [statement("a")]).outage is not None
        with pytest.raises(SqlError, match="no 2"):
            await house.pool.run(read("read"))
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        assert not house.file.open_errors


# -- a file in doubt -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [DAMAGED, DatabaseReplaced("another file")])
async def test_a_file_in_doubt_stops_everything_at_once(
    mock_clock: MockClock, error: Exception
) -> None:
    async with a_house(max_readers=1) as house, trio.open_nursery() as nursery:
        writing = Halt()
        late = ask(nursery, house, call("late", Act(adds=("late",), halt=writing)))
        await until(writing.reached.is_set)
        queued = ask(nursery, house, call("queued"))
        await until(lambda: house.writers.waiting == 1)
        (worker,) = house.readers.workers
        if isinstance(error, DatabaseReplaced):
            house.driver_of(worker).begin_errors.append(error)
            job = Job(Kind.FUNCTION, "reading", writes=False, work=lambda hands: None)
        else:
            job = read("failing", Act(raises=error))
        with pytest.raises(type(error)):
            await house.pool.run(job)
        assert house.pool.state is State.FAILED  # before the caller could do anything
        for answer in (late, queued):
            await answer.given.wait()
            assert type(answer.error) is type(error)
            assert "nothing of this call was applied" in str(answer.error)
        writing.go.set()
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        assert house.suspicions[-1] is error
        assert house.file.rows == []
        assert house.writers.waiting == 0
        await house.at_rest()
        assert await house.pool.run(call("now")) == 1


async def test_who_was_beyond_the_gate_is_told_that_nobody_knows(mock_clock: MockClock) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        reached.set()
        assert let_go.wait(PATIENCE)

    async with a_house() as house, trio.open_nursery() as nursery:
        (worker,) = house.writers.workers
        house.driver_of(worker).during_commit = hang
        answer = ask(nursery, house, call("committing"))
        await until(reached.is_set)
        await fail(house, DAMAGED)
        await answer.given.wait()
        assert isinstance(answer.error, OutcomeUnknown)
        let_go.set()
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        assert house.file.rows == ["committing"]


@pytest.mark.parametrize("is_damaged", [True, False])
async def test_a_commit_that_finds_damage_stops_everything_too(*, is_damaged: bool) -> None:
    error = OutcomeUnknown("half-way", code=11 if is_damaged else 10)
    error.is_damaged = is_damaged
    async with a_house() as house:
        (worker,) = house.writers.workers
        house.driver_of(worker).commit_errors.append(error)
        with pytest.raises(OutcomeUnknown):
            await house.pool.run(call("write"))
        assert house.pool.state is (State.FAILED if is_damaged else State.OPEN)


async def test_what_had_ended_before_is_told_as_it_was() -> None:
    """The answer of a write lies in the outbox behind the message that brings the fault."""
    async with a_house() as house, trio.open_nursery() as nursery:
        posted = house.pool.post
        kept: list[Any] = []
        for worker in (*house.readers.workers, *house.writers.workers):
            worker._post = kept.append
        write = ask(nursery, house, call("write"))
        failing = ask(nursery, house, read("failing", Act(raises=DAMAGED)))
        await until(lambda: any(message.error for message in kept))
        await until(lambda: any(message.jobs for message in kept if message.worker.inbox.serial))
        for worker in (*house.readers.workers, *house.writers.workers):
            worker._post = posted
        kept.sort(key=lambda message: message.worker.inbox.serial)
        for message in kept:
            posted(message)
        await write.given.wait()
        await failing.given.wait()
        assert write.value == 1
        assert failing.error is DAMAGED
        assert house.pool.state is State.FAILED


async def test_an_open_snapshot_does_not_outlive_the_connections(mock_clock: MockClock) -> None:
    async with a_house() as house:
        lease = await Lease.acquire(house.pool, "Snapshot", writes=False)
        with pytest.raises(DatabaseCorrupt):
            await house.pool.run(call("failing", Act(raises=DAMAGED)))
        with pytest.raises(DatabaseCorrupt):
            await lease.run(read("in the snapshot"))
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        with pytest.raises(SessionEnded, match="connection was lost"):
            await lease.run(read("in the snapshot"))


async def test_the_file_is_looked_at_again_and_again(
    mock_clock: MockClock, pauses: list[float]
) -> None:
    async with a_house() as house:
        house.file.open_errors += [DatabaseCorrupt("still torn", code=10) for _ in range(8)]
        await fail(house, DAMAGED)
        for turn in range(8):
            await until(partial(_has, pauses, turn + 1))
            assert house.pool.outage is not None
            assert house.pool.outage.attempts == turn
            assert turn == 0 or str(house.pool.outage.latest) == "still torn"
            mock_clock.jump(pauses[-1])
        await until(lambda: len(pauses) == 9)
        assert house.pool.state is State.FAILED
        mock_clock.jump(1.0)
        await until(lambda: house.pool.state is State.OPEN)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]


async def test_a_look_that_takes_long_is_taken_less_often(
    mock_clock: MockClock, pauses: list[float]
) -> None:
    def slow(worker: object) -> None:
        trio.from_thread.run_sync(mock_clock.jump, 3.0)

    async with a_house() as house:
        house.file.open_errors.append(DatabaseCorrupt("still torn", code=10))
        house.before_open = slow
        await fail(house, DAMAGED)
        await until(lambda: pauses)
        mock_clock.jump(pauses[0])
        await until(lambda: len(pauses) == 2)
        assert pauses[1] == 30.0


async def test_an_attempt_can_be_asked_for(mock_clock: MockClock) -> None:
    async with a_house() as house:
        await house.pool.attempt()  # nothing to do
        await fail(house, DAMAGED)
        await house.pool.attempt()  # trio's clock stands
        assert house.pool.state is State.OPEN
        assert trio.current_time() < 0.05


async def test_where_service_fails_again_at_once_it_comes_back_less_soon(
    mock_clock: MockClock, pauses: list[float]
) -> None:
    async with a_house(max_readers=1) as house:
        for _ in range(10):
            await fail(house, broken())
            await pass_time(
                mock_clock, 0.01, lambda: house.pool.state is State.OPEN and house.readers.idle
            )
    assert pauses == [0.1, 0.2, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_pause_is_spread_so_that_not_all_come_at_once() -> None:
    seconds = [recovery._spread(1.0) for _ in range(100)]
    assert 1.0 <= min(seconds) < max(seconds) <= 2.0


async def test_a_bug_in_an_attempt_stops_the_pool(mock_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug in opening"):
        async with a_house() as house:
            house.file.open_errors.append(ZeroDivisionError("a bug in opening"))
            await fail(house, DAMAGED)
            await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.STOPPED)


@pytest.mark.parametrize("moment", ["at once", "while it opens one"])
async def test_closing_a_failed_pool(moment: str, mock_clock: MockClock) -> None:
    opening, let_go = threading.Event(), threading.Event()

    def slow(worker: object) -> None:
        opening.set()
        assert let_go.wait(PATIENCE)

    async with a_house() as house:
        await fail(house, DAMAGED)
        if moment != "at once":
            house.before_open = slow
            await pass_time(mock_clock, 0.01, opening.is_set)
        let_go.set()
    assert house.pool.state is State.CLOSED
    with pytest.raises(PoolClosed):
        raise house.pool.refusal()
    assert house.file.open_connections == 0


async def test_no_descriptor_for_an_attempt(mock_clock: MockClock) -> None:
    async with a_house() as house:
        house.make_errors.append(OSError(24, "Too many open files"))
        await fail(house, DAMAGED)
        await pass_time(mock_clock, 0.01, lambda: house.pool.outage and house.pool.outage.latest)
        assert "No descriptor is left" in str(house.pool.outage and house.pool.outage.latest)
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)


def test_its_state_in_a_line() -> None:
    async def look() -> str:
        async with a_house() as house:
            return repr(house.supervisor.recovery)

    assert trio.run(look) == "<Recovery 0 in a row, None>"


async def test_a_connection_that_is_given_up_while_it_is_opened_is_tried_again_later(
    mock_clock: MockClock,
) -> None:
    async with a_house() as house:
        house.supervisor.recovery.not_opened(house.readers, None)
        assert house.readers.degraded == "a reader connection could not be opened"
        await pass_time(mock_clock, 0.05, lambda: len(house.readers.workers) == 2)


async def test_a_second_fault_finds_the_pool_failed_already(mock_clock: MockClock) -> None:
    async with a_house() as house:
        first, second = (DatabaseCorrupt(text, code=11) for text in ("torn", "torn as well"))
        house.supervisor.recovery.fault(first)
        house.supervisor.recovery.fault(second)
        assert house.pool.outage is not None
        assert house.pool.outage.cause is first
        await pass_time(mock_clock, 0.05, lambda: house.pool.state is State.OPEN)
        assert await house.pool.run(call("read", writes=False)) == 1
