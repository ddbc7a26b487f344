"""apsw's own asynchronous mode under trio: one connection, one thread, one hop per cursor call.

Used as its documentation shows: `as_async`, then `await db.execute(...)`, then `await` what is
wanted of the cursor. `one_hop` uses `async_run` instead, with which a synchronous function does
all of it on the connection's thread.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import apsw
import apsw.aio
import trio

from benchmarks.contenders.rows import GET_TALLY, LOOKUP, PRUNE, SET_TALLY, Rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.contenders.rows import Values


class ApswTrio(Rows):
    def __init__(self, connection: apsw.AsyncConnection) -> None:
        self._connection = connection
        self._lock = trio.Lock()  # one connection has one transaction at a time

    async def one(self, sql: str, values: Values = ()) -> Any:
        # All rows: after `fetchone` the statement would still be open.
        cursor = await self._connection.execute(sql, values)
        return (await cursor.fetchall())[0]

    async def all(self, sql: str, values: Values = ()) -> Sequence[Any]:
        cursor = await self._connection.execute(sql, values)
        return await cursor.fetchall()

    async def lookup(self, id: int) -> object:
        cursor = await self._connection.execute(LOOKUP, (id,))
        return await cursor.get

    def write(self, sql: str, values: Values) -> Awaitable[Any]:
        return self._connection.execute(sql, values)

    async def write_all(self, sql: str, rows: Iterable[Values]) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._connection.executemany(sql, rows)
            await self._connection.execute("COMMIT")

    async def increment(self, id: int) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                (count,) = await self.one(GET_TALLY, (id,))
                await self._connection.execute(SET_TALLY, (count + 1, id))
            except BaseException:
                await self._connection.execute("ROLLBACK")
                raise
            await self._connection.execute("COMMIT")

    async def prune(self, keep: int) -> int:
        def delete() -> int:
            connection: Any = self._connection  # synchronous there
            connection.execute(PRUNE, (keep,))
            changes: int = connection.changes()
            return changes

        deleted: int = await self._connection.async_run(delete)
        return deleted

    async def settings(self) -> Mapping[str, object]:
        names = ("journal_mode", "synchronous")
        return {name: await self._connection.pragma(name) for name in names}


class ApswTrioOneHop(ApswTrio):
    async def lookup(self, id: int) -> object:
        return await self._connection.async_run(self._get, id)

    def _get(self, id: int) -> Any:
        return self._connection.execute(LOOKUP, (id,)).get  # type: ignore[attr-defined]  # synchronous there

    async def increment(self, id: int) -> None:
        await self._connection.async_run(self._increment, id)

    def _increment(self, id: int) -> None:
        connection: Any = self._connection  # synchronous there
        connection.execute("BEGIN IMMEDIATE")
        try:
            count = connection.execute(GET_TALLY, (id,)).get
            connection.execute(SET_TALLY, (count + 1, id))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


@asynccontextmanager
async def open_client(path: Path, *, one_hop: bool = False) -> AsyncIterator[ApswTrio]:
    apsw.async_controller.set(apsw.aio.Trio)  # type: ignore[arg-type]  # as its examples do
    connection = await apsw.Connection.as_async(str(path))
    async with aclosing(connection):
        await connection.pragma("synchronous", "full")
        yield (ApswTrioOneHop if one_hop else ApswTrio)(connection)
