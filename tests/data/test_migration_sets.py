"""Migration sets: a package's tables beside the application's, each in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from trio_sqlrepo import Migration, MigrationError, MigrationSet, open_database
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Driver, Role
from trio_sqlrepo._data.migrate import look, migrate
from trio_sqlrepo._data.migration import MigrationSource, read_migrations
from trio_sqlrepo._sqlite.opening import open_driver

RECORDED = "SELECT number, namespace, name FROM _trio_sqlrepo_migration ORDER BY number"

APP = ["CREATE TABLE app (id INTEGER PRIMARY KEY)", "ALTER TABLE app ADD COLUMN name TEXT"]
JOBS = MigrationSet("jobs", ["CREATE TABLE job (id INTEGER PRIMARY KEY, app REFERENCES app)"])
MAIL = MigrationSet("mail", [Migration("mail", "CREATE TABLE mail (id INTEGER PRIMARY KEY)")])


@pytest.fixture
def driver(db_path: Path) -> Iterator[Driver]:
    config = SQLiteConfig(busy_timeout=0)
    with closing(open_driver(str(db_path), config, Role.MIGRATOR)) as driver:
        yield driver


def apply(driver: Driver, source: MigrationSource) -> None:
    migrate(driver, read_migrations(source))


def labels(source: MigrationSource) -> list[str]:
    return [migration.label for migration in read_migrations(source)]


# -- reading -----------------------------------------------------------------------------------


def test_they_are_applied_as_they_stand_and_named_by_their_own_number() -> None:
    assert labels([APP[0], JOBS, MAIL, APP[1]]) == ["0001", "jobs/0001", "mail/mail", "0002"]
    assert labels([Migration("x", "", namespace="jobs"), APP[0]]) == ["jobs/x", "0001"]


def test_a_set_alone_is_a_source() -> None:
    assert labels(JOBS) == ["jobs/0001"]


def test_directories_stand_beside_sets_and_scripts(tmp_path: Path) -> None:
    for name in ("app", "package"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0001_first.sql").write_text(f"CREATE TABLE {name} (x)")
    package = MigrationSet("package", tmp_path / "package")
    assert labels([package, tmp_path / "app", APP[0]]) == [
        "package/0001_first",
        "0001_first",
        "0002",
    ]


def test_the_same_set_twice_is_given_once() -> None:
    again = MigrationSet("jobs", list(cast("list[str]", JOBS.source)))
    assert labels([JOBS, MAIL, JOBS, again]) == ["jobs/0001", "mail/mail"]


def test_two_packages_cannot_share_a_namespace() -> None:
    with pytest.raises(MigrationError, match="Two different migration sets have the namespace 'j"):
        read_migrations([JOBS, MigrationSet("jobs", ["SELECT 1"])])


def test_a_name_may_occur_once_in_each_namespace() -> None:
    twice = [Migration("a", ""), Migration("a", "")]
    with pytest.raises(MigrationError, match="Two migrations are named 'jobs/a'"):
        read_migrations(MigrationSet("jobs", twice))
    # A name may hold what separates the two in messages.
    slashed = Migration("jobs/0001", "")
    assert len(read_migrations([slashed, JOBS])) == 2


@pytest.mark.parametrize("namespace", ["", " ", "1a", "a b", "a/b", "é"])
def test_a_namespace_is_a_name(namespace: str) -> None:
    with pytest.raises(ValueError, match=r"MigrationSet.namespace must be a name like"):
        MigrationSet(namespace, [])
    if namespace:
        with pytest.raises(ValueError, match=r"Migration.namespace must be a name like"):
            Migration("x", "", namespace=namespace)


def test_what_is_no_set_is_refused() -> None:
    with pytest.raises(TypeError, match=r"MigrationSet.namespace must be text; it is 5"):
        MigrationSet(cast("str", 5), [])
    for source in ("migrations", b"", 5, None, JOBS):
        with pytest.raises(TypeError, match=r"MigrationSet\('jobs'\) takes a directory"):
            MigrationSet("jobs", cast("Any", source))
    with pytest.raises(TypeError, match=r"MigrationSet\('a'\).source\[1\] must be a Migration"):
        read_migrations(MigrationSet("a", ["", cast("Any", JOBS)]))
    with pytest.raises(MigrationError, match="has the namespace 'b'; a set holds its own only"):
        read_migrations(MigrationSet("a", [Migration("x", "", namespace="b")]))
    assert labels(MigrationSet("a", [Migration("x", "", namespace="a")])) == ["a/x"]


# -- applying ----------------------------------------------------------------------------------


def test_each_namespace_has_its_own_record_and_order(driver: Driver) -> None:
    apply(driver, [APP[0], JOBS])
    more = MigrationSet("jobs", [*cast("list[str]", JOBS.source), "CREATE TABLE queue (x)"])
    apply(driver, [APP[0], more, APP[1]])
    assert driver.execute(RECORDED, ()) == [
        (1, "", "0001"),
        (2, "jobs", "0001"),
        (3, "jobs", "0002"),
        (4, "", "0002"),
    ]
    # The order between namespaces may change.
    apply(driver, [more, *APP])
    assert len(driver.execute(RECORDED, ())) == 4


def test_a_namespace_that_the_application_does_not_name_is_left_alone(driver: Driver) -> None:
    apply(driver, [*APP, JOBS])
    apply(driver, APP)
    apply(driver, JOBS)
    apply(driver, [MAIL])
    assert [state.applied_at is None for state in look(driver, read_migrations([*APP, JOBS]))] == [
        False,
        False,
        False,
    ]


def test_a_newer_package_is_told_from_a_newer_application(driver: Driver) -> None:
    more = MigrationSet("jobs", [*cast("list[str]", JOBS.source), "CREATE TABLE queue (x)"])
    apply(driver, [*APP, more])
    with pytest.raises(MigrationError) as caught:
        apply(driver, [*APP, JOBS])
    assert str(caught.value).startswith(
        "This database belongs to a newer version of jobs: it has had jobs/0002, after the last"
        " known here, jobs/0001."
    )
    with pytest.raises(MigrationError, match="a newer version of the application: it has had 0002"):
        apply(driver, [APP[0], more])


def test_a_changed_script_of_a_package_is_named_with_its_namespace(driver: Driver) -> None:
    apply(driver, [*APP, JOBS])
    with pytest.raises(MigrationError, match=r"^Migration jobs/0001 was changed"):
        apply(driver, [*APP, MigrationSet("jobs", ["SELECT 1"])])


async def test_open_database_takes_them(db_path: Path) -> None:
    async with open_database(db_path, migrations=[*APP, JOBS, MAIL]) as db:
        assert await db.execute("SELECT * FROM app, job, mail") == []
    async with open_database(db_path, migrations=MAIL) as db:
        assert len(await db.execute(RECORDED)) == 4


# -- databases from before there were namespaces -----------------------------------------------

OLD_RECORD = """
    CREATE TABLE _trio_sqlrepo_migration (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        checksum TEXT NOT NULL,
        applied_at TEXT NOT NULL
    ) STRICT;
