"""`CrudRepository`: the common queries of a table, generated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import pytest

from tests.declaring.support import Member, Message, NewMessage, opened, problems
from trio_sqlrepo import (
    CrudRepository,
    DeclarationError,
    MappingError,
    RowCount,
    UniqueViolation,
    declared,
    query,
    transaction,
)

R = TypeVar("R")


class MemberKey(NamedTuple):
    room: str
    user: int


class Messages(CrudRepository[Message, int, NewMessage], table="message"):
    @query("SELECT * FROM message WHERE room = :room ORDER BY id")
    async def in_room(self, room: str) -> list[Message]: ...

    @transaction
    async def move(self, id: int, room: str) -> Message | None:
        if (found := await self.get(id)) is None:
            return None
        await self.update(attrs.evolve(found, room=room))
        return await self.get(id)


class Members(CrudRepository[Member, MemberKey], table="member"):
    pass


class MembersByTuple(CrudRepository[Member, tuple[str, int]], table="member"):
    pass


class MembersByEmail(CrudRepository[Member, str], table="MEMBER", key="email"):
    pass


class Tag(NamedTuple):
    message: int
    name: str


class Tags(CrudRepository[Tag, Tag], table="tag"):
    pass


TAG = "CREATE TABLE tag (message INTEGER, name TEXT, PRIMARY KEY (message, name)) STRICT"


class Read(CrudRepository[R, int], Generic[R]):
    async def first(self) -> R | None:
        return await self.get(1)


class ReadMessages(Read[Message], table="message"):
    pass


class Counted(Messages):
    @query("INSERT INTO message (room, body) VALUES (:room, :body)")
    async def add_all(self, rows: Iterable[NewMessage]) -> RowCount: ...  # type: ignore[override]


@attrs.frozen
class Row:
    row: int
    key: str


class Rows(CrudRepository[Row, str], table="odd names", key="key"):
    pass


async def test_all_of_it() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        first = await messages.add(NewMessage("a", "x"))
        assert first == Message(1, "a", "x", None, 1)
        assert await messages.get(1) == first
        assert await messages.get(2) is None
        more = await messages.add_all(NewMessage("b", body) for body in ("y", "zz"))
        assert [message.id for message in more] == [2, 3]
        assert await messages.all() == [first, *more]
        assert await messages.count() == 3
        assert await messages.update(attrs.evolve(first, stars=2)) == 1
        assert await messages.update(attrs.evolve(first, id=9)) == 0
        assert await messages.upsert(Message(3, "c", "", None, 9)) == Message(3, "c", "", None, 0)
        assert await messages.upsert(Message(4, "d", "q", 1, 9)) == Message(4, "d", "q", 1, 1)
        assert await messages.delete(2) == 1
        assert await messages.delete(2) == 0
        assert [message.id for message in await messages.all()] == [1, 3, 4]
        assert await messages.in_room("c") == [Message(3, "c", "", None, 0)]
        assert await messages.move(1, "z") == Message(1, "z", "x", 2, 1)
        assert await messages.move(2, "z") is None


@pytest.mark.parametrize(
    ("kind", "key", "other"),
    [
        (Members, MemberKey("a", 1), MemberKey("a", 2)),
        (MembersByTuple, ("a", 1), ("b", 1)),
        (MembersByTuple, MemberKey("a", 1), MemberKey("a", 2)),  # which is a tuple
    ],
)
async def test_keys_of_several_columns(kind: Any, key: Any, other: Any) -> None:
    async with opened(kind) as db:
        members = kind(db)
        ann = Member("a", 1, "guest")
        assert await members.add(ann) == ann
        assert await members.get(key) == ann
        assert await members.get(other) is None
        assert await members.upsert(attrs.evolve(ann, role="host")) == Member("a", 1, "host")
        assert await members.update(attrs.evolve(ann, email="e")) == 1
        assert await members.all() == [Member("a", 1, "guest", "e")]
        assert await members.delete(key) == 1
        assert await members.count() == 0


async def test_a_key_is_checked() -> None:
    async with opened(MembersByTuple, Messages) as db:
        members: Any = MembersByTuple(db)
        for wrong, found in (("a1", "of type str"), (("a",), "a tuple of 1"), (None, "None")):
            with pytest.raises(MappingError) as caught:
                await members.get(wrong)
            assert str(caught.value) == (
                f"MembersByTuple.get: parameter `key` must be a tuple of 2; it is {found}."
            )
        with pytest.raises(MappingError, match=r"delete: parameter `key\[1\]` must be int; it is"):
            await members.delete(("a", "1"))
        messages: Any = Messages(db)
        with pytest.raises(MappingError, match=r"Messages\.get: parameter `key` must be int"):
            await messages.get("1")


async def test_a_table_that_is_all_key() -> None:
    """Update has nothing to set; it tells whether the row is there."""
    async with opened(Tags, more=TAG) as db:
        tags = Tags(db)
        tag = await tags.add(Tag(1, "old"))
        assert await tags.upsert(tag) == await tags.get(tag) == tag
        assert await tags.update(tag) == 1
        assert await tags.update(Tag(2, "old")) == 0
        assert await tags.all() == [tag]
        assert await tags.delete(tag) == 1


async def test_another_key_than_the_primary_one() -> None:
    async with opened(MembersByEmail) as db:
        members = MembersByEmail(db)
        ann = await members.add(Member("a", 1, "guest", "ann"))
        assert await members.get("ann") == ann
        assert await members.upsert(Member("b", 2, "host", "ann")) == Member("b", 2, "host", "ann")
        assert await members.get("bob") is None
        assert await members.delete("ann") == 1


async def test_the_third_argument_defaults_to_the_first() -> None:
    async with opened(Members) as db:
        assert declared(Members, db)["add"].parameters == {"row": "Member"}
        assert declared(Members, db)["add_all"].parameters == {"rows": "Iterable[Member]"}
        with pytest.raises(UniqueViolation):
            await Members(db).add_all([Member("a", 1, "x"), Member("a", 1, "y")])
        assert await Members(db).count() == 0


async def test_it_may_be_generic_further() -> None:
    async with opened(ReadMessages) as db:
        messages = ReadMessages(db)
        assert await messages.first() is None
        row = Message(1, "a", "b", None, 1)
        assert await messages.add(row) == row == await messages.first()


async def test_its_queries_may_be_overridden() -> None:
    async with opened(Counted) as db:
        assert await Counted(db).add_all([NewMessage("a", "x")]) == 1
        assert declared(Counted, db)["add_all"].sql.startswith("INSERT INTO message (")


async def test_columns_called_as_its_parameters_are() -> None:
    table = 'CREATE TABLE "odd names" ("key" TEXT PRIMARY KEY, "row" INTEGER);'
    async with opened(Rows, more=table) as db:
        rows = Rows(db)
        assert await rows.add(Row(1, "a")) == Row(1, "a") == await rows.get("a")
        assert await rows.update(Row(2, "a")) == 1
        assert await rows.upsert(Row(3, "b")) == Row(3, "b")
        assert await rows.add_all([Row(4, "c")]) == [Row(4, "c")]
        assert await rows.delete("a") == 1
        assert await rows.all() == [Row(3, "b"), Row(4, "c")]


async def test_a_class_made_again_keeps_its_table() -> None:
    @attrs.define(eq=False)
    class Slotted(CrudRepository[Message, int, NewMessage], table="message", key="id"):
        on: Any

        def __attrs_post_init__(self) -> None:
            CrudRepository.__init__(self, self.on)

    async with opened(Slotted) as db:
        assert await Slotted(db).get(1) is None


# -- what is refused -------------------------------------------------------------------------------


class NoTable(CrudRepository[Message, int]):
    pass


class WrongTable(CrudRepository[Message, int], table="messages"):
    pass


class WrongKey(CrudRepository[Message, int], table="message", key=("id", "rom")):
    pass


@attrs.frozen
class Extra:
    id: int
    bodyy: str


class WrongRow(CrudRepository[Extra, int], table="message"):
    pass


class WrongKeyType(CrudRepository[Member, int], table="member"):
    pass


class NoKey(CrudRepository[Member, int], table="log"):
    pass


async def test_what_is_wrong_with_the_table_is_told_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        async with opened(NoTable, WrongTable, WrongKey, WrongRow):
            pass
    assert caught.value.problems == (
        (
            "NoTable: it names no table; say it where the class is made, as in `class"
            ' Messages(CrudRepository[Message, int], table="message")`.'
        ),
        (
            "WrongTable: there is no table `messages` (did you mean `message`?); correct the"
            " name, or"
            " add the migration that makes the table."
        ),
        (
            "WrongKey: its key names `rom`, which is no column of table `message` (did you mean"
            " `room`?); correct the name."
        ),
        (
            "WrongRow: field `Extra.bodyy` has no column in table `message` (did you mean `body`?);"
            " rename it, or give it a default."
        ),
        (
            "WrongRow: field `Extra.bodyy` has no column in table `message` (did you mean `body`?);"
            " rename it, or write the SQL with @query."
        ),
    )


async def test_a_key_has_to_fit() -> None:
    found = await problems(WrongKeyType)
    assert found[0] == (
        "its key has the columns `room`, `user`, which `int` does not hold; declare a tuple of as"
        " many types, or a NamedTuple with these fields."
    )
    assert (await problems(NoKey))[0] == (
        "table `log` has no PRIMARY KEY to go by; say by which columns, as in"
        ' `class …(CrudRepository[…], table="log", key="…")`.'
    )


def test_class_arguments_are_checked() -> None:
    with pytest.raises(DeclarationError, match="key= takes a column or a tuple of columns"):
        type("Bad", (CrudRepository,), {}, table="x", key=1)
    with pytest.raises(DeclarationError, match="table= takes the name of a table"):
        type("Bad", (CrudRepository,), {}, table=1)
    with pytest.raises(TypeError):
        type("Bad", (CrudRepository,), {}, tabel="x")


def test_other_numbers_of_arguments_are_python_s_own_to_refuse() -> None:
    generic: Any = CrudRepository
    with pytest.raises(TypeError):
        generic[int]
    assert generic[int, str] == generic[int, str, int]
