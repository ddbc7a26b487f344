"""`Repository`: an ordinary class whose methods are queries."""

from __future__ import annotations

import copy
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from unittest.mock import create_autospec

import attrs
import pytest

from tests.notes import Note, Notes, open_notes
from trio_sqlrepo import (
    Database,
    NotRegistered,
    Repository,
    RowCount,
    Session,
    SessionError,
    query,
    transaction,
)

T = TypeVar("T")


class Counting:
    """A mixin that is no repository."""

    @query("SELECT count(*) FROM note WHERE box = :box")
    async def count_in(self, box: str) -> int: ...

    def plain(self) -> str:
        return type(self).__name__


class Boxed(Counting, Notes):
    """With an `__init__` of its own, a mixin, an override and a body around an inherited query."""

    def __init__(self, session: Session, box: str, *, tag: str = "none") -> None:
        super().__init__(session)
        self.box = box
        self.tag = tag

    @query("SELECT body FROM note WHERE box <> 'hidden' ORDER BY id")
    async def bodies(self) -> list[str]: ...

    @transaction
    async def fill(self, count: int) -> int:
        for number in range(count):
            await self.put(self.box, f"{self.box}-{number}")
        return await self.count_in(self.box)

    async def all_bodies(self) -> list[str]:
        """What the override hides is reached by `super()`."""
        return await super().bodies()


class Forgetful(Notes):
    def __init__(self, session: Session) -> None:
        self.unused = session


class Rows(Repository, Generic[T]):
    @query("SELECT * FROM note ORDER BY id")
    async def everything(self) -> list[T]: ...


class NoteRows(Rows[Note]):
    pass


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path, Boxed, Forgetful, NoteRows) as database:
        yield database


async def test_it_is_an_ordinary_class(db: Database) -> None:
    boxed = Boxed(db, "b", tag="t")
    assert boxed.session is db
    assert (boxed.box, boxed.tag, boxed.plain()) == ("b", "t", "Boxed")
    assert await boxed.fill(2) == 2
    await boxed.put("hidden", "secret")
    assert await boxed.bodies() == ["b-0", "b-1"]
    assert await boxed.all_bodies() == ["b-0", "b-1", "secret"]
    assert await Notes(db).bodies() == ["b-0", "b-1", "secret"]
    assert await NoteRows(db).everything() == [
        Note("b", "b-0", 1), Note("b", "b-1", 2), Note("hidden", "secret", 3),
    ]  # fmt: skip


async def test_using_gives_a_copy_bound_elsewhere(db: Database) -> None:
    boxed = Boxed(db, "b", tag="t")
    async with db.transaction() as tx:
        bound = boxed.using(tx)
        assert type(bound) is Boxed
        assert bound is not boxed
        assert (bound.box, bound.tag) == ("b", "t")
        assert (bound.session, boxed.session) == (tx, db)
        await bound.fill(2)
        assert await bound.count() == 2
        assert await boxed.count() == 0
        bound.tag = "changed"
    assert boxed.tag == "t"
    assert await boxed.count() == 2


async def test_a_plain_copy_works_on_the_same_session(db: Database) -> None:
    boxed = copy.copy(Boxed(db, "b"))
    assert boxed.session is db
    assert await boxed.fill(1) == 1


async def test_a_body_gets_a_copy(db: Database) -> None:
    kept: list[Any] = []

    class Keeping(Notes):
        @transaction
        async def keep(self) -> None:
            self.mark = "of the body"
            kept.append(self)

    async with open_notes(":memory:", Keeping) as memory:
        keeping = Keeping(memory)
        await keeping.keep()
        assert kept[0] is not keeping
        assert type(kept[0]) is Keeping
        assert not hasattr(keeping, "mark")


async def test_one_may_be_made_without_cost_or_harm(db: Database) -> None:
    assert Notes(db) is not Notes(db)
    assert Notes(db).session is Notes(db).session


@pytest.mark.parametrize("nothing", [None, "chat.db", Notes, object()])
async def test_it_is_bound_to_a_session(nothing: Any) -> None:
    with pytest.raises(TypeError, match="Notes is bound to a session: a Database, Transaction or"):
        Notes(nothing)


async def test_a_forgotten_init_is_named(db: Database) -> None:
    forgetful = Forgetful(db)
    message = r"Forgetful is not bound to a session: its __init__ must call super\(\)\.__init__"
    for call in (forgetful.count, lambda: forgetful.put_two("b", "x", "y")):
        with pytest.raises(SessionError, match=message):
            await call()
    with pytest.raises(SessionError, match=message):
        forgetful.session  # noqa: B018
    assert repr(forgetful) == "<Forgetful on nothing>"
    # Bound after all, it works.
    assert await forgetful.using(db).count() == 0


async def test_a_block_that_is_not_entered_is_no_session(db_path: Path) -> None:
    message = r"^Notes was given a block that is not entered; write `async with open_database\("
    with pytest.raises(TypeError, match=message):
        Notes(open_notes(db_path))  # type: ignore[arg-type]  # what is refused
    async with open_notes(db_path) as db:
        with pytest.raises(TypeError, match=message):
            Notes(db).using(db.transaction())  # type: ignore[arg-type]  # what is refused


async def test_a_repository_of_another_database_is_refused() -> None:
    async with open_notes(":memory:") as one, open_notes(":memory:", Boxed) as other:
        boxed = Boxed(other, "b")
        with pytest.raises(NotRegistered, match="Boxed was not given to open_database"):
            boxed.using(one)
        assert await Notes(one).using(other).count() == 0


async def test_its_repr_tells_what_it_works_on(db: Database) -> None:
    assert repr(Notes(db)) == f"<Notes on {db!r}>"
    async with db.transaction() as tx:
        assert repr(Notes(tx)) == "<Notes on <Transaction open>>"


def test_the_class_can_be_looked_at() -> None:
    """By autodoc, debuggers and mocks: nothing about it raises before it is bound."""
    members = dict(inspect.getmembers(Boxed))
    assert members["put"].__doc__ is None
    assert str(inspect.signature(Notes.put)) == "(self, box: 'str', body: 'str') -> 'None'"
    assert inspect.iscoroutinefunction(Notes.put)
    assert inspect.iscoroutinefunction(Notes.put_two)


async def test_it_can_be_mocked() -> None:
    mock = create_autospec(Boxed, instance=True)
    mock.count.return_value = 3
    assert await mock.count() == 3
    with pytest.raises(TypeError):
        mock.put("one argument")
    assert create_autospec(Notes).put is not None


class FindsNotes(Protocol):
    async def get(self, id: int) -> Note | None: ...


async def test_it_meets_a_protocol(db: Database) -> None:
    finder: FindsNotes = Notes(db)
    assert await finder.get(1) is None


async def test_an_attrs_class_can_be_one(db: Database) -> None:
    """Whatever makes the `__init__`, it has to bind."""

    @attrs.define(eq=False)
    class Made(Notes):
        on: Session
        box: str = "b"

        def __attrs_post_init__(self) -> None:
            Notes.__init__(self, self.on)

        @query("DELETE FROM note")
        async def clear(self) -> RowCount: ...

    async with open_notes(":memory:", Made) as memory:
        made = Made(memory)
        await made.put(made.box, "x")
        assert await made.clear() == 1
        async with memory.transaction() as tx:
            assert await made.using(tx).clear() == 0
