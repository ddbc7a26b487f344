"""Guarantee 3: a read sees one committed state, fixed when it is entered, and writes nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.guarantees.support import bodies_in
from tests.notes import NewNote, Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolConfig,
    ReadOnlySession,
    Repository,
    SqlFunction,
    SqlRepoError,
    query,
    snapshot,
)


class Audit(Repository):
    @query("SELECT count(*) FROM note")
    async def count(self) -> int: ...

    @query("SELECT pause()")
    async def pause(self) -> int: ...

    @snapshot
    async def count_around(self) -> tuple[int, int]:
        before = await self.count()
        await self.pause()
        return before, await self.count()


class Pause:
    """A SQL function that waits for a write made meanwhile."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self) -> int:
        self.entered.set()
        assert self.leave.wait(60)
        return 1


async def write_meanwhile(db: Database, pause: Pause) -> None:
    await until(pause.entered.is_set)
    await Notes(db).put("", "meanwhile")
    pause.leave.set()


async def test_a_snapshot_body_sees_one_state(db_path: Path) -> None:
    pause = Pause()
    functions = {"pause": SqlFunction(call=pause, arguments=0)}
    async with open_notes(db_path, Audit, functions=functions) as db:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_meanwhile, db, pause)
            assert await Audit(db).count_around() == (0, 0)
        assert await Audit(db).count() == 1
        await assert_healthy(db)


async def test_a_function_sees_one_state(db_path: Path) -> None:
    pause = Pause()

    def read(connection: Any) -> list[int]:
        counts = [connection.execute("SELECT count(*) FROM note").fetchall()[0][0]]
        pause()
        return [*counts, *connection.execute("SELECT count(*) FROM note").fetchall()[0]]

    async with open_notes(db_path) as db:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_meanwhile, db, pause)
            assert await db.read(read) == [0, 0]
        await assert_healthy(db)


async def test_a_snapshot_is_fixed_when_it_is_entered(db_path: Path) -> None:
    """Not at its first query."""
    async with open_notes(db_path) as db:
        notes = Notes(db)
        await notes.put("", "before")
        async with db.snapshot() as snap:
            await notes.put("", "meanwhile")
            assert await Notes(snap).bodies() == ["before"]
            await notes.empty("")
            assert await snap.execute("SELECT body FROM note") == [("before",)]
        assert await notes.bodies() == []
        await assert_healthy(db)


async def test_snapshots_see_whole_transactions(db_path: Path) -> None:
    """While others write two notes at a time, and whole batches, the number is always even."""
    done = trio.Event()

    async def write() -> None:
        for number in range(60):
            if number % 2:
                await notes.put_two("", f"{number}a", f"{number}b")
            else:
                await notes.put_all([NewNote("", f"{number}{n}") for n in range(4)])
        done.set()

    async def look() -> None:
        while not done.is_set():
            once, again = await notes.count_twice()
            assert once == again
            assert once % 2 == 0
            assert await notes.count() % 2 == 0
            async with db.snapshot() as snap:
                counted = await Notes(snap).count()
                assert counted % 2 == 0
                await trio.lowlevel.checkpoint()
                assert await Notes(snap).count() == counted == len(await Notes(snap).bodies())

    async with open_notes(db_path, pool=PoolConfig(min_readers=2)) as db:
        notes = Notes(db)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            for _ in range(4):
                nursery.start_soon(look)
        await assert_healthy(db)


@pytest.mark.parametrize("max_readers", [0, 2])
@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO note (box, body) VALUES ('', 'raw')"],
        ["DELETE FROM counter"],
        ["CREATE TABLE extra (n)"],
        ["CREATE TEMP TABLE extra (n)"],
        ["PRAGMA query_only=OFF", "DELETE FROM counter"],
        ["PRAGMA user_version=7"],
        ["COMMIT", "DELETE FROM counter"],
        ["ATTACH ':memory:' AS other"],
    ],
    ids=lambda statements: statements[0],
)
async def test_a_function_that_reads_cannot_write(
    statements: list[str], max_readers: int, db_path: Path
) -> None:
    def misuse(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement).fetchall()

    async with open_notes(db_path, pool=PoolConfig(max_readers=max_readers)) as db:
        with pytest.raises(SqlRepoError):
            await db.read(misuse)
        assert await Notes(db).counted() == 0
        assert await db.execute("PRAGMA user_version") == [(0,)]
        assert await Notes(db).increment() == 1
    assert await bodies_in(db_path) == []


async def test_a_write_on_a_snapshot_is_refused_before_it_is_queued(db_path: Path) -> None:
    async with open_notes(db_path) as db, db.snapshot() as snap:
        before = db.stats()
        notes = Notes(snap)
        for call in (
            lambda: notes.put("", "x"),
            lambda: notes.add("", "x"),
            lambda: notes.put_all([NewNote("", "x")]),
            lambda: notes.put_two("", "x", "y"),
        ):
            with pytest.raises(ReadOnlySession):
                await call()
        after = db.stats()
        assert after.readers.acquisitions == before.readers.acquisitions
        assert after.writers.acquisitions == before.writers.acquisitions
        assert after.statements == before.statements
        with pytest.raises(SqlRepoError):
            await snap.execute("INSERT INTO note (box, body) VALUES ('', 'x')")
        assert await notes.count() == 0
    assert await bodies_in(db_path) == []
