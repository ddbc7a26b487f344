"""Declared statements: run to the end, counted, checked again after a schema change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.sqlite.support import reads, run_in, write, writes
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role
from trio_sqlrepo._base.errors import (
    InternalError,
    MappingError,
    ReadOnlySession,
    SqlError,
    TransactionAborted,
)
from trio_sqlrepo._base.job import Statement
from trio_sqlrepo._sqlite.cache import CHUNK

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

ROOMS = reads("SELECT * FROM room ORDER BY id", "id", "name")
ROOM = reads("SELECT * FROM room WHERE id = :id", "id", "name", parameters=1, single=True)
ONE = reads("SELECT * FROM room", "id", "name", single=True)
ADD = writes("INSERT INTO room (name) VALUES (:name)", parameters=1, by_total=True)
GIVE = writes(
    "INSERT INTO room (name) VALUES (:name) RETURNING id, name", "id", "name", parameters=1
)


def assert_reset(driver: SqliteDriver) -> None:
    """No statement of it is half-way: that would show in the transaction's state."""
    driver.rollback()
    assert driver.is_clean()


# -- results -------------------------------------------------------------------------------


def test_rows_are_built(writer: SqliteDriver) -> None:
    rows = [{"id": 1, "name": "lobby"}, {"id": 2, "name": "attic"}]
    assert writer.run(ROOMS, ()) == rows
    assert writer.run(ROOM, (2,)) == rows[1:]
    assert writer.run(ROOM, (3,)) == []
    assert_reset(writer)


def test_of_single_no_more_than_two_rows_are_fetched(writer: SqliteDriver) -> None:
    run_in(writer, writes("INSERT INTO room (name) VALUES ('cellar')"))
    built: list[Any] = []
    single = reads("SELECT id FROM room", "id", single=True)
    single.build = built.append
    assert writer.run(single, ()) == [None, None]
    assert built == [(1,), (2,)]
    assert_reset(writer)
    assert len(writer.run(single, ())) == 2


def test_a_write_without_columns_gives_the_rows_it_changed(writer: SqliteDriver) -> None:
    with write(writer):
        writer.run_script("CREATE TRIGGER t AFTER UPDATE ON room BEGIN DELETE FROM message; END")
        writer.run_many(writes("INSERT INTO message (room) VALUES (1)"), [()] * 9)
        assert writer.run(writes("UPDATE room SET name = name || '!'"), ()) == 2
        assert writer.run(writes("DELETE FROM room WHERE id = 7"), ()) == 0
        assert writer.run(writes("INSERT OR IGNORE INTO room VALUES (1, 'x')"), ()) == 0


def test_a_statement_that_changes_no_rows_gives_none(writer: SqliteDriver) -> None:
    with write(writer):
        assert writer.run(writes("UPDATE room SET name = name"), ()) == 2
        assert writer.run(writes("CREATE TABLE x (y)"), ()) == 0
        assert writer.run(writes("DROP TABLE x"), ()) == 0


def test_returning_gives_rows(writer: SqliteDriver) -> None:
    assert run_in(writer, GIVE, "cellar") == [{"id": 3, "name": "cellar"}]


def test_one_that_was_not_prepared_is_compiled_when_it_is_needed(writer: SqliteDriver) -> None:
    assert not writer.is_precompiled(ROOMS)
    writer.run(ROOMS, ())
    assert writer.is_precompiled(ROOMS)


def test_another_thread_may_ask_what_is_compiled(writer: SqliteDriver) -> None:
    writer.prepare([ROOMS])
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(writer.is_precompiled(ROOMS)))
    thread.start()
    thread.join()
    assert answers == [True]


def test_what_cannot_be_asked_is_not_claimed(writer: SqliteDriver) -> None:
    writer.prepare([ROOMS])
    writer._link.schema_version.sql = "SELECT nope"
    assert not writer.is_precompiled(ROOMS)


# -- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("by_total", [True, False])
def test_a_batch_counts_its_rows(writer: SqliteDriver, size: int, *, by_total: bool) -> None:
    sql = "INSERT INTO room (name) VALUES (:name)"
    add = writes(sql, parameters=1, by_total=by_total)
    with write(writer):
        assert writer.run_many(add, [(f"r{number}",) for number in range(size)]) == size
    assert writer.execute("SELECT count(*) - 2 FROM room") == [(size,)]


