"""Migrations: applied in order, once each, and never half."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support import CHILD_TIMEOUT, ROOT, read_in_child
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Driver, Interrupted, Role
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReplaced,
    DiskFull,
    InternalError,
    MigrationError,
    OutcomeUnknown,
    UniqueViolation,
)
from trio_sqlrepo._data.migrate import migrate
from trio_sqlrepo._data.migration import Migration, read_migrations
from trio_sqlrepo._sqlite.opening import open_driver

RECORDED = "SELECT number, name FROM _trio_sqlrepo_migration ORDER BY number"
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%migration'"

A = Migration("a", "CREATE TABLE a (id INTEGER PRIMARY KEY)")
B = Migration("b", "CREATE TABLE b (a INTEGER REFERENCES a)")
C = Migration("c", "CREATE TABLE c (x)")


# -- applying --------------------------------------------------------------------------------


def open_migrator(path: Path, role: Role = Role.MIGRATOR, **settings: Any) -> Driver:
    return open_driver(str(path), SQLiteConfig(**{"busy_timeout": 0, **settings}), role)


@pytest.fixture
def driver(db_path: Path) -> Iterator[Driver]:
    with closing(open_migrator(db_path)) as driver:
        yield driver


@pytest.fixture
def other(db_path: Path, driver: Driver) -> Iterator[Driver]:
    """Another process, as far as locks go."""
    with closing(open_migrator(db_path)) as other:
        yield other


class Tampered:
    """The driver, except where a test knows better."""

    def __init__(self, driver: Driver, **methods: Callable[..., Any]) -> None:
        self.driver = driver
        self.calls: list[str] = []
        self.methods = methods

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return self.methods.get(name) or getattr(self.driver, name)


def migrate_with(driver: object, migrations: Sequence[Migration | str]) -> None:
    migrate(cast("Driver", driver), read_migrations(migrations))


def raising(error: Exception) -> Callable[..., Any]:
    def method(*_: object) -> Any:
        raise error

    return method


def test_each_is_applied_once_and_recorded(driver: Driver, db_path: Path) -> None:
    migrate_with(driver, [A])
    migrate_with(driver, [A, B])
    migrate_with(driver, [A, B])
    assert driver.execute(RECORDED, ()) == [(1, "a"), (2, "b")]
    driver.close()
    record = read_in_child(db_path, "SELECT checksum, applied_at FROM _trio_sqlrepo_migration")
    (checksum, applied_at), _ = record
    assert checksum == "c201da2daf625097fd873c8afb32e9379a1d9fc395c1d8cb9e417740ce2afc9f"
    assert applied_at[4::3][:2] == "--"
    assert applied_at.endswith("+00:00")


def test_nothing_is_even_locked_when_all_are_applied(driver: Driver, other: Driver) -> None:
    migrate_with(driver, [A])
    other.begin_write()
    migrate_with(driver, [A])
    other.rollback()
    watched = Tampered(driver)
    migrate_with(watched, [A])
    assert set(watched.calls) == {"execute"}


def test_without_migrations_nothing_is_looked_at(driver: Driver) -> None:
    migrate_with(driver, [A])
    watched = Tampered(driver)
    migrate_with(watched, [])
    assert watched.calls == []


def test_what_another_process_applied_meanwhile_is_not_applied_again(
    driver: Driver, other: Driver
) -> None:
    # this process                    another
    # a is missing
    #                                 applies a and b
    # gets the lock
    # looks again: nothing to do
    def begin_late() -> None:
        migrate_with(other, [A, B])
        driver.begin_write()

    late = Tampered(driver, begin_write=begin_late)
    migrate_with(late, [A, B])
    assert "run_script" not in late.calls
    assert not driver.in_transaction
    assert driver.execute(RECORDED, ()) == [(1, "a"), (2, "b")]


def test_a_lock_that_is_not_given_says_what_it_was_for(driver: Driver, other: Driver) -> None:
    other.begin_write()
    with pytest.raises(DatabaseLocked) as caught:
        migrate_with(driver, [A])
    assert caught.value.__notes__ == ["The lock was wanted to apply migration a."]
    other.rollback()
    migrate_with(driver, [A])


def test_a_wait_for_the_lock_can_be_given_up(db_path: Path, other: Driver) -> None:
    other.begin_write()
    with closing(open_migrator(db_path, busy_timeout=60)) as patient:
        patient.give_up = lambda: True
        with pytest.raises(Interrupted):
            migrate_with(patient, [A])


FAILING = "INSERT INTO a VALUES (1);\n\n-- twice\nINSERT INTO a VALUES (1)"


def test_a_failing_script_leaves_nothing_and_those_before_it_stay(driver: Driver) -> None:
    with pytest.raises(MigrationError) as caught:
        migrate_with(driver, [A, Migration("fails", FAILING), C])
    assert str(caught.value) == (
        "Migration fails failed: Statement 2, line 4: UNIQUE constraint failed: a.id."
        " Nothing of it stays; mend it and open the database again."
    )
    assert isinstance(caught.value.__cause__, UniqueViolation)
    assert not driver.in_transaction
    assert driver.execute(RECORDED, ()) == [(1, "a")]
    assert driver.execute("SELECT count(*) FROM a", ()) == [(0,)]
    migrate_with(driver, [A, Migration("fails", "-- mended"), C])
    assert driver.execute(RECORDED, ()) == [(1, "a"), (2, "fails"), (3, "c")]


@pytest.mark.parametrize("sql", ["COMMIT", "BEGIN", "SAVEPOINT x", "ATTACH 'x' AS x"])
def test_a_script_cannot_leave_its_transaction(driver: Driver, sql: str) -> None:
    with pytest.raises(MigrationError, match=r"Migration 0001 failed: Statement 2, line 1: "):
        migrate_with(driver, [f"CREATE TABLE x (x); {sql}"])
    assert driver.execute(TABLES, ()) == []


def test_a_function_that_raises_value_error_is_the_cause(db_path: Path) -> None:
    error = ValueError("secret")
    functions = {"f": SqlFunction(call=raising(error))}
    with (
        closing(open_migrator(db_path, functions=functions)) as driver,
        pytest.raises(MigrationError, match=r"^Migration a failed: ValueError raised\.") as caught,
    ):
        migrate_with(driver, [Migration("a", "SELECT f()")])
    assert caught.value.__cause__ is error


def test_of_a_functions_error_only_the_type_is_shown(db_path: Path) -> None:
    function = SqlFunction(call=raising(LookupError("secret")))
    with closing(open_migrator(db_path, functions={"f": function})) as driver:
        with pytest.raises(MigrationError, match=r"failed: LookupError raised\.") as caught:
            migrate_with(driver, ["SELECT f()"])
        assert "secret" not in str(caught.value)
        assert isinstance(caught.value.__cause__, LookupError)


def test_a_failing_commit_is_blamed_on_the_script(driver: Driver) -> None:
    full = DiskFull("The disk is full.")
    with pytest.raises(MigrationError, match=r"Migration a failed: The disk is full\.") as caught:
        migrate_with(Tampered(driver, commit=raising(full)), [A])
    assert caught.value.__cause__ is full
    assert driver.execute(TABLES, ()) == []


@pytest.mark.parametrize("kind", [DatabaseReplaced, InternalError, Interrupted, OutcomeUnknown])
@pytest.mark.parametrize("method", ["run_script", "commit"])
def test_what_says_more_than_that_it_failed_is_raised_as_itself(
    driver: Driver, kind: type[Exception], method: str
) -> None:
    error = kind("…")
    with pytest.raises(kind) as caught:
        migrate_with(Tampered(driver, **{method: raising(error)}), [A])
    assert caught.value is error
    assert not driver.in_transaction


# -- foreign keys ----------------------------------------------------------------------------

FAMILY = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent ON DELETE CASCADE);
    INSERT INTO parent VALUES (1), (2);
    INSERT INTO child VALUES (1), (2);
"""
REBUILD = """
    CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT '');
    INSERT INTO new (id) SELECT id FROM parent;
    DROP TABLE parent;
    ALTER TABLE new RENAME TO parent;
"""


