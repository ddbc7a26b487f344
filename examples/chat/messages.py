"""What is said, in pages, and as a number that stays up to date."""

from collections.abc import AsyncIterator
from datetime import datetime

import attrs

from trio_sqlrepo import Repository, RowCount, query

SCHEMA = """
    CREATE TABLE message (
        -- AUTOINCREMENT never gives an id twice, even when the newest message has been pruned. So
        -- "before id 7" means the same for ever, and clients may keep it.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        room TEXT NOT NULL,
        author TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX message_by_room ON message (room, id);
    CREATE INDEX message_by_age ON message (sent_at);
"""


@attrs.frozen
class Message:
    id: int
    room: str
    author: str
    body: str
    sent_at: datetime


class Messages(Repository):
    @query.insert("message")
    async def post(self, room: str, author: str, body: str, sent_at: datetime) -> Message: ...

    # Keyset paging: the next page begins where the last one ended, at an id. An OFFSET would read
    # and throw away all that comes before, and skip or repeat messages when others come and go.
    # There are two statements, with the condition and without it; each reads `limit` index entries.
    @query("""
        SELECT * FROM message WHERE room = :room {before: AND id < :before}
        ORDER BY id DESC LIMIT :limit
    """)
    async def page(
        self, room: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]: ...

    @query("SELECT count(*) FROM message WHERE room = :room")
    async def count(self, room: str) -> int: ...

    # In batches: the writer is free in between, so nobody's post waits for a long DELETE.
    @query("""
        DELETE FROM message WHERE id IN (
            SELECT id FROM message WHERE sent_at < :before ORDER BY sent_at LIMIT :limit
        )
    """)
    async def prune(self, before: datetime, limit: int) -> RowCount: ...

    async def history(self, room: str, *, page_size: int = 50) -> AsyncIterator[list[Message]]:
        """All pages of a room, newest first. No connection is held between two of them."""
        page = await self.page(room, limit=page_size)
        while page:
            yield page
            page = await self.page(room, before=page[-1].id, limit=page_size)
