"""`assert_no_full_scans`: which queries it finds, what it says of them, and what it lets pass."""

from __future__ import annotations

from typing import Literal

import pytest

from trio_sqlrepo import (
    DeclarationError,
    MigrationError,
    Repository,
    RowCount,
    SqlFunction,
    SQLiteConfig,
    query,
)
from trio_sqlrepo.testing import assert_no_full_scans

SCHEMA = [
    "CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL, stars INTEGER) STRICT;",
    "CREATE INDEX message_by_room ON message (room);",
]


class Messages(Repository):
    @query("SELECT id FROM message WHERE room = :room")
    async def in_room(self, room: str) -> list[int]: ...

    @query("SELECT id, stars FROM message")
    async def all(self) -> list[tuple[int, int | None]]: ...

    @query(
        """
        SELECT id FROM message
        WHERE {by} = :value
        """,
        by={"room": "room", "stars": "stars"},
    )
    async def found(self, by: Literal["room", "stars"], value: str) -> list[int]: ...

    @query("DELETE FROM message WHERE stars = :stars RETURNING id")
    async def take(self, stars: int) -> list[int]: ...


class Well(Repository):
    @query("DELETE FROM message WHERE id = :id")
    async def remove(self, id: int) -> RowCount: ...

    @query("SELECT room FROM message ORDER BY room, stars")  # sorted, and all of an index
    async def rooms(self) -> list[str]: ...


def test_queries_that_an_index_serves_pass() -> None:
    assert_no_full_scans(Well, migrations=["".join(SCHEMA), "CREATE INDEX i ON message (room, id)"])


async def test_an_async_test_can_call_it() -> None:
    assert_no_full_scans(Messages, migrations=SCHEMA, allow=["Messages.all", "Messages.found",
                                                             Messages.take])  # fmt: skip


def test_each_scan_is_told_with_its_plan_and_the_index_that_would_help() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_no_full_scans(Messages, migrations=SCHEMA)
    told = str(caught.value)
    assert told.startswith(
        "3 declared statements read a table from end to end. Make an index, or name the query in"
        " allow=[...].\n\nMessages.all ("
    )
    assert "Messages.in_room" not in told
    assert "[by='room']" not in told
    everything, found, take = told.split("\n\n")[1:]
    assert everything.splitlines()[1:] == [
        "  message is read from end to end; no index leads to the rows.",
        "    SELECT id, stars FROM message",
        "  Plan:",
        "    SCAN message",
        "  SQLite's expert knows no index that would help.",
    ]
    lines = found.splitlines()
    assert lines[0].startswith("Messages.found[by='stars'] (")
    assert __file__ in lines[0]
    assert lines[2:4] == ["    SELECT id FROM message", "    WHERE stars = :value"]
    assert lines[4:7] == ["  Plan:", "    SCAN message", "  SQLite's expert advises:"]
    assert lines[7].startswith("    CREATE INDEX message_idx_")
    assert lines[7].endswith(" ON message(stars);")
    assert take.splitlines()[-1].startswith("  No advice: SQLite's expert can't judge it: DELETE")


def test_one_alone_is_told_in_the_singular_and_its_steps_in_their_order() -> None:
    class Deep(Repository):
        @query("SELECT 1 FROM message WHERE id = (SELECT sum(stars) FROM message)")
        async def deep(self) -> list[int]: ...

    with pytest.raises(AssertionError) as caught:
        assert_no_full_scans(Deep, migrations=SCHEMA)
    told = str(caught.value)
    assert told.startswith("A declared statement reads a table from end to end. ")
    assert "\n    SCALAR SUBQUERY 1\n      SCAN message\n" in told


def test_allow_names_queries_of_these_classes() -> None:
    for wrong, named in (("Messages.wat", "'Messages.wat'"), (Well.remove, "Well.remove")):
        with pytest.raises(ValueError, match=rf"^allow names {named}, which is no declared query"):
            assert_no_full_scans(Messages, migrations=SCHEMA, allow=[wrong])
    assert_no_full_scans(
        Messages, Well, migrations=SCHEMA,
        allow=["Messages.all", "Messages.found", "Messages.take", Well.rooms],
    )  # fmt: skip


def test_a_method_is_allowed_and_no_other_of_its_name() -> None:
    class Other(Repository):
        @query("SELECT stars FROM message")
        async def all(self) -> list[int | None]: ...

    with pytest.raises(AssertionError, match=r"\n\nOther\.all \("):
        assert_no_full_scans(
            Messages, Other, migrations=SCHEMA, allow=[Messages.all, Messages.found, Messages.take]
        )


def test_what_an_inherited_query_is_allowed_it_is_allowed_in_every_class() -> None:
    class More(Messages):
        pass

    assert_no_full_scans(
        Messages, More, migrations=SCHEMA, allow=[Messages.all, Messages.found, Messages.take]
    )
    with pytest.raises(AssertionError, match=r"More\.all"):
        assert_no_full_scans(More, migrations=SCHEMA, allow=["More.found"])


def test_what_does_not_fit_is_told_as_it_is() -> None:
    with pytest.raises(DeclarationError, match="no such table: message"):
        assert_no_full_scans(Well, migrations=["CREATE TABLE other (a)"])
    with pytest.raises(MigrationError):
        assert_no_full_scans(Well, migrations=["wat"])


def test_functions_of_the_application_are_known() -> None:
    class Loud(Repository):
        @query("SELECT loud(room) FROM message WHERE id = :id")
        async def loud(self, id: int) -> str: ...

    sqlite = SQLiteConfig(functions={"loud": SqlFunction(call=str, arguments=1)})
    assert_no_full_scans(Loud, migrations=SCHEMA, sqlite=sqlite)