def test_a_rebuilt_table_keeps_its_children(driver: Driver) -> None:
    migrate_with(driver, [FAMILY, REBUILD])
    assert driver.execute("SELECT * FROM parent", ()) == [(1, ""), (2, "")]
    assert driver.execute("SELECT parent FROM child", ()) == [(1,), (2,)]


def test_broken_foreign_keys_undo_the_script(driver: Driver) -> None:
    with pytest.raises(MigrationError) as caught:
        migrate_with(driver, [FAMILY, "DELETE FROM parent WHERE id = 1"])
    assert str(caught.value) == (
        "Migration 0002 was undone, because foreign keys are broken with it. Mend the rows in the"
        " script, or before it if they were broken already:\n"
        "  In child, 1 row refers by parent to no row of parent."
    )
    assert driver.execute("SELECT id FROM parent", ()) == [(1,), (2,)]


@pytest.mark.parametrize(("count", "last"), [(5, "5"), (6, "and 1 more"), (7, "and 2 more")])
def test_many_broken_foreign_keys_are_counted(driver: Driver, count: int, last: str) -> None:
    def violations() -> list[str]:
        return [str(number) for number in range(1, count + 1)]

    with pytest.raises(MigrationError) as caught:
        migrate_with(Tampered(driver, foreign_key_violations=violations), [A])
    lines = str(caught.value).splitlines()
    assert [line.strip() for line in lines[1:6]] == ["1", "2", "3", "4", "5"]
    assert lines[-1] == f"  {last}"


