"""This library."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.data import DIFFERENT, INSERT, LOOKUP, SCAN, Message, NewMessage, new_messages
from trio_sqlrepo import PoolConfig, Repository, RowCount, open_database, query, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping
    from pathlib import Path

    from trio_sqlrepo import Database


class Messages(Repository):
    @query(LOOKUP)
    async def get(self, id: int) -> Message | None: ...

    @query(INSERT)
    async def post(self, message: NewMessage) -> RowCount: ...

    @query(SCAN)
    async def scan(self, width: int) -> int: ...

    @snapshot
    async def get_each(self, ids: Sequence[int]) -> list[Message | None]:
        return [await self.get(id) for id in ids]


class Ours:
    def __init__(self, database: Database) -> None:
        self._database = database
        messages = Messages(database)
        self._post = messages.post
        self._new = new_messages()
        # The methods themselves: nothing in between.
        self.lookup = messages.get
        self.lookups = messages.get_each
        self.scan = messages.scan

    def insert(self, number: int) -> Awaitable[object]:
        return self._post(self._new[number & (DIFFERENT - 1)])

    async def settings(self) -> Mapping[str, object]:
        def look(connection: Any) -> Mapping[str, object]:
            names = ("journal_mode", "synchronous")
            return {name: connection.pragma(name) for name in names}

        return await self._database.write(look)


@asynccontextmanager
async def open_client(path: Path, **pool: int) -> AsyncIterator[Ours]:
    configuration = PoolConfig.from_mapping(pool)
    async with open_database(path, repositories=[Messages], pool=configuration) as database:
        yield Ours(database)
