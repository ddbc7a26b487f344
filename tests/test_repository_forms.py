"""Repositories of other makes: attrs classes, slots, frozen ones; and what stands in for one."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol
from unittest.mock import create_autospec

import attrs
import pytest

from tests.notes import SCHEMA, Note, Notes
from trio_sqlrepo import (
    CrudRepository,
    DeclarationError,
    Repository,
    RowCount,
    Session,
    SessionError,
    query,
    transaction,
)
from trio_sqlrepo.testing import memory_database


class Clearing:
    """The queries that each of them has."""

    @query("DELETE FROM note WHERE box = :box")
    async def clear(self, box: str) -> RowCount: ...

    @query.insert("note")
    async def put(self, box: str, body: str) -> None: ...

    @transaction
    async def refill(self: Any, body: str) -> int:
        cleared: int = await self.clear(self.box)
        await self.put(self.box, body)
        return cleared


@attrs.define(eq=False)
class Slotted(Clearing, Repository):
    on: Session
    box: str = "b"

    def __attrs_post_init__(self) -> None:
        Repository.__init__(self, self.on)


@attrs.frozen
class Frozen(Clearing, Repository):
    on: Session
    box: str = "b"

    def __attrs_post_init__(self) -> None:
        Repository.__init__(self, self.on)


@attrs.define(slots=False)
class Unslotted(Clearing, Repository):
    on: Session
    box: str = "b"

    def __attrs_post_init__(self) -> None:
        Repository.__init__(self, self.on)


@dataclasses.dataclass(frozen=True, slots=True)
class Data(Clearing, Repository):
    on: dataclasses.InitVar[Session]
    box: str = "b"

    def __post_init__(self, on: Session) -> None:
        Repository.__init__(self, on)


class Slots(Clearing, Repository):
    __slots__ = ("box",)

    def __init__(self, session: Session, box: str = "b") -> None:
        super().__init__(session)
        self.box = box


@pytest.mark.parametrize("kind", [Slotted, Frozen, Unslotted, Data, Slots])
async def test_whatever_makes_its_init_it_has_to_bind(kind: Any) -> None:
    async with memory_database(kind, Notes, migrations=SCHEMA) as db:
        made = kind(db, box="c")
        assert made.session is db
        assert await made.refill("x") == 0
        assert await made.refill("y") == 1
        async with db.transaction() as tx:
            bound = made.using(tx)
            assert (type(bound), bound.box, bound.session) == (kind, "c", tx)
            assert await bound.clear("c") == 1
        assert made.session is db
        assert await Notes(db).count() == 0
        assert repr(made)


async def test_a_frozen_one_stays_frozen() -> None:
    async with memory_database(Frozen, migrations=SCHEMA) as db:
        frozen: Any = Frozen(db)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            frozen.box = "c"


# -- reserved names --------------------------------------------------------------------------------


def test_the_reserved_names_are_those_that_are_listed() -> None:
    """docs/declaring.md lists them."""
    assert [name for name in dir(Repository) if not name.startswith("_")] == ["session", "using"]


class Hiding(Repository):
    @query("SELECT 1")
    async def session(self) -> int: ...  # type: ignore[override]  # what is refused

    @query.find("note")
    async def using(self) -> list[Note]: ...  # type: ignore[override]  # what is refused

    @query("SELECT 1")
    async def _bind(self) -> int: ...  # type: ignore[override]  # what is refused


@attrs.define
class HoldsSession(Repository):
    session: Session  # what is refused


class Below(HoldsSession):
    pass


async def test_reserved_names_are_refused() -> None:
    with pytest.raises(DeclarationError) as caught:
        async with memory_database(Hiding, HoldsSession, Below, migrations=SCHEMA):
            pass
    found = [problem.rpartition("): ")[2] for problem in caught.value.problems]
    field = "its field `session` hides what every Repository has under that name; rename it."
    assert found == [
        "`session` is an attribute of every Repository; rename it.",
        "`using` is an attribute of every Repository; rename it.",
        "`_bind` is an attribute of every Repository; rename it.",
        f"HoldsSession: {field}",
        f"Below: {field}",
    ]


# -- fakes -----------------------------------------------------------------------------------------


class FindsNotes(Protocol):
    """What a service needs: the repository meets it, and so does a class of three lines."""

    async def get(self, id: int) -> Note | None: ...


async def body_of(notes: FindsNotes, id: int) -> str:
    note = await notes.get(id)
    return "nothing" if note is None else note.body


class FakeNotes(Notes):
    """A subclass without a database: what it overrides works, the rest says what is missing."""

    def __init__(self, *notes: Note) -> None:
        self.notes = {note.id: note for note in notes}

    async def get(self, id: int) -> Note | None:
        return self.notes.get(id)


class ThreeLines:
    async def get(self, id: int) -> Note | None:
        return Note("b", "x", id)


NOTE = Note("b", "x", 1)


async def test_a_subclass_without_super_init_is_a_fake() -> None:
    fake = FakeNotes(NOTE)
    assert await body_of(fake, 1) == "x"
    assert await body_of(fake, 2) == "nothing"
    with pytest.raises(SessionError, match=r"FakeNotes is not bound to a session: its __init__ m"):
        await fake.count()
    with pytest.raises(SessionError, match="FakeNotes is not bound to a session"):
        await fake.put_two("b", "x", "y")


async def test_a_protocol_is_met_by_a_fake_and_by_the_repository() -> None:
    assert await body_of(ThreeLines(), 3) == "x"
    async with memory_database(Notes, migrations=SCHEMA) as db:
        assert await body_of(Notes(db), 1) == "nothing"


async def test_autospec_makes_a_fake() -> None:
    fake = create_autospec(Notes, instance=True)
    fake.get.return_value = NOTE
    assert await body_of(fake, 1) == "x"
    fake.get.assert_awaited_once_with(1)
    with pytest.raises(TypeError):
        fake.get()
    with pytest.raises(AttributeError):
        fake.misspelt()


async def test_autospec_makes_a_fake_of_generated_queries() -> None:
    class Crud(CrudRepository[Note, int], table="note"):
        pass

    fake = create_autospec(Crud, instance=True)
    fake.get.return_value = NOTE
    assert await body_of(fake, 1) == "x"
    with pytest.raises(TypeError):
        fake.upsert()
