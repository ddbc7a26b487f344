"""aiosqlite on asyncio: Python's `sqlite3`, one connection, one thread, one hop per cursor call.

Used as its documentation shows: `async with db.execute(...) as cursor`. `one_hop` uses the helper
`execute_fetchall` instead.

Writes are autocommit, so that each task has a transaction of its own. The documentation's
`await db.commit()` after the write is here as `commit`: all tasks share the connection's one open
transaction, so whoever commits first commits for all, and whoever rolls back undoes what others
wrote. Faster, and only right if nobody ever rolls back.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import aiosqlite

from benchmarks.contenders.rows import LOOKUP, SharedConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values


class Aiosqlite(SharedConnection):
    _connection: aiosqlite.Connection

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()  # one connection has one transaction at a time

    async def one(self, sql: str, values: Values = ()) -> Any:
        async with self._connection.execute(sql, values) as cursor:
            return await cursor.fetchone()

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        return list(await self._connection.execute_fetchall(sql, values))

    def write(self, sql: str, values: Values) -> Awaitable[Any]:
        return self._connection.execute(sql, values)

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._connection.executemany(sql, rows)
            await self._connection.commit()


class AiosqliteFetchall(Aiosqlite):
    async def lookup(self, id: int) -> object:
        (row,) = await self._connection.execute_fetchall(LOOKUP, (id,))
        return row


class AiosqliteCommit(Aiosqlite):
    async def write(self, sql: str, values: Values) -> Any:
        cursor = await self._connection.execute(sql, values)
        await self._connection.commit()
        return cursor


@asynccontextmanager
async def open_client(
    path: Path, *, one_hop: bool = False, commit: bool = False
) -> AsyncIterator[Aiosqlite]:
    # isolation_level None: sqlite3 then opens no transactions of its own; each INSERT commits.
    level: Literal["DEFERRED"] | None = "DEFERRED" if commit else None
    async with aiosqlite.connect(path, isolation_level=level) as connection:
        await connection.execute("PRAGMA synchronous = full")
        kind = AiosqliteFetchall if one_hop else AiosqliteCommit if commit else Aiosqlite
        yield kind(connection)
