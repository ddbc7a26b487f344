"""What SQLite says of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sqlite.support import write
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.inspection import Column, Inspection
from trio_sqlrepo._sqlite import SqliteDriver, open_driver

if TYPE_CHECKING:
    from tests.sqlite.support import Opener

SCHEMA = """
CREATE TABLE log (entry);
CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE compact (id INTEGER PRIMARY KEY) WITHOUT ROWID;
CREATE VIEW loud AS SELECT upper(body) AS body FROM message;
CREATE TRIGGER keep AFTER INSERT ON message BEGIN INSERT INTO log VALUES (NEW.body); END;
CREATE TRIGGER through INSTEAD OF INSERT ON loud BEGIN INSERT INTO log VALUES (NEW.body); END;
CREATE TABLE reply (message REFERENCES message ON DELETE CASCADE);
CREATE VIRTUAL TABLE text USING fts5(body);
CREATE VIRTUAL TABLE old USING fts4(body);
CREATE VIRTUAL TABLE box USING rtree(id, low, high);
"""


@pytest.fixture
def driver(writer: SqliteDriver) -> SqliteDriver:
    with write(writer):
        writer.run_script(SCHEMA)
    return writer


def test_parameters_are_given_as_they_are_written(driver: SqliteDriver) -> None:
    sql = "SELECT :a, @b, $c, ?, :a, ?6, ':x @y', $d::e(f) -- :z\n, @b"
    assert driver.inspect(sql).parameters == (":a", "@b", "$c", "?", "?", "?6", "$d::e(f)")
    assert driver.inspect("SELECT :b, :a, :b").parameters == (":b", ":a")
    assert driver.inspect("SELECT '\x02\x020\x02', @a").parameters == ("@a",)
    assert driver.inspect('SELECT \'$.path\', :a, "@" FROM (SELECT 1 "@")').parameters == (":a",)


@pytest.fixture(scope="module")
def memory() -> Any:
    driver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
    yield driver
    driver.close()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(":@$"), st.from_regex(r"[a-z_é]{1,3}", fullmatch=True)).map(
                "".join
            ),
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
                lambda text: "'" + text.replace("'", "''") + "'"
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_prefixes_are_found_without_reading_sql(memory: SqliteDriver, terms: list[str]) -> None:
    parameters = [term for term in terms if term[0] != "'"]
    inspection = memory.inspect("SELECT " + ", ".join(terms))
    assert inspection.parameters == tuple(dict.fromkeys(parameters))


def test_columns_say_where_they_come_from(driver: SqliteDriver) -> None:
    sql = "SELECT id, name AS label, count(*), room.id + 1 FROM room"
    assert driver.inspect(sql).columns == (
        Column("id", "INTEGER", "room", "id", not_null=True),
        Column("label", "TEXT", "room", "name", not_null=True),
        Column("count(*)", None, None, None),
        Column("room.id + 1", None, None, None),
    )


@pytest.mark.parametrize(
    ("sql", "not_null"),
    [
        ("SELECT body FROM message", False),
        ("SELECT a FROM pair", False),  # SQLite lets a part of such a key be NULL
        ("SELECT id FROM compact", True),
        ("SELECT id FROM message", True),
        ("SELECT rowid FROM message", True),
        ("SELECT value FROM json_each('[]')", False),
        ("SELECT body FROM text", False),
        # It is said of the column: an outer join or a subquery may still give NULL.
        ("SELECT (SELECT id FROM message)", True),
    ],
)
def test_not_null(driver: SqliteDriver, sql: str, *, not_null: bool) -> None:
    assert driver.inspect(sql).columns[0].not_null is not_null


@pytest.mark.parametrize(
    ("sql", "read_only", "actions", "fires"),
    [
        ("SELECT body FROM message", True, {("read", "message")}, False),
        ("SELECT * FROM loud", True, {("read", "message"), ("read", "loud")}, False),
        ("SELECT body FROM text", True, {("read", "text")}, False),
        ("SELECT body FROM old", True, {("read", "old")}, False),
        ("SELECT low FROM box", True, {("read", "box")}, False),
        (
            "INSERT INTO message (room, body) VALUES (1, 'x')",
            False,
            {
                ("insert", "message"),
                ("read", "room"),  # the foreign key
                ("read", "reply"),
                ("insert", "log"),  # the trigger
                ("read", "message"),
            },
            True,
        ),
        ("INSERT INTO log VALUES (1)", False, {("insert", "log")}, False),
        ("INSERT INTO text VALUES (1)", False, {("insert", "text")}, False),
        (
            "UPDATE log SET entry = 1 WHERE entry = 2",
            False,
            {("update", "log"), ("read", "log")},
            False,
        ),
        (
            "DELETE FROM message WHERE id = 1",
            False,
            {
                ("delete", "message"),
                ("read", "message"),
                ("read", "room"),
                ("delete", "reply"),  # the foreign key's action
                ("read", "reply"),
            },
            False,
        ),
    ],
)
def test_what_it_touches(
    driver: SqliteDriver, sql: str, *, read_only: bool, actions: set[tuple[str, str]], fires: bool
) -> None:
    inspection = driver.inspect(sql)
    assert inspection.error is None
    assert inspection.read_only is read_only
    assert inspection.actions == actions
    assert inspection.fires_triggers is fires
    assert inspection.forbidden == ()


def test_a_view_fires_its_trigger(driver: SqliteDriver) -> None:
    assert driver.inspect("INSERT INTO loud VALUES ('x')").fires_triggers


def test_functions_are_named_in_lower_case(driver: SqliteDriver) -> None:
    inspection = driver.inspect("SELECT Last_Insert_Rowid(), CHANGES(), upper('x')")
    assert inspection.functions == {"last_insert_rowid", "changes", "upper"}
    assert inspection.read_only


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("BEGIN", "BEGIN is not allowed here: transactions are opened"),
        ("COMMIT", "COMMIT is not allowed here: transactions are opened"),
        ("ROLLBACK", "ROLLBACK is not allowed here: transactions are opened"),
        (
            "SAVEPOINT a",
            "SAVEPOINT is not allowed here (nor apsw's `with connection:`",
        ),
        (
            "RELEASE a",
            "RELEASE is not allowed here (nor apsw's `with connection:`",
        ),
        ("ATTACH 'x' AS y", "ATTACH is not allowed"),
        ("DETACH main", "DETACH is not allowed"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys is not allowed here: settings"),
        ("PRAGMA foreign_keys", "PRAGMA foreign_keys can't be a declared query"),
        ("PRAGMA optimize", "PRAGMA optimize can't be a declared query"),
        ("VACUUM", "VACUUM can't be a declared query"),
        ("VACUUM INTO :path", "VACUUM can't be a declared query"),
        ("CREATE TEMP TABLE x (a)", "What is temporary can't be declared"),
        ("CREATE TEMP VIEW x AS SELECT 1", "What is temporary can't be declared"),
        ("CREATE VIRTUAL TABLE temp.x USING fts5 (a)", "What is temporary can't be declared"),
    ],
)
def test_what_a_declared_query_may_not_do(driver: SqliteDriver, sql: str, sentence: str) -> None:
    inspection = driver.inspect(sql)
    assert inspection.error is None
    (found,) = inspection.forbidden
    assert found.startswith(sentence)
    assert found.endswith(".")


def test_what_stays_may_be_declared(driver: SqliteDriver) -> None:
    for sql in (
        "CREATE TABLE x (a)",
        "CREATE INDEX x ON log (entry)",
        "DROP TABLE log",
        "SELECT * FROM sqlite_temp_schema",
    ):
        inspection = driver.inspect(sql)
        assert (inspection.error, inspection.forbidden) == (None, ())


def test_a_pragma_is_not_obeyed_by_inspecting_it(driver: SqliteDriver) -> None:
    driver.inspect("PRAGMA foreign_keys = OFF")
    assert driver.execute("PRAGMA foreign_keys") == [(1,)]


@pytest.mark.parametrize("sql", ["EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT * FROM room"])
def test_explain_is_a_query_like_others(driver: SqliteDriver, sql: str) -> None:
    inspection = driver.inspect(sql)
    assert inspection.read_only
    assert inspection.columns
    assert inspection.forbidden == ()


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("SELECT 1", False),
        ("SELECT 1;", False),
        (" ; /* a */ ; SELECT 1; -- the end", False),
        ("-- first\n;SELECT 1 ;; /* b */ ;\n", False),
        ("SELECT 1; SELECT 2", True),
        ("SELECT 1; -- then\nSELECT 2", True),
        ("SELECT 1; nonsense", True),
        ("SELECT 1; ; ;BEGIN", True),
    ],
)
def test_more_than_one_statement(driver: SqliteDriver, sql: str, *, more: bool) -> None:
    inspection = driver.inspect(sql)
    assert inspection.error is None
    assert [column.name for column in inspection.columns] == ["1"]
    assert inspection.more_statements is more


@pytest.mark.parametrize(
    ("sql", "error", "position"),
    [
        ("SELECT nope", "no such column: nope", (1, 8)),
        ("SELECT 'é', nope", "no such column: nope", (1, 13)),
        ("SELECT 'é',\n  'ü', nope FROM room", "no such column: nope", (2, 8)),
        ("SELEC 1", 'near "SELEC": syntax error', (1, 1)),
        ("SELECT 1 FROM nowhere", "no such table: nowhere", None),
        ("", "there is no statement in the SQL", None),
        ("  -- nothing\n ;", "there is no statement in the SQL", None),
        ("SELECT 1 \0", "the SQL contains a null character", None),
        ("SELECT '\ud800'", "the SQL contains a lone surrogate", None),
    ],
)
def test_wrong_sql(
    driver: SqliteDriver, sql: str, error: str, position: tuple[int, int] | None
) -> None:
    assert driver.inspect(sql) == Inspection(error=error, error_position=position)


def test_a_reader_inspects_writes_too(driver: SqliteDriver, opened: Opener) -> None:
    reader = opened(Role.READER)
    inspection = reader.inspect("INSERT INTO log VALUES (:a) RETURNING *")
    assert not inspection.read_only
    assert inspection.actions == {("insert", "log"), ("read", "log")}


def test_inspecting_leaves_nothing(driver: SqliteDriver) -> None:
    before = driver._connection.cache_stats(True)["entries"]
    for sql in ("SELECT * FROM room", "DELETE FROM room", "DROP TABLE room", "nonsense", "VACUUM"):
        driver.inspect(sql)
    assert driver._connection.cache_stats(True)["entries"] == before
    assert driver.is_clean()
    assert driver.execute("SELECT count(*) FROM room") == [(2,)]


def test_a_key_of_no_declared_type_is_described(driver: SqliteDriver) -> None:
    with write(driver):
        driver.run_script("CREATE TABLE untyped (k PRIMARY KEY)")
    (column,) = driver.inspect("SELECT k FROM untyped").columns
    assert column == Column("k", None, "untyped", "k", not_null=False)
