"""The review: what the columns fill, what may be NULL, which indexes nothing uses."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs

from trio_sqlrepo import Repository, RowCount, query, transaction
from trio_sqlrepo._review import Concern, Review, open_schema, review

SCHEMA = """
    CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL, body TEXT, stars INTEGER);
    CREATE INDEX message_by_room ON message (room);
    CREATE INDEX message_by_body ON message (body);
    CREATE UNIQUE INDEX message_once ON message (stars, body);
    CREATE TABLE other (id INTEGER PRIMARY KEY, a TEXT);
    CREATE INDEX other_by_a ON other (a);
"""


def reviewed(*repositories: type[Repository]) -> Review:
    with open_schema(migrations=[SCHEMA]) as driver:
        return review(driver, repositories)


def fields(repository: type[Repository], method: str) -> list[str | None]:
    (query_,) = [q for q in reviewed(repository).queries if q.declared.name == method]
    return [column.field for column in query_.statements[0].columns]


def nullable(repository: type[Repository]) -> dict[str, str]:
    return {
        found.where.rpartition(".")[2]: found.text
        for found in reviewed(repository).findings
        if found.concern is Concern.NULLABLE
    }


@attrs.frozen
class Author:
    body: str


@attrs.frozen
class Message:
    id: int
    body: str | None
    author: Author | None


class Pair(NamedTuple):
    room: str
    body: str


class Filling(Repository):
    @query("SELECT id, body, body AS 'author.body', stars FROM message WHERE id = :id")
    async def nested(self, id: int) -> Message: ...

    @query("SELECT room, body FROM message WHERE id = :id")
    async def pair(self, id: int) -> Pair: ...

    @query("SELECT room, body FROM message WHERE id = :id")
    async def couple(self, id: int) -> tuple[str, str | None]: ...

    @query("SELECT room, body FROM message WHERE id = :id")
    async def row(self, id: int) -> dict[str, Any]: ...

    @query("SELECT body FROM message WHERE id = :id")
    async def scalar(self, id: int) -> str: ...

    @query("SELECT body FROM message WHERE id = :id")
    async def perhaps(self, id: int) -> str | None: ...

    @query("SELECT body FROM message WHERE room = :room")
    async def several(self, room: str) -> list[str]: ...

    @query("SELECT room, count(*) FROM message WHERE room = :room")
    async def counted(self, room: str) -> tuple[str, int]: ...

    @query("DELETE FROM message WHERE id = :id")
    async def remove(self, id: int) -> RowCount: ...

    @query("SELECT body FROM message WHERE id = :id")
    async def nothing(self, id: int) -> None: ...

    @transaction
    async def body(self) -> None: ...


def test_columns_are_told_with_what_they_fill() -> None:
    assert fields(Filling, "nested") == ["Message.id", "Message.body", "Author.body", None]
    assert fields(Filling, "pair") == ["Pair.room", "Pair.body"]
    assert fields(Filling, "couple") == ["result[0]", "result[1]"]
    assert fields(Filling, "row") == ["dict", "dict"]
    assert fields(Filling, "scalar") == fields(Filling, "several") == ["result"]
    assert fields(Filling, "remove") == []
    assert fields(Filling, "nothing") == [None]


def test_what_may_be_null_must_be_optional() -> None:
    # Not: what is optional, a dict's value, an expression, what fills nothing.
    assert nullable(Filling) == {
        "nested": "message.body may be NULL, which Author.body cannot hold.",
        "pair": "message.body may be NULL, which Pair.body cannot hold.",
        "scalar": "message.body may be NULL, which result cannot hold.",
        "several": "message.body may be NULL, which result cannot hold.",
    }


def test_bodies_are_no_queries() -> None:
    names = [query_.name for query_ in reviewed(Filling).queries]
    assert "Filling.remove" in names
    assert "Filling.body" not in names


def test_an_index_that_no_query_goes_by_is_told() -> None:
    class ByRoom(Repository):
        @query("SELECT id FROM message WHERE room = :room")
        async def in_room(self, room: str) -> list[int]: ...

    # Not: the one that is used, a unique one, one of a table that no query has.
    (unused,) = reviewed(ByRoom).unused
    assert (unused.concern, unused.subject) == (Concern.UNUSED_INDEX, "message_by_body")

    class Adding(Repository):
        @query("INSERT INTO other (a) VALUES (:a)")
        async def add(self, a: str) -> None: ...

    subjects = [found.subject for found in reviewed(ByRoom, Adding).unused]
    assert subjects == ["message_by_body", "other_by_a"]


def test_the_schema_is_gone_with_its_block() -> None:
    with open_schema(migrations=[SCHEMA]) as driver:
        assert "closed" not in repr(driver)
    assert "closed" in repr(driver)
