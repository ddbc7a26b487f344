"""What contenders that take SQL and give rows have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from benchmarks import data

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    Values = tuple[Any, ...]

LOOKUP: Final = data.positional(data.LOOKUP)
NEXT_PAGE: Final = data.positional(data.NEXT_PAGE)
LATEST: Final = data.positional(data.LATEST)
SCAN: Final = data.positional(data.SCAN)
INSERT: Final = data.positional(data.INSERT)
PRUNE: Final = data.positional(data.PRUNE)
GET_TALLY: Final = data.positional(data.GET_TALLY)
SET_TALLY: Final = data.positional(data.SET_TALLY)

NEW: Final = [data.values(message) for message in data.new_messages()]


def new_rows(count: int) -> Iterable[Values]:
    """So many messages to write."""
    return islice(cycle(NEW), count)


class Rows(ABC):
    """A client made of four ways to run SQL. Those return awaitables, so that nothing is added."""

    @abstractmethod
    def one(self, sql: str, values: Values = ()) -> Awaitable[Any]:
        """Fetch a row."""

    @abstractmethod
    def all(self, sql: str, values: Values = ()) -> Awaitable[Sequence[Any]]:
        """Fetch all rows."""

    @abstractmethod
    def write(self, sql: str, values: Values) -> Awaitable[Any]:
        """Write, and commit."""

    @abstractmethod
    def write_all(self, sql: str, rows: Iterable[Values]) -> Awaitable[object]:
        """Write many rows in one transaction, and commit."""

    @abstractmethod
    def increment(self, id: int) -> Awaitable[object]: ...

    @abstractmethod
    async def prune(self, keep: int) -> int: ...

    def lookup(self, id: int) -> Awaitable[object]:
        return self.one(LOOKUP, (id,))

    async def lookups(self, ids: Sequence[int]) -> object:
        return [await self.lookup(id) for id in ids]

    def page(self, after: int) -> Awaitable[Sequence[object]]:
        return self.all(NEXT_PAGE, (after,))

    def everything(self) -> Awaitable[Sequence[object]]:
        return self.all(data.EVERYTHING)

    def latest(self, room: str) -> Awaitable[Sequence[object]]:
        return self.all(LATEST, (room,))

    async def health(self) -> object:
        return (await self.one(data.HEALTH))[0]

    async def scan(self, width: int) -> object:
        return (await self.one(SCAN, (width,)))[0]

    async def read_all(self) -> object:
        return (await self.one(data.READ_ALL))[0]

    def insert(self, number: int) -> Awaitable[object]:
        return self.write(INSERT, NEW[number & (data.DIFFERENT - 1)])

    def insert_all(self, count: int) -> Awaitable[object]:
        return self.write_all(INSERT, new_rows(count))

    async def settings(self) -> Mapping[str, object]:
        names = ("journal_mode", "synchronous")
        return {name: (await self.one(f"PRAGMA {name}"))[0] for name in names}


class SharedConnection(Rows):
    """One of Python's `sqlite3` that all tasks share, and a lock around what must not mix.

    `_connection` and `_lock` are the wrapper's and its loop's own.
    """

    _connection: Any
    _lock: Any

    async def increment(self, id: int) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                (count,) = await self.one(GET_TALLY, (id,))
                await self._connection.execute(SET_TALLY, (count + 1, id))
            except BaseException:
                await self._connection.rollback()
                raise
            await self._connection.commit()

    async def prune(self, keep: int) -> int:
        rowcount: int = (await self.write(PRUNE, (keep,))).rowcount
        return rowcount
