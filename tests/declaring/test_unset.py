"""Updates that leave alone what is UNSET."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import attrs
import pytest

from tests.declaring.support import Message, NewMessage, Patch, opened, problems, sql_of
from trio_sqlrepo import (
    UNSET,
    MappingError,
    Naive,
    Repository,
    RowCount,
    Unset,
    declared,
    query,
)
from trio_sqlrepo._query.unset import without_unset


@attrs.frozen
class PatchOf(Patch):
    id: int = 0


class Messages(Repository):
    @query.insert("message")
    async def add(self, message: NewMessage) -> Message: ...

    @query.update("message", key="id")
    async def patch(self, id: int, change: Patch) -> Message | None: ...

    @query.update("message", key="id")
    async def patch_parts(
        self, id: int, room: str | Unset = UNSET, stars: int | Unset | None = UNSET
    ) -> RowCount: ...

    @query.update("message", key="id")
    async def patch_and_set(self, id: int, body: str, change: Stars) -> RowCount: ...

    @query.find("message")
    async def get(self, id: int) -> Message: ...


class Batches(Messages):
    @query.update("message")
    async def patch_all(self, changes: Iterable[PatchOf]) -> RowCount: ...


@attrs.frozen
class Stars:
    stars: int | Unset = UNSET


HELLO = NewMessage("lobby", "hello", 3)

# One asks for columns; the other does not, and fires with every update.
TRIGGERS = """
CREATE TRIGGER told AFTER UPDATE ON message BEGIN INSERT INTO log VALUES ('any'); END;
CREATE TRIGGER body AFTER UPDATE OF body ON message BEGIN INSERT INTO log VALUES ('body'); END;
CREATE TRIGGER room AFTER UPDATE OF room ON message BEGIN INSERT INTO log VALUES ('room'); END;
"""


async def test_what_is_unset_stays() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        stored = await messages.add(HELLO)
        assert await messages.patch(1, Patch()) == stored
        stored = attrs.evolve(stored, room="attic")
        assert await messages.patch(1, Patch(room="attic")) == stored
        stored = attrs.evolve(stored, body="", size=0, stars=None)
        assert await messages.patch(1, Patch(body="", stars=None)) == stored
        assert await messages.patch(2, Patch(room="x")) is None
        assert await messages.get(1) == stored
        (statement,) = declared(messages)["patch"].statements
        assert statement.sql == (
            'UPDATE "message" SET "room" = iif(:set_room, :room, "room"),'
            ' "body" = iif(:set_body, :body, "body"), "stars" = iif(:set_stars, :stars, "stars")'
            ' WHERE "id" = :id RETURNING "id", "room", "body", "stars", "size"'
        )
        assert db.stats().statements["Messages.patch"].precompiled


async def test_parameters_may_be_unset() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add(HELLO)
        assert await messages.patch_parts(1) == 1
        assert await messages.get(1) == Message(1, "lobby", "hello", 3, 5)
        assert await messages.patch_parts(1, stars=None) == 1
        assert await messages.get(1) == Message(1, "lobby", "hello", None, 5)
        assert await messages.patch_parts(1, "a", 2) == 1
        assert await messages.get(1) == Message(1, "a", "hello", 2, 5)
        assert await messages.patch_and_set(1, "b", Stars()) == 1
        assert await messages.get(1) == Message(1, "a", "b", 2, 1)
        assert await messages.patch_and_set(1, "c", Stars(5)) == 1
        assert await messages.get(1) == Message(1, "a", "c", 5, 1)


async def test_each_element_of_a_batch_leaves_what_it_leaves() -> None:
    async with opened(Batches) as db:
        messages = Batches(db)
        for _ in range(3):
            await messages.add(HELLO)
        changes = [PatchOf(id=1, room="r"), PatchOf(id=2, stars=None), PatchOf(id=3)]
        assert await messages.patch_all(changes) == 3
        assert await messages.get(1) == Message(1, "r", "hello", 3, 5)
        assert await messages.get(2) == Message(2, "lobby", "hello", None, 5)
        assert await messages.get(3) == Message(3, "lobby", "hello", 3, 5)


async def test_values_that_are_set_are_checked() -> None:
    async with opened(Batches) as db:
        messages: Any = Batches(db)
        with pytest.raises(MappingError, match=r"`change\.room` must be str; it is of type int"):
            await messages.patch(1, Patch(room=5))  # type: ignore[arg-type]  # what is refused
        with pytest.raises(MappingError, match=r"`room` must be str; it is None"):
            await messages.patch_parts(1, None)
        with pytest.raises(MappingError, match=r"`change` must be Patch; it is of type NewMess"):
            await messages.patch(1, HELLO)
        bad: Any = PatchOf(id=1, room=b"x")  # type: ignore[arg-type]  # what is refused
        with pytest.raises(MappingError, match=r"`changes\[1\]\.room` must be str; it is of"):
            await messages.patch_all([PatchOf(id=1), bad])


async def fired(messages: Messages) -> list[Any]:
    rows = await messages.session.execute("SELECT what FROM log ORDER BY rowid")
    await messages.session.execute("DELETE FROM log")
    return [what for (what,) in rows]


async def test_a_trigger_of_a_column_fires_only_if_it_is_set() -> None:
    async with opened(Messages, more=TRIGGERS) as db:
        messages = Messages(db)
        stored = await messages.add(HELLO)
        assert await messages.patch(1, Patch()) == stored
        assert await fired(messages) == ["any"]
        assert await messages.patch(1, Patch(stars=1)) == attrs.evolve(stored, stars=1)
        assert await fired(messages) == ["any"]
        await messages.patch(1, Patch(body="b"))
        assert sorted(await fired(messages)) == ["any", "body"]
        await messages.patch(1, Patch(room="r", stars=2))
        assert sorted(await fired(messages)) == ["any", "room"]
        await messages.patch(1, Patch(room="s", body="c"))
        assert sorted(await fired(messages)) == ["any", "body", "room"]
        assert await messages.get(1) == Message(1, "s", "c", 2, 1)
        await messages.patch_parts(1, "t")
        assert sorted(await fired(messages)) == ["any", "room"]
        await messages.patch_parts(1)
        assert await fired(messages) == ["any"]
        await messages.patch_parts(1, stars=None)
        assert await fired(messages) == ["any"]
        assert await messages.get(1) == Message(1, "t", "c", None, 1)


async def test_it_is_compiled_ahead_for_each_set_of_triggers() -> None:
    async with opened(Messages, more=TRIGGERS) as db:
        statements = declared(Messages, db)["patch"].statements
        assert [statement.name for statement in statements] == [
            "Messages.patch[room, body]",
            "Messages.patch[room, no body]",
            "Messages.patch[no room, body]",
            "Messages.patch[no room, no body]",
        ]
        assert all(db.stats().statements[each.name].precompiled for each in statements)
        assert '"stars" = iif(' in statements[-1].sql
        assert '"room" =' not in statements[-1].sql


async def test_columns_of_the_same_triggers_go_together() -> None:
    class Both(Repository):
        @query.insert("message")
        async def add(self, message: NewMessage) -> Message: ...

        @query.update("message")
        async def patch(self, id: int, change: Texts) -> Message | None: ...

    trigger = """
        CREATE TRIGGER t AFTER UPDATE OF room, body ON message
        BEGIN INSERT INTO log VALUES ('texts'); END;
    """
    async with opened(Both, more=trigger) as db:
        both = Both(db)
        await both.add(HELLO)
        names = [each.name for each in declared(both)["patch"].statements]
        assert names == ["Both.patch[room, body]", "Both.patch[no room, body]"]
        assert await both.patch(1, Texts(body="b")) == Message(1, "lobby", "b", 3, 1)
        assert await db.execute("SELECT what FROM log") == [("texts",)]
        # Nothing is set: the row is given all the same, and no trigger of a column fires.
        assert await both.patch(1, Texts()) == Message(1, "lobby", "b", 3, 1)
        assert await db.execute("SELECT what FROM log") == [("texts",)]
        wrong: Any = HELLO
        with pytest.raises(MappingError, match="`change` must be Texts"):
            await both.patch(1, wrong)


@attrs.frozen
class Texts:
    room: str | Unset = UNSET
    body: str | Unset = UNSET


async def test_a_batch_runs_one_statement() -> None:
    (found,) = await problems(Batches, more=TRIGGERS)
    assert found == (
        "table `message` has triggers that fire only where `room`, `body` is named, so what is set"
        " decides which statement is run, and a batch runs one; take one object, and call it for"
        " each in a @transaction body."
    )


async def test_too_many_triggers_of_columns_are_refused() -> None:
    names = [f"c{number}" for number in range(7)]
    maybe: Any = int | Unset
    parts = attrs.make_class(
        "Parts", {name: attrs.field(default=UNSET, type=maybe) for name in names}
    )

    class Wide(Repository):
        @query.update("wide")
        async def patch(self, id: int, change: parts) -> RowCount: ...  # type: ignore[valid-type]

    table = f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(names)});"
    for name in names:
        table += f"CREATE TRIGGER t{name} UPDATE OF {name} ON wide BEGIN DELETE FROM log; END;"
    (found,) = await problems(Wide, more=table)
    assert found == (
        "its alternatives make 128 statements (2 for `c0` × 2 for `c1` × 2 for `c2` × 2 for `c3` ×"
        " 2 for `c4` × 2 for `c5` × 2 for `c6`), and a query can have 64, as each is compiled on"
        " every connection; split it into several queries."
    )


@attrs.frozen
class Clash:
    id: int
    room: str | Unset = UNSET
    set_room: int | Unset = UNSET


async def test_a_columns_name_is_not_taken_for_a_flag() -> None:
    class Clashing(Repository):
        @query.insert("clash")
        async def add(self, id: int, room: str, set_room: int) -> None: ...

        @query.update("clash")
        async def patch(self, clash: Clash) -> RowCount: ...

    async with opened(
        Clashing, more="CREATE TABLE clash (id INTEGER PRIMARY KEY, room, set_room);"
    ) as db:
        clashing = Clashing(db)
        await clashing.add(1, "r", 0)
        assert ":set_room_, :room" in sql_of(clashing, "patch")
        assert await clashing.patch(Clash(1, set_room=7)) == 1
        assert await db.execute("SELECT * FROM clash") == [(1, "r", 7)]
        assert await clashing.patch(Clash(1, room="s")) == 1
        assert await db.execute("SELECT * FROM clash") == [(1, "s", 7)]


def test_unset_is_one_object() -> None:
    assert repr(UNSET) == "UNSET"
    assert type(UNSET) is Unset
    assert pickle.loads(pickle.dumps(UNSET)) is copy.deepcopy(UNSET) is UNSET


@pytest.mark.parametrize(
    ("hint", "rest"),
    [
        (str | Unset, str),
        (int | None | Unset, int | None),
        (Annotated[datetime, Naive] | Unset, Annotated[datetime, Naive]),
        (Annotated[datetime | Unset, Naive], Annotated[datetime, Naive]),
        (Annotated[Unset, "x"] | int, int),
    ],
)
def test_unset_is_taken_out_of_types(hint: Any, rest: Any) -> None:
    assert without_unset(hint) == (rest, True)


def test_types_without_it_are_left_as_they_are() -> None:
    assert without_unset(str | None) == (str | None, False)
    assert without_unset(str) == (str, False)
    assert without_unset(Unset) == (Unset, True)
