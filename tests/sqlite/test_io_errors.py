"""Whatever operation of the disk's fails in whatever method: what it raises is typed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import apsw
import pytest

from tests.sqlite.conftest import SCHEMA
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._sqlite import SqliteDriver, open_driver
from trio_sqlrepo.testing.disk import FaultyDisk

READ: Final = "SELECT id, room, body FROM message WHERE stars = :stars"
WRITE: Final = "INSERT INTO message (room, body) VALUES (1, 'x')"


@pytest.fixture
def disk(db_path: Path) -> Iterator[FaultyDisk]:
    driver = open_driver(str(db_path), SQLiteConfig(), Role.WRITER)
    driver.begin_write()
    driver.run_script(SCHEMA)
    driver.execute(WRITE)
    driver.commit()
    driver.close()
    with FaultyDisk() as disk:
        yield disk
        assert disk.open_files == 0


def read(driver: SqliteDriver) -> None:
    driver.begin_read()
    driver.execute("SELECT * FROM message")
    driver.commit()


def write(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.savepoint()
    driver.execute(WRITE)
    driver.release()
    driver.savepoint()
    driver.execute(WRITE)
    driver.undo()
    driver.commit()


def migrate(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.run_script("CREATE TABLE more (x); INSERT INTO more SELECT id FROM message")
    driver.foreign_key_violations()
    driver.commit()


def apply(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.apply(lambda connection: connection.execute(WRITE).fetchall())
    driver.commit()


@pytest.mark.parametrize(
    "do",
    [
        read,
        write,
        migrate,
        apply,
        lambda driver: driver.inspect(READ),
        lambda driver: driver.is_read_only(READ),
        lambda driver: driver.runs_alone(READ),
        lambda driver: driver.execute("VACUUM"),
        lambda driver: driver.foreign_key_violations(),
        lambda driver: driver.probe(),
    ],
)
@pytest.mark.parametrize("code", [None, apsw.SQLITE_FULL, apsw.SQLITE_NOMEM, apsw.SQLITE_CORRUPT])
def test_every_method(
    do: Callable[[SqliteDriver], object], code: int | None, disk: FaultyDisk, db_path: Path
) -> None:
    failed = 0
    for nth in itertools.count(1):
        driver = open_driver(str(db_path), SQLiteConfig(vfs=disk.name), Role.MIGRATOR)
        fault = disk.arm(None, nth, code=code)
        try:
            do(driver)
        except SqlRepoError:
            failed += 1
        finally:
            driver.rollback()
            driver.is_clean()
            fault.mend()
            driver.close()
        if not fault.fired:
            break
    assert failed


@pytest.mark.parametrize("role", [Role.WRITER, Role.READER])
def test_opening(role: Role, disk: FaultyDisk, db_path: Path) -> None:
    failed = 0
    for nth in itertools.count(1):
        fault = disk.arm(None, nth)
        try:
            open_driver(str(db_path), SQLiteConfig(vfs=disk.name), role).close()
        except SqlRepoError:
            failed += 1
        fault.mend()
        if not fault.fired:
            break
    assert failed
