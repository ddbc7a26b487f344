"""What deserves a look, on trio's mock clock: when a warning comes, and when it is gone."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fake_driver import Act, Halt, broken, call, statement
from tests.pool.house import a_house, ask
from tests.pool.support import Crew
from tests.waiting import until
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.errors import SqlError
from trio_sqlrepo._base.warnings import (
    DegradedSize,
    FewIdleReaders,
    HighErrorRate,
    LongStream,
    PoolWarning,
    ReplacedConnections,
    SlowOperation,
    WalOverLimit,
)
from trio_sqlrepo._pool.ahead import Holding
from trio_sqlrepo._pool.hub import Hub
from trio_sqlrepo._pool.report import describe_pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._pool.wal import WalState
from trio_sqlrepo._worker.thread import Event

QUERIES = [statement("get", 0, writes=False), statement("put", 1)]


class Watched:
    """A pool of puppets, and time that passes for it."""

    def __init__(self, clock: MockClock, **settings: Any) -> None:
        self.clock = clock
        self.crew = Crew(PoolConfig(**settings))
        self.pool = self.crew.pool
        self.pool.statements = QUERIES
        self.writer = self.crew.puppet(self.crew.writers)
        self.reader = self.crew.puppet(self.crew.readers) if self.crew.readers.largest else None
        for worker in (self.writer, self.reader):
            if worker is not None:
                worker.tally.make_room(len(QUERIES))
        self.observer = self.pool.observer

    def warned(self) -> tuple[PoolWarning, ...]:
        return self.observer.warnings()

    def pass_time(self, seconds: float) -> None:
        """As the service does: a look every five seconds."""
        self.observer.look()
        for _ in range(int(seconds / 5)):
            self.clock.jump(5)
            self.observer.look()

    def count(self, number: int, *, calls: int = 0, errors: int = 0) -> None:
        record = self.writer.tally.statements[number]
        record.calls += calls
        record.errors += errors


async def test_where_all_is_well_there_is_none(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    assert watched.warned() == ()
    watched.pass_time(200)
    assert watched.warned() == ()
    assert describe_pool(watched.pool, QUERIES).warnings == ()
    assert repr(watched.observer) == "<Observer of 'test.db', 13 samples>"


async def test_a_pool_that_takes_no_calls_warns_of_nothing(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.crew.readers.degraded = "no more files"
    assert watched.warned()
    watched.pool.state = State.CLOSED
    watched.pass_time(5)
    assert watched.warned() == ()
    assert repr(watched.observer) == "<Observer of 'test.db', 0 samples>"


# -- idle readers ----------------------------------------------------------------------------------


def keep_busy(watched: Watched, busy: int) -> None:
    """Have so many of four readers open and busy, and the others not opened."""
    lane = watched.crew.readers
    while len(lane.workers) < busy:
        watched.crew.puppet(lane)
    while lane.idle:
        lane._rouse()


async def test_readers_busy_for_a_minute(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.pass_time(5)
    keep_busy(watched, 4)
    watched.pass_time(55)
    assert watched.warned() == ()
    watched.pass_time(10)
    assert watched.warned() == (FewIdleReaders(idle=0, readers=4, share=0.2, seconds=60.0),)
    watched.crew.say(watched.crew.readers.workers[0], Event.RESTING)
    assert watched.warned() == ()  # one of four is more than a fifth
    keep_busy(watched, 4)
    assert len(watched.warned()) == 1  # nobody has looked meanwhile
    watched.crew.say(watched.crew.readers.workers[0], Event.RESTING)
    watched.observer.look()
    keep_busy(watched, 4)
    watched.pass_time(55)
    assert watched.warned() == ()
    watched.pass_time(10)
    assert len(watched.warned()) == 1


async def test_busy_from_the_first_look_on(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    keep_busy(watched, 4)
    watched.pass_time(55)
    assert watched.warned() == ()
    mock_clock.jump(5)
    assert [type(each) for each in watched.warned()] == [FewIdleReaders]


async def test_readers_not_opened_yet_are_idle(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    keep_busy(watched, 3)
    watched.pass_time(100)
    assert watched.warned() == ()


async def test_the_share_is_a_setting(mock_clock: MockClock) -> None:
    often = Watched(mock_clock, warning_idle_share=0.5, warning_window=5)
    never = Watched(mock_clock, warning_idle_share=0, warning_window=5)
    keep_busy(often, 3)
    keep_busy(never, 4)
    never.observer.look()
    often.pass_time(5)
    assert often.warned() == (FewIdleReaders(idle=1, readers=4, share=0.5, seconds=5.0),)
    assert never.warned() == ()


async def test_without_readers_there_are_no_idle_ones(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock, min_readers=0, max_readers=0)
    watched.crew.writers._rouse()
    watched.pass_time(100)
    assert watched.warned() == ()


# -- errors ----------------------------------------------------------------------------------------


async def test_errors_above_one_per_cent(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.pass_time(5)
    watched.count(0, calls=199, errors=1)
    watched.count(1, calls=1, errors=1)
    assert watched.warned() == ()  # not above
    watched.count(1, errors=1)
    assert watched.warned() == (HighErrorRate(errors=3, operations=200, seconds=5.0, query="put"),)
    watched.pass_time(55)
    assert watched.warned() == (HighErrorRate(errors=3, operations=200, seconds=60.0, query="put"),)
    watched.count(0, calls=1)
    watched.pass_time(10)
    assert watched.warned() == ()  # longer ago than the window


async def test_one_error_is_no_rate(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.pass_time(5)
    watched.count(0, calls=1, errors=1)
    assert watched.warned() == ()
    watched.count(0, errors=1)  # the thread has not counted the call yet
    assert watched.warned() == (HighErrorRate(errors=2, operations=2, seconds=5.0, query="get"),)


async def test_calls_sent_away_are_errors(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.pass_time(5)
    watched.crew.readers.timeouts += 1
    watched.crew.writers.overloads += 1
    assert watched.warned() == (HighErrorRate(errors=2, operations=2, seconds=5.0, query=None),)


async def test_the_share_of_errors_is_a_setting(mock_clock: MockClock) -> None:
    never = Watched(mock_clock, warning_error_share=1)
    seldom = Watched(mock_clock, warning_error_share=0.5)
    for watched in (never, seldom):
        watched.observer.look()
        watched.count(1, calls=4, errors=2)
        assert watched.warned() == ()
        watched.count(1, errors=2)
    assert never.warned() == ()
    assert [type(each) for each in seldom.warned()] == [HighErrorRate]


async def test_a_worker_that_has_gone_is_counted(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.observer.look()
    watched.count(1, calls=2, errors=2)
    watched.crew.say(watched.writer, Event.ENDED, error=broken())
    assert [type(each) for each in watched.warned()] == [HighErrorRate]


# -- slow operations -------------------------------------------------------------------------------


async def test_a_query_that_took_long(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    record = watched.writer.tally.statements[1]
    record.max_seconds = 30.0
    assert watched.warned() == ()
    record.max_seconds = 31.0
    slow = SlowOperation(operation="put", seconds=31.0, running=False, limit=30.0)
    assert watched.warned() == (slow,)
    watched.pass_time(55)
    assert watched.warned() == (slow,)
    watched.pass_time(5)
    assert watched.warned() == ()
    record.max_seconds = 40.0
    assert [each.as_dict()["seconds"] for each in watched.warned()] == [40.0]


async def test_a_call_that_runs_for_long(mock_clock: MockClock) -> None:
    halt = Halt()
    async with a_house(connection_timeout=10.0) as house, trio.open_nursery() as nursery:
        job = call("export", Act(halt=halt), writes=False)
        ask(nursery, house, job)
        await until(lambda: halt.reached.is_set() and job.worker)
        mock_clock.jump(10)
        assert house.pool.observer.warnings() == ()
        mock_clock.jump(1)
        running = SlowOperation(operation="export", seconds=11.0, running=True, limit=10.0)
        assert house.pool.observer.warnings() == (running,)
        halt.go.set()
        await until(lambda: not house.pool.outstanding)
        ended = SlowOperation(operation="export", seconds=11.0, running=False, limit=10.0)
        assert house.pool.observer.warnings() == (ended,)
        mock_clock.jump(60)
        assert house.pool.observer.warnings() == ()


async def test_a_call_that_waits_is_not_slow(mock_clock: MockClock) -> None:
    crew = Crew(PoolConfig(connection_timeout=10.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crew.read, "waiting")
        await wait_all_tasks_blocked()
        mock_clock.jump(11)
        assert crew.pool.observer.warnings() == ()
        nursery.cancel_scope.cancel()


async def test_of_calls_with_one_name_the_longest_counts(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock, connection_timeout=10.0)
    for number, enqueued in enumerate((0.0, 5.0)):
        job = call("export", writes=False)
        job.worker, job.enqueued, job.sequence = watched.reader, enqueued, number
        watched.pool.outstanding.add(job)
    mock_clock.jump(20)
    (warning,) = watched.warned()
    assert isinstance(warning, SlowOperation)
    assert warning.seconds == 20.0


async def test_of_one_that_ended_the_longest_is_told(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock, connection_timeout=10.0)
    watched.writer.tally.statements[1].max_seconds = 40.0
    job = call("put")
    job.worker = watched.writer
    watched.pool.outstanding.add(job)
    mock_clock.jump(20)
    told = [(each.seconds, each.running) for each in slow_of(watched)]
    watched.pool.outstanding.clear()
    told += [(each.seconds, each.running) for each in slow_of(watched)]
    assert told == [(20.0, True), (40.0, False)]


def slow_of(watched: Watched) -> list[SlowOperation]:
    return [each for each in watched.warned() if isinstance(each, SlowOperation)]


# -- the WAL, replacements, size -------------------------------------------------------------------


async def test_a_wal_that_a_reader_holds(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(mock_clock)
    mock_clock.jump(10)

    def warned(size: int, by: str | None, since: float | None) -> tuple[PoolWarning, ...]:
        state = WalState(size_bytes=size, limit_bytes=100, blocked_by=by, blocked_since=since)
        monkeypatch.setattr(Hub, "wal", property(lambda _: state))
        return watched.warned()

    assert watched.warned() == ()  # there is no governor
    assert warned(100, "reader 1", 3.0) == ()
    assert warned(101, None, None) == ()
    assert warned(101, "reader 1", 3.0) == (
        WalOverLimit(size_bytes=101, limit_bytes=100, blocked_by="reader 1", seconds=7.0),
    )
    assert warned(101, "another process", None) == (
        WalOverLimit(size_bytes=101, limit_bytes=100, blocked_by="another process", seconds=None),
    )


async def test_connections_that_were_replaced(mock_clock: MockClock) -> None:
    async with a_house(warning_error_share=1, health_check_interval=5.0) as house:
        for number in (1, 2):
            with pytest.raises(SqlError, match="on fire"):
                await house.pool.run(call("failing", Act(raises=broken()), writes=False))
            # Its end is heard now, not ten seconds later.
            await until(lambda number=number: len(house.readers.replaced_for) == number)  # type: ignore[misc]
            await house.at_rest()
            mock_clock.jump(10)
        replaced = ReplacedConnections(
            count=2, connection="reader 2", reason="The disk is on fire."
        )
        assert house.pool.observer.warnings() == (replaced,)
        mock_clock.jump(45)
        (one,) = house.pool.observer.warnings()
        assert isinstance(one, ReplacedConnections)
        assert one.count == 1
        mock_clock.jump(10)
        assert house.pool.observer.warnings() == ()


async def test_the_last_that_was_replaced_is_told(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.crew.writers.replaced_for.append((2.0, "writer 1", "later"))
    watched.crew.readers.replaced_for.append((1.0, "reader 1", "earlier"))
    last = ReplacedConnections(count=2, connection="writer 1", reason="later")
    assert watched.warned() == (last,)


async def test_a_stream_that_is_open_for_long(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(mock_clock, warning_stream_age=30.0)
    streams = watched.pool.streams
    second = Holding("export", "later", since=mock_clock.current_time() + 10)
    streams.update([second, Holding("export", "first", since=mock_clock.current_time())])
    watched.pass_time(30)
    assert watched.warned() == ()
    watched.pass_time(5)
    first = LongStream(query="export", task="first", seconds=35.0, limit=30.0)
    assert watched.warned() == (first,)
    assert [each.getMessage() for each in caplog.records] == [f"test.db: {first.message}"]
    watched.pass_time(10)
    assert [each.subject for each in watched.warned()] == ["export of first", "export of later"]
    assert len(caplog.records) == 2  # each once
    streams.discard(second)
    assert [each.subject for each in watched.warned()] == ["export of first"]
    streams.clear()
    assert watched.warned() == ()


async def test_a_lane_that_lacks_connections(mock_clock: MockClock) -> None:
    watched = Watched(mock_clock)
    watched.crew.readers.degraded = "no more files"
    assert watched.warned() == (
        DegradedSize(connections="reader", size=1, most=4, reason="no more files"),
    )


# -- the log ---------------------------------------------------------------------------------------


async def test_a_warning_is_logged_when_it_appears_and_when_it_comes_back(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(mock_clock)
    lane = watched.crew.readers
    lane.degraded = "no more files"
    watched.pass_time(20)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("trio_sqlrepo", "WARNING")
    assert record.getMessage().startswith("test.db: Only 1 of up to 4 reader connections serve")
    lane.degraded = None
    watched.pass_time(5)
    lane.degraded = "no more files"
    watched.pass_time(5)
    assert len(caplog.records) == 2


async def test_each_subject_is_logged(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(mock_clock)
    watched.writer.tally.statements[0].max_seconds = 31.0
    watched.pass_time(5)
    watched.writer.tally.statements[1].max_seconds = 31.0
    watched.pass_time(5)
    assert [each.getMessage().split()[1] for each in caplog.records] == ["get", "put"]


async def test_the_pool_looks_by_itself(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_house(warning_window=12.0) as house:
        house.readers.degraded = "no more files"
        mock_clock.jump(0.9)
        await wait_all_tasks_blocked()
        assert not caplog.records
        mock_clock.jump(0.2)
        await until(lambda: caplog.records)
        house.readers.degraded = None
    assert "house.db: Only 1 of up to 4 reader" in caplog.text
