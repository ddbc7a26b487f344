"""Another process changes the schema: queries are compiled once more, and the unfit ones say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.processes.support import Child, child
from trio_sqlrepo import (
    Database,
    DeclarationError,
    PoolConfig,
    Repository,
    SQLiteConfig,
    open_database,
    query,
)


@attrs.frozen
class Item:
    id: int
    name: str
    price: int = 0


class Items(Repository):
    @query("INSERT INTO item (name) VALUES (:name) RETURNING *")
    async def add(self, name: str) -> Item: ...

    @query("SELECT * FROM item ORDER BY id")
    async def everything(self) -> list[Item]: ...

    @query("SELECT * FROM item ORDER BY id")
    async def rows(self) -> list[dict[str, Any]]: ...

    @query("SELECT name FROM item ORDER BY id")
    async def names(self) -> list[str]: ...

    @query("SELECT count(*) FROM item")
    async def count(self) -> int: ...


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_database(
        db_path,
        repositories=[Items],
        migrations=["CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"],
        pool=PoolConfig(min_readers=1, max_readers=1),
        sqlite=SQLiteConfig(synchronous="off"),
    ) as database:
        await Items(database).add("first")
        yield database


@pytest.fixture
async def other(db: Database, db_path: Path) -> AsyncIterator[Child]:
    async with child("run_sql", db_path) as process:
        yield process
    assert db.stats().readers.replaced == db.stats().writers.replaced == 0


def compilations(db: Database) -> list[int]:
    return [w.driver.compilations for lane in db._pool.lanes for w in lane.workers]  # type: ignore[union-attr]


async def use_all(db: Database) -> None:
    """Every query on every connection."""
    async with db.transaction() as tx:
        for items in (Items(db), Items(tx)):
            await items.everything()
            await items.rows()
            await items.names()
            await items.count()
        await items.add("more")


async def test_a_new_column_is_seen_by_the_next_call(db: Database, other: Child) -> None:
    items = Items(db)
    await other.ask("ALTER TABLE item ADD COLUMN price INTEGER NOT NULL DEFAULT 7", "done")
    assert await items.everything() == [Item(1, "first", 7)]
    assert await items.rows() == [{"id": 1, "name": "first", "price": 7}]
    assert await items.add("second") == Item(2, "second", 7)
    # In the middle of the columns: SQLite re-prepares `SELECT *`, and no value moves.
    await other.ask("DROP TABLE item", "done")
    await other.ask(
        "CREATE TABLE item (price INTEGER DEFAULT 3, name TEXT NOT NULL, id INTEGER PRIMARY KEY)",
        "done",
    )
    assert await items.add("third") == Item(1, "third", 3)
    assert await items.everything() == [Item(1, "third", 3)]
    assert await items.rows() == [{"price": 3, "name": "third", "id": 1}]


async def test_it_is_compiled_once_and_then_no_more(db: Database, other: Child) -> None:
    await use_all(db)
    before = compilations(db)
    await use_all(db)
    assert compilations(db) == before
    await other.ask("CREATE TABLE another (x)", "done")
    await use_all(db)
    once_more = compilations(db)
    assert all(now > then for now, then in zip(once_more, before, strict=True))
    for _ in range(3):
        await use_all(db)
    assert compilations(db) == once_more
    assert all(statement.precompiled for statement in db.stats().statements.values())


async def test_only_the_query_that_no_longer_fits_is_refused(db: Database, other: Child) -> None:
    items = Items(db)
    await other.ask("ALTER TABLE item RENAME COLUMN name TO title", "done")
    for unfit, method in (
        (items.names, "names"),
        (items.everything, "everything"),
        (lambda: items.add("x"), "add"),
    ):
        for _ in range(2):  # and stays refused
            with pytest.raises(DeclarationError, match=rf"Items\.{method}"):
                await unfit()
    assert await items.count() == 1
    assert await items.rows() == [{"id": 1, "title": "first"}]
    async with db.transaction() as tx:
        with pytest.raises(DeclarationError):
            await Items(tx).add("x")
        assert await Items(tx).count() == 1
    await other.ask("ALTER TABLE item RENAME COLUMN title TO name", "done")
    assert await items.names() == ["first"]
    assert await items.add("second") == Item(2, "second")


async def test_a_view_that_is_open_keeps_the_schema_it_saw(db: Database, other: Child) -> None:
    async with db.snapshot() as snap:
        await other.ask("ALTER TABLE item ADD COLUMN price INTEGER NOT NULL DEFAULT 7", "done")
        assert await Items(snap).rows() == [{"id": 1, "name": "first"}]
        assert await Items(snap).everything() == [Item(1, "first")]
    assert await Items(db).everything() == [Item(1, "first", 7)]
