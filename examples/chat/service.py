"""The chat: one object for the application, its background work in the nursery that opens it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from examples.chat.messages import SCHEMA, Message, Messages
from trio_sqlrepo import Database, Live, open_database

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class Retention:
    """How long messages are kept, and how they go."""

    keep: timedelta = timedelta(days=30)
    every: timedelta = timedelta(minutes=1)
    batch: int = 500  # messages in one transaction


@attrs.frozen
class Chat:
    db: Database
    messages: Messages
    clock: Clock

    async def say(self, room: str, author: str, body: str) -> Message:
        """Post a message. It is on disk when this returns."""
        return await self.messages.post(room, author, body, self.clock())

    def live_count(self, room: str) -> AbstractAsyncContextManager[Live[int]]:
        """How many messages the room has: now, and after each commit that changes it."""
        return self.db.live(self.messages.count, room)


async def prune(messages: Messages, before: datetime, batch: int) -> int:
    """Delete all that is older, batch by batch; how many that were.

    Cancelled in the middle it has deleted whole batches, and the next run does the rest.
    """
    pruned = 0
    while True:
        count = await messages.prune(before, batch)
        pruned += count
        if count < batch:
            return pruned


async def retain(messages: Messages, retention: Retention, clock: Clock = utc_now) -> NoReturn:
    """Prune now and then, until cancelled."""
    while True:
        await prune(messages, clock() - retention.keep, retention.batch)
        await trio.sleep(retention.every.total_seconds())


@asynccontextmanager
async def open_chat(
    path: Path | str, retention: Retention | None = None, clock: Clock = utc_now
) -> AsyncIterator[Chat]:
    """Open the chat for the length of a block, with its retention running.

    The nursery is inside the block of the database: what uses the database ends before it closes.
    """
    async with (
        open_database(path, repositories=[Messages], migrations=[SCHEMA]) as db,
        trio.open_nursery() as nursery,
    ):
        messages = Messages(db)
        nursery.start_soon(retain, messages, retention or Retention(), clock)
        yield Chat(db, messages, clock)
        nursery.cancel_scope.cancel()
