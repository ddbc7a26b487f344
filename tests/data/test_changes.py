"""`Database.changes`: what was committed, by table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.live import has_item
from tests.notes import NewNote, Notes, open_notes
from trio_sqlrepo import Changes, Database, PoolConfig, UniqueViolation


@pytest.fixture(params=["file", "memory"])
async def db(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[Database]:
    path = ":memory:" if request.param == "memory" else db_path
    async with open_notes(path) as database:
        yield database


async def test_each_commit_names_its_tables(db: Database) -> None:
    notes = Notes(db)
    async with db.changes() as changes:
        await notes.put("a", "one")
        assert await anext(changes) == Changes(tables={"note": None})
        await notes.increment()
        assert await anext(changes) == Changes(tables={"counter": frozenset(("n",))})
        await notes.put_all([NewNote("a", "two"), NewNote("a", "three")])
        assert await anext(changes) == Changes(tables={"note": None})
        await notes.put_two("a", "four", "five")
        assert await anext(changes) == Changes(tables={"note": None})
        async with db.transaction() as tx:
            await Notes(tx).increment()
            await tx.execute("DELETE FROM checked")
        both = {"counter": frozenset(("n",)), "checked": None}
        assert await anext(changes) == Changes(tables=both)


async def test_the_slow_get_it_put_together(db: Database) -> None:
    notes = Notes(db)
    async with db.changes() as slow, db.changes() as quick:
        await notes.put("a", "one")
        await anext(quick)
        await notes.increment()
        assert await anext(quick) == Changes(tables={"counter": frozenset(("n",))})
        both = {"note": None, "counter": frozenset(("n",))}
        assert await anext(slow) == Changes(tables=both)
        assert not has_item(slow)


async def test_a_function_is_named_and_not_trusted(db: Database) -> None:
    async with db.changes() as changes:
        await db.write(lambda connection: connection.execute("DELETE FROM checked"))
        assert await anext(changes) == Changes(tables={"checked": None}, everything=True)
        await db.execute("CREATE TABLE more (a)")
        assert (await anext(changes)).everything
        await db.execute("VACUUM")
        assert await anext(changes) == Changes(everything=True)


async def test_what_was_undone_or_wrote_nothing_is_none(db: Database) -> None:
    notes = Notes(db)
    await notes.put("a", "taken")
    async with db.changes() as changes:
        with pytest.raises(UniqueViolation):
            await notes.put_two("a", "new", "taken")
        async with db.transaction() as tx:
            await Notes(tx).count()
        async with db.transaction() as tx:
            await Notes(tx).put("a", "new")
            await tx.rollback()
        await notes.count()
        assert not has_item(changes)
        await notes.increment()
        assert await anext(changes) == Changes(tables={"counter": frozenset(("n",))})


async def test_what_came_before_is_not_told(db: Database) -> None:
    await Notes(db).put("a", "one")
    async with db.changes() as changes:
        assert not has_item(changes)


async def test_a_group_is_told_once(db_path: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(max_readers=1)) as db, db.changes() as changes:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(Notes(db).put, "a", f"{number}")
        assert await anext(changes) == Changes(tables={"note": None})
        assert not has_item(changes)
