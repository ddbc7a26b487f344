"""A copy of a file's schema: the same plans, and no rows."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from trio_sqlrepo import OpenError, SqlFunction, SQLiteConfig
from trio_sqlrepo._sqlite.copying import open_copy
from trio_sqlrepo._sqlite.plans import query_plan

CONFIG = SQLiteConfig()
SCHEMA = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b, c TEXT CHECK (c <> "x")) ;
    CREATE INDEX parent_a ON parent (a);
    CREATE INDEX parent_b ON parent (b) WHERE b <> "";
    CREATE VIRTUAL TABLE found USING fts5 (body);
    CREATE VIEW seen AS SELECT a FROM parent;
    CREATE TRIGGER gone AFTER DELETE ON parent BEGIN INSERT INTO found VALUES (old.a); END;
    INSERT INTO parent (a, b) VALUES (1, 1), (1, 2), (1, 3);
"""


def _ours(*value: object) -> str:
    return str(value)


def make(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 1)
    connection.execute(sql)
    connection.close()


def detail(path: Path, sql: str, config: SQLiteConfig = CONFIG) -> str:
    driver = open_copy(str(path), config)
    try:
        (step,) = query_plan(driver, sql)
    finally:
        driver.close()
    return step.detail


def test_everything_of_the_schema_is_there_and_no_row(db_path: Path) -> None:
    make(db_path, SCHEMA)
    driver = open_copy(str(db_path), CONFIG)
    names = driver.execute("SELECT name FROM sqlite_schema ORDER BY name")
    assert [str(name) for (name,) in names] == [
        "found", "found_config", "found_content", "found_data", "found_docsize", "found_idx",
        "gone", "parent", "parent_a", "parent_b", "seen", "sqlite_sequence",
    ]  # fmt: skip
    assert driver.execute("SELECT count(*) FROM parent") == [(0,)]
    assert driver.inspect("SELECT * FROM found WHERE found MATCH :q").error is None
    assert driver.inspect("DELETE FROM parent").triggers == {"gone"}
    # Double quotes are names again, as on every connection.
    assert driver.inspect('SELECT "nothing" FROM parent').error is not None
    assert driver.inspect('CREATE INDEX parent_c ON parent (c) WHERE c = "x"').error is not None
    driver.close()


def test_the_statistics_decide_as_they_do_in_the_file(db_path: Path) -> None:
    make(db_path, "CREATE TABLE t (a, b); CREATE INDEX t_a ON t (a); CREATE INDEX t_b ON t (b);")
    asked = "SELECT * FROM t WHERE a = :a AND b = :b"
    connection = apsw.Connection(str(db_path))
    for few, index in (("a", "t_b"), ("b", "t_a")):
        many = "ab".replace(few, "")
        connection.execute(
            f"DELETE FROM t; WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n"
            f" WHERE n < 200) INSERT INTO t ({few}, {many}) SELECT 1, n FROM n; ANALYZE"
        )
        assert index in detail(db_path, asked)
    connection.close()


def test_without_statistics_the_planner_guesses(db_path: Path) -> None:
    make(db_path, "CREATE TABLE t (a, b); CREATE INDEX t_a ON t (a)")
    driver = open_copy(str(db_path), CONFIG)
    assert driver.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite%'") == []
    driver.close()


def test_what_the_schema_needs_of_the_application_is_named(db_path: Path) -> None:
    connection = apsw.Connection(str(db_path))
    connection.create_scalar_function("ours", _ours, 1, deterministic=True)
    connection.execute("CREATE TABLE t (a); CREATE INDEX t_ours ON t (ours(a))")
    connection.close()
    with pytest.raises(OpenError, match=r"^t_ours of .* can't be made in memory .*: .*ours.*name"):
        open_copy(str(db_path), CONFIG)
    ours = SqlFunction(call=str, arguments=1, deterministic=True, innocuous=True)
    config = SQLiteConfig(functions={"ours": ours})
    assert "t_ours" in detail(db_path, "SELECT 1 FROM t WHERE ours(a) = 1", config)
