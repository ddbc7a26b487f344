"""anyio-sqlite on trio: Python's `sqlite3`, one connection, one thread, a queue and a token.

Used as its README shows, `async with await con.execute(...) as cur`, in autocommit.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio_sqlite
import trio

from benchmarks.contenders.rows import GET_TALLY, PRUNE, SET_TALLY, Rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values


class AnyioSqlite(Rows):
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

    async def increment(self, id: int) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                (count,) = await self.one(GET_TALLY, (id,))
                await self._connection.execute(SET_TALLY, (count + 1, id))
            except BaseException:
                await self._connection.rollback()
                raise
            await self._connection.commit()

    async def prune(self, keep: int) -> int:
        rowcount: int = (await self.write(PRUNE, (keep,))).rowcount
        return rowcount


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[AnyioSqlite]:
    connection: anyio_sqlite.Connection[sqlite3.Connection]
    async with anyio_sqlite.connect(path, isolation_level=None) as connection:
        await connection.execute("PRAGMA synchronous = full")
        yield AnyioSqlite(connection)
