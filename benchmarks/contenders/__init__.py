"""Who takes part, and what each can be asked to do."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from benchmarks.loops import AsyncioLoop, TrioLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from benchmarks.loops import Loop


class Client(Protocol):
    """An open database, as one contender uses it. All return what that contender returns."""

    def lookup(self, id: int) -> Awaitable[object]:
        """Read one message by its id."""

    def lookups(self, ids: Sequence[int]) -> Awaitable[object]:
        """Read messages one after the other, within one view if the contender has such a thing."""

    def insert(self, number: int) -> Awaitable[object]:
        """Write one message; durable when it returns."""

    def scan(self, width: int) -> Awaitable[object]:
        """Read all messages `width` times."""

    async def settings(self) -> Mapping[str, object]:
        """What the connection that writes says of its settings."""


@attrs.frozen(kw_only=True)
class Contender:
    """One way to use SQLite."""

    name: str
    module: str  # has `open_client(path, **options)`
    loop: str | None  # None: its client is no `Client` but a `contenders.bare.Bare`
    needs: str  # the module that must be there
    options: Mapping[str, Any] = {}

    @property
    def is_installed(self) -> bool:
        return find_spec(self.needs) is not None

    def event_loop(self) -> Loop:
        """Make the loop it runs on."""
        return TrioLoop() if self.loop == "trio" else AsyncioLoop()

    def open(self, path: Path) -> AbstractAsyncContextManager[Client]:
        """Open the database at `path`."""
        module = importlib.import_module(self.module)
        client: AbstractAsyncContextManager[Client] = module.open_client(path, **self.options)
        return client


def _ours(name: str, **pool: int) -> Contender:
    return Contender(
        name=name, module="benchmarks.contenders.ours", loop="trio", needs="trio_sqlrepo",
        options=pool,
    )  # fmt: skip


def _peer(name: str, module: str, loop: str | None, needs: str, **options: Any) -> Contender:
    return Contender(
        name=name, module=f"benchmarks.contenders.{module}", loop=loop, needs=needs,
        options=options,
    )  # fmt: skip


OURS = _ours("trio_sqlrepo")
ONE_READER = _ours("1 reader", min_readers=1, max_readers=1)
SIXTEEN_READERS = _ours("16 readers", min_readers=16, max_readers=16)
APSW = _peer("apsw.aio", "apsw_trio", "trio", "apsw.aio")
APSW_ONE_HOP = _peer("apsw.aio async_run", "apsw_trio", "trio", "apsw.aio", one_hop=True)
AIOSQLITE = _peer("aiosqlite", "aiosqlite", "asyncio", "aiosqlite")
AIOSQLITE_FETCHALL = _peer("aiosqlite fetchall", "aiosqlite", "asyncio", "aiosqlite", one_hop=True)
TO_THREAD = _peer("trio.to_thread", "to_thread", "trio", "apsw")
BARE = _peer("bare loop", "bare", None, "apsw")
BARE_MAPPED = _peer("bare loop, mapped", "bare", None, "apsw", mapped=True)
BARE_ONE_COMMIT = _peer("bare loop, one COMMIT", "bare", None, "apsw", one_commit=True)

LOOKUP_PEERS = (APSW, APSW_ONE_HOP, AIOSQLITE, AIOSQLITE_FETCHALL, TO_THREAD, BARE)
