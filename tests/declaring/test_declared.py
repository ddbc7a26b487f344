"""`declared()`: what the queries of a repository are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pytest

from tests.declaring.support import Message, NewMessage, opened
from trio_sqlrepo import (
    CrudRepository,
    DeclaredColumn,
    DeclaredStatement,
    NotRegistered,
    Repository,
    RowCount,
    declared,
    query,
    transaction,
)

TRIGGER = "CREATE TRIGGER t AFTER DELETE ON message BEGIN INSERT INTO log VALUES ('x'); END;"


class Messages(Repository):
    @query("SELECT id, upper(room) AS loud FROM message WHERE room = :room {of: AND stars = :of}")
    async def loud(self, room: str, of: int | None = None) -> list[tuple[int, str]]:
        """Give them loudly."""
        raise NotImplementedError

    @query.delete("message")
    async def remove(self, id: int) -> RowCount: ...

    @query("INSERT INTO message (room, body) VALUES (:room, :body)")
    async def add(self, messages: Iterable[NewMessage]) -> None: ...

    @query("SELECT count(*) FROM message")
    async def count(self) -> Literal[0, 1]: ...

    @transaction
    async def nothing(self) -> None:
        pass


class Crud(CrudRepository[Message, int, NewMessage], table="message"):
    pass


def test_a_class_tells_what_is_written() -> None:
    found = declared(Messages)
    assert list(found) == ["loud", "remove", "add", "count"]
    loud = found["loud"]
    assert (loud.name, loud.sql[:9], loud.doc) == ("loud", "SELECT id", "Give them loudly.")
    assert loud.parameters == {"room": "str", "of": "int | None"}
    assert loud.result == "list[tuple[int, str]]"
    assert loud.file == __file__
    assert loud.statements == ()
    assert (loud.route, loud.tables, loud.columns) == (None, frozenset(), ())
    assert (found["remove"].sql, found["remove"].doc) == ("", None)
    assert found["remove"].line < found["add"].line


async def test_an_opened_one_tells_what_sqlite_says() -> None:
    async with opened(Messages, more=TRIGGER) as db:
        found = declared(Messages, db)
        first, second = found["loud"].statements
        assert first == DeclaredStatement(
            name="Messages.loud[of]",
            sql="SELECT id, upper(room) AS loud FROM message WHERE room = :room  AND stars = :of",
            writes=False,
            parameters=("room", "of"),
            columns=(
                DeclaredColumn(
                    name="id", type="INTEGER", table="message", origin="id", not_null=True
                ),
                DeclaredColumn(name="loud", type=None, table=None, origin=None, not_null=False),
            ),
            reads=frozenset({"message"}),
            changes=frozenset(),
        )
        assert second.parameters == ("room",)
        (remove,) = found["remove"].statements
        assert found["remove"].sql == remove.sql == 'DELETE FROM "message" WHERE "id" = :id'
        assert remove.writes
        assert remove.reads == {"message"}
        assert remove.changes == {"message", "log"}
        assert remove.tables == {"message", "log"}
        assert (first.route, remove.route) == ("reader", "writer")
        assert (found["loud"].route, found["remove"].route) == ("reader", "writer")
        assert (found["loud"].tables, found["remove"].tables) == (first.tables, remove.tables)
        assert (found["loud"].columns, found["remove"].columns) == (first.columns, ())
        results = {name: each.result for name, each in found.items()}
        assert results == {
            "loud": "list[tuple[int, str]]", "remove": "RowCount", "add": "None",
            "count": "Literal[0, 1]",
        }  # fmt: skip
        assert declared(Messages(db)) == found
        async with db.snapshot() as snap:
            assert declared(Messages(snap)) == declared(Messages, snap) == found


async def test_type_variables_are_told_for_what_they_stand() -> None:
    assert declared(Crud)["get"].result == "Row | None"
    async with opened(Crud) as db:
        get = declared(Crud, db)["get"]
        assert (get.parameters, get.result) == ({"key": "int"}, "Message | None")


async def test_another_class_is_refused() -> None:
    async with opened(Messages) as db:
        with pytest.raises(NotRegistered):
            declared(Crud, db)
    for wrong in (int, 5, None):
        what: Any = wrong
        with pytest.raises(TypeError, match=r"declared\(\) takes a repository class, or a repo"):
            declared(what)


def test_annotations_need_not_be_strings() -> None:
    async def get(self: Any, id): ...  # type: ignore[no-untyped-def]

    get.__annotations__ = {"return": list[int]}
    kind = type("Made", (Repository,), {"get": query("SELECT 1")(get)})
    assert declared(kind)["get"].result == "list[int]"
    assert declared(kind)["get"].parameters == {"id": ""}
