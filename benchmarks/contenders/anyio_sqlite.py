"""anyio-sqlite on trio: Python's `sqlite3`, one connection, one thread, a queue and a token.

Used as its README shows, `async with await con.execute(...) as cur`, in autocommit.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio_sqlite
import trio

from benchmarks.contenders.rows import SharedConnection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values


class AnyioSqlite(SharedConnection):
    _connection: anyio_sqlite.Connection[sqlite3.Connection]

    def __init__(self, connection: anyio_sqlite.Connection[sqlite3.Connection]) -> None:
        self._connection = connection
        self._lock = trio.Lock()  # one connection has one transaction at a time

    async def one(self, sql: str, values: Values = ()) -> Any:
        async with await self._connection.execute(sql, values) as cursor:
            return await cursor.fetchone()

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        async with await self._connection.execute(sql, values) as cursor:
            return await cursor.fetchall()

    async def write(self, sql: str, values: Values) -> Any:
        return await self._connection.execute(sql, values)

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._connection.executemany(sql, rows)
            await self._connection.commit()


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[AnyioSqlite]:
    connection: anyio_sqlite.Connection[sqlite3.Connection]
    async with anyio_sqlite.connect(path, isolation_level=None) as connection:
        await connection.execute("PRAGMA synchronous = full")
        yield AnyioSqlite(connection)
