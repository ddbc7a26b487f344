"""The demo's chat service, as a user of this library would write it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from trio_sqlrepo import Migration, Repository, RowCount, query, transaction

# Marks the file as the demo's own, in SQLite's place for it ("tsrd").
APPLICATION_ID: Final = 0x74737264

ROOMS: Final = range(1, 9)
THREADS: Final = range(1, 65)

MIGRATIONS: Final = [
    Migration(
        "0001_chat",
        f"""
        PRAGMA application_id = {APPLICATION_ID};

        CREATE TABLE room (
            id INTEGER PRIMARY KEY,
            threads INTEGER NOT NULL CHECK (threads >= 0)
        ) STRICT;

        CREATE TABLE thread (
            id INTEGER PRIMARY KEY,
            room INTEGER NOT NULL REFERENCES room
        ) STRICT;
        CREATE INDEX thread_by_room ON thread (room);

        CREATE TABLE message (
            id INTEGER PRIMARY KEY,
            thread INTEGER NOT NULL REFERENCES thread,
            run INTEGER NOT NULL,  -- of the demo, so that each can account for its own
            author TEXT NOT NULL,
            body TEXT NOT NULL,
            sent_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX message_by_thread ON message (thread);
        CREATE INDEX message_by_run ON message (run);
        """,
    ),
    Migration(
        "0002_rooms",  # 8 rooms with 8 threads each
        """
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 8)
        INSERT INTO room (id, threads) SELECT n, 8 FROM number;

        INSERT INTO thread (room) SELECT a.id FROM room AS a CROSS JOIN room AS b;
        """,
    ),
]


@attrs.frozen
class Thread:
    """A line of talk, in one room at a time."""

    id: int
    room: int


@attrs.frozen
class NewMessage:
    """What a user sends."""

    thread: int
    run: int
    author: str
    body: str
    sent_at: datetime


@attrs.frozen
class Message(NewMessage):
    """What is stored."""

    id: int


class Chat(Repository):
    """Rooms of threads of messages."""

    @query("SELECT id, room FROM thread WHERE room = :room ORDER BY id")
    async def threads(self, room: int) -> list[Thread]:
        """The threads that are in a room now."""

    @query("SELECT * FROM thread WHERE id = :id")
    async def thread(self, id: int) -> Thread:
        """One thread."""

    @query(
        "SELECT * FROM message WHERE thread = :thread AND id < :before ORDER BY id DESC LIMIT :size"
    )
    async def page(self, thread: int, before: int, size: int = 20) -> list[Message]:
        """A page of a thread's history, the newest first."""

    @query(
        "INSERT INTO message (thread, run, author, body, sent_at)"
        " VALUES (:thread, :run, :author, :body, :sent_at) RETURNING id"
    )
    async def post(self, message: NewMessage) -> int:
        """Store a message; its new id."""

    @query("UPDATE room SET threads = threads + :change WHERE id = :room")
    async def count_threads(self, room: int, change: int) -> RowCount:
        """Keep a room's number of threads."""

    @query("UPDATE thread SET room = :room WHERE id = :thread")
    async def set_room(self, thread: int, room: int) -> RowCount:
        """Put a thread into a room."""

    @transaction
    async def move(self, thread: int, room: int) -> bool:
        """Move a thread from its room to another; both rooms' numbers follow, or nothing does."""
        before = await self.thread(thread)
        if before.room == room:
            return False
        await self.count_threads(before.room, -1)
        await self.set_room(thread, room)
        await self.count_threads(room, +1)
        return True

    @query(
        "DELETE FROM message WHERE sent_at < :before AND id IN"
        " (SELECT id FROM message WHERE run = :run ORDER BY id LIMIT :most)"
    )
    async def prune(self, run: int, before: datetime, most: int) -> RowCount:
        """Delete the oldest messages of a run, `most` at a time: a short turn on the writer."""

    @query(
        "DELETE FROM message WHERE id IN"
        " (SELECT id FROM message WHERE run <> :run AND sent_at < :before LIMIT :most)"
    )
    async def clear_others(self, run: int, before: datetime, most: int) -> RowCount:
        """Delete what earlier runs have left."""
