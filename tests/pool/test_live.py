"""Who watches what and when it is looked at again: over scripted connections."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.fake_driver import Act, FakeFile, Halt, Play, broken, call, statement
from tests.live import has_item, settled
from tests.pool.house import House, a_house, pass_time
from tests.waiting import PATIENCE, until
from trio_sqlrepo import ChangeFeed, Live, PoolClosed
from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    ForkedProcess,
    OutcomeUnknown,
    SqlError,
    SqlRepoError,
)
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING, Changes, Footprint
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.live import LiveQueries
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._pool.subscription import Subscription, Watcher
from trio_sqlrepo._worker.live import Found, LiveReader, Read
from trio_sqlrepo._worker.thread import Event, Message

READ = statement("watched", writes=False, rows=True)


@asynccontextmanager
async def a_live_house(
    file: FakeFile | None = None, *, own: bool = True, others: bool = False, **settings: Any
) -> AsyncIterator[House]:
    live = LiveQueries(own_connection=own, others=others)
    async with a_house(file, live=live, **settings) as house:
        yield house


def watch(house: House, *acts: Act) -> tuple[Live[Any], Watcher]:
    """Watch a query whose runs give what the acts say."""
    parameters: Any = (Play(*acts),)
    watcher = house.pool.live.watch("a query", lambda view: view.call(READ, parameters))
    return Live._make(watcher), watcher


def gives(*rows: Any, **more: Any) -> Act:
    return Act(returns=[(row,) for row in rows], **more)


async def commit(house: House, changes: Footprint | None = EVERYTHING) -> None:
    for worker in house.writers.workers:
        house.driver_of(worker).changes = changes
    await house.pool.run(call("write"))


# -- looking -------------------------------------------------------------------------------------


async def test_a_commit_is_followed_by_a_look() -> None:
    async with a_live_house() as house:
        values, watcher = watch(house, gives(1), gives(1), gives(2))
        assert await anext(values) == [[1]]
        await commit(house)
        await settled(house.pool)
        assert not has_item(values)
        await commit(house)
        assert await anext(values) == [[2]]
        assert watcher.footprint == EVERYTHING
        assert [type(worker) for worker in house.live_lane.workers] == [LiveReader]


async def test_without_anybody_who_watches_nothing_is_told() -> None:
    async with a_live_house() as house:
        messages: list[Message] = []
        hear = house.pool._hear

        def noting(message: Message) -> None:
            messages.append(message)
            hear(message)

        house.pool._hear = noting  # type: ignore[method-assign]
        await commit(house)
        assert [message.changes for message in messages if message.jobs] == [None]
        feed = house.pool.live.feed("a feed")
        messages.clear()
        await commit(house)
        assert [message.changes for message in messages if message.jobs] == [EVERYTHING]
        house.pool.live.forget(feed)
        assert not house.writers.watched


async def test_what_is_committed_during_a_look_is_looked_at_again() -> None:
    halt = Halt()
    async with a_live_house() as house:
        values, _ = watch(house, gives(1, halt=halt), gives(2))
        await until(halt.reached.is_set)
        await commit(house)
        halt.go.set()
        assert await anext(values) in ([[1]], [[2]])
        await settled(house.pool)
        assert has_item(values)
        assert await anext(values) == [[2]]


async def test_what_a_new_value_rests_on_is_compared_with_what_came_meanwhile() -> None:
    """The index knows it by what it read before."""
    async with a_live_house() as house:
        live = house.pool.live
        watcher = live.watch("a query", lambda view: None)
        await settled(house.pool)
        live._meanwhile = NOTHING  # a look is under way
        before, after = Footprint({"t": None}), Footprint({"u": None})
        live._hear(watcher, made(before, "1"), NOTHING)
        assert not live._dirty
        live.note(after)
        assert live._meanwhile == after
        assert not live._dirty
        live._hear(watcher, made(after, "2"), live._meanwhile)
        assert live._dirty == {watcher: None}
        live._dirty.clear()
        live.note(before)
        assert not live._dirty
        live.note(after)
        assert live._dirty == {watcher: None}
        live._dirty.clear()
        # It was found to be what it is no longer.
        live._hear(watcher, made(after, "3", is_made=False), NOTHING)
        assert live._dirty == {watcher: None}
        live._dirty.clear()
        live._meanwhile = None


def made(footprint: Footprint, stamp: str, *, is_made: bool = True) -> Found:
    return Found((Read("sql", "sql", stamp.encode(), (), footprint),), is_made, stamp)


async def test_a_value_taken_during_the_look_that_finds_the_one_before_again() -> None:
    """A is had, B lies ready and is taken while a look finds A again: A is due, and not made."""
    async with a_live_house() as house:
        watcher = Watcher(house.pool, "a query", lambda view: None)
        values: Live[Any] = Live._make(watcher)
        a, b = made(NOTHING, "A"), made(NOTHING, "B")
        assert watcher.hear(a)
        assert await anext(values) == "A"
        assert watcher.hear(b)
        watched = watcher.as_watched()
        assert watched.known == (b.reads, a.reads)
        assert await anext(values) == "B"
        assert not watcher.hear(made(NOTHING, "A", is_made=False))
        assert not has_item(values)
        assert watcher.hear(a)
        assert await anext(values) == "A"


async def test_after_an_error_nothing_comes() -> None:
    """A look that was under way meets the error again, or finds a value."""
    async with a_live_house() as house:
        watcher = Watcher(house.pool, "a query", lambda view: None)
        values: Live[Any] = Live._make(watcher)
        failed = made(NOTHING, "A")._replace(error=SqlError("no"))
        assert watcher.hear(failed)
        assert watcher.hear(made(NOTHING, "B"))
        with pytest.raises(SqlError):
            await anext(values)
        for late in (failed, made(NOTHING, "B")):
            assert watcher.hear(late)
            with pytest.raises(StopAsyncIteration):
                await anext(values)


async def test_what_is_left_meanwhile_is_forgotten() -> None:
    halt = Halt()
    async with a_live_house() as house:
        live = house.pool.live
        _, watcher = watch(house, gives(1, halt=halt))
        other, _ = watch(house, gives(2))
        await until(halt.reached.is_set)
        live.forget(watcher)
        halt.go.set()
        assert await anext(other) == [[2]]
        assert list(live._watchers) == [other._subscription]
        live.forget(other._subscription)
        assert not live._of_everything
        assert not live._of_table


async def test_what_has_failed_is_not_looked_at_again() -> None:
    async with a_live_house() as house:
        error = SqlError("The query is wrong.", code=1)
        values, _ = watch(house, gives(1), Act(raises=error), gives(3))
        assert await anext(values) == [[1]]
        await commit(house)
        with pytest.raises(SqlError, match="is wrong"):
            await anext(values)
        await commit(house)
        await settled(house.pool)
        with pytest.raises(StopAsyncIteration):
            await anext(values)


async def test_on_the_writer_s_connection_where_it_is_the_only_one() -> None:
    async with a_live_house(own=False, max_readers=0, min_readers=0) as house:
        assert house.pool.readers is house.pool.writers
        values, _ = watch(house, gives(1), gives(2))
        assert await anext(values) == [[1]]
        await commit(house)
        assert await anext(values) == [[2]]


# -- connections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [broken(), MemoryError(), DatabaseLocked("locked")])
async def test_a_connection_that_fails_ends_nobody(error: Exception) -> None:
    async with a_live_house() as house:
        values, _ = watch(house, gives(1), Act(raises=error), gives(2))
        assert await anext(values) == [[1]]
        await commit(house)
        assert await anext(values) == [[2]]
        renewed = not isinstance(error, DatabaseLocked)
        assert house.live_lane.created == 1 + renewed
        assert house.live_lane.replaced == renewed
        assert house.pool.state is State.OPEN
        assert house.supervisor.recovery._strikes == 0


async def test_a_look_that_fails_again_and_again_is_tried_less_and_less(
    mock_clock: MockClock,
) -> None:
    async with a_live_house() as house:
        locked = Act(raises=DatabaseLocked("locked"))
        values, _ = watch(house, *[locked] * 4, gives(1))
        await until(lambda: house.pool.live._failures == 1)
        assert trio.current_time() == 0.0  # the first time at once
        await pass_time(mock_clock, 0.1, lambda: has_item(values))
        assert await anext(values) == [[1]]
        assert house.pool.live._failures == 0


def test_the_pauses_between_looks_that_fail() -> None:
    live = LiveQueries(own_connection=True, others=True)
    pauses = []
    for live._failures in (0, 1, 2, 6, 7, 5000):
        pauses.append(live._pause())
    assert pauses == [0.0, 0.1, 0.2, 3.2, 5.0, 5.0]


async def test_a_connection_that_cannot_be_opened_is_waited_for(mock_clock: MockClock) -> None:
    async with a_live_house() as house:
        house.file.open_errors.extend([SqlError("no descriptor"), SqlError("no descriptor")])
        values, _ = watch(house, gives(1))
        await pass_time(mock_clock, 0.1, lambda: has_item(values))
        assert await anext(values) == [[1]]
        assert house.pool.state is State.OPEN


async def test_a_connection_that_leaves_is_followed_by_another() -> None:
    async with a_live_house() as house:
        values, _ = watch(house, gives(1), gives(2))
        assert await anext(values) == [[1]]
        (worker,) = house.live_lane.workers
        await until(lambda: worker in house.live_lane.idle)
        house.live_lane.dismiss(worker)
        await commit(house)  # while it is leaving
        worker.wake()
        assert await anext(values) == [[2]]
        assert house.live_lane.created == 2


async def test_it_is_closed_when_nobody_needs_it(mock_clock: MockClock) -> None:
    async with a_live_house(max_idle=10.0) as house:
        values, watcher = watch(house, gives(1))
        await anext(values)
        house.pool.live.forget(watcher)
        await pass_time(mock_clock, 5.0, lambda: not house.live_lane.workers)


async def test_who_watches_waits_out_an_outage(mock_clock: MockClock) -> None:
    async with a_live_house() as house:
        values, _ = watch(house, gives(1), gives(2))
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        assert await anext(values) == [[1]]
        house.pool.on_fault(DatabaseCorrupt("damaged"))
        house.pool.live.doubt()
        assert await anext(feed) == Changes(everything=True)
        await until(lambda: not house.pool.live._alarm.armed)
        assert house.pool.state is State.FAILED
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        assert await anext(values) == [[2]]
        assert await anext(feed) == Changes(everything=True)


async def test_a_bug_ends_it(mock_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with a_live_house() as house, trio.open_nursery() as nursery:
            values, _ = watch(house, gives(1))
            await anext(values)

            async def wait() -> None:
                with pytest.raises(SqlRepoError, match="a bug in trio_sqlrepo"):
                    await anext(values)

            nursery.start_soon(wait)
            await until(lambda: values._subscription._taken_by)
            house.pool.fail(ZeroDivisionError())


async def test_in_a_forked_child_nothing_comes() -> None:
    async with a_live_house() as house:
        values, _ = watch(house, gives(1))
        await settled(house.pool)
        house.pool.state = State.FORKED
        with pytest.raises(ForkedProcess):
            await anext(values)
        house.pool.state = State.OPEN


async def test_closing_interrupts_the_look(mock_clock: MockClock) -> None:
    halt = Halt()
    async with a_live_house() as house:
        values, _ = watch(house, gives(1, halt=halt))
        await until(halt.reached.is_set)
    with pytest.raises(PoolClosed):
        await anext(values)
    assert house.file.open_connections == 0


# -- what was committed --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OutcomeUnknown("half-way"), broken()])
async def test_a_writer_that_ends_by_an_error_may_have_committed(error: SqlRepoError) -> None:
    async with a_live_house() as house:
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        (worker,) = house.writers.workers
        house.driver_of(worker).commit_errors.append(error)
        with pytest.raises(SqlRepoError):
            await house.pool.run(call("write"))
        assert await anext(feed) == Changes(everything=True)


async def test_a_writer_that_is_renewed_has_told_all(mock_clock: MockClock) -> None:
    async with a_live_house(max_lifetime=10.0) as house:
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        (worker,) = house.writers.workers
        await pass_time(mock_clock, 1.0, lambda: house.writers.workers not in ([], [worker]))
        assert not has_item(feed)


async def test_a_writer_that_was_given_up_may_commit_later() -> None:
    async with a_live_house() as house:
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        (worker,) = house.writers.workers
        told = Footprint({"t": None})
        worker.buried = True
        house.pool.post(Message(worker, [], Event.NEWS, 0, None, told))
        assert await anext(feed) == Changes(tables={"t": None})
        worker.buried = False


async def test_commits_that_are_told_together_are_put_together() -> None:
    async with a_live_house() as house:
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        (worker,) = house.writers.workers
        driver = house.driver_of(worker)
        for table in ("t", "u"):
            driver.changes = Footprint({table: None})
            worker._note_changes()  # type: ignore[attr-defined]  # a writer's
        driver.changes = None
        worker._note_changes()  # type: ignore[attr-defined]
        await house.pool.run(call("write"))
        assert await anext(feed) == Changes(tables={"t": None, "u": None})


async def test_upkeep_that_writes_is_told_as_well() -> None:
    async with a_live_house() as house:
        feed = ChangeFeed._make(house.pool.live.feed("a feed"))
        house.driver_of(house.writers.workers[0]).changes = EVERYTHING
        job = Job(Kind.UPKEEP, "upkeep", writes=True, work=lambda hands: None)
        await run_on(house.pool, house.writers, job)
        assert await anext(feed) == Changes(everything=True)


# -- other processes -----------------------------------------------------------------------------


async def test_what_kind_of_items_there_are_is_for_each_kind_to_say() -> None:
    async with a_live_house() as house:
        subscription = Subscription(house.pool, "nothing")
        for ask in (subscription._has_item, subscription._next):
            with pytest.raises(NotImplementedError):
                ask()


async def test_others_are_asked_for_while_anybody_watches(mock_clock: MockClock) -> None:
    file = FakeFile()
    async with a_live_house(file, others=True, live_poll_interval=2.0) as house:
        live = house.pool.live
        await pass_time(mock_clock, 1.0, lambda: trio.current_time() > 5.0)
        assert live._version is None
        values, watcher = watch(house, gives(1))
        feed = ChangeFeed._make(live.feed("a feed"))
        await pass_time(mock_clock, 1.0, lambda: live._version)
        await settled(house.pool)
        assert not has_item(feed)
        file.data_version = 2
        await pass_time(mock_clock, 1.0, lambda: has_item(feed))
        assert await anext(feed) == Changes(everything=True, elsewhere=True)
        await settled(house.pool)
        assert await anext(values) == [[1]]
        live.forget(watcher)
        live.forget(feed._subscription)
        asked = live._version
        file.data_version = 3
        await pass_time(mock_clock, 1.0, lambda: trio.current_time() > 20.0)
        assert live._version == asked
        live.feed("another")
        assert live._version is None  # what came before does not count


async def test_the_first_number_is_followed_by_a_look() -> None:
    """Others may have committed between the first look and the first question."""
    answer = threading.Event()

    def late() -> int:
        assert answer.wait(PATIENCE)
        return 1

    async with a_live_house(others=True) as house:
        house.driver_of(house.writers.workers[0]).data_version = late  # type: ignore[method-assign]
        values, _ = watch(house, gives(1), gives(2))
        assert await anext(values) == [[1]]
        answer.set()
        assert await anext(values) == [[2]]


async def test_the_number_of_another_connection_says_nothing(mock_clock: MockClock) -> None:
    async with a_live_house(others=True, live_poll_interval=2.0, max_lifetime=10.0) as house:
        live = house.pool.live
        feed = ChangeFeed._make(live.feed("a feed"))
        await pass_time(mock_clock, 1.0, lambda: has_item(feed))
        assert await anext(feed) == Changes(everything=True, elsewhere=True)
        assert live._version != ("writer 1", 1)


async def test_an_answer_that_fails_is_asked_for_again(mock_clock: MockClock) -> None:
    file = FakeFile()
    async with a_live_house(file, others=True, live_poll_interval=2.0) as house:
        del file.data_version
        (worker,) = house.writers.workers
        driver = house.driver_of(worker)
        driver.data_version = partial(fail, DatabaseLocked("locked"))  # type: ignore[method-assign]
        values, _ = watch(house, gives(1))
        assert await anext(values) == [[1]]
        await pass_time(mock_clock, 1.0, lambda: trio.current_time() > 5.0)
        assert house.pool.live._version is None
        driver.data_version = lambda: 7  # type: ignore[method-assign]
        await pass_time(mock_clock, 1.0, lambda: house.pool.live._version)
        house.pool.state = State.FAILED
        await pass_time(mock_clock, 1.0, lambda: trio.current_time() > 20.0)
        house.pool.state = State.OPEN


def fail(error: Exception) -> Any:
    raise error


async def test_nobody_is_asked_where_it_is_turned_off(mock_clock: MockClock) -> None:
    async with a_live_house(others=True, live_poll_interval=float("inf")) as house:
        values, _ = watch(house, gives(1))
        assert await anext(values) == [[1]]
        await pass_time(mock_clock, 1.0, lambda: trio.current_time() > 100.0)
        assert house.pool.live._version is None
