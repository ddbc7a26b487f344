"""Guarantee 11: no declared query is compiled again, until the schema changes; then once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import NewNote, Note, Notes, assert_healthy, open_notes
from trio_sqlrepo import Database, DeclarationError, PoolConfig, Repository, query
from trio_sqlrepo._base.driver import Driver


class Plain(Repository):
    """Some that fit whatever becomes of the other columns."""

    @query("SELECT id, body FROM note WHERE id = :id")
    async def body_of(self, id: int) -> tuple[int, str] | None: ...

    @query("SELECT n FROM counter")
    async def untouched(self) -> int: ...


def not_precompiled(db: Database) -> list[str]:
    return [name for name, each in db.stats().statements.items() if not each.precompiled]


async def change_schema(db: Database, *statements: str) -> None:
    def change(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement).fetchall()

    await db.write(change)


@pytest.mark.parametrize("max_readers", [0, 3])
async def test_every_query_stays_compiled(max_readers: int, db_path: Path) -> None:
    """Those too that are not called while others and ad-hoc SQL run thousands of times."""
    pool = PoolConfig(max_readers=max_readers, min_readers=max_readers, max_writers=2)
    async with open_notes(db_path, Plain, pool=pool) as db:
        assert set(db.stats().statements) >= {"Notes.put", "Plain.untouched"}
        assert not_precompiled(db) == []
        notes = Notes(db)

        async def call(number: int) -> None:
            for turn in range(100):
                body = f"{number}-{turn}"
                match (turn + number) % 5:
                    case 0:
                        await notes.put("", body)
                    case 1:
                        await notes.count_twice()
                    case 2:
                        await db.execute(f"SELECT {number * 1000 + turn}")  # never the same text
                    case 3:
                        await notes.add("", body)
                    case _:
                        await Plain(db).body_of(turn)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(call, number)
        await notes.put_all([NewNote("batch", f"batch{number}") for number in range(3000)])
        assert not_precompiled(db) == []
        assert db.stats().statements["Plain.untouched"].calls == 0
        assert db.stats().statements["Notes.put_all"].calls == 1
        await assert_healthy(db)


async def test_a_reader_opened_later_has_them_compiled(db_path: Path) -> None:
    pool = PoolConfig(max_readers=3, reserved_readers=0)
    async with open_notes(db_path, Plain, pool=pool) as db:
        assert db.stats().readers.size == 1
        async with db.snapshot(), db.snapshot(), db.snapshot():
            assert db.stats().readers.size == 3
            assert not_precompiled(db) == []


@pytest.mark.parametrize("max_readers", [0, 1])
async def test_a_changed_schema_costs_each_query_one_compilation(
    max_readers: int, db_path: Path
) -> None:
    """On the connection that runs it. SQLite asks the authorizer whenever it compiles."""
    pool = PoolConfig(max_readers=max_readers)
    async with open_notes(db_path, Plain, pool=pool) as db:
        notes, plain = Notes(db), Plain(db)
        reader = db._pool.readers.workers[0].driver
        writer = db._pool.writers.workers[0].driver
        assert reader is not None
        assert writer is not None
        await change_schema(db, "ALTER TABLE note ADD COLUMN more TEXT DEFAULT 'more'")
        calls: list[tuple[Driver, Callable[[], Awaitable[object]]]] = [
            (reader, plain.untouched),
            (reader, partial(plain.body_of, 1)),
            (reader, partial(notes.get, 1)),
            (writer, partial(notes.empty, "")),
            (writer, partial(notes.put_all, [])),
            (writer, notes.increment),
        ]
        for driver, each in calls:
            before = driver.compilations
            await each()
            after = driver.compilations
            for _ in range(3):
                await each()
            assert before < after == driver.compilations, each
        assert not {"Plain.untouched", "Notes.get", "Notes.empty"} & set(not_precompiled(db))
        await assert_healthy(db)


@pytest.mark.parametrize("max_readers", [0, 2])
async def test_columns_in_a_new_order_are_mapped_by_name(max_readers: int, db_path: Path) -> None:
    """SQLite compiles `SELECT *` again without a word."""
    async with open_notes(db_path, pool=PoolConfig(max_readers=max_readers)) as db:
        notes = Notes(db)
        first = await notes.add("the box", "the body")
        assert await notes.get(first.id) == Note("the box", "the body", first.id)
        await change_schema(
            db,
            "ALTER TABLE note RENAME TO old_note",
            "CREATE TABLE note (body TEXT NOT NULL UNIQUE, more TEXT DEFAULT 'more',"
            " id INTEGER PRIMARY KEY, box TEXT NOT NULL) STRICT",
            "INSERT INTO note (body, id, box) SELECT body, id, box FROM old_note",
            "DROP TABLE old_note",
        )
        assert await notes.get(first.id) == Note("the box", "the body", first.id)
        second = await notes.add("box 2", "body 2")
        assert (second.box, second.body) == ("box 2", "body 2")
        assert await notes.add_all([NewNote("box 3", "body 3")]) == [
            Note("box 3", "body 3", second.id + 1)
        ]
        async with db.snapshot() as snap:
            assert await Notes(snap).get(second.id) == second
        await assert_healthy(db)


@pytest.mark.parametrize("max_readers", [0, 2])
async def test_a_query_whose_column_is_gone_says_so(max_readers: int, db_path: Path) -> None:
    """It alone: the others go on, whichever connection serves them."""
    async with open_notes(db_path, Plain, pool=PoolConfig(max_readers=max_readers)) as db:
        notes, plain = Notes(db), Plain(db)
        note = await notes.add("box", "body")
        await change_schema(db, "ALTER TABLE note DROP COLUMN box")
        for _ in range(3):
            with pytest.raises(DeclarationError, match=r"(?s)Notes\.in_box.*box"):
                await notes.in_box("box")
            with pytest.raises(DeclarationError, match=r"(?s)Notes\.get.*box"):
                await notes.get(note.id)
            with pytest.raises(DeclarationError, match=r"(?s)Notes\.put.*box"):
                await notes.put("box", "lost")
            assert await plain.body_of(note.id) == (note.id, "body")
            assert await notes.bodies() == ["body"]
            assert await plain.untouched() + 1 == await notes.increment()
        await assert_healthy(db)


async def test_a_column_that_is_back_mends_the_query(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        notes = Notes(db)
        note = await notes.add("box", "body")
        await change_schema(db, "ALTER TABLE note RENAME COLUMN box TO chest")
        with pytest.raises(DeclarationError):
            await notes.get(note.id)
        await change_schema(db, "ALTER TABLE note RENAME COLUMN chest TO box")
        assert await notes.get(note.id) == note
        assert await notes.in_box("box") == ["body"]
        await assert_healthy(db)
