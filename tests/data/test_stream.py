"""Row streams on every kind of session: what they give, hold, refuse, and give back."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.streams import (
    ROWS,
    Number,
    Numbers,
    Ticker,
    assert_given_back,
    open_numbers,
)
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    ForeignAwait,
    MappingError,
    PoolClosed,
    PoolConfig,
    ReentrantUse,
    Repository,
    Rows,
    RowStream,
    SessionEnded,
    SessionError,
    TransactionAborted,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo._worker.stream import MOST_ROWS
from trio_sqlrepo.testing import LeakGuard

ALL = list(range(1, ROWS + 1))


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


@pytest.fixture
async def db(db_path: Path, ticker: Ticker) -> AsyncIterator[Database]:
    async with open_numbers(db_path, ticker=ticker) as database:
        yield database


async def numbers_of(stream: RowStream[int]) -> list[int]:
    async with stream as rows:
        return [n async for n in rows]


# -- what it gives ---------------------------------------------------------------------------------


async def test_all_rows_as_objects_in_order(db: Database) -> None:
    async with LeakGuard(db):
        async with Numbers(db).all() as rows:
            assert type(rows) is Rows
            found = [row async for row in rows]
        assert found == [Number(n, f"body {n}") for n in ALL]
        await assert_given_back(db)


@pytest.mark.parametrize("least", [ROWS + 1, ROWS, ROWS - 62, ROWS - 63, ROWS - 64, 1])
async def test_any_number_of_rows(least: int, db: Database) -> None:
    assert await numbers_of(Numbers(db).above(least)) == ALL[least - 1 :]


async def test_its_calls_and_rows_are_counted(db: Database) -> None:
    await numbers_of(Numbers(db).above(1))
    await numbers_of(Numbers(db).above(501))
    stats = db.stats().statements["Numbers.above"]
    assert (stats.calls, stats.errors, stats.rows) == (2, 0, 1_500)
    assert stats.precompiled


async def test_a_wrong_argument_is_refused_by_the_call(db: Database) -> None:
    wrong: Any = "one"
    with pytest.raises(MappingError, match=r"Numbers\.above: parameter `least`"):
        Numbers(db).above(wrong)


async def test_the_state_is_that_of_entering(db: Database) -> None:
    stream = Numbers(db).above(ROWS)
    await Numbers(db).add(ROWS + 1)  # called before, entered after
    async with stream as rows:
        await Numbers(db).add(ROWS + 2)
        assert [n async for n in rows] == [ROWS, ROWS + 1]


async def test_a_change_of_the_schema_does_not_reach_it(db: Database) -> None:
    async with Numbers(db).all() as rows:
        seen = [await anext(rows)]
        await db.execute("ALTER TABLE number RENAME COLUMN body TO text")
        await db.execute("DELETE FROM number WHERE n > 10")
        await db.execute("DROP TABLE number")
        seen += [row async for row in rows]
    assert seen == [Number(n, f"body {n}") for n in ALL]


async def test_rows_before_one_that_does_not_fit_are_given(db: Database) -> None:
    seen = []
    with pytest.raises(MappingError, match=r"Numbers\.with_one_wrong: column `n`"):
        async with Numbers(db).with_one_wrong(300) as rows:
            async for n in rows:
                seen.append(n)  # noqa: PERF401  # what came before the error is the point
    assert seen == ALL[:299]
    await assert_given_back(db)
    assert await numbers_of(Numbers(db).with_one_wrong(0)) == ALL


async def test_after_an_error_there_is_nothing_more(db: Database) -> None:
    async with Numbers(db).with_one_wrong(1) as rows:
        with pytest.raises(MappingError):
            await anext(rows)
        assert [n async for n in rows] == []
        with pytest.raises(StopAsyncIteration):
            await anext(rows)


async def test_an_error_at_its_start_comes_with_the_first_row(db: Database) -> None:
    await db.execute("DROP TABLE number")
    async with Numbers(db).all() as rows:
        with pytest.raises(Exception, match="no longer fits the schema"):
            await anext(rows)


# -- what it holds ---------------------------------------------------------------------------------


async def test_it_holds_one_reader_and_says_so(db: Database) -> None:
    async with Numbers(db).all() as rows:
        assert db.stats().readers.leased == 1
        (holding,) = db._pool.streams
        assert holding.label == "Numbers.all"
        assert holding.task == trio.lowlevel.current_task().name
        async for _ in rows:
            pass
        assert db.stats().readers.leased == 1  # until the block ends
    await assert_given_back(db)


async def test_it_waits_for_those_that_others_hold(db_path: Path) -> None:
    pool = PoolConfig(max_readers=2, reserved_readers=1)
    entered = False

    async with open_numbers(db_path, pool=pool) as db:

        async def second() -> None:
            nonlocal entered
            async with Numbers(db).all() as rows:
                entered = True
                await anext(rows)

        async with trio.open_nursery() as nursery, Numbers(db).all():
            with pytest.raises(ReentrantUse, match=r"Numbers\.all waits for a reader conn"):
                async with Numbers(db).all():
                    pass
            nursery.start_soon(second)
            await until(lambda: db.stats().readers.waiting == 1)
            assert await Numbers(db).count() == ROWS  # there is one for single calls
            assert not entered
        assert entered
        await assert_given_back(db)


@pytest.mark.parametrize("path", [":memory:", None])
async def test_where_one_connection_serves_all(path: str | None, db_path: Path) -> None:
    async with open_numbers(path or db_path, pool=PoolConfig(max_readers=0)) as db:
        assert len(await numbers_of(Numbers(db).above(1))) == ROWS
        async with Numbers(db).above(1) as rows:
            assert await anext(rows) == 1
            with pytest.raises(ReentrantUse):
                await Numbers(db).add(0)
        await Numbers(db).add(0)
        assert await Numbers(db).move_up(2) == [ROWS, ROWS + 1, ROWS + 2]


async def test_never_more_than_two_chunks_are_read_ahead(db: Database, ticker: Ticker) -> None:
    taken = 0
    async with Numbers(db).ticking() as rows:
        async for chunk in rows.chunks():
            # The next one is read meanwhile, and none beyond it.
            await until(lambda: not db._pool.outstanding)
            taken += len(chunk)
            assert ticker.count <= taken + min(4 * len(chunk), MOST_ROWS) + 1
    assert taken == ticker.count == ROWS


async def test_behind_a_consumer_that_is_much_faster_nothing_is_read_ahead(
    mock_clock: MockClock, db: Database, ticker: Ticker
) -> None:
    """Its work takes no time at all: the clock stands."""
    assert mock_clock.rate == 0
    async with Numbers(db).ticking() as rows:
        chunks = rows.chunks()
        taken = len(await anext(chunks)) + len(await anext(chunks))
        async for chunk in chunks:
            taken += len(chunk)
            assert not db._pool.outstanding
            assert ticker.count == taken
    assert taken == ROWS


async def test_behind_one_that_takes_its_time_it_is(
    mock_clock: MockClock, db: Database, ticker: Ticker
) -> None:
    async with Numbers(db).ticking() as rows:
        chunks = rows.chunks()
        taken = len(await anext(chunks))
        while taken < ROWS - 1:
            mock_clock.jump(1)
            taken += len(await anext(chunks))
            await until(lambda: not db._pool.outstanding)
            assert ticker.count == taken + 1
    assert ticker.count == ROWS


async def test_nothing_is_read_before_the_block(db: Database, ticker: Ticker) -> None:
    stream = Numbers(db).ticking()
    await wait_all_tasks_blocked()
    assert ticker.count == 0
    assert db.stats().readers.leased == 0
    async with stream:
        await until(lambda: ticker.count > 0)


# -- leaving ---------------------------------------------------------------------------------------


class Oops(Exception):
    pass


async def test_leaving_early_gives_it_back_at_once(db: Database) -> None:
    async with LeakGuard(db):
        for rows_taken in range(4):
            async with Numbers(db).all() as rows:
                for _ in range(rows_taken):
                    await anext(rows)
            assert db.stats().readers.leased == 0
        with pytest.raises(Oops):
            async with Numbers(db).all() as rows:
                async for _ in rows:
                    raise Oops
        await assert_given_back(db)


@pytest.mark.parametrize("how", ["leave", "raise", "cancel"])
async def test_what_runs_is_interrupted(how: str, db: Database, ticker: Ticker) -> None:
    """Its first row comes never: only an interrupt can end it."""
    with trio.CancelScope() as scope:
        try:
            async with Numbers(db).endless(1 << 62) as rows:
                await until(lambda: ticker.count)
                if how == "raise":
                    raise Oops
                if how == "cancel":
                    scope.cancel()
                    await anext(rows)
        except Oops:
            assert how == "raise"
    assert scope.cancelled_caught == (how == "cancel")
    await assert_given_back(db)


async def test_a_wait_that_is_cancelled_loses_nothing(db: Database, ticker: Ticker) -> None:
    gate = threading.Event()
    ticker.during = lambda: gate.wait(60)
    async with Numbers(db).ticking() as rows:
        await until(lambda: ticker.count)
        for _ in range(3):
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(rows)
            assert scope.cancelled_caught
        gate.set()
        assert [n async for n in rows] == ALL
    await assert_given_back(db)


async def test_each_chunk_is_a_checkpoint(db: Database) -> None:
    async with Numbers(db).above(1) as rows:
        chunks = rows.chunks()
        taken = 0
        while taken < ROWS:
            await until(lambda: not db._pool.outstanding)  # it is there already
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(chunks)
            assert scope.cancelled_caught
            taken += len(await anext(chunks))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(chunks, None)
        assert scope.cancelled_caught


# -- what is refused -------------------------------------------------------------------------------


async def test_rows_end_with_the_block(db: Database) -> None:
    async with Numbers(db).all() as rows:
        await anext(rows)
    sentence = r"^The `async with` block of Numbers\.all has ended, and its rows with it\."
    for _ in range(2):
        with pytest.raises(SessionEnded, match=sentence):
            await anext(rows)
    with pytest.raises(SessionEnded, match=sentence):
        await anext(rows.chunks())


async def test_two_tasks_do_not_wait_at_once(db: Database, ticker: Ticker) -> None:
    gate = threading.Event()
    ticker.during = lambda: gate.wait(60)
    seen: list[int] = []

    async with Numbers(db).ticking() as rows:

        async def take() -> None:
            seen.append(await anext(rows))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await until(lambda: ticker.count)
            await wait_all_tasks_blocked()
            with pytest.raises(SessionError, match=r"^Two tasks wait for rows of the same Numbers"):
                await anext(rows)
            gate.set()
        seen += [n async for n in rows]
    assert seen == ALL


async def test_whoever_waits_when_the_block_is_left_is_told(db: Database, ticker: Ticker) -> None:
    gate = threading.Event()
    ticker.during = lambda: gate.wait(60)
    told = False

    async def wait(rows: Rows[int]) -> None:
        nonlocal told
        with pytest.raises(SessionEnded, match="has ended, and its rows with it"):
            await anext(rows)
        told = True

    async with trio.open_nursery() as nursery, Numbers(db).ticking() as rows:
        nursery.start_soon(wait, rows)
        await until(lambda: ticker.count)
        await wait_all_tasks_blocked()
        nursery.start_soon(let_go, gate)
    assert told
    await assert_given_back(db)


async def let_go(gate: threading.Event) -> None:
    gate.set()


async def test_in_a_body_the_loop_s_is_refused(db_path: Path) -> None:
    class Held(Repository):
        numbers: Numbers

        @snapshot
        async def through_another(self) -> int:
            async with self.numbers.all() as rows:
                return (await anext(rows)).n

        @snapshot
        async def from_outside(self, rows: Any) -> None:
            await anext(rows)

    async with open_numbers(db_path, Held) as db:
        held = Held(db)
        held.numbers = Numbers(db)
        with pytest.raises(ForeignAwait, match=r"self\.numbers is bound to the Database; in a"):
            await held.through_another()
        async with db.snapshot() as snap:
            held.numbers = Numbers(snap)
            with pytest.raises(ForeignAwait, match=r"self\.numbers is bound to the Snapshot; in"):
                await held.through_another()
        async with Numbers(db).all() as rows:
            with pytest.raises(ForeignAwait):
                await held.from_outside(rows)
        await assert_given_back(db)


# -- snapshots and transactions --------------------------------------------------------------------


async def test_a_snapshot_s_is_of_its_view_on_its_connection(db: Database) -> None:
    async with db.snapshot() as snap:
        await Numbers(db).add(ROWS + 1)
        async with Numbers(snap).above(1) as rows, Numbers(snap).above(ROWS) as same:
            assert db.stats().readers.leased == 1
            assert [n async for n in same] == [ROWS]
            seen = []
            async for n in rows:
                seen.append(n)
                if n % 100 == 0:
                    assert await Numbers(snap).count() == ROWS
        assert seen == ALL
        assert db.stats().readers.leased == 1
        assert await Numbers(snap).total() == sum(ALL)
    await assert_given_back(db)


async def test_a_transaction_s_sees_what_it_wrote(db: Database) -> None:
    async with db.transaction() as tx:
        await Numbers(tx).add(ROWS + 1)
        async with Numbers(tx).above(ROWS) as rows:
            assert [n async for n in rows] == [ROWS, ROWS + 1]
            await Numbers(tx).add(ROWS + 2)
    assert await Numbers(db).count() == ROWS + 2


async def test_a_commit_resets_what_is_half_way(db: Database) -> None:
    """A child that outlives the transaction is told that its rows have ended."""
    stop = trio.Event()

    async def read(numbers: Numbers) -> None:
        async with numbers.all() as rows:
            await anext(rows)
            await stop.wait()
            with pytest.raises(SessionEnded, match=r"Numbers\.all was called on a Transaction"):
                async for _ in rows:
                    pass

    async with LeakGuard(db), trio.open_nursery() as nursery:
        async with db.transaction() as tx:
            await Numbers(tx).add(ROWS + 1)
            nursery.start_soon(read, Numbers(tx))
            await until(lambda: db._pool.streams)
            await wait_all_tasks_blocked()
        assert await Numbers(db).count() == ROWS + 1
        assert await Numbers(db).remove(ROWS + 1) == 1  # nothing stands in its way
        stop.set()
    await assert_given_back(db)


async def test_on_an_ended_session_it_is_refused(db: Database) -> None:
    async with db.transaction() as tx:
        stream = Numbers(tx).all()
        await tx.rollback()
        with pytest.raises(SessionEnded, match=r"Numbers\.all was called on a Transaction that"):
            async with stream:
                pass
    await assert_given_back(db)


async def test_a_rollback_ends_it(db: Database) -> None:
    async with db.transaction() as tx, Numbers(tx).above(1) as rows:
        await anext(rows)
        await tx.rollback()
        with pytest.raises(SessionEnded, match="that has ended"):
            async for _ in rows:
                pass
    await assert_given_back(db)


async def test_leaving_early_leaves_the_transaction_open(db: Database, ticker: Ticker) -> None:
    async with db.transaction() as tx:
        await Numbers(tx).add(ROWS + 1)
        before = ticker.count
        async with Numbers(tx).endless(1 << 62):
            await until(lambda: ticker.count > before)
        await Numbers(tx).add(ROWS + 2)
        async with Numbers(tx).above(ROWS) as rows:
            assert await anext(rows) == ROWS
    assert await Numbers(db).count() == ROWS + 2
    await assert_given_back(db)


@pytest.mark.parametrize("kind", ["snapshot", "transaction"])
async def test_leaving_early_resets_the_statement(kind: str, db: Database) -> None:
    block: Any = db.snapshot() if kind == "snapshot" else db.transaction()
    async with block as session:
        driver: Any = session._lease._worker.driver
        async with Numbers(session).all() as rows:
            await anext(rows)
            await until(lambda: not db._pool.outstanding)
            assert len(driver._streams) == 1
        assert len(driver._streams) == 0
        assert await Numbers(session).count() == ROWS


async def test_entering_is_a_checkpoint(db: Database) -> None:
    async with db.snapshot() as snap:
        for session in (db, snap):
            with trio.CancelScope() as scope:
                scope.cancel()
                async with Numbers(session).all():
                    raise Oops
            assert scope.cancelled_caught
    await assert_given_back(db)


async def test_cancelling_another_call_does_not_end_it(db: Database, ticker: Ticker) -> None:
    """Guarantee 6: an interrupt would hit whatever is half-way on the connection."""

    async def read(numbers: Numbers) -> None:
        async with numbers.endless(1 << 62) as rows:
            await anext(rows)

    async with db.snapshot() as snap, Numbers(snap).above(1) as rows:
        seen = [await anext(rows)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, Numbers(snap))
            await until(lambda: ticker.count)
            nursery.cancel_scope.cancel()
        seen += [n async for n in rows]
        assert seen == ALL
    await assert_given_back(db)


async def test_where_sqlite_ended_the_transaction(db_path: Path) -> None:
    class Strict(Repository):
        @query("INSERT OR ROLLBACK INTO number VALUES (:n, 'again')")
        async def add(self, n: int) -> None: ...

    async with open_numbers(db_path, Strict) as db:
        with pytest.raises(TransactionAborted):
            async with db.transaction() as tx, Numbers(tx).above(1) as rows:
                await anext(rows)
                with pytest.raises(Exception, match="UNIQUE"):
                    await Strict(tx).add(1)
                with pytest.raises(TransactionAborted):
                    async for _ in rows:
                        pass
        await assert_given_back(db)


# -- bodies ----------------------------------------------------------------------------------------


async def test_a_body_reads_it_on_its_thread(db: Database) -> None:
    assert await Numbers(db).total() == sum(ALL)
    assert await Numbers(db).move_up(3) == [ROWS, ROWS + 1, ROWS + 2, ROWS + 3]
    assert await Numbers(db).count() == ROWS
    async with db.transaction() as tx:
        assert len(await Numbers(tx).move_up(9)) > 0
    await assert_given_back(db)


async def test_in_a_body_rows_are_stepped_as_they_are_taken(db_path: Path, ticker: Ticker) -> None:
    class Stepping(Repository):
        @query("SELECT tick(n) FROM number")
        def ticking(self) -> RowStream[int]: ...

        @snapshot
        async def steps(self, taken: int) -> int:
            async with self.ticking() as rows:
                for _ in range(taken):
                    await anext(rows)
                return ticker.count

    async with open_numbers(db_path, Stepping, ticker=ticker) as db:
        assert await Stepping(db).steps(0) <= 2
        ticker.count = 0
        assert 100 <= await Stepping(db).steps(100) <= 120


async def test_in_a_body_errors_and_ends_are_the_same(db_path: Path) -> None:
    class Bodies(Numbers):
        @snapshot
        async def until_the_wrong_one(self, wrong: int) -> tuple[int, str, int]:
            count, text = 0, ""
            async with self.with_one_wrong(wrong) as rows:
                try:
                    async for _ in rows:
                        count += 1
                except MappingError as error:
                    text = str(error)
                return count, text, len([n async for n in rows])

        @transaction
        async def after_its_block(self) -> None:
            async with self.all() as rows:
                await anext(rows)
            await anext(rows)

        @snapshot
        async def left_open(self) -> Any:
            stream = self.all()
            rows = await stream.__aenter__()
            await anext(rows)
            return stream, rows

    async with open_numbers(db_path, Bodies) as db:
        count, text, more = await Bodies(db).until_the_wrong_one(500)
        assert (count, more) == (499, 0)
        assert "column `n`" in text
        with pytest.raises(SessionEnded, match=r"block of Bodies\.all has ended"):
            await Bodies(db).after_its_block()
        stream, rows = await Bodies(db).left_open()
        assert repr(stream._feed) == "<BodyFeed of Bodies.all>"
        with pytest.raises(SessionEnded, match=r"left_open has ended"):
            async for _ in rows:
                pass
        await assert_given_back(db)


async def test_a_cancelled_body_ends_in_the_middle_of_it(db_path: Path, ticker: Ticker) -> None:
    class Long(Repository):
        @query("WITH RECURSIVE c(n) AS (SELECT tick(0) UNION ALL SELECT n + 1 FROM c)"
               " SELECT n FROM c WHERE n > :after")  # fmt: skip
        def endless(self, after: int) -> RowStream[int]: ...

        @snapshot
        async def read(self, after: int) -> None:
            async with self.endless(after) as rows:
                async for _ in rows:
                    pass

    async with open_numbers(db_path, Long, ticker=ticker) as db:
        for after in (-1, 1 << 62):  # in Python, and in SQLite
            ticker.count = 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Long(db).read, after)
                await until(lambda: ticker.count)
                nursery.cancel_scope.cancel()
            await assert_given_back(db)


# -- the end ---------------------------------------------------------------------------------------


async def test_the_pool_s_end_ends_it(db_path: Path, ticker: Ticker) -> None:
    told = False

    async def read(db: Database) -> None:
        nonlocal told
        async with Numbers(db).endless(1 << 62) as rows:
            with pytest.raises(PoolClosed):
                await anext(rows)
            told = True

    with LeakGuard():
        async with trio.open_nursery() as nursery:
            pool = PoolConfig(drain_timeout=0)
            async with open_numbers(db_path, ticker=ticker, pool=pool) as db:
                nursery.start_soon(read, db)
                await until(lambda: ticker.count)
        assert told


async def test_what_was_read_ahead_when_the_pool_ends_is_given_first(db_path: Path) -> None:
    seen: list[int] = []

    async def read(db: Database, ended: trio.Event, entered: trio.Event) -> None:
        async with Numbers(db).above(1) as rows:
            seen.append(await anext(rows))
            await until(lambda: not db._pool.outstanding)
            entered.set()
            await ended.wait()
            with pytest.raises(PoolClosed):
                async for n in rows:
                    seen.append(n)  # noqa: PERF401  # as above

    async with trio.open_nursery() as nursery:
        ended, entered = trio.Event(), trio.Event()
        pool = PoolConfig(drain_timeout=0)
        async with open_numbers(db_path, pool=pool) as db:
            nursery.start_soon(read, db, ended, entered)
            await entered.wait()
        ended.set()
    assert 64 < len(seen) < ROWS
    assert seen == ALL[: len(seen)]


async def test_repr_tells_its_state(db: Database) -> None:
    stream = Numbers(db).all()
    assert repr(stream._feed) == "<OwnFeed of Numbers.all, nothing under way>"
    async with stream:
        assert repr(stream._feed).startswith("<OwnFeed of Numbers.all, <Ahead Numbers.all ")
