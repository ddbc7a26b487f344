"""Ad-hoc SQL, and functions that are given the raw connection."""

from __future__ import annotations

from collections import UserDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import run_in, write, writes
from tests.support import read_in_child
from trio_sqlrepo._base.errors import (
    DatabaseReplaced,
    InternalError,
    MappingError,
    ReadOnlySession,
    SqlError,
    UniqueViolation,
)

if TYPE_CHECKING:
    from pathlib import Path

    from trio_sqlrepo._sqlite import SqliteDriver

# -- execute -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT name FROM room WHERE id = ?", (1,)),
        ("SELECT name FROM room WHERE id = ?", [1]),
        ("SELECT name FROM room WHERE id = :id", (1,)),
        ("SELECT name FROM room WHERE id = :id", {"id": 1}),
        ("SELECT name FROM room WHERE id = @id", MappingProxyType({"id": 1})),
        ("SELECT name FROM room WHERE id = $id", UserDict({"id": 1, "more": 2})),
        ("SELECT name FROM room WHERE id = 1; -- done", ()),
    ],
)
def test_rows_come_back(writer: SqliteDriver, sql: str, parameters: Any) -> None:
    assert writer.execute(sql, parameters) == [("lobby",)]
    assert writer.is_clean()


def test_every_value_of_sqlite_makes_the_journey(writer: SqliteDriver) -> None:
    values: tuple[Any, ...] = (
        None,
        1,
        True,
        -(2**63),
        2**63 - 1,
        1.5,
        "é\0",
        b"\0",
        bytearray(b"x"),
    )
    sql = "SELECT " + ", ".join("?" * len(values))
    assert writer.execute(sql, values) == [(*values[:-1], b"x")]
    view: Any = memoryview(b"y")
    assert writer.execute("SELECT ?", (view,)) == [(b"y",)]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (2**63, "is an integer beyond 64 bits"),
        (-(2**63) - 1, "is an integer beyond 64 bits"),
        (float("nan"), "is NaN"),
        ("s3cret\ud800", "contains a lone surrogate"),
        (object(), "is a object; SQLite stores"),
        (apsw.zeroblob(3), "is a zeroblob; SQLite stores"),
    ],
)
def test_other_values_are_refused_without_being_shown(
    writer: SqliteDriver, value: Any, says: str
) -> None:
    with pytest.raises(MappingError, match=f"parameter 2 {says}") as caught:
        writer.execute("SELECT ?, ?", (1, value))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(MappingError, match=f"parameter a {says}"):
        writer.execute("SELECT :a", {"a": value})


@pytest.mark.parametrize("parameters", ["1", b"1"])
def test_a_string_is_no_sequence_of_parameters(writer: SqliteDriver, parameters: Any) -> None:
    with pytest.raises(TypeError, match="not a string"):
        writer.execute("SELECT ?", parameters)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ((), r"2 parameters \(:a, :b\); 0 values"),
        ((1, 2, 3), r"2 parameters \(:a, :b\); 3 values"),
        ({"a": 1}, r"no value for the parameters :b\."),
        (UserDict({"c": 1}), r"no value for the parameters :a, :b\."),
    ],
)
def test_parameters_must_match(writer: SqliteDriver, parameters: Any, says: str) -> None:
    with pytest.raises(SqlError, match=says):
        writer.execute("SELECT :a, :b", parameters)


def test_a_mapping_has_no_name_for_a_question_mark(writer: SqliteDriver) -> None:
    for sql in ("SELECT ?", "SELECT ?1"):
        with pytest.raises(SqlError, match=r"no value for the parameters \?"):
            writer.execute(sql, {"": 1, "1": 2})


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT nope FROM room", r"The SQL is wrong: no such column: nope \(line 1, column 8\)\."),
        ("SELECT 1 FROM nowhere", r"The SQL is wrong: no such table: nowhere\."),
        ("", "there is no statement"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("BEGIN", "BEGIN is not allowed here"),
        ("COMMIT", "COMMIT is not allowed here"),
        ("SAVEPOINT a", "SAVEPOINT is not allowed here"),
        ("ATTACH 'x' AS y", "ATTACH is not allowed"),
        ("PRAGMA synchronous = OFF", "PRAGMA synchronous is not allowed here: settings"),
        ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode is not allowed here"),
        ("PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint is not allowed here"),
        ("PRAGMA table_info", "PRAGMA table_info is not allowed here"),
    ],
)
@pytest.mark.parametrize("method", ["execute", "is_read_only", "runs_alone"])
def test_what_is_refused(writer: SqliteDriver, sql: str, says: str, method: str) -> None:
    with pytest.raises(SqlError, match=says) as caught:
        getattr(writer, method)(sql)
    assert caught.value.query == sql
    assert writer.is_clean()