def test_a_foreign_key_to_no_key_undoes_the_script(driver: Driver) -> None:
    """SQLite can't check it at all, rows or none."""
    with pytest.raises(MigrationError) as caught:
        migrate_with(driver, [A, "CREATE TABLE p (x); CREATE TABLE c (x REFERENCES p (x))"])
    assert str(caught.value) == (
        'Migration 0002 failed: Foreign key mismatch - "c" referencing "p". Nothing of it stays;'
        " mend it and open the database again."
    )
    assert driver.execute(TABLES, ()) == [("a",)]


# -- what is applied -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("migrations", "message"),
    [
        ([A, Migration("b", "")], "Migration b was changed after it was applied"),
        ([A], "a newer version of the application: it has had b, c, after the last known here, a"),
        ([A, C], "Migration b was applied .* and is missing here, where c has its place"),
        ([A, Migration("x", B.sql), C], "Migration b was renamed to x after it was applied"),
        ([A, Migration("x", ""), B, C], "Migration x is not applied .* but c, .* is.* after that"),
        ([A, C, B], "Migration b was applied to this database before c.* Restore their order"),
    ],
)
def test_what_was_applied_must_be_how_the_migrations_begin(
    driver: Driver, migrations: list[Migration], message: str
) -> None:
    migrate_with(driver, [A, B, C])
    with pytest.raises(MigrationError, match=message):
        migrate_with(driver, migrations)
    assert driver.execute(RECORDED, ()) == [(1, "a"), (2, "b"), (3, "c")]


def test_newlines_are_no_change(driver: Driver) -> None:
    migrate_with(driver, ["SELECT 1;\nSELECT 2;\n"])
    migrate_with(driver, ["SELECT 1;\r\nSELECT 2;\r"])


# -- many at once ----------------------------------------------------------------------------

STARTER = """\
import sys
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._data.migrate import migrate
from trio_sqlrepo._data.migration import read_migrations
from trio_sqlrepo._sqlite.opening import open_driver

migrations = read_migrations(
    ["CREATE TABLE hit (n)"] + [f"INSERT INTO hit VALUES ({n})" for n in range(12)]
)
print("ready", flush=True)
sys.stdin.readline()
driver = open_driver(sys.argv[1], SQLiteConfig(busy_timeout=60.0), Role.MIGRATOR)
migrate(driver, migrations)
driver.close()
"""


def test_eight_processes_starting_at_once_apply_each_exactly_once(db_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(db_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, complaint = child.communicate(timeout=CHILD_TIMEOUT)
        assert (child.returncode, complaint) == (0, "")
    assert read_in_child(db_path, "SELECT n FROM hit") == [(n,) for n in range(12)]
    assert len(read_in_child(db_path, RECORDED)) == 13
