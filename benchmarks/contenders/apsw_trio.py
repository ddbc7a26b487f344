"""apsw's own asynchronous mode under trio: one connection, one thread, one hop per cursor call.

Used as its documentation shows: `as_async`, then `await db.execute(...)`, then `await` what is
wanted of the cursor. `one_hop` uses `async_run` instead, with which a synchronous function does
both on the connection's thread.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import apsw
import apsw.aio

from benchmarks.data import DIFFERENT, INSERT, LOOKUP, SCAN, new_messages, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path


class ApswTrio:
    def __init__(self, connection: apsw.AsyncConnection) -> None:
        self._connection = connection
        self._new = [values(message) for message in new_messages()]

    async def lookup(self, id: int) -> object:
        # `get` fetches all; after `fetchone` the statement would still be open.
        cursor = await self._connection.execute(LOOKUP, (id,))
        return await cursor.get

    async def lookups(self, ids: Sequence[int]) -> object:
        return [await self.lookup(id) for id in ids]

    async def insert(self, number: int) -> object:
        return await self._connection.execute(INSERT, self._new[number & (DIFFERENT - 1)])

    async def scan(self, width: int) -> object:
        cursor = await self._connection.execute(SCAN, (width,))
        return await cursor.get

    async def settings(self) -> Mapping[str, object]:
        names = ("journal_mode", "synchronous")
        return {name: await self._connection.pragma(name) for name in names}


class ApswTrioOneHop(ApswTrio):
    async def lookup(self, id: int) -> object:
        return await self._connection.async_run(self._get, id)

    def _get(self, id: int) -> Any:
        return self._connection.execute(LOOKUP, (id,)).get  # type: ignore[attr-defined]  # synchronous there


@asynccontextmanager
async def open_client(path: Path, *, one_hop: bool = False) -> AsyncIterator[ApswTrio]:
    apsw.async_controller.set(apsw.aio.Trio)  # type: ignore[arg-type]  # as its examples do
    connection = await apsw.Connection.as_async(str(path))
    async with aclosing(connection):
        await connection.pragma("synchronous", "full")
        yield (ApswTrioOneHop if one_hop else ApswTrio)(connection)
