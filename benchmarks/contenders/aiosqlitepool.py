"""aiosqlitepool on asyncio: aiosqlite connections, checked out call by call.

Its README recommends ten connections for web applications, and WAL and a larger cache and memory
map for speed; the latter two are set as it says. `synchronous` stays FULL like everybody's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
from aiosqlitepool import SQLiteConnectionPool

from benchmarks.contenders.rows import GET_TALLY, PRUNE, SET_TALLY, Rows
from benchmarks.data import READ_ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values

_TUNING = (
    "synchronous = full",
    "cache_size = 10000",
    "temp_store = memory",
    "mmap_size = 268435456",
)


class Aiosqlitepool(Rows):
    def __init__(self, pool: SQLiteConnectionPool) -> None:
        self._pool = pool

    async def one(self, sql: str, values: Values = ()) -> Any:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql, values)
            return await cursor.fetchone()

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        async with self._pool.connection() as connection:
            return list(await connection.execute_fetchall(sql, values))

    async def read_with_all(self, readers: int) -> None:
        """Read the whole file on as many connections, all at once."""
        reached = asyncio.Event()
        held = 0

        async def read() -> None:
            nonlocal held
            async with self._pool.connection() as connection:
                held += 1
                if held == readers:
                    reached.set()
                await reached.wait()  # else one connection could serve all, one after the other
                await connection.execute_fetchall(READ_ALL)

        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(read())

    async def write(self, sql: str, values: Values) -> Any:
        async with self._pool.connection() as connection:
            return await connection.execute(sql, values)

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN IMMEDIATE")
            await connection.executemany(sql, rows)
            await connection.commit()

    async def increment(self, id: int) -> None:
        async with self._pool.connection() as connection:  # it rolls back what is left open
            await connection.execute("BEGIN IMMEDIATE")
            cursor = await connection.execute(GET_TALLY, (id,))
            (count,) = await cursor.fetchone()
            await connection.execute(SET_TALLY, (count + 1, id))
            await connection.commit()

    async def prune(self, keep: int) -> int:
        rowcount: int = (await self.write(PRUNE, (keep,))).rowcount
        return rowcount


@asynccontextmanager
async def open_client(path: Path, *, pool_size: int = 10) -> AsyncIterator[Aiosqlitepool]:
    async def connect() -> aiosqlite.Connection:
        connection = await aiosqlite.connect(path, isolation_level=None)
        # The memory benchmark compares page caches of one size, SQLite's.
        for pragma in _TUNING if pool_size == 10 else _TUNING[:1]:
            await connection.execute(f"PRAGMA {pragma}")
        return connection

    async with SQLiteConnectionPool(connect, pool_size=pool_size) as pool:
        yield Aiosqlitepool(pool)