"""


@pytest.fixture
def old(driver: Driver) -> Driver:
    """A database whose first script was applied by the version before."""
    driver.begin_write()
    driver.run_script(OLD_RECORD + APP[0])
    checksum = "d69d97285c3ad4c359e07a2063f655cc41c9d68e5fa348444fd3bcd6290ca6ca"
    driver.execute(
        "INSERT INTO _trio_sqlrepo_migration VALUES (1, '0001', ?, '2026-01-02')", (checksum,)
    )
    driver.commit()
    return driver


def test_an_old_record_is_read_and_not_touched_where_nothing_is_pending(old: Driver) -> None:
    before = old.execute("SELECT sql FROM sqlite_schema", ())
    apply(old, [APP[0]])
    assert old.execute("SELECT sql FROM sqlite_schema", ()) == before
    with pytest.raises(MigrationError, match=r"0001 was changed after .* on 2026-01-02"):
        apply(old, ["SELECT 1"])


def test_an_old_record_is_carried_over_with_the_next_migration(old: Driver) -> None:
    apply(old, [*APP, JOBS])
    assert old.execute(RECORDED, ()) == [(1, "", "0001"), (2, "", "0002"), (3, "jobs", "0001")]
    ((applied_at,),) = old.execute(
        "SELECT applied_at FROM _trio_sqlrepo_migration WHERE number = 1", ()
    )
    assert applied_at == "2026-01-02"
    assert old.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%old%'", ()) == []
    apply(old, [*APP, JOBS])


def test_a_migration_that_fails_leaves_the_old_record(old: Driver) -> None:
    before = old.execute("SELECT sql FROM sqlite_schema", ())
    with pytest.raises(MigrationError):
        apply(old, [APP[0], "CREATE TABLE app (x)"])
    assert old.execute("SELECT sql FROM sqlite_schema", ()) == before
