"""A small domain that many tests share: notes that lie in boxes, and a counter."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    RowCount,
    SQLiteConfig,
    open_database,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo._base.job import Kind

# A second note of the same body is refused; a second strict one ends the whole transaction.
SCHEMA: Final = (
    """
    CREATE TABLE note (
        id INTEGER PRIMARY KEY, box TEXT NOT NULL, body TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE strict_note (body TEXT PRIMARY KEY ON CONFLICT ROLLBACK) STRICT;
    CREATE TABLE checked (n INTEGER CONSTRAINT small CHECK (n < 10)) STRICT;
    CREATE TABLE counter (n INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
    """,
)


@attrs.frozen
class NewNote:
    box: str
    body: str


@attrs.frozen
class Note(NewNote):
    id: int


class Notes(Repository):
    @query("INSERT INTO note (box, body) VALUES (:box, :body)")
    async def put(self, box: str, body: str) -> None: ...

    @query("INSERT INTO note (box, body) VALUES (:box, :body) RETURNING *")
    async def add(self, box: str, body: str) -> Note: ...

    @query("INSERT INTO note (box, body) VALUES (:box, :body)")
    async def put_all(self, notes: Iterable[NewNote]) -> RowCount: ...

    @query("INSERT INTO note (box, body) VALUES (:box, :body) RETURNING *")
    async def add_all(self, notes: Iterable[NewNote]) -> list[Note]: ...

    @query("INSERT INTO strict_note VALUES (:body)")
    async def put_strictly(self, body: str) -> None: ...

    @query("SELECT * FROM note WHERE id = :id")
    async def get(self, id: int) -> Note | None: ...

    @query("SELECT body FROM note ORDER BY id")
    async def bodies(self) -> list[str]: ...

    @query("SELECT body FROM note WHERE box = :box ORDER BY id")
    async def in_box(self, box: str) -> list[str]: ...

    @query("SELECT count(*) FROM note")
    async def count(self) -> int: ...

    @query("DELETE FROM note WHERE box = :box")
    async def empty(self, box: str) -> RowCount: ...

    @query("UPDATE counter SET n = n + 1 RETURNING n")
    async def increment(self) -> int: ...

    @query("SELECT n FROM counter")
    async def counted(self) -> int: ...

    @transaction
    async def put_two(self, box: str, first: str, second: str) -> int:
        await self.put(box, first)
        await self.put(box, second)
        return len(await self.in_box(box))

    @snapshot
    async def count_twice(self) -> tuple[int, int]:
        return await self.count(), await self.count()


def open_notes(
    path: Path | str, *more: type[Repository], pool: PoolConfig | None = None, **settings: Any
) -> AbstractAsyncContextManager[Database]:
    """Open a database of notes.

    `settings` are `SQLiteConfig`'s. Commits don't wait for the disk unless they say so, as no test
    here cuts the power.
    """
    return open_database(
        path,
        repositories=[Notes, *more],
        migrations=SCHEMA,
        pool=pool or PoolConfig(),
        sqlite=SQLiteConfig(**{"synchronous": "off", **settings}),
    )


async def assert_healthy(db: Database) -> None:
    """Nothing is held, nobody waits, and a read and a write work."""
    # Where one connection serves all, a look for a watcher that has gone may stand in the queue.
    with trio.move_on_after(10):
        while any(job.kind is Kind.UPKEEP for job in db._pool.outstanding):
            await trio.sleep(0.001)
    stats = db.stats()
    assert stats.state == "open", stats
    for lane in (stats.readers, stats.writers):
        assert (lane.leased, lane.waiting, lane.degraded) == (0, 0, None), lane
        assert lane.replaced == 0, lane
    notes = Notes(db)
    before = await notes.counted()
    assert await notes.increment() == before + 1
    assert await notes.counted() == before + 1


def do_nothing(_: object) -> None:
    """For `Database.read` and `Database.write`."""


def pool_threads() -> list[str]:
    """The names of this library's threads that live."""
    return [t.name for t in threading.enumerate() if t.name.startswith("trio_sqlrepo")]
