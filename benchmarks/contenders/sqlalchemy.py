"""SQLAlchemy's asyncio extension (Core) on aiosqlite, with its default pool.

As its documentation recommends for SQLite: an engine in AUTOCOMMIT for what needs no transaction
(without the ROLLBACK when a connection comes back, which there is nothing for), and the recipe of
"Transactions with SQLite and the sqlite3 driver" for writes: the driver opens no transactions, and
"begin" emits BEGIN IMMEDIATE. One connection writes, so that writers wait instead of fail.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import data
from benchmarks.contenders.rows import NEW, Rows, new_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from benchmarks.contenders.rows import Values

_statement = lru_cache(text)
_FIELDS = ("room", "author", "body", "sent_at")
_NEW = [dict(zip(_FIELDS, row, strict=True)) for row in NEW]
_PATIENCE = 600  # seconds a task waits for a connection: it is to be slow, not to be refused


class Sqlalchemy(Rows):
    """Its text statements take named values; so every operation has its own lines here."""

    def __init__(self, reads: AsyncEngine, writes: AsyncEngine) -> None:
        self._reads = reads
        self._writes = writes

    async def one(self, sql: str, values: Values = ()) -> Any:
        async with self._reads.connect() as connection:
            return (await connection.execute(_statement(sql), _named(sql, values))).one()

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        async with self._reads.connect() as connection:
            return (await connection.execute(_statement(sql), _named(sql, values))).all()

    async def write(self, sql: str, values: Values | Mapping[str, Any]) -> Any:
        async with self._writes.begin() as connection:
            return await connection.execute(_statement(sql), values)

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        many = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
        async with self._writes.begin() as connection:
            await connection.execute(_statement(sql), many)

    def lookup(self, id: int) -> Awaitable[object]:
        return self.one(data.LOOKUP, (id,))

    def page(self, after: int) -> Awaitable[Sequence[object]]:
        return self.all(data.NEXT_PAGE, (after,))

    def latest(self, room: str) -> Awaitable[Sequence[object]]:
        return self.all(data.LATEST, (room,))

    async def scan(self, width: int) -> object:
        return (await self.one(data.SCAN, (width,)))[0]

    def insert(self, number: int) -> Awaitable[object]:
        return self.write(data.INSERT, _NEW[number & (data.DIFFERENT - 1)])

    def insert_all(self, count: int) -> Awaitable[object]:
        return self.write_all(data.INSERT, new_rows(count))

    async def increment(self, id: int) -> None:
        async with self._writes.begin() as connection:
            found = await connection.execute(_statement(data.GET_TALLY), {"id": id})
            count = found.scalar_one() + 1
            await connection.execute(_statement(data.SET_TALLY), {"id": id, "count": count})

    async def prune(self, keep: int) -> int:
        rowcount: int = (await self.write(data.PRUNE, {"keep": keep})).rowcount
        return rowcount


@lru_cache
def _name(sql: str) -> str | None:
    found = re.search(r":([a-z_]+)", sql)
    return found[1] if found else None


def _named(sql: str, values: Values) -> dict[str, Any]:
    """The one value of a read, by its name."""
    return {str(_name(sql)): value for value in values}


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[Sqlalchemy]:
    url = f"sqlite+aiosqlite:///{path}"
    reads = create_async_engine(
        url, isolation_level="AUTOCOMMIT", pool_timeout=_PATIENCE, pool_reset_on_return=None
    )
    writes = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=_PATIENCE)
    for engine in (reads, writes):
        event.listen(engine.sync_engine, "connect", _configure)
    event.listen(writes.sync_engine, "begin", _begin)
    try:
        yield Sqlalchemy(reads, writes)
    finally:
        await reads.dispose()
        await writes.dispose()


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = full")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
