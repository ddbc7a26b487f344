"""What ends a row stream in the middle: the disk, damage, a dead connection, a stuck thread."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest
import trio

from tests.streams import ROWS, Numbers, Ticker, assert_given_back, open_numbers
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DatabaseCorrupt,
    PoolConfig,
    Repository,
    RowStream,
    SessionEnded,
    SqlError,
    SqlFunction,
    SQLiteConfig,
    SqlRepoError,
    query,
)
from trio_sqlrepo.testing.disk import FaultyDisk, FileKind, Operation
from trio_sqlrepo.testing.faults import Fault, Faults, open_database_with

BIG = 3_000  # rows of half a page: more than a connection keeps in memory


class Filling(Repository):
    @query("WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 3000)"
           " INSERT INTO number SELECT n + 1000, printf('%.*c', 2000, 'x') FROM c")  # fmt: skip
    async def fill(self) -> None: ...

    @query("SELECT n, length(body) FROM number ORDER BY n")
    def lengths(self) -> RowStream[tuple[int, int]]: ...


async def count_rows(db: Database) -> int:
    async with Filling(db).lengths() as rows:
        return len([row async for row in rows])


async def make_big(path: Path) -> None:
    """A file whose pages are all in the database itself, as its only connection has closed."""
    async with open_numbers(path, Filling) as db:
        await Filling(db).fill()


@pytest.mark.parametrize("early", [False, True])
async def test_an_error_of_the_disk_ends_it_and_its_connection(early: bool, db_path: Path) -> None:
    """`early`: the block is left before the error, which was met reading ahead, is told."""
    await make_big(db_path)
    seen = 0
    with FaultyDisk() as disk:
        async with open_numbers(db_path, Filling, vfs=disk.name, cache_size=0) as db:
            async with Filling(db).lengths() as rows:
                seen = len(await anext(rows.chunks()))
                await until(lambda: not db._pool.outstanding)
                fault = disk.arm(Operation.READ, kind=FileKind.DATABASE)
                if early:
                    while not fault.fired:
                        seen += len(await anext(rows.chunks()))
                        await until(lambda: not db._pool.outstanding)
                else:
                    with pytest.raises(SqlError) as caught:
                        async for _ in rows:
                            seen += 1
                    assert caught.value.query == "Filling.lengths"
                    assert caught.value.code == apsw.SQLITE_IOERR
                    assert [row async for row in rows] == []
            assert 0 < seen < ROWS + BIG
            await until(lambda: db.stats().readers.replaced)
            assert await count_rows(db) == ROWS + BIG
            await assert_given_back(db, replaced=1)


async def test_damage_that_it_meets_stops_the_whole_pool(db_path: Path) -> None:
    await make_big(db_path)
    with FaultyDisk() as disk:
        async with open_numbers(db_path, Filling, vfs=disk.name, cache_size=0) as db:
            with pytest.raises(DatabaseCorrupt):
                async with Filling(db).lengths() as rows:
                    await anext(rows)
                    disk.arm(Operation.READ, kind=FileKind.DATABASE, code=apsw.SQLITE_CORRUPT)
                    async for _ in rows:
                        pass
            assert db.stats().state == "failed"
            assert not db._pool.streams
            await until(lambda: db.stats().state == "open")  # it was the disk's mood
            assert await count_rows(db) == ROWS + BIG


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_reader_that_dies_ends_it(nth: int, db_path: Path) -> None:
    """As it opens, and in its first and second fetch."""
    async with open_numbers(db_path) as db:
        assert await Numbers(db).count() == ROWS
    faults = Faults(Fault("death", at="run", nth=nth, query="Numbers.above"))
    sqlite = SQLiteConfig(functions={"tick": SqlFunction(call=Ticker())})
    async with open_database_with(faults, db_path, repositories=[Numbers], sqlite=sqlite) as db:
        seen = 0
        with pytest.raises(MemoryError):
            async with Numbers(db).above(1) as rows:
                async for _ in rows:
                    seen += 1
        assert seen == (0 if nth < 3 else 64)
        await until(lambda: db.stats().readers.replaced)
        async with Numbers(db).above(1) as rows:
            assert len([n async for n in rows]) == ROWS
        await assert_given_back(db, replaced=1)
    faults.check()


async def test_whose_reader_has_died_between_two_chunks_says_so(db_path: Path) -> None:
    async with open_numbers(db_path) as db:
        async with Numbers(db).above(1) as rows:
            await anext(rows)
            await until(lambda: not db._pool.outstanding)
            (worker,) = db._pool.readers.workers
            worker.stop()
            await until(lambda: worker.buried)
            seen = 1
            with pytest.raises(
                SessionEnded, match=r"Numbers\.above was called on a transaction, s"
            ):
                async for _ in rows:
                    seen += 1
            assert 64 < seen < ROWS  # what was read ahead is given first
        await assert_given_back(db, replaced=db.stats().readers.replaced)


async def test_a_thread_that_does_not_come_back_is_given_up(db_path: Path) -> None:
    let_go = threading.Event()
    ticker = Ticker(during=lambda: let_go.wait(60))
    pool = PoolConfig(health_check_timeout=0.01)
    async with open_numbers(db_path, ticker=ticker, pool=pool) as db:
        try:
            async with Numbers(db).ticking():
                await until(lambda: ticker.count)
            assert db.stats().readers.replaced == 1
            assert await Numbers(db).count() == ROWS
        finally:
            let_go.set()
        await assert_given_back(db, replaced=1)


async def test_one_of_many_that_fails_disturbs_no_other(db_path: Path) -> None:
    results: list[int] = []

    async def read(db: Database, wrong: int) -> None:
        try:
            async with Numbers(db).with_one_wrong(wrong) as rows:
                results.append(len([n async for n in rows]))
        except SqlRepoError:
            results.append(-1)

    pool = PoolConfig(max_readers=8)
    async with open_numbers(db_path, pool=pool) as db:
        async with trio.open_nursery() as nursery:
            for wrong in range(0, 2 * ROWS, 100):
                nursery.start_soon(read, db, wrong)
        assert sorted(results) == [-1] * 10 + [ROWS] * 10
        await assert_given_back(db)
