"""From result codes to errors and verdicts."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import run_in, write, writes
from trio_sqlrepo._base.driver import Interrupted, Verdict
from trio_sqlrepo._base.errors import (
    CheckViolation,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseReplaced,
    DatatypeViolation,
    DeclarationError,
    DiskFull,
    ForeignKeyViolation,
    IntegrityError,
    InternalError,
    MappingError,
    NotNullViolation,
    OutcomeUnknown,
    SqlError,
    TriggerViolation,
    UniqueViolation,
)
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.codes import Report, verdict

if TYPE_CHECKING:
    from trio_sqlrepo._sqlite import SqliteDriver


def converted(code: int, message: str = "", *, in_schema: bool = False) -> DatabaseError:
    error = apsw.exception_for(code)
    error.args = (message,)
    report = Report.of(error)
    assert report is not None
    return codes.converted(
        report, query="T.q", subject="T.q: ", shown=None, is_schema_text=lambda _: in_schema
    )


@pytest.mark.parametrize(
    ("code", "kind", "judgement"),
    [
        (apsw.SQLITE_ABORT_ROLLBACK, SqlError, Verdict.NOT_APPLIED),
        (apsw.SQLITE_BUSY, DatabaseLocked, Verdict.BUSY),
        (apsw.SQLITE_BUSY_SNAPSHOT, DatabaseLocked, Verdict.BUSY),
        (apsw.SQLITE_CANTOPEN, SqlError, Verdict.RETIRE),
        (apsw.SQLITE_CORRUPT_INDEX, DatabaseCorrupt, Verdict.RETIRE),
        (apsw.SQLITE_CORRUPT_VTAB, DatabaseCorrupt, Verdict.NOT_APPLIED),
        (apsw.SQLITE_FULL, DiskFull, Verdict.NOT_APPLIED),
        (apsw.SQLITE_INTERNAL, SqlError, Verdict.RETIRE),
        (apsw.SQLITE_INTERRUPT, Interrupted, Verdict.NOT_APPLIED),
        (apsw.SQLITE_IOERR_READ, SqlError, Verdict.RETIRE),
        (apsw.SQLITE_LOCKED, DatabaseLocked, Verdict.BUSY),
        (apsw.SQLITE_MISMATCH, DatatypeViolation, Verdict.NOT_APPLIED),
        (apsw.SQLITE_MISUSE, SqlError, Verdict.RETIRE),
        (apsw.SQLITE_NOTADB, DatabaseCorrupt, Verdict.RETIRE),
        (apsw.SQLITE_PROTOCOL, DatabaseLocked, Verdict.BUSY),
        (apsw.SQLITE_READONLY, DatabaseReadOnly, Verdict.NOT_APPLIED),
        (apsw.SQLITE_READONLY_DBMOVED, DatabaseReplaced, Verdict.UNKNOWN),
        (apsw.SQLITE_TOOBIG, SqlError, Verdict.NOT_APPLIED),
        (apsw.SQLITE_CONSTRAINT_VTAB, IntegrityError, Verdict.NOT_APPLIED),
    ],
)
def test_every_code_has_an_error_a_verdict_and_a_sentence(
    code: int, kind: type[DatabaseError], judgement: Verdict
) -> None:
    error = converted(code, "s3cret")
    assert type(error) is kind
    assert verdict(error) is judgement
    assert (error.code, error.extended_code, error.query) == (code & 0xFF, code, "T.q")
    assert str(error).startswith("T.q: ")
    assert str(error).endswith(".")
    assert "s3cret" not in str(error)
    assert isinstance(error.__cause__, apsw.Error)
    assert "s3cret" not in str(error.__cause__)


@pytest.mark.parametrize(
    ("error", "judgement"),
    [
        (OutcomeUnknown("?"), Verdict.UNKNOWN),
        (InternalError("?"), Verdict.RETIRE),
        (MemoryError(), Verdict.RETIRE),
        (apsw.ThreadingViolationError(), Verdict.RETIRE),
        (MappingError("?"), Verdict.NOT_APPLIED),
        (DeclarationError("?"), Verdict.NOT_APPLIED),
        (ZeroDivisionError(), Verdict.NOT_APPLIED),
    ],
)
def test_verdicts_of_what_is_no_report_of_sqlite(error: Exception, judgement: Verdict) -> None:
    assert verdict(error) is judgement


SCHEMA = """
CREATE TABLE t (
    id INTEGER PRIMARY KEY, "a b" TEXT NOT NULL, c, d, e,
    UNIQUE (c, d), CONSTRAINT small CHECK (e < 10), CHECK (e <> 5)
);
CREATE UNIQUE INDEX halves ON t (e / 2);
CREATE TABLE s (n INTEGER) STRICT;
CREATE TABLE child (t INTEGER REFERENCES t ON DELETE RESTRICT);
CREATE TABLE now (t INTEGER REFERENCES t);
CREATE TRIGGER guard BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'it''s settled'); END;
CREATE TRIGGER curt BEFORE DELETE ON now BEGIN SELECT RAISE(ABORT, ''); END;
CREATE TRIGGER quoting BEFORE DELETE ON s BEGIN SELECT RAISE(ABORT, 'not ' || OLD.n); END;
CREATE VIRTUAL TABLE box USING rtree(id, low, high);
INSERT INTO t VALUES (1, 'x', 1, 1, 1);
INSERT INTO s VALUES (7);
INSERT INTO now VALUES (NULL);
INSERT INTO child VALUES (1);
"""


@pytest.mark.parametrize(
    ("sql", "kind", "found", "text"),
    [
        (
            "INSERT INTO t VALUES (1, 'x', 2, 2, 2)",
            UniqueViolation,
            ("t", ("id",), None),
            "UNIQUE constraint failed: t.id",
        ),
        (
            "INSERT INTO t VALUES (2, 'x', 1, 1, 3)",
            UniqueViolation,
            ("t", ("c", "d"), None),
            "UNIQUE constraint failed: t.c, t.d",
        ),
        (
            "INSERT INTO t VALUES (2, 'x', 2, 2, 0)",
            UniqueViolation,
            (None, (), "halves"),
            "index 'halves'",
        ),
        (
            "INSERT INTO t (id) VALUES (2)",
            NotNullViolation,
            ("t", ("a b",), None),
            "NOT NULL constraint failed: t.a b",
        ),
        ("INSERT INTO t VALUES (2, 'x', 2, 2, 99)", CheckViolation, (None, (), "small"), "small"),
        ("INSERT INTO t VALUES (2, 'x', 2, 2, 5)", CheckViolation, (None, (), "e <> 5"), "e <> 5"),
        (
            "INSERT INTO s VALUES ('x')",
            DatatypeViolation,
            ("s", ("n",), None),
            "cannot store TEXT value in INTEGER column s.n",
        ),
        ("INSERT INTO t VALUES ('x', 'x', 2, 2, 2)", DatatypeViolation, (None, (), None), "rowid"),
        (
            "INSERT INTO now VALUES (9)",
            ForeignKeyViolation,
            (None, (), None),
            "FOREIGN KEY constraint failed",
        ),
        (
            "DELETE FROM t",
            ForeignKeyViolation,
            (None, (), None),
            "FOREIGN KEY constraint failed",
        ),
        ("UPDATE t SET c = 9", TriggerViolation, (None, (), None), "it's settled"),
        ("DELETE FROM now", TriggerViolation, (None, (), None), "its message may quote a value"),
        ("DELETE FROM s", TriggerViolation, (None, (), None), "its message may quote a value"),
        (
            "INSERT INTO box VALUES (1, 9, 1)",
            IntegrityError,
            (None, (), None),
            "SQLITE_CONSTRAINT",
        ),
    ],
)
def test_a_refused_row_says_what_refused_it(
    writer: SqliteDriver,
    sql: str,
    kind: type[IntegrityError],
    found: tuple[Any, ...],
    text: str,
) -> None:
    with write(writer):
        writer.run_script(SCHEMA)
    with pytest.raises(IntegrityError) as caught:
        run_in(writer, writes(sql))
    error = caught.value
    assert type(error) is kind
    assert (error.table, error.columns, error.constraint) == found
    assert text in str(error)
    assert str(error).startswith("T.write: ")
    assert error.query == "T.write"


def test_a_violation_survives_a_journey(writer: SqliteDriver) -> None:
    with pytest.raises(UniqueViolation) as caught:
        run_in(writer, writes("INSERT INTO room (name) VALUES ('lobby')"))
    for twin in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert (str(twin), twin.table, twin.columns) == (str(caught.value), "room", ("name",))


def test_a_trigger_message_is_shown_if_it_is_schema_text() -> None:
    assert "may quote" in str(converted(apsw.SQLITE_CONSTRAINT_TRIGGER, "s3cret"))
    assert "literal" in str(converted(apsw.SQLITE_CONSTRAINT_TRIGGER, "literal", in_schema=True))


def test_a_trigger_message_is_hidden_when_the_schema_cannot_be_read(writer: SqliteDriver) -> None:
    with write(writer):
        writer.run_script(SCHEMA)
    writer._link.schema_text.sql = "SELECT nope"
    with pytest.raises(TriggerViolation, match="its message may quote a value"):
        run_in(writer, writes("UPDATE t SET c = 9"))


def test_an_unknown_code_is_named() -> None:
    report = Report(apsw.Error, 99, 99, "s3cret", -1)
    assert report.name == "99"
    error = codes.converted(
        report, query=None, subject="", shown=None, is_schema_text=lambda _: False
    )
    assert str(error) == "SQLite reports 99."


def test_what_is_no_report() -> None:
    assert Report.of(ValueError()) is None
    assert Report.of(apsw.BindingsError("wrong")) is None
