"""Another process holds the write lock: calls wait for it, give up, or are cancelled meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import SCHEMA, NewNote, Notes, assert_healthy, open_notes, pool_threads
from tests.processes.support import Child, child
from tests.support import read_in_child
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DatabaseLocked,
    PoolConfig,
    SQLiteConfig,
    open_database,
)

FOR_EVER = 3600.0  # seconds; a test that waits for it hangs


async def in_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("b", "never")


WRITES: dict[str, Callable[[Database], Awaitable[object]]] = {
    "query": lambda db: Notes(db).put("b", "never"),
    "batch": lambda db: Notes(db).put_all([NewNote("b", "never")]),
    "body": lambda db: Notes(db).put_two("b", "never", "never 2"),
    "transaction": in_transaction,
    "execute": lambda db: db.execute("INSERT INTO note (box, body) VALUES ('b', 'never')"),
    "function": lambda db: db.write(lambda c: c.execute("DELETE FROM note").fetchall()),
}
ALL = pytest.mark.parametrize("name", WRITES)


@pytest.fixture
async def path(db_path: Path) -> Path:
    """A database that is there already."""
    async with open_notes(db_path) as db:
        await Notes(db).put("b", "before")
    return db_path


@pytest.fixture
async def other(path: Path) -> AsyncIterator[Child]:
    """Another process, which locks and unlocks as it is told."""
    async with child("hold_lock", path, "IMMEDIATE") as process:
        yield process


@ALL
async def test_after_the_busy_timeout_it_is_refused(name: str, path: Path, other: Child) -> None:
    async with open_notes(path, busy_timeout=0.02) as db:
        await other.ask("lock", "locked")
        with pytest.raises(DatabaseLocked) as caught:
            await WRITES[name](db)
        assert caught.value.code == 5  # SQLITE_BUSY
        assert caught.value.query is not None
        assert "SQLiteConfig.busy_timeout, 0.02 s, is how long" in str(caught.value)
        # Reading goes on, and a connection that waited in vain is as good as before.
        assert await Notes(db).bodies() == ["before"]
        with pytest.raises(DatabaseLocked):
            await WRITES[name](db)
        await other.ask("unlock", "unlocked")
        await assert_healthy(db)
        assert await Notes(db).bodies() == ["before"]


async def test_all_who_waited_as_long_are_refused_together(path: Path, other: Child) -> None:
    refused: list[str] = []
    async with open_notes(path, busy_timeout=0.02) as db:
        await other.ask("lock", "locked")

        async def expect(name: str) -> None:
            with pytest.raises(DatabaseLocked):
                await WRITES[name](db)
            refused.append(name)

        async with trio.open_nursery() as nursery:
            for name in WRITES:
                nursery.start_soon(expect, name)
        assert sorted(refused) == sorted(WRITES)
        await other.ask("unlock", "unlocked")
        await assert_healthy(db)
        assert await Notes(db).bodies() == ["before"]


@ALL
async def test_a_lock_that_ends_in_time_is_waited_for(name: str, path: Path, other: Child) -> None:
    async with open_notes(path, busy_timeout=FOR_EVER) as db:
        await other.ask("lock", "locked")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(WRITES[name], db)
            await until_it_waits(db)
            await other.ask("unlock", "unlocked")
        await assert_healthy(db)
        left = [] if name == "function" else ["before", "never"]
        assert (await Notes(db).bodies())[:2] == left


@ALL
async def test_cancelled_while_it_waits_it_is_free_at_once(
    name: str, path: Path, other: Child
) -> None:
    """The lock is still held when the call has ended: only the cancellation can have ended it."""
    async with open_notes(path, busy_timeout=FOR_EVER) as db:
        await other.ask("lock", "locked")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(WRITES[name], db)
            await until_it_waits(db)
            nursery.cancel_scope.cancel()
        stats = db.stats()
        assert (stats.writers.waiting, stats.writers.leased) == (0, 0)
        assert await Notes(db).bodies() == ["before"]
        await other.ask("unlock", "unlocked")
        await assert_healthy(db)
        assert await Notes(db).bodies() == ["before"]


async def test_of_those_who_wait_only_the_cancelled_go(path: Path, other: Child) -> None:
    async with open_notes(path, busy_timeout=FOR_EVER) as db:
        notes = Notes(db)
        await other.ask("lock", "locked")
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as first, trio.CancelScope():
                async with trio.open_nursery() as cancelled:
                    # The first in the queue, for whom BEGIN waits.
                    cancelled.start_soon(notes.put, "b", "cancelled")
                    await until_it_waits(db)
                    nursery.start_soon(notes.put, "b", "kept")
                    await until(lambda: db.stats().writers.waiting >= 2)
                    first.cancel()
            assert first.cancelled_caught
            assert db.stats().writers.waiting == 1
            await other.ask("unlock", "unlocked")
        assert await notes.bodies() == ["before", "kept"]
        await assert_healthy(db)


async def test_the_end_of_the_block_ends_the_wait(path: Path, other: Child) -> None:
    await other.ask("lock", "locked")
    raised: list[BaseException] = []

    async def put(db: Database) -> None:
        try:
            await Notes(db).put("b", "never")
        except BaseException as error:
            raised.append(error)
            raise

    with pytest.raises(BaseExceptionGroup):
        async with (
            trio.open_nursery() as nursery,
            open_notes(path, pool=PoolConfig(drain_timeout=0), busy_timeout=FOR_EVER) as db,
        ):
            nursery.start_soon(put, db)
            await until_it_waits(db)
    assert [type(error).__name__ for error in raised] == ["PoolClosed"]
    assert pool_threads() == []
    await other.ask("unlock", "unlocked")
    assert read_in_child(path, "SELECT body FROM note") == [("before",)]


async def until_it_waits(db: Database) -> None:
    """Until the writer has tried BEGIN and waits for the lock, with the call still unclaimed."""
    await until(lambda: db.stats().writers.waiting and not db.stats().writers.idle)


# -- opening -------------------------------------------------------------------------------------


async def test_opening_waits_for_the_lock_to_migrate(path: Path, other: Child) -> None:
    await other.ask("lock", "locked")
    with pytest.raises(DatabaseLocked) as caught:
        async with open_more(path, busy_timeout=0.02):
            raise AssertionError
    assert caught.value.__notes__ == ["The lock was wanted to apply migration 0002."]
    assert pool_threads() == []
    await other.ask("unlock", "unlocked")
    async with open_more(path) as db:
        assert await db.execute("SELECT * FROM more") == []


@pytest.mark.parametrize("kind", ["new file", "migration"])
async def test_opening_is_cancelled_at_once(kind: str, path: Path, tmp_path: Path) -> None:
    if kind == "new file":
        path = tmp_path / "new.db"  # it must be switched to WAL, which the other one prevents
    async with child("hold_lock", path, "EXCLUSIVE") as other:
        await other.ask("lock", "locked")
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_when_opening, scope)
                async with open_more(path, busy_timeout=FOR_EVER):
                    raise AssertionError
        assert scope.cancelled_caught
        assert pool_threads() == []
        await other.ask("unlock", "unlocked")
    async with open_more(path) as db:
        assert await db.execute("SELECT * FROM more") == []


async def cancel_when_opening(scope: trio.CancelScope) -> None:
    await until(pool_threads)
    scope.cancel()


def open_more(path: Path, **settings: Any) -> Any:
    """With a migration that is not applied yet."""
    return open_database(
        path,
        migrations=[*SCHEMA, "CREATE TABLE more (x)"],
        sqlite=SQLiteConfig(synchronous="off", **settings),
    )
