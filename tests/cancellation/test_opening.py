"""Cancel the opening of a database, its use and its closing at every checkpoint.

Whatever the moment, no thread and no task stays, the file can be opened again at once, each
migration is applied wholly or not at all, and what was acknowledged is there.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.cancellation.stepping import Attempt, Ticker, When, attempt
from tests.notes import pool_threads
from tests.support import read_in_child
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    SqlFunction,
    SQLiteConfig,
    open_database,
    query,
)

MANY = 200
# Both call `tick` in the middle, so that a cancellation can come there.
MIGRATIONS = (
    """CREATE TABLE mark (body TEXT);
    INSERT INTO mark SELECT tick('first'); INSERT INTO mark VALUES ('second')""",
    "INSERT INTO mark SELECT tick('third'); INSERT INTO mark VALUES ('fourth')",
)
SEEDS = ["first", "second", "third", "fourth"]

POOLS = {
    "readers": PoolConfig(min_readers=2, max_readers=2, max_writers=2),
    "one connection": PoolConfig(max_readers=0),
}


class Marks(Repository):
    @query("INSERT INTO mark VALUES (:body)")
    async def put(self, body: str) -> None: ...

    @query("SELECT body FROM mark ORDER BY rowid")
    async def bodies(self) -> list[str]: ...


async def use(path: Path | str, pool: PoolConfig, ticker: Ticker, acknowledged: list[str]) -> None:
    async with open_database(
        path,
        repositories=[Marks],
        migrations=MIGRATIONS,
        pool=pool,
        sqlite=SQLiteConfig(synchronous="off", functions={"tick": SqlFunction(call=ticker)}),
    ) as db:
        await Marks(db).put("used")
        acknowledged.append("used")


async def opened_and_cancelled(
    path: Path | str, pool: str, when: When, at: int
) -> tuple[Attempt, list[str]]:
    acknowledged: list[str] = []
    ticker = Ticker()
    done = await attempt(lambda: use(path, POOLS[pool], ticker, acknowledged), ticker, when, at)
    assert pool_threads() == []
    return done, acknowledged


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("when", When)
async def test_nothing_stays_of_a_cancelled_opening(pool: str, when: When, tmp_path: Path) -> None:
    cancelled = 0
    for at in range(MANY):
        path = tmp_path / f"{at}.db"
        done, acknowledged = await opened_and_cancelled(path, pool, when, at)
        cancelled += done.cancelled
        # Opened again, it has had every migration once, whether now or then.
        again: list[str] = []
        await use(path, POOLS[pool], Ticker(), again)
        async with open_database(path, repositories=[Marks]) as db:
            assert await Marks(db).bodies() == [*SEEDS, *acknowledged, *again]
            assert await db.execute("SELECT number FROM _trio_sqlrepo_migration") == [(1,), (2,)]
        if not done.fired:
            break
    assert not done.fired
    assert not done.cancelled
    assert cancelled > 1


async def test_what_was_acknowledged_is_in_the_file(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for at in range(MANY):
        path = tmp_path / f"{at}.db"
        done, acknowledged = await opened_and_cancelled(path, "readers", When.BLOCKED, at)
        if acknowledged:
            break
    # The first moment at which the write had returned: the block was being left.
    assert acknowledged
    assert not done.cancelled
    assert read_in_child(path, "SELECT body FROM mark")[-1] == ("used",)


@pytest.mark.parametrize("when", When)
async def test_a_database_in_memory(when: When) -> None:
    for at in range(MANY):
        done, acknowledged = await opened_and_cancelled(":memory:", "readers", when, at)
        if not done.fired:
            break
    assert acknowledged == ["used"]


async def test_closing_is_not_cut_short(db_path: Path) -> None:
    """Leaving waits for others, whatever cancels the task that leaves.

    block's task          another task
    ------------          ------------
                          enters a transaction and writes
    leaves the block,
    is cancelled
    drains                commits
    returns
    """
    inside, leaving = trio.Event(), trio.Event()
    config = PoolConfig(drain_timeout=3600)  # it would wait for the other task for so long

    async def other(db: Database) -> None:
        async with db.transaction() as tx:
            await Marks(tx).put("late")
            inside.set()
            await leaving.wait()
            await until(lambda: db.stats().state != "open")  # until the block is being left
            for _ in range(20):
                assert await Marks(tx).bodies() == ["late"]
                assert db.stats().state == "draining"

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with open_database(
                db_path, repositories=[Marks], migrations=["CREATE TABLE mark (body)"], pool=config
            ) as db:
                nursery.start_soon(other, db)
                await inside.wait()
                leaving.set()
                scope.cancel()
        assert db.stats().state == "closed"
        assert pool_threads() == []
    assert read_in_child(db_path, "SELECT body FROM mark") == [("late",)]
