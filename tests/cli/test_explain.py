"""`explain`: one query with its SQL, plan, advice and bytecode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.apps import App
from tests.cli.test_check import make_file, squeezed


def test_a_query_is_shown_with_all_its_statements(app: App) -> None:
    code, out, err = app.run("explain", "chat:Messages.listed")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "Messages.listed",
        "chat.py:25",
        "listed(self, room: str, order: Literal['new', 'best']) → list[Message]",
    ]
    assert "SELECT * FROM message WHERE room = :room ORDER BY id DESC" in lines
    assert "SELECT * FROM message WHERE room = :room ORDER BY stars DESC" in lines
    assert lines.count("Route       reader") == 2
    assert "Parameters  :room" in lines
    assert "Columns     id, room, body, stars → Message" in lines
    assert "Plan        · SEARCH message USING INDEX message_by_room (room=?)" in lines
    assert "            · USE TEMP B-TREE FOR ORDER BY" in lines
    assert "sort        rows are put into a temporary B-tree for ORDER BY." in lines
    assert "Advice      No further index would help, SQLite's expert says." in lines
    assert "opcode" not in out


def test_what_is_inserted_is_searched_nowhere(app: App) -> None:
    app.write(
        "more.py",
        """
        from trio_sqlrepo import Repository, query
        from chat import MIGRATIONS
        class Some(Repository):
            @query("INSERT INTO message (room, stars) VALUES ('a', 0)")
            async def some(self) -> None: ...
        """,
    )
    lines = app.run("explain", "more:Some.some")[1].splitlines()
    assert "Plan        nothing is searched" in lines
    assert "Parameters  none" in lines
    assert not any(line.startswith("Columns") for line in lines)


def test_tables_are_none_where_there_are_none(app: App) -> None:
    app.write(
        "more.py",
        """
        from trio_sqlrepo import Repository, query
        from chat import MIGRATIONS
        class Some(Repository):
            @query("SELECT 1")
            async def some(self) -> int: ...
        """,
    )
    assert "Tables      none" in app.run("explain", "more:Some.some")[1]


def test_the_experts_advice_is_shown_or_why_there_is_none(app: App) -> None:
    out = app.run("explain", "chat:Messages.prune")[1]
    assert "Advice      CREATE INDEX message_idx_" in out
    assert "ON message(stars);" in out
    out = app.run("explain", "chat:Messages.take")[1]
    assert "Advice      none: SQLite's expert can't judge it: DELETE RETURNING" in out


def test_the_bytecode_is_shown_on_demand(app: App) -> None:
    out = app.run("explain", "chat:Messages.get", "--bytecode")[1]
    lines = [squeezed(line) for line in out.splitlines()]
    at = lines.index("addr opcode p1 p2 p3 p4 p5 comment")
    assert lines[at + 1].startswith("0 Init 0 ")
    assert any("SeekRowid" in line for line in lines[at:])


def test_the_json_has_the_form_that_is_documented(app: App) -> None:
    document: Any = json.loads(app.run("explain", "chat:Messages.prune", "--json")[1])
    assert set(document) == {"version", "query"}
    (statement,) = document["query"]["statements"]
    assert statement["findings"] == [
        {
            "kind": "scan",
            "subject": "message",
            "text": "message is read from end to end; no index leads to the rows.",
        }
    ]
    assert statement["advice"]["silent"] is None
    assert len(statement["advice"]["indexes"]) == 1
    assert "bytecode" not in statement
    document = json.loads(app.run("explain", "chat:Messages.prune", "--json", "--bytecode")[1])
    first = document["query"]["statements"][0]["bytecode"][0]
    assert (first["address"], first["opcode"]) == (0, "Init")
    assert set(first) == {"address", "opcode", "p1", "p2", "p3", "p4", "p5", "comment"}


def test_the_schema_of_a_file_counts(app: App) -> None:
    make_file(app.folder / "chat.db", "CREATE INDEX message_by_stars ON message (stars)")
    out = app.run("explain", "chat:Messages.prune", "--database", "chat.db")[1]
    assert "USING INDEX message_by_stars (stars<?)" in out
    assert "No further index would help" in out


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("chat", "'chat' names no query; write it as package.module:Class.method."),
        ("chat:Messages", "'chat:Messages' names no query;"),
        ("chat:Message.id", "'chat:Message' is no repository class;"),
        ("chat:LIST.get", "'chat:LIST' is no repository class;"),
        ("chat:Wat.get", "leads nowhere"),
        (
            "chat:Messages.wat",
            "Messages declares no query 'wat'; it has get, listed, prune, take.",
        ),
        (
            "chat:Messages.tidy",
            "Messages.tidy is a @transaction body, with no SQL of its own; explain the queries",
        ),
        ("none:Empty.wat", "Empty declares no query 'wat'; it has none."),
    ],
)
def test_what_is_no_query_is_a_sentence(app: App, target: str, sentence: str) -> None:
    app.write("none.py", "from trio_sqlrepo import Repository\nclass Empty(Repository): ...\n")
    assert sentence in app.refusal("explain", target)
