"""Queries that are declared without SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import attrs
import pytest

from tests.declaring.support import Member, Message, NewMessage, opened, problems, sql_of
from trio_sqlrepo import (
    UNSET,
    DeclarationError,
    Repository,
    RowCount,
    UniqueViolation,
    Unset,
    query,
    transaction,
)


class Key(NamedTuple):
    room: str
    user: int


class Messages(Repository):
    @query.insert("message")
    async def add(self, message: NewMessage) -> Message: ...

    @query.insert("message")
    async def add_stored(self, message: Message) -> Message: ...

    @query.insert("message")
    async def add_all(self, messages: Iterable[NewMessage]) -> RowCount: ...

    @query.insert("message")
    async def add_each(self, messages: Iterable[NewMessage]) -> list[Message]: ...

    @query.insert("message")
    async def add_parts(self, room: str, body: str) -> int: ...

    @query.insert("message")
    async def add_silently(self, room: str) -> None: ...

    @query.find("message")
    async def all(self) -> list[Message]: ...

    @query.find("message")
    async def get(self, id: int) -> Message | None: ...

    @query.find("message")
    async def rated(self, room: str, stars: int | None) -> list[Message]: ...

    @query.find("message")
    async def raw(self, id: int) -> dict[str, Any]: ...

    @query.update("message", key="id")
    async def set_room(self, id: int, room: str) -> RowCount: ...

    @query.update("message")
    async def replace(self, message: Message) -> Message | None: ...

    @query.update("message", key="room")
    async def move(self, room: str, stars: int) -> list[Message]: ...

    @query.update("message")
    async def replace_all(self, messages: Iterable[Message]) -> RowCount: ...

    @query.delete("message", key="id")
    async def delete(self, id: int) -> RowCount: ...

    @query.delete("message", key=("room", "body"))
    async def take(self, message: NewMessage) -> list[Message]: ...

    @transaction
    async def add_two(self, room: str) -> int:
        await self.add_silently(room)
        await self.add_silently(room)
        return len(await self.all())


class Members(Repository):
    @query.upsert("member", conflict=("user", "room"))
    async def put(self, member: Member) -> Member: ...

    @query.upsert("member")
    async def put_all(self, members: Iterable[Member]) -> RowCount: ...

    @query.upsert("loose", conflict=("a", "b"))
    async def put_loose(self, a: int, b: int) -> RowCount: ...

    @query.find("member")
    async def get(self, key: Key) -> Member: ...

    @query.update("member")
    async def set_role(self, key: Key, role: str) -> RowCount: ...

    @query.delete("member")
    async def remove(self, key: Key) -> Member | None: ...


LOOSE = "CREATE UNIQUE INDEX ab ON loose (b, a); ALTER TABLE loose ADD COLUMN id;"


async def test_insert() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        first = await messages.add(NewMessage("lobby", "hello"))
        assert first == Message(1, "lobby", "hello", None, 5)
        # A generated column is left to SQLite, though the class has a field for it.
        assert await messages.add_stored(attrs.evolve(first, id=7, size=99)) == Message(
            7, "lobby", "hello", None, 5
        )
        assert await messages.add_all([NewMessage("a", "x"), NewMessage("a", "yy", 3)]) == 2
        assert await messages.add_each([NewMessage("b", "z")]) == [Message(10, "b", "z", None, 1)]
        assert await messages.add_parts("c", body="parts") == 11
        await messages.add_silently("d")
        assert (await messages.all())[-1] == Message(12, "d", "nothing", None, 7)
        assert await messages.add_two("e") == 9


async def test_insert_writes_no_more_than_it_is_given() -> None:
    async with opened(Messages) as db:
        assert sql_of(Messages(db), "add_parts") == (
            'INSERT INTO "message" ("room", "body") VALUES (:room, :body) RETURNING "id"'
        )
        assert sql_of(Messages(db), "add_all") == (
            'INSERT INTO "message" ("room", "body", "stars") VALUES (:room, :body, :stars)'
        )


async def test_a_failing_batch_leaves_nothing() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await db.execute("CREATE UNIQUE INDEX bodies ON message (body)")
        with pytest.raises(UniqueViolation):
            await messages.add_all([NewMessage("a", "x"), NewMessage("a", "x")])
        assert await messages.all() == []


async def test_find() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        for id, stars in ((5, None), (3, 1), (4, None)):
            await messages.add_stored(Message(id, "r", "b", stars, 0))
        assert await messages.get(3) == Message(3, "r", "b", 1, 1)
        assert await messages.get(9) is None
        # None finds NULL, and a list is in the order of the key.
        assert [found.id for found in await messages.rated("r", None)] == [4, 5]
        assert [found.id for found in await messages.rated("r", 1)] == [3]
        assert await messages.raw(3) == {"id": 3, "room": "r", "body": "b", "stars": 1, "size": 1}
        assert sql_of(messages, "rated") == (
            'SELECT "id", "room", "body", "stars", "size" FROM "message"'
            ' WHERE "room" = :room AND "stars" IS :stars ORDER BY "id"'
        )


async def test_update() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all([NewMessage("a", "x"), NewMessage("a", "y"), NewMessage("b", "z")])
        assert await messages.set_room(3, "c") == 1
        assert await messages.set_room(9, "c") == 0
        assert await messages.replace(Message(3, "d", "zz", 1, 0)) == Message(3, "d", "zz", 1, 2)
        assert await messages.replace(Message(9, "d", "zz", 1, 0)) is None
        assert [found.stars for found in await messages.move("a", 4)] == [4, 4]
        rows = await messages.all()
        assert await messages.replace_all(attrs.evolve(row, room="z") for row in rows) == 3
        assert {row.room for row in await messages.all()} == {"z"}
        assert sql_of(messages, "replace") == (
            'UPDATE "message" SET "room" = :room, "body" = :body, "stars" = :stars'
            ' WHERE "id" = :id RETURNING "id", "room", "body", "stars", "size"'
        )


async def test_delete() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all([NewMessage("a", "x"), NewMessage("a", "y")])
        assert await messages.delete(1) == 1
        assert await messages.delete(1) == 0
        assert await messages.take(NewMessage("a", "y", 5)) == [Message(2, "a", "y", None, 1)]
        assert await messages.all() == []


async def test_upsert() -> None:
    async with opened(Members, more=LOOSE) as db:
        members = Members(db)
        assert await members.put(Member("a", 1, "new")) == Member("a", 1, "new")
        assert await members.put(Member("a", 1, "old", "e")) == Member("a", 1, "old", "e")
        assert await members.put_all([Member("a", 1, "x"), Member("a", 2, "y")]) == 2
        assert await members.get(Key("a", 1)) == Member("a", 1, "x", None)
        assert await members.put_loose(1, 2) == await members.put_loose(1, 2) == 1
        with pytest.raises(UniqueViolation):
            await members.put_all([Member("b", 1, "x", "e"), Member("b", 2, "x", "e")])


async def test_keys_of_several_columns() -> None:
    async with opened(Members, more=LOOSE) as db:
        members = Members(db)
        await members.put(Member("a", 1, "x"))
        assert await members.set_role(Key("a", 1), "y") == 1
        assert await members.set_role(Key("a", 2), "y") == 0
        assert await members.remove(Key("a", 1)) == Member("a", 1, "y")
        assert await members.remove(Key("a", 1)) is None


async def test_an_upsert_with_nothing_to_set_gives_its_row() -> None:
    class Keys(Repository):
        @query.upsert("log", conflict="what")
        async def put(self, what: str) -> dict[str, Any]: ...

    async with opened(Keys, more="CREATE UNIQUE INDEX whats ON log (what);") as db:
        assert await Keys(db).put("x") == {"what": "x"}
        assert await Keys(db).put("x") == {"what": "x"}


async def test_an_upsert_into_a_table_called_excluded() -> None:
    class Named(Repository):
        @query.upsert("excluded")
        async def put(self, id: int, body: str) -> dict[str, Any]: ...

    async with opened(Named, more="CREATE TABLE excluded (id INTEGER PRIMARY KEY, body);") as db:
        await Named(db).put(1, "a")
        assert await Named(db).put(1, "b") == {"id": 1, "body": "b"}


async def test_nothing_given_inserts_defaults() -> None:
    class Defaults(Repository):
        @query.insert("loose")
        async def add(self) -> dict[str, Any]: ...

    async with opened(Defaults) as db:
        assert await Defaults(db).add() == {"a": None, "b": None}
        assert sql_of(Defaults(db), "add").startswith('INSERT INTO "loose" DEFAULT VALUES ')


@attrs.frozen
class Settings:
    dark: bool


@attrs.frozen
class Loose:
    a: int
    b: int


async def test_a_class_under_a_columns_name_is_its_value_unless_it_is_a_row() -> None:
    class Values(Repository):
        @query.insert("loose")
        async def add(self, a: Settings) -> dict[str, Any]: ...

        @query.insert("loose")
        async def add_row(self, b: Loose) -> Loose: ...

    async with opened(Values) as db:
        assert await Values(db).add(Settings(dark=True)) == {"a": '{"dark":true}', "b": None}
        assert await Values(db).add_row(Loose(1, 2)) == Loose(1, 2)


# -- what is refused -------------------------------------------------------------------------------


@attrs.frozen
class Misspelt:
    romm: str
    ID: int


@attrs.frozen
class Unknown:
    id: int
    Room: str


@attrs.frozen
class Nothing:
    pass


@attrs.frozen
class MayBeUnset:
    id: int
    room: str | Unset = UNSET


class Wrong(Repository):
    @query.insert("mesage")
    async def table(self, room: str) -> None: ...

    @query.insert("message")
    async def field(self, message: Misspelt) -> None: ...

    @query.insert("message")
    async def parameter(self, bdoy: str) -> None: ...

    @query.find("message")
    async def result(self, id: int) -> Unknown: ...

    @query.find("message")
    async def no_rows(self, id: int) -> None: ...

    @query.find("message")
    async def scalar(self, id: int) -> int: ...

    @query.find("message")
    async def nothing(self, id: int) -> list[Nothing]: ...

    @query.update("message", key="idd")
    async def key(self, id: int, room: str) -> RowCount: ...

    @query.update("message", key="id")
    async def key_missing(self, room: str) -> RowCount: ...

    @query.update("message")
    async def nothing_set(self, id: int) -> RowCount: ...

    @query.update("loose")
    async def no_key(self, a: int) -> RowCount: ...

    @query.delete("message")
    async def more_than_the_key(self, id: int, room: str) -> RowCount: ...

    @query.upsert("message", conflict="room")
    async def conflict(self, message: NewMessage) -> None: ...

    @query.upsert("log", conflict="what")
    async def no_index(self, what: str) -> None: ...

    @query.upsert("member")
    async def conflict_missing(self, room: str, role: str) -> None: ...

    @query.insert("message")
    async def twice(self, message: NewMessage, room: str) -> None: ...

    @query.insert("message")
    async def unset(self, message: MayBeUnset) -> None: ...

    @query.delete("message")
    async def unset_key(self, id: int | Unset) -> None: ...

    @query.update("message", key="room")
    async def unset_in_key(self, change: MayBeUnset) -> None: ...

    @query("SELECT :x")
    async def unset_value(self, x: int | Unset) -> int: ...

    @query.insert("member")
    async def no_single_key(self, member: Member) -> int: ...

    @query.insert("message")
    async def gone(self, room: Gone) -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def test_what_does_not_fit_is_told() -> None:
    found = await problems(Wrong)
    unset = (
        "may be UNSET, which means something only for what @query.update sets; declare another"
        " class, or take Unset out of its type."
    )
    assert found[:-1] == [
        (
            "there is no table `mesage` (did you mean `message`?); correct the name, or add the"
            " migration that makes the table."
        ),
        (
            "field `Misspelt.romm` has no column in table `message` (did you mean `room`?);"
            " rename it,"
            " or write the SQL with @query."
        ),
        (
            "field `Misspelt.ID` has no column in table `message` (did you mean `id`?); rename"
            " it, or"
            " write the SQL with @query."
        ),
        (
            "parameter `bdoy` has no column in table `message` (did you mean `body`?); rename"
            " it, or"
            " write the SQL with @query."
        ),
        (
            "field `Unknown.Room` has no column in table `message` (did you mean `room`?);"
            " rename it,"
            " or give it a default."
        ),
        "it finds rows, and declares none as its result; declare them.",
        (
            "which columns `int` holds can't be told; declare a class with fields of their"
            " names, or write the SQL with @query."
        ),
        "`Nothing` has no field for any column of `message`.",
        (
            "its key names `idd`, which is no column of table `message` (did you mean `id`?);"
            " correct"
            " the name."
        ),
        "no parameter and no field supplies `id`, a column of its key; add one.",
        (
            "it has nothing to set: besides its key no column of `message` is supplied by a"
            " parameter"
            " or a field; add one."
        ),
        (
            "table `loose` has no PRIMARY KEY to go by; say by which columns, as in"
            ' @query.update("loose", key="…").'
        ),
        "parameter `room` is no column of its key; name it in key=…, or leave it out.",
        (
            "no PRIMARY KEY or UNIQUE index of table `message` has the columns (room), so they"
            " can't conflict; there are: (id). Name one of these, or add the index."
        ),
        (
            "no PRIMARY KEY or UNIQUE index of table `log` has the columns (what), so they can't"
            " conflict; there are: none. Name one of these, or add the index."
        ),
        "no parameter and no field supplies `user`, a column of its conflict; add one.",
        (
            "column `room` is supplied twice, by field `NewMessage.room` and by parameter"
            " `room`; leave"
            " one out."
        ),
        f"field `MayBeUnset.room` {unset}",
        f"parameter `id` {unset}",
        f"field `MayBeUnset.room` {unset}",
        "parameter `x`: UNSET has no column form; only @query.update knows fields left UNSET.",
        (
            "which columns `int` holds can't be told; declare a class with fields of their"
            " names, `RowCount` for how many rows there were, or write the SQL with @query."
        ),
    ]
    assert "annotated with `Gone`, which is not defined" in found[-1]


async def test_a_generated_column_is_no_parameter_of_what_writes() -> None:
    class Generates(Repository):
        @query.insert("message")
        async def inserts(self, room: str, size: int) -> None: ...

        @query.upsert("message")
        async def upserts(self, id: int, room: str, size: int) -> None: ...

        @query.update("message")
        async def updates(self, id: int, size: int) -> None: ...

    said = (
        "parameter `size` is a generated column of table `message`, which SQLite itself fills;"
        " leave it out."
    )
    assert (await problems(Generates)).count(said) == 3

    class Finds(Repository):
        @query.find("message")
        async def finds(self, size: int) -> list[Message]: ...

        @query.update("message", key="size")
        async def updates(self, size: int, room: str) -> RowCount: ...

    async with opened(Finds) as db:
        assert await Finds(db).finds(1) == []
        assert await Finds(db).updates(1, "attic") == 0


async def test_what_an_update_gives_is_looked_at_before_its_sql_is_written() -> None:
    class Updates(Repository):
        @query.update("message", key="id")
        async def number(self, id: int, room: str) -> int: ...

    (said,) = await problems(Updates)
    assert said == (
        "which columns `int` holds can't be told; declare a class with fields of their names,"
        " `RowCount` for how many rows there were, or write the SQL with @query."
    )


async def test_problems_name_class_method_and_place() -> None:
    with pytest.raises(DeclarationError) as caught:
        async with opened(Wrong):
            pass
    assert caught.value.problems[0].startswith(f"Wrong.table ({__file__}:")


async def test_a_conflict_names_just_the_columns_of_an_index() -> None:
    class TooMany(Repository):
        @query.upsert("message", conflict=("id", "room"))
        async def put(self, id: int, room: str) -> None: ...

    (found,) = await problems(TooMany)
    assert found.startswith(
        "no PRIMARY KEY or UNIQUE index of table `message` has the columns (id, "
    )


@pytest.mark.parametrize("wrong", [1, ["id"], (1,), None])
def test_keys_are_names(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match=r"^key= takes a column or a tuple of columns"):
        query.update("message", key=wrong)
    with pytest.raises(DeclarationError, match=r"^conflict= takes a column or a tuple of columns"):
        query.upsert("message", conflict=wrong)


def test_tables_are_named() -> None:
    with pytest.raises(
        DeclarationError, match=r"@query\.insert\(\"message\"\); it was given an ob"
    ):
        query.insert(Message)  # type: ignore[arg-type]  # what is refused
    assert repr(query) == "<trio_sqlrepo.query>"


async def test_a_field_that_can_not_be_resolved_is_told() -> None:
    @attrs.frozen
    class Broken:
        room: Gone  # type: ignore[name-defined]  # noqa: F821

    class Holds(Repository):
        @query.insert("message")
        async def add(self, message: Broken) -> None: ...

    (found,) = await problems(Holds)
    assert found.startswith("field `Broken.room` is annotated with `Gone`, which is not defined")


async def test_an_init_var_is_no_column() -> None:
    @dataclasses.dataclass
    class Noted:
        room: str
        note: dataclasses.InitVar[str] = ""

    class Notes(Repository):
        @query.insert("message")
        async def add(self, message: Noted) -> int: ...

    async with opened(Notes) as db:
        assert await Notes(db).add(Noted("a")) == 1
