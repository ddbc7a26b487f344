"""The rows every contender reads and writes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import apsw
import attrs

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES: Final = 10_000  # rows in the file
DIFFERENT: Final = 1_024  # inserts that differ; a power of two

SCHEMA: Final = """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        room TEXT NOT NULL,
        author TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at TEXT NOT NULL
    ) STRICT
"""
LOOKUP: Final = "SELECT * FROM message WHERE id = :id"
INSERT: Final = (
    "INSERT INTO message (room, author, body, sent_at) VALUES (:room, :author, :body, :sent_at)"
)
# Reads every message `width` times: as long as one likes, and no rows to fetch.
SCAN: Final = (
    "SELECT count(*) FROM message AS a, message AS b WHERE b.id <= :width AND a.body < b.author"
)


@attrs.frozen
class NewMessage:
    room: str
    author: str
    body: str
    sent_at: datetime


@attrs.frozen
class Message(NewMessage):
    id: int


def new_messages() -> list[NewMessage]:
    """What gets inserted."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        NewMessage(
            room=f"room {number % 50}",
            author=f"user {number % 200}",
            body=f"this is message {number}, about as long as people's messages are",
            sent_at=start + timedelta(milliseconds=1_001 * number),
        )
        for number in range(DIFFERENT)
    ]


def values(message: NewMessage) -> tuple[str, str, str, str]:
    """Give the same as SQLite stores it."""
    sent_at = message.sent_at.isoformat(" ", "microseconds")
    return message.room, message.author, message.body, sent_at


def make_file(path: Path) -> None:
    """Write the database that each measurement gets a copy of."""
    rows = [values(message) for message in new_messages()]
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    with connection:
        connection.execute(SCHEMA)
        connection.executemany(INSERT, [rows[n % DIFFERENT] for n in range(MESSAGES)])
    connection.close()


def random_ids(seed: int, count: int = 1 << 14) -> list[int]:
    """Ids of messages that exist; a power of two of them."""
    chosen = random.Random(seed)
    return [chosen.randint(1, MESSAGES) for _ in range(count)]
