"""aiosqlite on asyncio: Python's `sqlite3`, one connection, one thread, one hop per cursor call.

Used as its documentation shows: `async with db.execute(...) as cursor`. `one_hop` uses the helper
`execute_fetchall` instead.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiosqlite

from benchmarks.data import DIFFERENT, INSERT, LOOKUP, SCAN, new_messages, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path


class Aiosqlite:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        names = ("room", "author", "body", "sent_at")
        # By name, because sqlite3 warns of values by position for named parameters.
        self._new = [dict(zip(names, values(m), strict=True)) for m in new_messages()]

    async def lookup(self, id: int) -> object:
        async with self._connection.execute(LOOKUP, {"id": id}) as cursor:
            return await cursor.fetchone()

    async def lookups(self, ids: Sequence[int]) -> object:
        return [await self.lookup(id) for id in ids]

    async def insert(self, number: int) -> object:
        return await self._connection.execute(INSERT, self._new[number & (DIFFERENT - 1)])

    async def scan(self, width: int) -> object:
        async with self._connection.execute(SCAN, {"width": width}) as cursor:
            return await cursor.fetchone()

    async def settings(self) -> Mapping[str, object]:
        found: dict[str, object] = {}
        for name in ("journal_mode", "synchronous"):
            async with self._connection.execute(f"PRAGMA {name}") as cursor:
                row = await cursor.fetchone()
                assert row is not None, "the pragma has a value"
                found[name] = row[0]
        return found


class AiosqliteFetchall(Aiosqlite):
    async def lookup(self, id: int) -> object:
        (row,) = await self._connection.execute_fetchall(LOOKUP, {"id": id})
        return row


@asynccontextmanager
async def open_client(path: Path, *, one_hop: bool = False) -> AsyncIterator[Aiosqlite]:
    # isolation_level None: sqlite3 then opens no transactions of its own; each INSERT commits.
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        await connection.execute("PRAGMA synchronous = full")
        yield (AiosqliteFetchall if one_hop else Aiosqlite)(connection)
