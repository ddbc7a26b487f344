"""A table of numbers and streams of it, for the tests that are about streams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import attrs

from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    RowCount,
    RowStream,
    SqlFunction,
    SQLiteConfig,
    open_database,
    query,
    snapshot,
    transaction,
)

ROWS: Final = 1_000
SCHEMA: Final = (
    f"""
    CREATE TABLE number (n INTEGER PRIMARY KEY, body TEXT NOT NULL);
    WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS})
    INSERT INTO number SELECT n, 'body ' || n FROM c;
    """,
)


@attrs.frozen
class Number:
    n: int
    body: str


class Numbers(Repository):
    @query("SELECT n, body FROM number ORDER BY n")
    def all(self) -> RowStream[Number]: ...

    @query("SELECT n FROM number WHERE n >= :least ORDER BY n")
    def above(self, least: int) -> RowStream[int]: ...

    @query("SELECT tick(n) FROM number ORDER BY n")
    def ticking(self) -> RowStream[int]: ...

    @query("WITH RECURSIVE c(n) AS (SELECT tick(0) UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
           " WHERE n < 0 OR n > :after")  # fmt: skip
    def endless(self, after: int) -> RowStream[int]: ...

    @query("SELECT iif(n = :wrong, 'wrong', n) AS n FROM number ORDER BY 0 + number.n")
    def with_one_wrong(self, wrong: int) -> RowStream[int]: ...

    @query("SELECT count(*) FROM number")
    async def count(self) -> int: ...

    @query("INSERT INTO number VALUES (:n, 'new')")
    async def add(self, n: int) -> None: ...

    @query("DELETE FROM number WHERE n = :n")
    async def remove(self, n: int) -> RowCount: ...

    @snapshot
    async def total(self) -> int:
        total = 0
        async with self.all() as rows:
            async for row in rows:
                total += row.n
        return total

    @transaction
    async def move_up(self, by: int) -> list[int]:
        async with self.above(1) as rows:
            moved = [n async for n in rows if n <= by]
        for n in moved:
            await self.remove(n)
            await self.add(ROWS + n)
        async with self.above(ROWS) as rows:
            return [n async for n in rows]


@attrs.define
class Ticker:
    """Behind the SQL function `tick`: counts, and does what a test says. Any thread."""

    count: int = 0
    during: Callable[[], object] | None = None

    def __call__(self, value: Any) -> Any:
        self.count += 1
        if self.during is not None:
            self.during()
        return value


def open_numbers(
    path: Path | str,
    *more: type[Repository],
    pool: PoolConfig | None = None,
    ticker: Ticker | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Database]:
    functions = {"tick": SqlFunction(call=ticker or Ticker(), arguments=1)}
    return open_database(
        path,
        repositories=[Numbers, *more],
        migrations=SCHEMA,
        pool=pool or PoolConfig(),
        sqlite=SQLiteConfig(**{"synchronous": "off", "functions": functions, **settings}),
    )


async def assert_given_back(db: Database, *, replaced: int = 0) -> None:
    """Nothing is held or runs, and reads and writes go on."""
    pool = db._pool
    await until(lambda: not pool.interrupting)
    assert not pool.outstanding
    assert not pool.streams
    for lane in (db.stats().readers, db.stats().writers):
        assert (lane.leased, lane.waiting, lane.degraded) == (0, 0, None), lane
    assert db.stats().readers.replaced == replaced
    count = await Numbers(db).count()
    await Numbers(db).add(-1)
    await Numbers(db).remove(-1)
    assert await Numbers(db).count() == count
