"""A declared write that raises anything leaves nothing, and harms no other.

Neither alone, nor in a group, a transaction, a body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import NewNote, Notes, assert_healthy, open_notes
from tests.support import read_in_child
from tests.waiting import until
from trio_sqlrepo import (
    CheckViolation,
    Database,
    MappingError,
    MultipleResults,
    NoResult,
    Repository,
    Session,
    SqlFunction,
    SqlRepoError,
    UniqueViolation,
    query,
    transaction,
)


class Failing(Repository):
    @query("UPDATE note SET box = 'changed' WHERE body = 'nobody' RETURNING id")
    async def one_of_none(self) -> int: ...

    @query("UPDATE note SET box = 'changed' RETURNING id")
    async def one_of_two(self) -> int: ...

    @query("UPDATE note SET box = 'changed' RETURNING id")
    async def at_most_one_of_two(self) -> int | None: ...

    @query("UPDATE note SET box = 'changed' RETURNING nullif(box, box)")
    async def null(self) -> list[str]: ...

    @query("INSERT INTO note (box, body) VALUES (:box, :body) RETURNING nullif(body, 'bad')")
    async def batch_null(self, notes: Iterable[NewNote]) -> list[str]: ...

    @query("INSERT INTO note (box, body) VALUES ('changed', 'two')")
    async def duplicate(self) -> None: ...

    @query("INSERT OR FAIL INTO note (box, body) SELECT 'changed', value FROM"
           " json_each('[\"fresh\", \"one\"]')")  # fmt: skip
    async def duplicate_that_keeps(self) -> None: ...

    @query("UPDATE note SET box = explode(box)")
    async def function(self) -> None: ...

    @query("INSERT INTO checked VALUES (11)")
    async def check(self) -> None: ...

    @transaction
    async def body(self) -> None:
        await self.session.execute("UPDATE note SET box = 'changed'")
        await self.one_of_two()

    @transaction
    async def within(self, name: str, error: type[Exception]) -> None:
        """Swallow it: the body's own writes stay, the failed call's don't."""
        await self.session.execute("INSERT INTO note (box, body) VALUES ('b', 'own')")
        with pytest.raises(error):
            await CALLS[name][0](self)


class Exploded(Exception):
    pass


def explode(value: str) -> str:
    if value == "last":
        raise Exploded
    return "changed"


CALLS: dict[str, tuple[Callable[[Failing], Awaitable[Any]], type[Exception]]] = {
    "NoResult": (lambda failing: failing.one_of_none(), NoResult),
    "MultipleResults": (lambda failing: failing.one_of_two(), MultipleResults),
    "MultipleResults, optional": (lambda f: f.at_most_one_of_two(), MultipleResults),
    "MappingError": (lambda failing: failing.null(), MappingError),
    "MappingError, batch": (
        lambda f: f.batch_null([NewNote("changed", "good"), NewNote("changed", "bad")]),
        MappingError,
    ),
    "UniqueViolation": (lambda failing: failing.duplicate(), UniqueViolation),
    "UniqueViolation, OR FAIL": (lambda failing: failing.duplicate_that_keeps(), UniqueViolation),
    "CheckViolation": (lambda failing: failing.check(), CheckViolation),
    "a function's own": (lambda failing: failing.function(), Exception),
    "a body's query": (lambda failing: failing.body(), MultipleResults),
}
BEFORE = [("b", "one"), ("last", "two")]
ALL = pytest.mark.parametrize("name", CALLS)


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    functions = {"explode": SqlFunction(call=explode)}
    async with open_notes(db_path, Failing, functions=functions) as database:
        notes = Notes(database)
        for box, body in BEFORE:
            await notes.put(box, body)
        yield database
        await assert_healthy(database)


async def contents(session: Session) -> list[tuple[Any, ...]]:
    return await session.execute("SELECT box, body FROM note ORDER BY id")


@ALL
async def test_alone(name: str, db: Database, db_path: Path) -> None:
    call, error = CALLS[name]
    with pytest.raises(error) as caught:
        await call(Failing(db))
    if error is not Exception:
        assert isinstance(caught.value, SqlRepoError)
    assert await contents(db) == BEFORE
    assert read_in_child(db_path, "SELECT box, body FROM note ORDER BY id") == BEFORE


@ALL
async def test_in_a_group(name: str, db: Database) -> None:
    call, error = CALLS[name]
    before = db.stats()

    async def expect() -> None:
        with pytest.raises(error):
            await call(Failing(db))

    async with trio.open_nursery() as nursery, db.transaction():
        nursery.start_soon(Notes(db).put, "b", "first")
        nursery.start_soon(expect)
        nursery.start_soon(Notes(db).put_two, "b", "second", "third")
        await until(lambda: db.stats().writers.waiting >= 3)
    assert (await contents(db))[:2] == BEFORE
    assert sorted(await contents(db))[:4] == [
        ("b", "first"), ("b", "one"), ("b", "second"), ("b", "third"),
    ]  # fmt: skip
    after = db.stats()
    assert after.writes - before.writes in {3, 4}  # the open transaction wrote nothing


@ALL
async def test_in_a_transaction(name: str, db: Database) -> None:
    call, error = CALLS[name]
    async with db.transaction() as tx:
        await Notes(tx).put("b", "own")
        with pytest.raises(error):
            await call(Failing(tx))
        assert await contents(tx) == [*BEFORE, ("b", "own")]
    assert await contents(db) == [*BEFORE, ("b", "own")]


@ALL
@pytest.mark.parametrize("where", ["database", "transaction"])
async def test_in_a_body(name: str, where: str, db: Database) -> None:
    error = CALLS[name][1]
    if where == "database":
        await Failing(db).within(name, error)
    else:
        async with db.transaction() as tx:
            await Failing(tx).within(name, error)
    assert await contents(db) == [*BEFORE, ("b", "own")]


async def test_a_parameter_that_does_not_fit_is_refused_before_it_is_queued(db: Database) -> None:
    acquisitions = db.stats().writers.acquisitions
    with pytest.raises(MappingError):
        await Notes(db).put("b", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await Notes(db).put_all("text")  # type: ignore[arg-type]
    assert db.stats().writers.acquisitions == acquisitions
