"""The demo's load, on a real database; and on one that only fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from trio_sqlrepo import Database, DatabaseLocked, open_database
from trio_sqlrepo.cli.demo.chat import MIGRATIONS, ROOMS, THREADS, Chat, Message, NewMessage, Thread
from trio_sqlrepo.cli.demo.load import Load

WRONG_ROOMS = (
    "SELECT id FROM room WHERE threads <> (SELECT count(*) FROM thread WHERE thread.room = room.id)"
)


@asynccontextmanager
async def opened(path: Path | str = ":memory:") -> AsyncIterator[tuple[Database, Load]]:
    async with open_database(path, repositories=[Chat], migrations=MIGRATIONS) as db:
        yield db, Load(Chat(db), retention=0.05, random=Random(1))


async def value(db: Database, sql: str, *parameters: Any) -> Any:
    ((found,),) = await db.execute(sql, parameters)
    return found


async def test_a_chat_service_begins_with_rooms_and_threads() -> None:
    async with opened() as (db, _):
        chat = Chat(db)
        rooms = [await chat.threads(room) for room in ROOMS]
        assert all(len(threads) == 8 for threads in rooms)
        assert sorted(thread.id for threads in rooms for thread in threads) == list(THREADS)
        assert await db.execute(WRONG_ROOMS) == []


async def test_moving_a_thread_moves_the_count() -> None:
    async with opened() as (db, _):
        chat = Chat(db)
        (thread, *_) = await chat.threads(1)
        assert await chat.move(thread.id, 2)
        assert (await chat.thread(thread.id)).room == 2
        assert not await chat.move(thread.id, 2)
        rooms = await db.execute("SELECT threads FROM room WHERE id <= 2 ORDER BY id")
        assert rooms == [(7,), (9,)]
        assert await db.execute(WRONG_ROOMS) == []


async def test_what_is_acknowledged_is_what_is_there(db_path: Path) -> None:
    async with opened(db_path) as (db, load):
        with trio.move_on_after(10) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.use, 20)
                while not load.pruned or not all(meter.latencies.count for meter in load.meters):
                    await trio.sleep(0.01)
                limit.cancel()
        assert [(meter.name, meter.kind, meter.errors.total()) for meter in load.meters] == [
            ("open a room", "read", 0),
            ("page history", "read", 0),
            ("post message", "write", 0),
            ("move thread", "write", 0),
            ("prune", "write", 0),
        ]
        assert load.posted > load.pruned > 0
        # Calls that were cancelled have left nothing, so the account is exact.
        count = await value(db, "SELECT count(*) FROM message WHERE run = ?", load.run)
        assert count == load.posted - load.pruned
        assert await db.execute(WRONG_ROOMS) == []
        authors = await db.execute("SELECT DISTINCT author FROM message")
        assert {author for (author,) in authors} <= {f"user {number}" for number in range(20)}
        assert repr(load) == f"<Load {load.run:x}: {load.posted} posted, {load.pruned} pruned>"


class Scripted:
    """A chat service with one thread of two messages, in a room that is empty at first."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def threads(self, _room: int) -> list[Thread]:
        self.calls.append(("threads",))
        return [Thread(5, 1)] if len(self.calls) > 1 else []

    async def page(self, thread: int, before: int) -> list[Message]:
        self.calls.append(("page", thread, before))
        ids = [id for id in (9, 8) if id < before]
        return [Message(thread, 1, "ann", "hello", datetime.now(UTC), id) for id in ids]

    async def post(self, message: NewMessage) -> int:
        self.calls.append(("post", message.thread, message.author))
        return 10


class Longest(Random):
    """Reads as many pages as it may."""

    def randint(self, a: int, b: int) -> int:
        return b


async def test_a_visit_reads_back_to_the_end_and_answers() -> None:
    scripted = Scripted()
    load = Load(cast("Chat", scripted), retention=1, random=Longest(1))
    await load._visit("ann")
    assert load.posted == 0  # nobody to answer in an empty room
    await load._visit("ann")
    assert scripted.calls[2:] == [
        ("page", 5, 2**63 - 1),
        ("page", 5, 8),
        ("post", 5, "ann"),
    ]
    assert load.posted == 1
    assert [meter.latencies.count for meter in load.meters] == [2, 2, 1, 0, 0]


async def test_what_earlier_runs_have_left_is_cleared() -> None:
    async with opened() as (db, load):
        chat = Chat(db)
        old = datetime.now(UTC) - timedelta(minutes=2)
        await chat.post(NewMessage(1, load.run, "mine", "", old))
        await chat.post(NewMessage(1, load.run + 1, "of a run beside", "", datetime.now(UTC)))
        for _ in range(3):
            await chat.post(NewMessage(1, load.run + 2, "of a run before", "", old))
        await load.clear()
        left = await db.execute("SELECT author FROM message ORDER BY author")
        assert left == [("mine",), ("of a run beside",)]


async def test_each_pruning_is_short() -> None:
    async with opened() as (db, load):
        old = datetime.now(UTC) - timedelta(minutes=1)
        await db.execute(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number"
            " WHERE n < 1200) INSERT INTO message (thread, run, author, body, sent_at)"
            " SELECT 1, ?, '', '', ? FROM number",
            (load.run, str(old)),
        )
        await load._retain()
        assert load.pruned == 1200
        assert load.meters[-1].latencies.count == 3


class Broken:
    """A chat service whose database is locked for ever."""

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object) -> None:
            await trio.lowlevel.checkpoint()
            raise DatabaseLocked("It is locked.")

        return fail


async def test_errors_are_counted_and_the_load_goes_on(autojump_clock: MockClock) -> None:
    load = Load(cast("Chat", Broken()), retention=1, random=Random(1))
    with trio.move_on_after(10):
        await load.use(3)
    rooms, pages, posts, moves, prunes = (meter.errors["DatabaseLocked"] for meter in load.meters)
    # One error every 50 ms, so that a database that is gone does not keep the processor busy.
    assert rooms == pytest.approx(3 * 200, rel=0.01)
    assert (pages, posts) == (0, 0)
    assert moves == pytest.approx(2 * 10 / 0.07, rel=0.01)
    assert prunes == pytest.approx(10 / 0.15, rel=0.02)
    assert all(meter.latencies.count == 0 for meter in load.meters)
