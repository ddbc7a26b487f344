"""Guarantee 4: after a write returns, every later read by any task sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig
from trio_sqlrepo._worker.reader import Reader

READERS = 6


async def read_all_ways(db: Database, turn: int) -> int:
    match turn % 4:
        case 0:
            return await Notes(db).counted()
        case 1:
            return int(str((await db.execute("SELECT n FROM counter"))[0][0]))
        case 2:
            async with db.snapshot() as snap:
                return await Notes(snap).counted()
        case _:
            return await db.read(
                lambda connection: int(
                    str(connection.execute("SELECT n FROM counter").fetchall()[0][0])
                )
            )


@pytest.mark.parametrize("max_readers", [0, 1, READERS])
async def test_every_later_read_sees_the_write(max_readers: int, db_path: Path) -> None:
    answered = 0
    writing = 4

    async def write(db: Database) -> None:
        nonlocal answered, writing
        for turn in range(40):
            mine = await Notes(db).increment()
            answered = max(answered, mine)
            assert await read_all_ways(db, turn) >= mine
        writing -= 1

    async def read(db: Database, turn: int) -> None:
        while writing:
            known = answered
            assert await read_all_ways(db, turn) >= known
            turn += 1

    pool = PoolConfig(min_readers=max_readers, max_readers=max_readers)
    async with open_notes(db_path, pool=pool) as db:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(write, db)
            for turn in range(2 * READERS):
                nursery.start_soon(read, db, turn)
        assert await Notes(db).counted() == 160
        await assert_healthy(db)


async def test_every_reader_sees_it_at_once(db_path: Path) -> None:
    """Readers that have read before, all of them at the same time."""
    pool = PoolConfig(min_readers=READERS, max_readers=READERS, reserved_readers=0)
    async with open_notes(db_path, pool=pool) as db:
        seen: list[int] = []
        entered: list[int] = []

        async def look() -> None:
            async with db.snapshot() as snap:
                entered.append(1)
                while len(entered) % READERS:  # hold it until all readers are held
                    await trio.lowlevel.checkpoint()
                seen.append(await Notes(snap).counted())

        for turn in range(5):
            seen.clear()
            async with trio.open_nursery() as nursery:
                for _ in range(READERS):
                    nursery.start_soon(look)
            assert seen == [turn] * READERS
            assert await Notes(db).increment() == turn + 1
        await assert_healthy(db)


async def test_an_open_snapshot_keeps_its_view(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        async with db.snapshot() as old:
            assert await Notes(db).increment() == 1
            async with db.snapshot() as new:
                assert await Notes(db).increment() == 2
                assert await Notes(old).counted() == 0
                assert await Notes(new).counted() == 1
                assert await Notes(db).counted() == 2
        await assert_healthy(db)


async def test_calls_that_share_a_view_see_all_that_was_answered_before_them(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of cheap reads on one reader, which serves those that wait together from one view."""
    answered = views = 0
    open_view = Reader._open_view

    def counted(*args: Any) -> bool:
        nonlocal views
        views += 1
        return open_view(*args)

    monkeypatch.setattr(Reader, "_open_view", counted)

    async def read(notes: Notes) -> None:
        while True:
            known = answered
            assert await notes.counted() >= known

    async with open_notes(db_path, pool=PoolConfig(max_readers=1)) as db:
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(read, Notes(db))
            for _ in range(100):
                answered = await Notes(db).increment()
            await until(lambda: views > 20)
            nursery.cancel_scope.cancel()
        assert await Notes(db).counted() == 100
        await assert_healthy(db)
