"""`check`: what it shows, what it finds, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cli.apps import SCHEMA, App
from tests.support import run_child
from trio_sqlrepo import open_database

WRONG = """
from trio_sqlrepo import Repository, query
from chat import MIGRATIONS
class Wrong(Repository):
    @query("SELECT wat FROM message")
    async def a(self) -> list[int]: ...

    @query("SELECT id FROM message WHERE id = :id")
    async def b(self) -> list[int]: ...
"""


def squeezed(text: str) -> str:
    return " ".join(text.split())


def make_file(path: Path, *scripts: str) -> None:
    async def make() -> None:
        async with open_database(path, migrations=[SCHEMA, *scripts]):
            pass

    trio.run(make)


def test_the_table_shows_everything(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = app.run("check", "chat")
    assert (code, err) == (0, "")
    lines = [squeezed(line) for line in out.splitlines()]
    assert lines[0] == "Method Route Tables Columns → fields Query plan"
    assert (
        "Messages.get reader reads message id, room, body, stars → Message · SEARCH message USING"
        " INTEGER PRIMARY KEY (rowid=?)" in lines
    )
    assert "Messages.prune writer changes message · SCAN message" in lines
    at = lines.index("Messages.take writer changes message id → result · SCAN message")
    assert lines[at + 1] == ""  # it reads what it changes, which goes without saying
    assert any(line.startswith("[order='best']") for line in lines)


def test_findings_stand_below_it_and_are_counted(app: App) -> None:
    _, out, _ = app.run("check", "chat")
    found = [squeezed(line) for line in out.splitlines() if line.startswith(("n", "s", "u"))]
    told = out.partition("\n\nnullable")[2]
    assert "Messages.get (chat.py:22): message.body may be NULL, which Message.body" in told
    assert (
        "sort Messages.listed[order='best'] (chat.py:25): rows are put into a temporary B-tree for"
        " ORDER BY." in found
    )
    assert (
        "scan Messages.prune (chat.py:29): message is read from end to end; no index leads to the"
        " rows." in found
    )
    assert "unused-index message: no declared query goes by the index message_by_body." in found
    # Both alternatives of `listed` have it, so it is told once.
    assert told.count("Messages.listed (chat.py:25): message.body may be NULL") == 1
    assert out.splitlines()[-1] == (
        "4 queries fit the schema, in 5 statements; found: 2 nullable, 1 sort, 2 scan,"
        " 1 unused-index."
    )


def test_in_a_narrow_terminal_three_columns_are_one(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = app.run("check", "chat")
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.rstrip() for line in out.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith("Messages.prune"))
    assert [line.rstrip() for line in lines[at + 1 : at + 3]] == ["  writer", "  changes message"]


def test_without_a_terminal_there_is_room(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    _, out, _ = app.run("check", "chat")
    assert squeezed(out.splitlines()[0]) == "Method Route Tables Columns → fields Query plan"


def test_alternatives_that_look_alike_are_shown_once(app: App) -> None:
    app.write(
        "more.py",
        """
        from typing import Any, Literal
        from trio_sqlrepo import Repository, query
        from chat import MIGRATIONS
        class Some(Repository):
            @query("SELECT {what}(stars) AS n, 5 FROM message {room: WHERE room = :room}",
                   what={"a": "sum", "b": "avg"})
            async def some(self, what: Literal["a", "b"], room: str | None) -> dict[str, Any]: ...
        class Alike(Repository):
            @query("SELECT stars {sign} 1 AS n FROM message WHERE id = 1", sign={1: "+", 2: "-"})
            async def one(self, sign: Literal[1, 2]) -> int: ...
        """,
    )
    _, out, _ = app.run("check", "more")
    assert "2 alternatives" in out
    assert "[what='a', room]" in out
    assert out.count("and 1 alike") == 3  # in the table twice, and with the scan
    assert "n, 5 → dict" in out


def test_columns_that_fill_nothing_or_another_name_are_shown(app: App) -> None:
    app.write(
        "more.py",
        """
        import attrs
        from trio_sqlrepo import Repository, query
        from chat import MIGRATIONS
        @attrs.frozen
        class Author:
            name: str
        @attrs.frozen
        class Row:
            id: int
            _hidden: int
            author: Author
        class Some(Repository):
            @query("SELECT id, stars AS hidden, room AS 'author.name', body FROM message")
            async def some(self) -> list[Row]: ...
            @query("SELECT id, room FROM message WHERE id = :id")
            async def ignored(self, id: int) -> None: ...
        """,
    )
    _, out, _ = app.run("check", "more", "--json")
    some, ignored = json.loads(out)["queries"]
    assert {c["name"]: c["field"] for c in some["statements"][0]["columns"]} == {
        "id": "Row.id", "hidden": "Row._hidden", "author.name": "Author.name", "body": None,
    }  # fmt: skip
    assert [c["field"] for c in ignored["statements"][0]["columns"]] == [None, None]
    shown = app.run("check", "more")[1]
    assert "hidden → Row._hidden" in shown
    assert "author.name → Author" in shown
    assert "body → (nothing)" in shown


@pytest.mark.parametrize(
    ("kinds", "code", "failed"),
    [
        (["scan"], 3, "Failed on: scan."),
        (["nullable", "unused-index"], 3, "Failed on: nullable, unused-index."),
        (["sort"], 3, "Failed on: sort."),
    ],
)
def test_fail_on_gives_its_own_code(app: App, kinds: list[str], code: int, failed: str) -> None:
    options = [part for kind in kinds for part in ("--fail-on", kind)]
    found, out, _ = app.run("check", "chat", *options)
    assert found == code
    assert squeezed(out).endswith(failed)
    assert json.loads(app.run("check", "chat", "--json", *options)[1])["failed"] == kinds


def test_fail_on_what_is_not_there_is_well(app: App) -> None:
    app.write(
        "more.py",
        """
        from trio_sqlrepo import Repository, query
        from chat import MIGRATIONS
        class Some(Repository):
            @query("SELECT room FROM message WHERE id = :id")
            async def some(self, id: int) -> str | None: ...
        """,
    )
    code, out, _ = app.run("check", "more", "--fail-on", "scan", "--fail-on", "sort")
    assert code == 0
    assert "1 query fits the schema; found: 2 unused-index." in out
    assert "'--fail-on'" in app.refusal("check", "chat", "--fail-on", "wat")


def test_a_review_without_findings_says_so(app: App) -> None:
    app.write(
        "more.py",
        """
        from trio_sqlrepo import Repository, query
        MIGRATIONS = ["CREATE TABLE a (id INTEGER PRIMARY KEY)"]
        class Some(Repository):
            @query("SELECT id FROM a WHERE id = :id")
            async def some(self, id: int) -> int | None: ...
        """,
    )
    code, out, _ = app.run("check", "more")
    assert (code, out.splitlines()[-1]) == (0, "1 query fits the schema.")


def test_what_does_not_fit_is_listed_all(app: App) -> None:
    app.write("wrong.py", WRONG)
    told = app.failure("check", "wrong")
    assert told.startswith("2 declarations are wrong:\n  1. Wrong.a (")
    assert "no such column: wat" in told
    assert "\n  2. Wrong.b (" in told
    code, out, err = app.run("check", "wrong", "--json")
    assert (code, err) == (1, "")
    document = json.loads(out)
    assert document["version"] == 1
    assert [text.partition(" ")[0] for text in document["errors"]] == ["Wrong.a", "Wrong.b"]


def test_the_json_has_the_form_that_is_documented(app: App) -> None:
    document: Any = json.loads(app.run("check", "chat:Messages", "--json")[1])
    assert set(document) == {"version", "queries", "findings", "failed"}
    assert document["version"] == 1
    assert [query["name"] for query in document["queries"]] == [
        "Messages.get", "Messages.listed", "Messages.prune", "Messages.take",
    ]  # fmt: skip
    get = document["queries"][0]
    assert get == {
        "name": "Messages.get",
        "class": "Messages",
        "module": "chat",
        "method": "get",
        "file": str(app.folder / "chat.py"),
        "line": 22,
        "parameters": {"id": "int"},
        "result": "Message | None",
        "statements": get["statements"],
    }
    (statement,) = get["statements"]
    assert statement["plan"] == [
        {"detail": "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)", "steps": []}
    ]
    assert statement["columns"][2] == {
        "name": "body", "type": "TEXT", "table": "message", "origin": "body", "not_null": False,
        "field": "Message.body",
    }  # fmt: skip
    del statement["plan"], statement["columns"]
    assert statement == {
        "name": "Messages.get",
        "sql": "SELECT * FROM message WHERE id = :id",
        "route": "reader",
        "parameters": ["id"],
        "reads": ["message"],
        "changes": [],
    }
    assert [each["name"] for each in document["queries"][1]["statements"]] == [
        "Messages.listed[order='new']", "Messages.listed[order='best']",
    ]  # fmt: skip
    assert document["findings"][-1] == {
        "kind": "unused-index",
        "where": "message",
        "subject": "message_by_body",
        "text": "no declared query goes by the index message_by_body.",
    }


# -- the schema --------------------------------------------------------------------------------


def test_the_schema_of_a_file_counts(app: App) -> None:
    make_file(app.folder / "chat.db", "CREATE INDEX message_by_stars ON message (stars)")
    before = sorted(path.name for path in app.folder.iterdir())
    code, out, _ = app.run("check", "chat", "--database", "chat.db", "--fail-on", "scan")
    assert code == 0
    assert "message_by_stars (stars<?)" in squeezed(out)
    assert sorted(path.name for path in app.folder.iterdir()) == before


def test_a_file_that_cannot_be_read_is_a_sentence(app: App) -> None:
    assert app.refusal("check", "chat", "--database", "wat.db").startswith(
        "Invalid value for '--database'"
    )
    assert "'--database'" in app.refusal("check", "chat", "--database", ".")
    app.write("text.db", "no database " * 100)
    told = app.failure("check", "chat", "--database", "text.db")
    assert told.startswith(f"{app.folder / 'text.db'} is no SQLite database, or is encrypted. ")


def test_two_schemas_are_refused(app: App) -> None:
    app.write("a.db", "")
    told = app.refusal("check", "chat", "--database", "a.db", "--migrations", "chat:MIGRATIONS")
    assert told == "--database and --migrations are two schemas; give one of them."


def test_functions_and_converters_of_the_application_are_known(app: App) -> None:
    app.write(
        "more.py",
        """
        import cattrs
        from trio_sqlrepo import Repository, SQLiteConfig, SqlFunction, query
        from chat import MIGRATIONS
        class Money:
            pass
        SQLITE = SQLiteConfig(functions={"loud": SqlFunction(call=str.upper, arguments=1)})
        CONVERTER = cattrs.Converter()
        CONVERTER.register_structure_hook(Money, lambda value, _: Money())
        class Some(Repository):
            @query("SELECT loud(room) FROM message WHERE id = 1")
            async def loud(self) -> Money: ...
        """,
    )
    assert "no such function: loud" in app.failure("check", "more")
    assert "Money" in app.failure("check", "more", "--sqlite", "more:SQLITE")
    code, _, _ = app.run(
        "check", "more", "--sqlite", "more:SQLITE", "--converter", "more:CONVERTER"
    )
    assert code == 0


# -- as a process ------------------------------------------------------------------------------


def test_the_command_finds_the_application_in_its_directory(app: App) -> None:
    child = run_child("-m", "trio_sqlrepo", "check", "chat", "--fail-on", "scan", cwd=app.folder)
    assert (child.returncode, child.stderr) == (3, "")
    assert child.stdout.rstrip().endswith("Failed on: scan.")


@pytest.mark.parametrize(
    "arguments",
    [["check", "chat", "--json"], ["check", "chat"], ["stats", "empty.db", "--json"]],
)
def test_a_reader_that_goes_away_is_no_error(app: App, arguments: list[str]) -> None:
    app.write("empty.db", "")
    # The reader is gone before the first line, which may be in a buffer until the end.
    script = (
        "import os, sys; from trio_sqlrepo.cli import main; r, w = os.pipe(); os.close(r);"
        f" os.dup2(w, 1); sys.exit(main({arguments}))"
    )
    child = run_child("-c", script, cwd=app.folder, env={"PYTHONUNBUFFERED": ""})
    assert (child.returncode, child.stderr) == (1, "")