def test_a_batch_gives_rows_in_order(writer: SqliteDriver) -> None:
    names = [f"r{number}" for number in range(2 * CHUNK + 5)]
    with write(writer):
        rows = writer.run_many(GIVE, [(name,) for name in names])
    assert [row["name"] for row in rows] == names


WITH_TRIGGER = """
CREATE TABLE t (a);
CREATE TABLE u (a);
CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1), (2); END;
"""
WITH_TRIGGER_ON_ITSELF = """
CREATE TABLE t (a);
CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t VALUES (99); END;
"""
WITH_CASCADE = """
CREATE TABLE t (a PRIMARY KEY);
CREATE TABLE u (a REFERENCES t ON DELETE CASCADE);
INSERT INTO t VALUES (3);
INSERT INTO u VALUES (3), (3);
"""


@pytest.mark.parametrize(
    ("schema", "sql"),
    [
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "INSERT INTO t VALUES (:a)"),
        ("CREATE TABLE t (a)", "INSERT INTO t VALUES (:a)"),
        (WITH_TRIGGER, "INSERT INTO t VALUES (:a)"),
        (WITH_TRIGGER_ON_ITSELF, "INSERT INTO t VALUES (:a)"),
        (WITH_CASCADE, "INSERT OR REPLACE INTO t VALUES (:a)"),
        (
            "CREATE TABLE t (a PRIMARY KEY, b DEFAULT 0); INSERT INTO t (a) VALUES (3)",
            "INSERT INTO t (a) VALUES (:a) ON CONFLICT DO UPDATE SET b = b + 1",
        ),
    ],
)
def test_a_batch_counts_neither_triggers_nor_shadow_tables(
    writer: SqliteDriver, schema: str, sql: str
) -> None:
    with write(writer):
        writer.run_script(schema)
        assert writer.run_many(writes(sql, parameters=1, by_total=True), [(3,), (4,)]) == 2


def test_a_batch_counts_right_after_a_trigger_was_made(writer: SqliteDriver) -> None:
    writer.prepare([ADD])
    with write(writer):
        assert writer.run_many(ADD, [("a",), ("b",)]) == 2
        writer.run_script(
            "CREATE TRIGGER t AFTER INSERT ON room BEGIN INSERT INTO message (room) VALUES (1); END"
        )
        assert writer.run_many(ADD, [("c",), ("d",)]) == 2
        writer.run_script("DROP TRIGGER t")
        assert writer.run_many(ADD, [("e",), ("f",)]) == 2


@pytest.mark.parametrize(
    "statement", [ADD, GIVE, writes("DELETE FROM message WHERE id = ?", parameters=1)]
)
def test_a_batch_may_be_given_up_between_chunks(writer: SqliteDriver, statement: Statement) -> None:
    answers = [False, False, True]
    writer.give_up = lambda: answers.pop(0)
    writer.begin_write()
    with pytest.raises(Interrupted):
        writer.run_many(statement, [(f"r{number}",) for number in range(5 * CHUNK)])
    assert answers == []
    assert_reset(writer)


def test_a_batch_that_fails_names_the_query(writer: SqliteDriver) -> None:
    writer.begin_write()
    with pytest.raises(SqlError.__base__, match=r"^T\.write: UNIQUE constraint"):  # type: ignore[arg-type]
        writer.run_many(ADD, [("a",), ("a",)])
    assert writer.in_transaction
    assert_reset(writer)


# -- where it may run ----------------------------------------------------------------------


@pytest.mark.parametrize("many", [True, False])
def test_a_write_runs_in_a_write_transaction_only(writer: SqliteDriver, *, many: bool) -> None:
    def run() -> None:
        if many:
            writer.run_many(ADD, [("x",)])
        else:
            writer.run(ADD, ("x",))

    with pytest.raises(InternalError):
        run()
    writer.begin_read()
    with pytest.raises(ReadOnlySession, match=r"T\.write writes"):
        run()
    writer.rollback()
    writer.begin_write()
    with pytest.raises(SqlError.__base__):  # type: ignore[arg-type]
        writer.run(writes("INSERT OR ROLLBACK INTO room VALUES (1, 'x')"), ())
    with pytest.raises(TransactionAborted):
        run()
    writer.rollback()
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


