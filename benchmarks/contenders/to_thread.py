"""`trio.to_thread.run_sync` around every call of one apsw connection."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from benchmarks.contenders.bare import open_bare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.contenders.bare import Bare


class ToThread:
    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._one = trio.CapacityLimiter(1)  # a connection serves one thread at a time

    async def lookup(self, id: int) -> object:
        return await trio.to_thread.run_sync(self._bare.lookup, id, limiter=self._one)

    async def lookups(self, ids: Sequence[int]) -> object:
        return [await self.lookup(id) for id in ids]

    async def insert(self, number: int) -> object:
        return await trio.to_thread.run_sync(self._bare.insert, number, limiter=self._one)

    async def scan(self, width: int) -> object:
        return await trio.to_thread.run_sync(self._bare.scan, width, limiter=self._one)

    async def settings(self) -> Mapping[str, object]:
        return self._bare.settings()


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[ToThread]:
    with open_bare(path) as bare:
        yield ToThread(bare)
