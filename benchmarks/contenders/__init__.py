"""Who takes part, and what each can be asked to do."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from benchmarks.data import FileKind, file_of
from benchmarks.loops import AsyncioLoop, TrioLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from benchmarks.loops import Loop


class Client(Protocol):
    """An open database, as one contender uses it. All return what that contender returns.

    Ours maps rows to attrs objects; peers give the tuples of SQLite.
    """

    def lookup(self, id: int) -> Awaitable[object]:
        """Read one message by its id."""

    def lookups(self, ids: Sequence[int]) -> Awaitable[object]:
        """Read messages one after the other, within one view if the contender has such a thing."""

    def page(self, after: int) -> Awaitable[Sequence[object]]:
        """Read the 50 messages that follow an id."""

    def everything(self) -> Awaitable[Sequence[object]]:
        """Read all messages."""

    def latest(self, room: str) -> Awaitable[Sequence[object]]:
        """Read the last 50 messages of a room."""

    def health(self) -> Awaitable[object]:
        """Read what a health endpoint would: the largest id."""

    def scan(self, width: int) -> Awaitable[object]:
        """Read all messages `width` times."""

    def read_all(self) -> Awaitable[object]:
        """Read every page of the messages."""

    def insert(self, number: int) -> Awaitable[object]:
        """Write one message; durable when it returns."""

    def insert_all(self, count: int) -> Awaitable[object]:
        """Write so many messages in one transaction, the fastest way there is."""

    def increment(self, id: int) -> Awaitable[object]:
        """Read a tally, add one, write it: one transaction, durable when it returns."""

    def prune(self, keep: int) -> Awaitable[int]:
        """Delete up to 500 messages older than the last `keep`; how many."""

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
    tasks: int = 0  # if not 0: in place of the workload's own number
    count: int = 0  # the same, for what the workload counts
    file: FileKind | None = None  # in place of the workload's own
    # `gc.set_threshold(10_000, 20, 100)`, as docs/performance.md recommends it to servers.
    fewer_collections: bool = False

    @property
    def is_installed(self) -> bool:
        try:
            return find_spec(self.needs) is not None
        except ModuleNotFoundError:  # the package around it is not there
            return False

    def event_loop(self) -> Loop:
        """Make the loop it runs on."""
        return TrioLoop() if self.loop == "trio" else AsyncioLoop()

    def open(self, path: Path) -> AbstractAsyncContextManager[Client]:
        """Open the database at `path`."""
        module = importlib.import_module(self.module)
        client: AbstractAsyncContextManager[Client] = module.open_client(path, **self.options)
        return client


def _ours(
    name: str, *, tasks: int = 0, count: int = 0, megabytes: int = 0, **options: Any
) -> Contender:
    return Contender(
        name=name, module="benchmarks.contenders.ours", loop="trio", needs="trio_sqlrepo",
        options=options, tasks=tasks, count=count, file=file_of(megabytes) if megabytes else None,
    )  # fmt: skip


def _peer(
    name: str, module: str, loop: str | None, needs: str, *, count: int = 0, **options: Any
) -> Contender:
    return Contender(
        name=name, module=f"benchmarks.contenders.{module}", loop=loop, needs=needs,
        options=options, count=count,
    )  # fmt: skip


OURS = _ours("trio_sqlrepo")
OURS_BLOCK = _ours("trio_sqlrepo, block", block=True)
OURS_STREAM = _ours("trio_sqlrepo, RowStream", streams=True)
OURS_FEWER_COLLECTIONS = attrs.evolve(
    OURS, name="trio_sqlrepo, fewer collections", fewer_collections=True
)
OURS_NORMAL = _ours("trio_sqlrepo, NORMAL", synchronous="normal")
APSW = _peer("apsw.aio", "apsw_trio", "trio", "apsw.aio")
APSW_ONE_HOP = _peer("apsw.aio async_run", "apsw_trio", "trio", "apsw.aio", one_hop=True)
AIOSQLITE = _peer("aiosqlite", "aiosqlite", "asyncio", "aiosqlite")
AIOSQLITE_FETCHALL = _peer("aiosqlite fetchall", "aiosqlite", "asyncio", "aiosqlite", one_hop=True)
AIOSQLITE_COMMIT = _peer("aiosqlite commit()", "aiosqlite", "asyncio", "aiosqlite", commit=True)
AIOSQLITEPOOL = _peer("aiosqlitepool", "aiosqlitepool", "asyncio", "aiosqlitepool")
SQLITE_ANYIO = _peer("sqlite-anyio", "sqlite_anyio", "trio", "sqlite_anyio")
ANYIO_SQLITE = _peer("anyio-sqlite", "anyio_sqlite", "trio", "anyio_sqlite")
SQLALCHEMY = _peer("SQLAlchemy", "sqlalchemy", "asyncio", "sqlalchemy")
TO_THREAD = _peer("trio.to_thread", "to_thread", "trio", "apsw")
BARE = _peer("bare loop", "bare", None, "apsw")
BARE_MAPPED = _peer("bare loop, mapped", "bare", None, "apsw", mapped=True)
BARE_ONE_COMMIT = _peer("bare loop, one COMMIT", "bare", None, "apsw", one_commit=True)

# Every library, each in its usual way. The first is what the others are compared with.
PEERS = (APSW, AIOSQLITE, AIOSQLITEPOOL, SQLITE_ANYIO, ANYIO_SQLITE, SQLALCHEMY, TO_THREAD)
ALL = (OURS, *PEERS)
# The same with the shortcuts their documentation shows, and the limit.
LOOKUP_PEERS = (
    APSW, APSW_ONE_HOP, AIOSQLITE, AIOSQLITE_FETCHALL, *PEERS[2:], BARE
)  # fmt: skip
INSERT_PEERS = (APSW, AIOSQLITE, AIOSQLITE_COMMIT, *PEERS[2:], BARE, BARE_ONE_COMMIT)

READERS = tuple(_ours(f"{n} readers", min_readers=n, max_readers=n) for n in (1, 4, 16, 64))
WAITING = tuple(_ours(f"{n} tasks", tasks=n) for n in (10, 100, 1_000, 10_000))
# The smallest and the largest again, on another setting of the garbage collector's.
WAITING_OTHERWISE = tuple(
    attrs.evolve(point, name=f"{point.name}, fewer collections", fewer_collections=True)
    for point in (WAITING[0], WAITING[-1])
)
QUERIES = tuple(_ours(f"{n} queries", queries=n, used=10) for n in (10, 100, 1_000))
USED_QUERIES = tuple(_ours(f"{n} queries", queries=n) for n in (10, 100, 1_000))
FILES = tuple(_ours(f"{n} MB", megabytes=n) for n in (10, 100, 500, 2_000))
# The smallest and the largest again: mapped into memory, and read by a bare loop.
FILES_OTHERWISE = (
    *(_ours(f"{n} MB, mapped", megabytes=n, mmap_size=4 << 30) for n in (10, 2_000)),
    *(attrs.evolve(BARE, name=f"bare loop, {n} MB", file=file_of(n)) for n in (10, 2_000)),
)
MEMORY = tuple(
    _ours(f"{n} readers", count=n, min_readers=n, max_readers=n, reserved_readers=0)
    for n in (1, 8, 100)
)
MEMORY_POOL = tuple(
    _peer(
        f"aiosqlitepool of {n}", "aiosqlitepool", "asyncio", "aiosqlitepool", count=n, pool_size=n
    )
    for n in (1, 8, 100)
)
SETTINGS = (
    _ours("the defaults"),
    _ours("1 reader", min_readers=1, max_readers=1),
    _ours("2 readers", min_readers=2, max_readers=2),
    _ours("8 readers", min_readers=8, max_readers=8),
    _ours("cache of 16 MB", cache_size=16 << 20),
    _ours("cache of 64 MB", cache_size=64 << 20),
    _ours("mmap of 64 MB", mmap_size=64 << 20),
    _ours("groups of 1", group_commit=1),
    _ours("groups of 16", group_commit=16),
    _ours("groups of 1024", group_commit=1024),
)
OPENING = tuple(
    _ours(f"{queries} queries, {n} readers", queries=queries, min_readers=n, max_readers=n)
    for queries in (10, 100, 1_000)
    for n in (1, 8)
)
