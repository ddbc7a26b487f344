"""sqlite-anyio on trio: Python's `sqlite3`, one connection, an anyio thread hop per cursor call.

It knows no autocommit: a write is `execute` and `commit`, and tasks share the connection's one
open transaction, as told in `aiosqlite.py`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import sqlite_anyio
import trio

from benchmarks.contenders.rows import SharedConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values


class SqliteAnyio(SharedConnection):
    _connection: sqlite_anyio.Connection

    def __init__(self, connection: sqlite_anyio.Connection) -> None:
        self._connection = connection
        self._lock = trio.Lock()  # one connection has one transaction at a time

    async def one(self, sql: str, values: Values = ()) -> Any:
        cursor = await self._connection.execute(sql, values)
        return await cursor.fetchone()

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        cursor = await self._connection.execute(sql, values)
        return await cursor.fetchall()

    async def write(self, sql: str, values: Values) -> Any:
        cursor = await self._connection.execute(sql, values)
        await self._connection.commit()
        return cursor

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        async with self._lock:
            cursor = await self._connection.cursor()
            await cursor.executemany(sql, list(rows))
            await self._connection.commit()


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[SqliteAnyio]:
    connection = await sqlite_anyio.connect(str(path))
    try:
        await connection.execute("PRAGMA synchronous = full")
        yield SqliteAnyio(connection)
    finally:
        await connection.close()