def test_what_is_refused_stays_refused(writer: SqliteDriver) -> None:
    # apsw's cache asks no authorizer: what was refused must not have got into it.
    for _ in range(2):
        with pytest.raises(SqlError):
            writer.execute("BEGIN IMMEDIATE")
        writer.begin_write()
        writer.commit()


@pytest.mark.parametrize(
    ("sql", "read_only"),
    [
        ("SELECT 1", True),
        ("PRAGMA table_info(room)", True),
        ("PRAGMA journal_mode", True),
        ("PRAGMA integrity_check", True),
        ("PRAGMA optimize", False),
        ("DELETE FROM room", False),
        ("DELETE FROM room RETURNING id", False),
        ("CREATE TABLE x (y)", False),
        ("VACUUM", False),
    ],
)
def test_what_may_run_on_a_reader(
    reader: SqliteDriver, writer: SqliteDriver, sql: str, *, read_only: bool
) -> None:
    for driver in (reader, writer):
        assert driver.is_read_only(sql) is read_only
        assert driver.runs_alone(sql) is (sql == "VACUUM")
    if read_only:
        assert reader.execute(sql)


def test_telling_pragmas_tell(writer: SqliteDriver) -> None:
    assert writer.execute("PRAGMA quick_check(room)") == [("ok",)]
    assert writer.execute("PRAGMA foreign_key_check") == []
    run_in(writer, writes("ANALYZE"))
    with write(writer):
        writer.execute("PRAGMA optimize")


def test_a_write_needs_a_write_transaction(writer: SqliteDriver) -> None:
    with pytest.raises(InternalError):
        writer.execute("DELETE FROM room")
    writer.begin_read()
    with pytest.raises(ReadOnlySession):
        writer.execute("DELETE FROM room")
    writer.rollback()
    with write(writer):
        assert writer.execute("DELETE FROM room RETURNING id") == [(1,), (2,)]


def test_vacuum_runs_alone_and_leaves_the_limit(writer: SqliteDriver) -> None:
    assert writer.runs_alone("/* tidy */ VACUUM;")
    assert writer.execute("/* tidy */ VACUUM;") == []
    assert writer._connection.limit(apsw.SQLITE_LIMIT_ATTACHED) == 0
    writer.begin_write()
    with pytest.raises(SqlError, match=r"(?i)cannot VACUUM from within a transaction"):
        writer.execute("VACUUM")
    assert writer._connection.limit(apsw.SQLITE_LIMIT_ATTACHED) == 0
    assert writer.in_transaction


def test_vacuum_into_makes_a_copy(writer: SqliteDriver, tmp_path: Path) -> None:
    assert writer.runs_alone("VACUUM INTO :path")
    writer.execute("VACUUM INTO :path", {"path": str(tmp_path / "copy.db")})
    assert read_in_child(tmp_path / "copy.db", "SELECT count(*) FROM room") == [(2,)]


def test_a_vacuum_of_a_deleted_file_is_not_acknowledged(
    writer: SqliteDriver, db_path: Path
) -> None:
    db_path.unlink()
    with pytest.raises(DatabaseReplaced):
        writer.execute("VACUUM")


def test_an_error_carries_code_and_sql(writer: SqliteDriver) -> None:
    sql = "INSERT INTO room (name) VALUES (?)"
    writer.begin_write()
    with pytest.raises(
        UniqueViolation, match=r"^UNIQUE constraint failed: room\.name\.$"
    ) as caught:
        writer.execute(sql, ("lobby",))
    assert caught.value.query == sql
    assert caught.value.extended_code == apsw.SQLITE_CONSTRAINT_UNIQUE