# -- failures in Python --------------------------------------------------------------------


def refuse(_row: Any) -> Any:
    raise MappingError("no")


@pytest.mark.parametrize("single", [True, False])
def test_a_builder_that_raises_leaves_nothing_open(writer: SqliteDriver, *, single: bool) -> None:
    bad = reads("SELECT id FROM room", "id", single=single)
    bad.build = refuse
    with pytest.raises(MappingError, match=r"^no$"):
        writer.run(bad, ())
    assert_reset(writer)


def test_a_builder_that_raises_on_returning_leaves_nothing_open(writer: SqliteDriver) -> None:
    bad = writes("INSERT INTO room (name) VALUES ('a'), ('b') RETURNING id", "id")
    bad.build = refuse
    writer.begin_write()
    writer.savepoint()
    with pytest.raises(MappingError):
        writer.run(bad, ())
    writer.undo()
    writer.commit()
    assert writer.is_clean()
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


class Own(Exception):
    pass


def fail(*_: Any) -> Any:
    raise Own("mine")


def test_what_a_users_function_raises_arrives_as_itself(opened: Opener) -> None:
    function = SqlFunction(call=fail, arguments=1)
    driver = opened(Role.WRITER, SQLiteConfig(functions={"fail": function}))
    with pytest.raises(Own, match="mine"):
        driver.run(reads("SELECT fail(1)", "fail(1)"), ())
    with pytest.raises(Own, match="mine"):
        driver.execute("SELECT fail(?)", (1,))
    driver.begin_write()
    driver.execute("CREATE TABLE t (a)")
    with pytest.raises(Own, match="mine"):
        driver.run_many(
            writes("INSERT INTO t VALUES (fail(?))", parameters=1, by_total=True), [(1,), (2,)]
        )
    with pytest.raises(Own, match="mine"):
        driver.run_script("SELECT fail(1)")
    assert_reset(driver)


def test_text_that_is_no_text(writer: SqliteDriver) -> None:
    with pytest.raises(MappingError, match=r"T\.read: a text value is not UTF-8"):
        writer.run(reads("SELECT CAST(x'ff' AS TEXT)", "x"), ())
    assert_reset(writer)


def test_a_function_of_the_users_that_meets_no_text_raises_as_itself(opened: Opener) -> None:
    function = SqlFunction(call=b"\xff".decode, arguments=0)
    driver = opened(Role.WRITER, SQLiteConfig(functions={"decode": function}))
    with pytest.raises(UnicodeDecodeError):
        driver.run(reads("SELECT decode()", "decode()"), ())
    assert_reset(driver)


def test_apsw_misused_is_a_bug_of_ours(writer: SqliteDriver) -> None:
    with pytest.raises(InternalError, match=r"T\.read: apsw refused .*\(BindingsError\)"):
        writer.run(ROOM, (1, 2))
    assert_reset(writer)


# -- interrupts ----------------------------------------------------------------------------


def test_an_interrupted_read_leaves_the_transaction(opened: Opener, writer: SqliteDriver) -> None:
    drivers: list[SqliteDriver] = []

    def stop() -> int:
        drivers[0].abort()
        return 1

    driver = opened(Role.SOLE, SQLiteConfig(functions={"stop": SqlFunction(call=stop)}))
    drivers.append(driver)
    endless = "WITH n(i) AS (SELECT stop() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    driver.begin_read()
    with pytest.raises(Interrupted, match=r"^T\.read: "):
        driver.run(reads(endless, "count(*)"), ())
    assert driver.in_transaction
    assert driver.run(ROOM, (1,))
    driver.commit()
    assert driver.is_clean()
    driver.begin_write()
    with pytest.raises(Interrupted):
        driver.run(writes(f"INSERT INTO room (name) {endless}"), ())
    assert not driver.in_transaction  # SQLite has ended it
    with pytest.raises(TransactionAborted):
        driver.run(ADD, ("x",))
    driver.rollback()
    assert driver.is_clean()
    assert driver.execute("SELECT count(*) FROM room") == [(2,)]


def test_an_interrupt_between_statements_is_no_stray(writer: SqliteDriver) -> None:
    writer.abort()
    assert writer.run(ROOM, (1,))
