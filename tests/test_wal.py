"""The WAL of a whole database: its size by `os.stat`, whom it says to be in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support import read_in_child
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig, Repository, SQLiteConfig, open_database, query
from trio_sqlrepo._pool.wal import WalState
from trio_sqlrepo._worker.thread import NEVER

LIMIT = 4 << 20
SCHEMA = """
CREATE TABLE note (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX by_kind ON note (kind);
"""


class Notes(Repository):
    @query("INSERT INTO note (kind, body) VALUES (abs(random()) % 10, zeroblob(:size))")
    async def add(self, size: int) -> None: ...

    @query("SELECT count(*) FROM note")
    async def count(self) -> int: ...

    @query("SELECT id FROM note WHERE kind = :kind AND id = :id")
    async def find(self, kind: int, id: int) -> int | None: ...


@asynccontextmanager
async def opened(path: Path | str, **settings: Any) -> AsyncIterator[Database]:
    async with open_database(
        path,
        repositories=[Notes],
        migrations=[SCHEMA],
        pool=PoolConfig(**settings),
        sqlite=SQLiteConfig(wal_size_limit=LIMIT, synchronous="off"),
    ) as db:
        yield db


def size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


async def add(db: Database, amount: int) -> None:
    """Write, and let the governor keep pace: the machine's speed is not what is tested."""
    await Notes(db).add(amount)
    await until(lambda: db._pool.writers.checkpoint_at != NEVER)


async def always_a_snapshot(db: Database) -> None:
    """At every moment some reader uses the WAL, though none for long."""
    leaving = AsyncExitStack()
    try:
        while True:
            following = AsyncExitStack()
            snapshot = await following.enter_async_context(db.snapshot())
            leaving, ended = following, leaving
            await ended.aclose()
            await Notes(snapshot).count()
    finally:
        await leaving.aclose()


async def test_readers_that_overlap_do_not_make_it_grow(db_path: Path) -> None:
    largest = 0
    async with opened(db_path) as db, trio.open_nursery() as nursery:
        nursery.start_soon(always_a_snapshot, db)
        for _ in range(3 * LIMIT // 8192):
            await add(db, 8192)
            largest = max(largest, size(db_path))
        assert db._pool.wal.limit_bytes == LIMIT
        assert db._pool.wal.size_bytes == size(db_path)
        nursery.cancel_scope.cancel()
    assert LIMIT // 2 < largest <= LIMIT
    assert read_in_child(db_path, "SELECT count(*) FROM note") == [(3 * LIMIT // 8192,)]


async def test_a_snapshot_that_stays_is_named_and_writes_go_on(db_path: Path) -> None:
    async with opened(db_path) as db, trio.open_nursery() as nursery:
        leave = trio.Event()
        holds = trio.Event()

        async def report() -> None:
            async with db.snapshot() as snapshot:
                await Notes(snapshot).count()
                holds.set()
                await leave.wait()

        before = trio.current_time()
        nursery.start_soon(report, name="the report")
        await holds.wait()
        after = trio.current_time()
        notes = Notes(db)
        while size(db_path) <= LIMIT:
            await notes.add(8192)
        await until(lambda: db._pool.wal.blocked_by)
        wal = db._pool.wal
        assert wal.blocked_by is not None
        assert wal.blocked_by.endswith("of task 'the report'")
        assert wal.blocked_since is not None
        assert before <= wal.blocked_since <= after
        assert wal.size_bytes > LIMIT
        leave.set()
        await until(lambda: db._pool.wal == WalState(limit_bytes=LIMIT))


async def test_a_transaction_larger_than_the_limit_is_gone_after_it(db_path: Path) -> None:
    async with opened(db_path) as db:
        await Notes(db).add(2 * LIMIT)
        await until(lambda: size(db_path) == 0)


async def test_so_is_vacuum(db_path: Path) -> None:
    async with opened(db_path) as db:
        for _ in range(8):
            await Notes(db).add(LIMIT // 4)
        await db.execute("VACUUM")  # which writes the whole database to the WAL
        await until(lambda: size(db_path) == 0)
        assert await Notes(db).count() == 8


@pytest.mark.parametrize("readers", [0, 4])
async def test_with_one_connection_for_all(db_path: Path, readers: int) -> None:
    async with opened(db_path, max_readers=readers, min_readers=0) as db:
        for _ in range(2 * LIMIT // 65536):
            await add(db, 65536)
            await Notes(db).count()
            assert size(db_path) <= LIMIT


async def test_in_memory_there_is_nothing_to_keep_short() -> None:
    async with opened(":memory:") as db:
        await Notes(db).add(2 * LIMIT)
        assert db._pool.wal == WalState()
        assert len(db._pool.lanes) == 1


async def test_statistics_come_by_themselves_and_calls_go_on(db_path: Path) -> None:
    async with opened(db_path, health_check_interval=0.01) as db:
        notes = Notes(db)
        async with db.transaction() as tx:
            for _ in range(3000):
                await Notes(tx).add(1)
        found = [await notes.find(kind, 7) for kind in range(10)]
        statistics = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"
        while await db.execute(statistics) != [(1,)]:
            await trio.lowlevel.checkpoint()
        assert await db.execute("SELECT idx FROM sqlite_stat1 WHERE tbl = 'note'") == [("by_kind",)]
        # Each is compiled once more: the writer's at once, a reader's when it is called.
        await until(lambda: db.stats().statements["Notes.add"].precompiled)
        assert [await notes.find(kind, 7) for kind in range(10)] == found
        await notes.add(1)
        assert await notes.count() == 3001
        reader = db._pool.readers.workers[0].driver
        assert reader is not None
        compiled = reader.compilations
        for _ in range(5):
            await notes.find(1, 7)
        assert reader.compilations == compiled
