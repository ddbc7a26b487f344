"""No bound value in a message."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sqlite.support import reads, run_in, write, writes
from trio_sqlrepo._base.errors import DatabaseError, MappingError, SearchSyntaxError
from trio_sqlrepo._sqlite.scrub import HIDDEN, run_time_message, search_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._sqlite import SqliteDriver

CANARY = "s3cret"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("malformed JSON", "malformed JSON"),
        ("integer overflow", "integer overflow"),
        ("error in view v: no such table: t", "error in view v: no such table: t"),
        ("bad JSON path: 's3cret'", "bad JSON path (the rest is not shown because it may quote a"),
        ("s3cret is no good", HIDDEN),
    ],
)
def test_what_is_shown(message: str, shown: str) -> None:
    assert run_time_message(message).startswith(shown)


SEARCHES = {
    '"s3cret': "a double quote is not closed",
    "s3cret AND": "FTS5 syntax error",
    "s3cret:x": "it names a column that the table does not have",
    "NEAR(s3cret b, x)": "NEAR takes a number after the comma",
    "*": "a `*` stands before a word",
    "(" * 300 + "s3cret" + ")" * 300: "too deeply nested",
    'plain:"s3cret x"': "`detail` option does not allow this kind of query",
}


@pytest.mark.parametrize("text", SEARCHES)
def test_a_search_that_is_no_query_has_an_error_of_its_own(writer: SqliteDriver, text: str) -> None:
    writer.begin_write()
    writer.run_script(
        "CREATE VIRTUAL TABLE word USING fts5(body);"
        " CREATE VIRTUAL TABLE plain USING fts5(body, detail=none);"
    )
    writer.commit()
    table = "plain" if text.startswith("plain:") else "word"
    search = reads(f"SELECT body FROM {table} WHERE {table} MATCH :words", "body", parameters=1)
    with pytest.raises(SearchSyntaxError) as caught:
        writer.run(search, (text.removeprefix("plain:"),))
    assert SEARCHES[text] in str(caught.value)
    assert CANARY not in str(caught.value)
    assert caught.value.query == "T.read"
    assert writer.run(search, ("s3cret",)) == []


def test_a_rank_function_that_is_none() -> None:
    assert search_problem("parse error in rank function: s3cret(") is not None
    assert search_problem("no such table: word") is None


@given(st.text())
def test_an_unknown_message_is_never_shown(text: str) -> None:
    assert f"<{text}" not in run_time_message(f"<{text}")


SCHEMA = """
CREATE VIRTUAL TABLE text USING fts5(body);
CREATE TABLE strict_one (id INTEGER PRIMARY KEY, number INTEGER) STRICT;
CREATE TABLE guarded (a TEXT UNIQUE, b CHECK (b <> 's3' || 'cret'));
CREATE TABLE shouting (a);
CREATE TRIGGER shout BEFORE INSERT ON shouting BEGIN SELECT RAISE(ABORT, 'no ' || NEW.a); END;
INSERT INTO guarded VALUES ('s3cret', 1);
"""

STATEMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "json path": ("SELECT json_extract('{}', :a)", (CANARY,)),
    "json": ("SELECT json(:a)", (CANARY,)),
    "full-text column": ("SELECT * FROM text WHERE text MATCH :a", (CANARY + ":x",)),
    "full-text syntax": ("SELECT * FROM text WHERE text MATCH :a", (CANARY + "'(",)),
    "escape": ("SELECT 'a' LIKE 'b' ESCAPE :a", (CANARY,)),
    "unistr": ("SELECT unistr(:a)", ("\\" + CANARY,)),
    "unique": ("INSERT INTO guarded (a) VALUES (:a)", (CANARY,)),
    "check": ("INSERT INTO guarded (b) VALUES (:a)", (CANARY,)),
    "strict": ("INSERT INTO strict_one (number) VALUES (:a)", (CANARY,)),
    "rowid": ("INSERT INTO strict_one (id) VALUES (:a)", (CANARY,)),
    "trigger": ("INSERT INTO shouting VALUES (:a)", (CANARY,)),
    "limit": ("SELECT * FROM guarded LIMIT :a", (CANARY,)),
    "no utf-8": ("SELECT CAST(:a AS TEXT)", (CANARY.encode() + b"\xff",)),
}


def everything(error: BaseException) -> Iterator[str]:
    """All that a log could hold of it, causes and contexts included."""
    yield "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        yield from (repr(seen), str(seen), repr(seen.args), repr(vars(seen)))
        yield repr(getattr(seen, "__notes__", ()))
        assert seen.__context__ is None
        seen = seen.__cause__


def assert_hidden(error: BaseException, sql: str) -> None:
    for text in everything(error):
        assert CANARY not in text.replace(sql, "")


@pytest.mark.parametrize("case", STATEMENTS)
def test_no_error_of_a_declared_query_holds_a_bound_value(writer: SqliteDriver, case: str) -> None:
    with write(writer):
        writer.run_script(SCHEMA)
    sql, parameters = STATEMENTS[case]
    if sql.startswith("SELECT"):
        columns = [column.name for column in writer.inspect(sql).columns]
        statement = reads(sql, *columns, parameters=1)
    else:
        statement = writes(sql, parameters=1)
    writer.prepare([statement])
    with pytest.raises((DatabaseError, MappingError), match=r"^T\.\w+: ") as caught:
        run_in(writer, statement, *parameters)
    assert_hidden(caught.value, sql)


@pytest.mark.parametrize("case", STATEMENTS)
def test_no_error_of_execute_holds_a_bound_value(writer: SqliteDriver, case: str) -> None:
    with write(writer):
        writer.run_script(SCHEMA)
    sql, parameters = STATEMENTS[case]
    writer.begin_write()
    with pytest.raises((DatabaseError, MappingError)) as caught:
        writer.execute(sql, parameters)
    assert_hidden(caught.value, sql)


# A function that decodes what is no text sees Python's own error.
@pytest.mark.parametrize("case", sorted(set(STATEMENTS) - {"no utf-8"}))
def test_no_error_of_apply_holds_a_bound_value(writer: SqliteDriver, case: str) -> None:
    with write(writer):
        writer.run_script(SCHEMA)
    sql, parameters = STATEMENTS[case]

    def function(connection: apsw.Connection) -> None:
        connection.execute(sql, parameters).fetchall()

    writer.begin_write()
    with pytest.raises(DatabaseError) as caught:
        writer.apply(function)
    for text in everything_but_frames(caught.value):
        assert CANARY not in text.replace(sql, "")


def everything_but_frames(error: BaseException) -> Iterator[str]:
    yield from (str(error), repr(error), repr(vars(error)), str(error.__cause__))
    assert error.__context__ is None
