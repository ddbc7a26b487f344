"""This library."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Literal

import trio

from benchmarks import data
from benchmarks.data import DIFFERENT, Message, NewMessage, new_messages
from trio_sqlrepo import (
    PoolConfig,
    Repository,
    RowCount,
    RowStream,
    SQLiteConfig,
    open_database,
    query,
    snapshot,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from trio_sqlrepo import Database

    Get = Callable[[int], Awaitable[Message | None]]


class Messages(Repository):
    @query(data.LOOKUP)
    async def get(self, id: int) -> Message | None: ...

    @query(data.NEXT_PAGE)
    async def page(self, after: int) -> list[Message]: ...

    @query(data.EVERYTHING)
    async def everything(self) -> list[Message]: ...

    @query(data.EVERYTHING)
    def one_by_one(self) -> RowStream[Message]: ...

    @query(data.LATEST)
    async def latest(self, room: str) -> list[Message]: ...

    @query(data.HEALTH)
    async def health(self) -> int: ...

    @query(data.SCAN)
    async def scan(self, width: int) -> int: ...

    @query(data.READ_ALL)
    async def read_all(self) -> int: ...

    @query(data.INSERT)
    async def post(self, message: NewMessage) -> RowCount: ...

    @query(data.INSERT)
    async def post_all(self, messages: Iterable[NewMessage]) -> RowCount: ...

    @query(data.PRUNE)
    async def prune(self, keep: int) -> RowCount: ...

    @snapshot
    async def get_each(self, ids: Sequence[int]) -> list[Message | None]:
        return [await self.get(id) for id in ids]


class Tallies(Repository):
    @query(data.GET_TALLY)
    async def get(self, id: int) -> int: ...

    @query(data.SET_TALLY)
    async def set(self, id: int, count: int) -> None: ...

    @transaction
    async def increment(self, id: int) -> None:
        await self.set(id, await self.get(id) + 1)


class Ours:
    def __init__(self, database: Database, *, block: bool = False, streams: bool = False) -> None:
        self._database = database
        self.bind = partial(Messages, database)
        messages = Messages(database)
        tallies = Tallies(database)
        self._post = messages.post
        self._post_all = messages.post_all
        self._new = new_messages()
        # The methods themselves: nothing in between.
        self.lookup: Get = messages.get
        self.lookups = messages.get_each
        self.page = messages.page
        self.everything: Callable[[], Awaitable[Sequence[Message]]] = (
            partial(_take_all, messages) if streams else messages.everything
        )
        self.latest = messages.latest
        self.health = messages.health
        self.scan = messages.scan
        self.read_all = messages.read_all
        self.prune = messages.prune
        self.increment = self._increment_in_block if block else tallies.increment

    def insert(self, number: int) -> Awaitable[object]:
        return self._post(self._new[number & (DIFFERENT - 1)])

    def insert_all(self, count: int) -> Awaitable[object]:
        return self._post_all(islice(cycle(self._new), count))

    async def _increment_in_block(self, id: int) -> None:
        async with self._database.transaction() as tx:
            tallies = Tallies(tx)
            await tallies.set(id, await tallies.get(id) + 1)

    async def read_with_all(self, readers: int) -> None:
        """Read the whole file on as many readers, all at once, so that each fills its cache."""
        reached = trio.Event()
        held = 0

        async def read() -> None:
            nonlocal held
            async with self._database.snapshot() as view:
                held += 1
                if held == readers:
                    reached.set()
                await reached.wait()  # else one reader could serve all, one after the other
                await Messages(view).read_all()

        async with trio.open_nursery() as nursery:
            for _ in range(readers):
                nursery.start_soon(read)

    async def settings(self) -> Mapping[str, object]:
        def look(connection: Any) -> Mapping[str, object]:
            names = ("journal_mode", "synchronous")
            return {name: connection.pragma(name) for name in names}

        return await self._database.write(look)


async def _take_all(messages: Messages) -> Sequence[Message]:
    """Read them as one does with a stream, one after the other; the last are still there."""
    last: deque[Message] = deque(maxlen=200)
    async with messages.one_by_one() as rows:
        async for message in rows:
            last.append(message)
    return last


@lru_cache  # declared once, as a program does: it is no part of opening
def many_queries(count: int) -> type[Repository]:
    """Declare so many lookups, `get_0` and so on, each with SQL of its own."""

    def declare(number: int) -> object:
        async def get(self: Repository, id: int) -> Message | None: ...

        get.__name__ = f"get_{number}"
        get.__qualname__ = f"Many.get_{number}"
        return query(f"{data.LOOKUP} AND {number} = {number}")(get)

    return type("Many", (Repository,), {f"get_{n}": declare(n) for n in range(count)})


def one_after_the_other(repository: Repository, count: int) -> Get:
    """A lookup that uses another one of the first `count` declared queries each time."""
    methods = cycle([getattr(repository, f"get_{number}") for number in range(count)])

    def get(id: int) -> Awaitable[Message | None]:
        found: Awaitable[Message | None] = next(methods)(id)
        return found

    return get


@asynccontextmanager
async def open_client(
    path: Path,
    *,
    queries: int = 0,
    used: int | None = None,
    block: bool = False,
    streams: bool = False,
    synchronous: Literal["full", "normal"] = "full",
    cache_size: int | None = None,
    mmap_size: int | None = None,
    **pool: int,
) -> AsyncIterator[Ours]:
    repositories: list[type[Repository]] = [Messages, Tallies]
    if queries:
        repositories.append(many_queries(queries))
    async with open_database(
        path,
        repositories=repositories,
        pool=PoolConfig.from_mapping(pool),
        sqlite=SQLiteConfig(synchronous=synchronous, cache_size=cache_size, mmap_size=mmap_size),
    ) as database:
        client = Ours(database, block=block, streams=streams)
        if queries:
            client.lookup = one_after_the_other(repositories[-1](database), used or queries)
        yield client
