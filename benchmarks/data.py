"""The rows every contender reads and writes, and the statements they do it with."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import apsw
import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MESSAGES: Final = 10_000  # rows in the usual file
DIFFERENT: Final = 1_024  # messages that differ; a power of two
TALLIES: Final = 100  # counters to read, change and write
ROOMS: Final = 50
PAGE: Final = 50  # rows on a page

SCHEMA: Final = """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        room TEXT NOT NULL,
        author TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE tally (id INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;
"""
ROOM_INDEX: Final = "CREATE INDEX message_by_room ON message (room, id)"

LOOKUP: Final = "SELECT * FROM message WHERE id = :id"
NEXT_PAGE: Final = "SELECT * FROM message WHERE id > :after ORDER BY id LIMIT 50"
EVERYTHING: Final = "SELECT * FROM message"
LATEST: Final = "SELECT * FROM message WHERE room = :room ORDER BY id DESC LIMIT 50"
HEALTH: Final = "SELECT max(id) FROM message"
INSERT: Final = (
    "INSERT INTO message (room, author, body, sent_at) VALUES (:room, :author, :body, :sent_at)"
)
# At most 500 at a time: retention that runs beside users does not hold the write lock for long.
PRUNE: Final = (
    "DELETE FROM message WHERE id IN"
    " (SELECT id FROM message WHERE id <= (SELECT max(id) FROM message) - :keep LIMIT 500)"
)
GET_TALLY: Final = "SELECT count FROM tally WHERE id = :id"
SET_TALLY: Final = "UPDATE tally SET count = :count WHERE id = :id"
# Reads every message `width` times: as long as one likes, and no rows to fetch.
SCAN: Final = (
    "SELECT count(*) FROM message AS a, message AS b WHERE b.id <= :width AND a.body < b.author"
)
# Reads every page of the table, and keeps none of it.
READ_ALL: Final = "SELECT sum(length(body)) FROM message"

_FILL: Final = """
    WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number LIMIT :rows)
    INSERT INTO message (room, author, body, sent_at)
    SELECT room, author, body || :padding, sent_at
    FROM number JOIN different ON different.rowid = 1 + n % :different ORDER BY n
"""


@attrs.frozen
class NewMessage:
    room: str
    author: str
    body: str
    sent_at: datetime


@attrs.frozen
class Message(NewMessage):
    id: int


@attrs.frozen(kw_only=True)
class FileKind:
    """What lies in the file that a measurement gets."""

    rows: int = MESSAGES
    padding: int = 0  # bytes added to each body
    room_index: bool = False


MEGABYTE_ROWS: Final = 930  # rows padded by 1000 bytes that make a file of 1 MB


def file_of(megabytes: int) -> FileKind:
    """Make a file about this large, of rows of a kilobyte."""
    return FileKind(rows=megabytes * MEGABYTE_ROWS, padding=1000)


def positional(sql: str) -> str:
    """Write `?` for each `:name`, as peers bind fastest."""
    return re.sub(r":[a-z_]+", "?", sql)


def new_messages() -> list[NewMessage]:
    """What gets inserted."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        NewMessage(
            room=f"room {number % ROOMS}",
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


def mapped(rows: Sequence[Any]) -> Sequence[Message]:
    """Make objects of tuples, as whoever is given tuples has to; objects stay as they are."""
    if not rows or isinstance(rows[0], Message):
        return rows
    parse = datetime.fromisoformat
    return [
        Message(room, author, body, parse(sent_at), id) for id, room, author, body, sent_at in rows
    ]


def make_file(path: Path, kind: FileKind | None = None) -> None:
    """Write the database that each measurement gets a copy of."""
    kind = kind or FileKind()
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "off")  # nothing is lost: nobody has been told of it
    with connection:
        connection.execute(SCHEMA)
        connection.execute("CREATE TEMP TABLE different (room, author, body, sent_at)")
        connection.executemany(
            "INSERT INTO different VALUES (?, ?, ?, ?)", map(values, new_messages())
        )
        connection.execute(
            _FILL, {"rows": kind.rows, "padding": "x" * kind.padding, "different": DIFFERENT}
        )
        connection.executemany(
            "INSERT INTO tally VALUES (?, 0)", [(id,) for id in range(1, TALLIES + 1)]
        )
        if kind.room_index:
            connection.execute(ROOM_INDEX)
    connection.pragma("journal_mode", "wal")
    connection.close()


def random_ids(seed: int, count: int = 1 << 14, *, rows: int = MESSAGES) -> list[int]:
    """Ids of messages that exist; a power of two of them."""
    chosen = random.Random(seed)
    return [chosen.randint(1, rows) for _ in range(count)]
