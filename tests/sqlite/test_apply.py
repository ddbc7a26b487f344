"""Functions that are given the raw connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import Holder, reads, run_in, writes
from trio_sqlrepo._base.driver import Interrupted, Role, Verdict
from trio_sqlrepo._base.errors import (
    DatabaseError,
    ReadOnlySession,
    SqlError,
    TransactionAborted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver


# -- apply ---------------------------------------------------------------------------------


def test_a_function_gets_the_raw_connection(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection, start: int) -> list[Any]:
        return connection.execute("SELECT name FROM room WHERE id >= ?", (start,)).fetchall()

    assert writer.apply(function, (2,)) == [("attic",)]
    assert writer.is_clean()


def test_it_writes_in_the_open_transaction(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.apply(
        lambda connection: connection.executemany(
            "INSERT INTO room (name) VALUES (?)", [("a",), ("b",)]
        )
    )
    writer.rollback()
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("BEGIN", "BEGIN is not allowed here"),
        ("COMMIT", "COMMIT is not allowed here"),
        ("ROLLBACK", "ROLLBACK is not allowed here"),
        ("SAVEPOINT x", "SAVEPOINT is not allowed here"),
        ("ATTACH 'x' AS y", "ATTACH is not allowed"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys is not allowed"),
    ],
)
def test_it_may_not_control_transactions_or_settings(
    writer: SqliteDriver, sql: str, says: str
) -> None:
    writer.begin_write()
    with pytest.raises(SqlError, match=says):
        writer.apply(lambda connection: connection.execute(sql))
    assert writer.in_transaction
    writer.commit()


def test_nor_by_the_connection_as_a_context_manager(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        with connection:
            pass

    writer.begin_write()
    with pytest.raises(SqlError, match="SAVEPOINT is not allowed here"):
        writer.apply(function)


def test_what_it_raises_arrives_as_itself(writer: SqliteDriver) -> None:
    def function(_: apsw.Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        writer.apply(function)
    with pytest.raises(apsw.BindingsError):
        writer.apply(lambda connection: connection.execute("SELECT ?"))


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT nope FROM room", "(?i)no such column: nope"),
        ("SELECT 1 FROM nowhere", "(?i)no such table: nowhere"),
        ("INSERT INTO room (nope) VALUES (1)", "(?i)table room has no column named nope"),
    ],
)
def test_what_the_compiler_says_is_shown(writer: SqliteDriver, sql: str, says: str) -> None:
    writer.begin_write()
    with pytest.raises(SqlError, match=says):
        writer.apply(lambda connection: connection.execute(sql).fetchall())
    with pytest.raises(SqlError, match=says):
        writer.apply(lambda connection: connection.executemany(sql, [()]))


def leave_open(connection: apsw.Connection) -> apsw.Cursor:
    return connection.execute("SELECT * FROM room")


def leave_open_and_lost(connection: apsw.Connection) -> None:
    connection.cursor().execute("SELECT * FROM room")


def leave_returning(connection: apsw.Connection) -> apsw.Cursor:
    return connection.execute("INSERT INTO room (name) VALUES ('a'), ('b') RETURNING id")


@pytest.mark.parametrize("function", [leave_open, leave_open_and_lost, leave_returning])
def test_cursors_it_leaves_open_are_closed(
    writer: SqliteDriver, function: Callable[[apsw.Connection], Any]
) -> None:
    writer.begin_write()
    left = writer.apply(function)
    writer.commit()
    assert writer.is_clean()
    if left is not None:
        with pytest.raises(apsw.CursorClosedError):
            left.fetchall()


def test_a_blob_it_leaves_open_makes_the_connection_unclean(writer: SqliteDriver) -> None:
    run_in(writer, writes("INSERT INTO room VALUES (9, x'00')"))
    writer.begin_read()
    blob = writer.apply(lambda connection: connection.blob_open("main", "room", "name", 9, False))
    writer.commit()
    assert not writer.is_clean()
    blob.close()
    assert writer.is_clean()


def test_a_transaction_it_loses_is_noticed(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        try:
            connection.execute("INSERT OR ROLLBACK INTO room VALUES (1, 'x')")
        except apsw.ConstraintError:
            connection.execute("SELECT 1").fetchall()

    writer.begin_write()
    writer.apply(function)
    with pytest.raises(TransactionAborted):
        writer.run(writes("DELETE FROM room"), ())
    writer.rollback()
    assert writer.is_clean()


def test_it_writes_in_a_write_transaction_only(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM room")

    for begin in (None, writer.begin_read):
        if begin:
            begin()
        with pytest.raises(ReadOnlySession):
            writer.apply(function)
    writer.rollback()
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


def test_a_connection_it_closes_is_found_out(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        connection.execute("SELECT * FROM room")
        connection.close(True)

    writer.begin_write()
    writer.apply(function)
    assert not writer.in_transaction
    assert not writer.is_clean()
    writer.rollback()
    writer.close()


def change_authorizer(connection: apsw.Connection) -> None:
    connection.authorizer = None


def change_switch(connection: apsw.Connection) -> None:
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)


def change_limit(connection: apsw.Connection) -> None:
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)


@pytest.mark.parametrize(
    ("function", "dirt"),
    [
        (change_authorizer, "its authorizer was changed"),
        (change_switch, "SQLITE_DBCONFIG_DEFENSIVE is 0, not 1"),
        (change_limit, "SQLITE_LIMIT_ATTACHED is 1, not 0"),
    ],
)
def test_what_it_changes_about_the_connection_is_seen(
    writer: SqliteDriver, function: Callable[[apsw.Connection], None], dirt: str
) -> None:
    writer.apply(function)
    assert not writer.is_clean()
    assert writer._leftovers.dirt == dirt


def test_what_can_be_put_back_is_put_back(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        connection.exec_trace = lambda *_: False
        connection.row_trace = lambda *_: None
        connection.convert_binding = lambda *_: None
        connection.convert_jsonb = lambda *_: None
        connection.set_busy_timeout(0)

    writer.apply(function)
    assert writer.is_clean()
    connection = writer._connection
    assert connection.exec_trace is None
    assert connection.row_trace is None
    assert connection.convert_binding is None
    assert connection.convert_jsonb is None
    assert connection.cursor_factory is apsw.Cursor
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]
    assert writer.run(reads("SELECT 1", "1"), ()) == [{"1": 1}]


def test_the_wait_for_locks_is_put_back(writer: SqliteDriver, db_path: Path) -> None:
    writer.apply(lambda connection: connection.set_busy_handler(None))
    answers = [False, True]
    writer.give_up = lambda: answers.pop(0)
    with Holder(db_path), pytest.raises(Interrupted):
        writer.begin_write()
    assert answers == []


def test_an_error_of_a_function_may_be_judged(writer: SqliteDriver, opened: Opener) -> None:
    driver = opened(Role.READER)
    with pytest.raises(DatabaseError) as caught:
        driver.apply(lambda connection: connection.execute("DELETE FROM room"))
    assert driver.verdict(caught.value) is Verdict.NOT_APPLIED
