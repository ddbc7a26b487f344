"""Migration scripts and the check of foreign keys after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sqlite.support import reads
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import (
    InternalError,
    SqlError,
    TransactionAborted,
    UniqueViolation,
)

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver


def run(driver: SqliteDriver, script: str) -> None:
    driver.begin_write()
    try:
        driver.run_script(script)
        driver.commit()
    finally:
        driver.rollback()


def test_every_statement_runs(writer: SqliteDriver) -> None:
    run(
        writer,
        """
        -- a comment; with a semicolon
        CREATE TABLE t (a); /* another; */ INSERT INTO t VALUES ('x;y');
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN
            UPDATE t SET a = a || '!'; DELETE FROM t WHERE a = '';
        END;
        SELECT * FROM t;;
        INSERT INTO t SELECT value FROM json_each('[1, 2, 3]')
        -- the end""",
    )
    assert writer.execute("SELECT count(*) FROM t") == [(4,)]
    assert writer.is_clean()


@pytest.mark.parametrize("script", ["", "  \n", "-- nothing", ";;;"])
def test_an_empty_script_does_nothing(writer: SqliteDriver, script: str) -> None:
    run(writer, script)
    assert writer.is_clean()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("SELEC 1", r'Statement 1, line 1: near "SELEC": syntax error\.$'),
        (
            "\n\nCREATE TABLE t (a);\n\n  SELECT nope\n FROM t",
            "Statement 2, line 5: no such column",
        ),
        (
            "CREATE TABLE t (a);\nSELECT a,\n'é', é,\nnope FROM t",
            "Statement 2, line 3: no such col",
        ),
        (
            "SELECT 1;\n-- why\n/* this\none */ ; SELECT 1 FROM no",
            "Statement 2, line 4: no such table",
        ),
        ("SELECT 1;\nDROP TABLE nope", "Statement 2, line 2: no such table: nope"),
        ("SELECT 1;\nSELECT json('x')", "Statement 2, line 2: malformed JSON"),
        ("SELECT 1;\n\nSELECT json_extract('{}', 's3cret')", "Statement 2, line 3: bad JSON path"),
        ("SELECT 1;\n -- a\nVACUUM;", "Statement 2, line 3: cannot VACUUM from within"),
        ("SELECT 1;\nSELECT :a", "Statement 2, line 2: a script can't have parameters"),
        ("SELECT 1;\nSELECT '\ud800'", "The script contains a null character or a lone"),
        ("SELECT 1 \0", "The script contains a null character or a lone"),
        (
            "SELECT 1;\nBEGIN",
            (
                "Statement 2, line 2: BEGIN is not allowed here: a migration is one transaction,"
                " which begins and ends by itself. Remove it."
            ),
        ),
        (
            "SELECT 1;\nCOMMIT; SELECT 2",
            "Statement 2, line 2: COMMIT is not allowed here: a migration is one transaction",
        ),
        ("SAVEPOINT a", "Statement 1, line 1: SAVEPOINT is not allowed here"),
        ("ATTACH ':memory:' AS x", "Statement 1, line 1: ATTACH is not allowed"),
        ("PRAGMA foreign_keys = OFF", "Statement 1, line 1: PRAGMA foreign_keys has no effect"),
        ("PRAGMA journal_mode = DELETE", "Statement 1, line 1: PRAGMA journal_mode is not allowed"),
    ],
)
def test_an_error_names_statement_and_line(writer: SqliteDriver, script: str, says: str) -> None:
    with pytest.raises(SqlError, match=says) as caught:
        run(writer, script)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert writer.is_clean()


def test_what_a_function_raises_is_itself(opened: Opener) -> None:
    def refuse(value: object) -> None:
        raise ValueError("not this one")

    config = SQLiteConfig(functions={"refuse": SqlFunction(call=refuse)})
    driver = opened(Role.WRITER, config)
    with pytest.raises(ValueError, match="not this one"):
        run(driver, "SELECT 1; SELECT refuse(1)")
    assert driver.is_clean()


def test_a_constraint_in_a_script_is_that_error(writer: SqliteDriver) -> None:
    with pytest.raises(UniqueViolation, match=r"Statement 2, line 2: UNIQUE .* room\.id\."):
        run(writer, "DELETE FROM room WHERE id = 2;\nINSERT INTO room VALUES (1, 'x')")
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


def test_altering_says_what_stands_in_the_way(writer: SqliteDriver) -> None:
    with pytest.raises(SqlError, match=r"Statement 2, line 2: error in view v after drop column"):
        run(
            writer,
            "CREATE VIEW v AS SELECT body FROM message;\nALTER TABLE message DROP COLUMN body",
        )


def test_settings_kept_in_the_file_may_be_made(writer: SqliteDriver) -> None:
    run(
        writer, "PRAGMA user_version = 7; PRAGMA application_id = 8; PRAGMA defer_foreign_keys = ON"
    )
    assert writer.execute("PRAGMA user_version") == [(7,)]
    assert writer.execute("PRAGMA application_id") == [(8,)]


def test_it_needs_a_write_transaction(writer: SqliteDriver, reader: SqliteDriver) -> None:
    with pytest.raises(InternalError):
        writer.run_script("SELECT 1")
    with pytest.raises(InternalError):
        reader.run_script("SELECT 1")


def test_a_script_that_loses_the_transaction(writer: SqliteDriver) -> None:
    writer.begin_write()
    with pytest.raises(UniqueViolation):
        writer.run_script("INSERT OR ROLLBACK INTO room VALUES (1, 'x'); DELETE FROM room")
    with pytest.raises(TransactionAborted):
        writer.run_script("DELETE FROM room")
    writer.rollback()
    assert writer.execute("SELECT count(*) FROM room") == [(2,)]


def test_declared_statements_stay_compiled(writer: SqliteDriver) -> None:
    one = reads("SELECT 1 FROM room", "1")
    writer.run(one, ())
    run(writer, "SELECT 1 FROM room;" * 1_000)
    assert writer.is_precompiled(one)


def test_foreign_keys_that_lead_nowhere(writer: SqliteDriver) -> None:
    writer.enforce_foreign_keys(on=False)
    writer.begin_write()
    assert writer.foreign_key_violations() == []
    writer.run_script(
        "CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;"
        "CREATE TABLE of_pair (x, y, FOREIGN KEY (x, y) REFERENCES pair) ;"
        "INSERT INTO of_pair VALUES (77, 88);"
        "INSERT INTO message (id, room) VALUES (901, 902), (903, 904)"
    )
    assert sorted(writer.foreign_key_violations()) == [
        "In message, 2 rows refer by room to no row of room.",
        "In of_pair, 1 row refers by x, y to no row of pair.",
    ]
    writer.rollback()
