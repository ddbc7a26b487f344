"""`trio.to_thread.run_sync` around every call of one apsw connection."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from benchmarks.contenders.bare import open_bare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.contenders.bare import Bare

A = TypeVar("A")
R = TypeVar("R")


class ToThread:
    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._one = trio.CapacityLimiter(1)  # a connection serves one thread at a time

    def _run(self, function: Callable[[A], R], argument: A) -> Awaitable[R]:
        return trio.to_thread.run_sync(function, argument, limiter=self._one)

    def _call(self, function: Callable[[], R]) -> Awaitable[R]:
        return trio.to_thread.run_sync(function, limiter=self._one)

    def lookup(self, id: int) -> Awaitable[object]:
        return self._run(self._bare.lookup, id)

    async def lookups(self, ids: Sequence[int]) -> object:
        return [await self.lookup(id) for id in ids]

    def page(self, after: int) -> Awaitable[Sequence[object]]:
        return self._run(self._bare.page, after)

    def everything(self) -> Awaitable[Sequence[object]]:
        return self._call(self._bare.everything)

    def latest(self, room: str) -> Awaitable[Sequence[object]]:
        return self._run(self._bare.latest, room)

    def health(self) -> Awaitable[object]:
        return self._call(self._bare.health)

    def scan(self, width: int) -> Awaitable[object]:
        return self._run(self._bare.scan, width)

    def read_all(self) -> Awaitable[object]:
        return self._call(self._bare.read_all)

    def insert(self, number: int) -> Awaitable[object]:
        return self._run(self._bare.insert, number)

    def insert_all(self, count: int) -> Awaitable[object]:
        return self._run(self._bare.insert_all, count)

    def increment(self, id: int) -> Awaitable[object]:
        return self._run(self._bare.increment, id)

    def prune(self, keep: int) -> Awaitable[int]:
        return self._run(self._bare.prune, keep)

    async def settings(self) -> Mapping[str, object]:
        return self._bare.settings()


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[ToThread]:
    with open_bare(path) as bare:
        yield ToThread(bare)
