"""examples/chat: pages that fit together, a count that follows, and messages that go in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import trio

from examples.chat.messages import SCHEMA, Messages
from examples.chat.service import Retention, open_chat, prune
from trio_sqlrepo import Database
from trio_sqlrepo.testing import assert_no_full_scans, memory_database

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@attrs.define
class Clock:
    """A wall clock that the test turns."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    async with memory_database(Messages, migrations=[SCHEMA]) as db:
        yield db


async def fill(messages: Messages, count: int) -> list[int]:
    """Messages in two rooms by turns, an hour apart; the ids of those in the lobby."""
    ids = []
    for number in range(count):
        sent_at = NOON + number * HOUR
        ids.append((await messages.post("lobby", "ann", str(number), sent_at)).id)
        await messages.post("attic", "bob", str(number), sent_at)
    return ids


async def test_pages_hold_every_message_of_the_room_once(db: Database) -> None:
    messages = Messages(db)
    ids = await fill(messages, 23)
    with trio.fail_after(60):  # a page that began with the last one's end would come for ever
        pages = [page async for page in messages.history("lobby", page_size=10)]
    assert [len(page) for page in pages] == [10, 10, 3]
    assert [message.id for page in pages for message in page] == ids[::-1]


async def test_a_page_stays_where_it_is_while_messages_come_and_go(db: Database) -> None:
    messages = Messages(db)
    ids = await fill(messages, 20)
    first = await messages.page("lobby", limit=5)
    await messages.post("lobby", "cat", "in between", NOON)
    await messages.prune(NOON + HOUR, 1)
    second = await messages.page("lobby", before=first[-1].id, limit=5)
    assert [message.id for message in second] == ids[::-1][5:10]


async def test_ids_of_pruned_messages_do_not_come_back(db: Database) -> None:
    messages = Messages(db)
    ids = await fill(messages, 3)
    assert await prune(messages, NOON + 10 * HOUR, batch=100) == 6
    assert (await messages.post("lobby", "ann", "new", NOON)).id > max(ids)


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
async def test_prune_deletes_what_is_older_and_nothing_else(db: Database, batch: int) -> None:
    messages = Messages(db)
    ids = await fill(messages, 6)
    assert await prune(messages, NOON + 2 * HOUR, batch) == 4  # hours 0 and 1, in both rooms
    assert [message.id for message in await messages.page("lobby")] == ids[:1:-1]
    assert await messages.count("attic") == 4


async def test_no_message_is_lost_by_concurrent_posts(db_path: Path) -> None:
    async with open_chat(db_path) as chat, trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(chat.say, "lobby", f"user {number}", "hello")
    async with open_chat(db_path) as chat:
        authors = {message.author for message in await chat.messages.page("lobby", limit=500)}
    assert authors == {f"user {number}" for number in range(200)}


async def test_the_count_follows_posts_and_retention(db_path: Path) -> None:
    """Nobody prunes here but the task of the chat."""
    clock = Clock()
    retention = Retention(keep=HOUR, every=timedelta(milliseconds=5), batch=2)
    with trio.fail_after(60):
        async with (
            open_chat(db_path, retention, clock) as chat,
            chat.live_count("lobby") as counts,
        ):
            assert await anext(counts) == 0
            for number in range(5):
                await chat.say("lobby", "ann", str(number))
                assert await anext(counts) == number + 1
            clock.now = NOON + HOUR / 2
            young = await chat.say("lobby", "ann", "half an hour younger")
            assert await anext(counts) == 6
            clock.now = NOON + 1.25 * HOUR
            async for count in counts:  # batches of two, or several of them together
                if count == 1:
                    break
            assert await chat.messages.page("lobby") == [young]


def test_every_query_uses_an_index() -> None:
    assert_no_full_scans(Messages, migrations=[SCHEMA])
