"""The plan as a whole: what the statement says, how results are finished, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from tests.query.support import Database, inspection, plan, problems, repository
from trio_sqlrepo._base.errors import MappingError, MultipleResults, NoResult
from trio_sqlrepo._query.declare import declarations_of, query
from trio_sqlrepo._query.markers import RowCount
from trio_sqlrepo._query.plan import MOST_BYTES, make_plan
from trio_sqlrepo._query.spec import make_spec


@attrs.frozen
class NewMessage:
    room: str
    body: str
    sent_at: datetime


@attrs.frozen
class Message(NewMessage):
    id: int


class Messages:
    @query("INSERT INTO message (room, body, sent_at) VALUES (:room, :body, :sent_at) RETURNING *")
    async def post(self, message: NewMessage) -> Message: ...

    @query("INSERT INTO message (room, body, sent_at) VALUES (:room, :body, :sent_at)")
    async def post_all(self, messages: Iterable[NewMessage]) -> RowCount: ...

    @query("INSERT INTO message (room, body, sent_at) VALUES (:room, :body, :sent_at) RETURNING id")
    async def post_each(self, messages: Iterable[NewMessage]) -> list[int]: ...

    @query("SELECT * FROM message WHERE id = :id")
    async def get(self, id: int) -> Message | None: ...

    @query("SELECT * FROM message WHERE room = :room ORDER BY id DESC LIMIT :limit")
    async def recent(self, room: str, limit: int = 50) -> list[Message]: ...

    @query("SELECT count(*) FROM message WHERE room IN (SELECT value FROM json_each(:rooms))")
    async def count(self, rooms: Sequence[str]) -> int: ...

    @query("SELECT max(id) FROM message")
    async def latest(self) -> int | None: ...

    @query("DELETE FROM message WHERE sent_at < :before")
    async def prune(self, before: datetime) -> RowCount: ...

    @query("DELETE FROM message")
    async def clear(self) -> None: ...


def test_the_example_of_the_design_runs() -> None:
    db = Database(
        "CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL, body TEXT NOT NULL,"
        " sent_at TEXT NOT NULL) STRICT"
    )

    def call(method: str, *args: Any) -> Any:
        spec = make_spec(declarations_of(Messages)[method], Messages)
        return db.call(make_plan(spec, db.inspect(spec.sql), number=0, converter=None), *args)

    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    posted = call("post", NewMessage("lobby", "hello", noon))
    assert posted == Message("lobby", "hello", noon, 1)
    assert call("get", 1) == posted
    assert call("get", 2) is None
    assert call("latest") == 1
    more = [NewMessage("attic", str(n), noon) for n in range(3)]
    assert call("post_all", iter(more)) == 3
    assert call("post_each", more) == [5, 6, 7]
    assert [m.id for m in call("recent", "attic", 2)] == [7, 6]
    assert call("count", ["lobby", "attic"]) == 7
    assert call("count", []) == 0
    assert call("prune", noon) == 0
    assert call("clear") is None
    assert call("latest") is None
    with pytest.raises(MappingError):
        call("prune", datetime(2024, 1, 1))


# -- what the statement says -----------------------------------------------------------------------


def test_a_statement_says_what_it_is() -> None:
    found = plan(Messages, "get", "id room body sent_at").statement
    assert found.name == "Messages.get"
    assert found.number == 0
    assert found.sql == "SELECT * FROM message WHERE id = :id"
    assert found.parameter_count == 1
    assert found.columns == ("id", "room", "body", "sent_at")
    assert found.single
    assert not found.writes
    assert not found.connection_bound
    assert not found.counts_by_total
    count = plan(Messages, "post_all", read_only=False).statement
    assert count.writes
    assert count.columns == ()
    assert not count.single
    assert count.build is None
    assert count.rebuild is None
    assert count.finish is None
    recent = plan(Messages, "recent", "id room body sent_at").statement
    assert not recent.single
    assert recent.finish is None


@pytest.mark.parametrize("function", ["last_insert_rowid", "changes", "total_changes"])
def test_what_asks_after_the_last_write_belongs_where_writes_are(function: str) -> None:
    owner = repository(f"SELECT {function}()", int)
    found = plan(owner, "q", "n", functions=frozenset({function})).statement
    assert found.writes
    assert found.connection_bound
    assert not plan(owner, "q", "n", functions=frozenset({"count"})).statement.connection_bound


@pytest.mark.parametrize(
    ("actions", "more", "counts"),
    [
        ({("insert", "m")}, {}, True),
        ({("insert", "m"), ("read", "m"), ("select", "")}, {}, True),
        ({("insert", "m"), ("update", "m")}, {}, False),
        ({("insert", "m"), ("insert", "log")}, {}, False),
        ({("insert", "m")}, {"fires_triggers": True}, False),
        ({("insert", "m")}, {"columns": "id"}, False),
        ({("delete", "m")}, {}, False),
        (set(), {}, False),
    ],
)
def test_only_a_plain_insert_is_counted_by_the_total(
    actions: Any, more: dict[str, Any], counts: bool
) -> None:
    owner = repository("INSERT", None)
    statement = plan(owner, "q", **more, actions=frozenset(actions), read_only=False).statement
    assert statement.counts_by_total is counts


# -- how a result is finished ----------------------------------------------------------------------


def finish(result: Any, rows: Any) -> Any:
    statement = plan(repository("SELECT 1", result), "q", "n").statement
    assert statement.finish is not None
    return statement.finish(rows)


def test_one_row() -> None:
    assert finish(int, [5]) == 5
    with pytest.raises(NoResult, match=r"^Repo\.q gave no row where exactly one is declared;"):
        finish(int, [])
    with pytest.raises(MultipleResults, match=r"^Repo\.q gave more than one row where exactly one"):
        finish(int, [1, 2])


def test_at_most_one_row() -> None:
    assert finish(int | None, [5]) == 5
    assert finish(int | None, []) is None
    with pytest.raises(MultipleResults, match="where at most one is declared"):
        finish(int | None, [1, 2])


def test_nothing() -> None:
    assert finish(None, [None, None]) is None
    statement = plan(repository("SELECT 1", None), "q", "n").statement
    assert statement.build is not None
    assert statement.build(("not looked at",)) is None
    statement = plan(repository("DELETE FROM m", None), "q").statement
    assert statement.build is None
    assert statement.finish is not None
    assert statement.finish(3) is None


# -- what is refused -------------------------------------------------------------------------------

LONG = "SELECT '" + "ä" * (MOST_BYTES // 2) + "'"


@pytest.mark.parametrize(
    ("sql", "result", "found", "says"),
    [
        (
            "SELECT x", int, {"error": "no such column: x", "error_position": (1, 8)},
            ("SQLite can't compile its SQL: no such column: x at line 1, column 8 of the SQL;"
            " correct the name (a text is written in single quotes, a parameter with a colon)."),
        ),
        (
            "SELECT * FROM x", int, {"error": "no such table: x"},
            ("SQLite can't compile its SQL: no such table: x; correct the name, or add the"
            " migration that makes the table."),
        ),
        (
            "SELEC", int, {"error": 'near "SELEC": syntax error', "error_position": (1, 1)},
            "syntax error at line 1, column 1 of the SQL; correct the SQL.",
        ),
        (
            "COMMIT", None, {"forbidden": ("COMMIT is not for queries.", "nor this")},
            "COMMIT is not for queries.\nRepo.q (<string>:1): nor this.",
        ),
        ("SELECT 1; SELECT 2", int, {"more_statements": True}, "more than one statement; declare"),
        (LONG, str, {"columns": "n"}, f"has {len(LONG.encode())} bytes, more than the 16383"),
        (
            "SELECT ?", int, {"parameters": ("?",)},
            "its SQL names a parameter `?` at line 1, column 8 of the SQL; write it as `:name`",
        ),
        ("SELECT @x", int, {"parameters": ("@x",)}, "`@x` at line 1, column 8"),
        ("SELECT $x", int, {"parameters": ("$x",)}, "`$x` at line 1, column 8"),
        (
            "INSERT", int, {},
            ("its SQL returns no columns, so there is no `int` to give: for the new id add"
            " `RETURNING id`, for the number of rows changed declare `RowCount`."),
        ),
        ("INSERT", int | None, {}, "for the number of rows changed declare `RowCount`"),
        (
            "INSERT", list[Message], {},
            "there is no `Message` to give: add `RETURNING …`, or declare `None` or `RowCount`.",
        ),
        (
            "SELECT 1", RowCount, {"columns": "a b"},
            ("`RowCount` is for statements that return no columns, and this one returns 2: declare"
            " what they hold (as in `list[int]`), or leave out `RETURNING`."),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_sql(sql: str, result: Any, found: Any, says: str) -> None:
    assert says in problems(repository(sql, result), "q", **found)


@pytest.mark.parametrize("result", [int, int | None])
def test_a_batch_gives_a_list(result: Any) -> None:
    owner = repository("SELECT :body", result, messages=list[NewMessage])
    says = "a batch gives the rows of all its elements: declare `list[int]` or `None`."
    assert says in problems(owner, "q", "n")
    for fitting in (list[int], None):
        owner = repository("SELECT :body", fitting, messages=list[NewMessage])
        assert plan(owner, "q", "n").batch


def test_a_statement_as_long_as_may_be() -> None:
    sql = "SELECT '" + "a" * (MOST_BYTES - 9) + "'"
    assert plan(repository(sql, str), "q", "n").statement.sql == sql


def test_inspections_of_these_tests_are_like_sqlites() -> None:
    db = Database("CREATE TABLE t (a TEXT, b INTEGER)")
    real = db.inspect("SELECT a, b FROM t WHERE a = :a AND b = :b")
    made = inspection("SELECT a, b FROM t WHERE a = :a AND b = :b", "a:TEXT b:INTEGER")
    assert real.parameters == made.parameters
    assert [(c.name, c.declared_type) for c in real.columns] == [
        (c.name, c.declared_type) for c in made.columns
    ]
    assert db.inspect("SELECT missing").error == "no such column: missing"
