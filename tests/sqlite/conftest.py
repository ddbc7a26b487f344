"""Drivers on a file of the test's own, closed at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sqlite.support import FaultyDisk, Opener
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_sqlrepo._sqlite import SqliteDriver

SCHEMA = """
CREATE TABLE room (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  room INTEGER NOT NULL REFERENCES room DEFERRABLE INITIALLY DEFERRED,
  body TEXT,
  stars INTEGER CHECK (stars < 6)
);
INSERT INTO room VALUES (1, 'lobby'), (2, 'attic');
"""


@pytest.fixture
def opened(db_path: Path) -> Iterator[Opener]:
    opener = Opener(str(db_path), SQLiteConfig(busy_timeout=0.05))
    yield opener
    opener.close()


@pytest.fixture
def writer(opened: Opener) -> SqliteDriver:
    driver = opened(Role.WRITER)
    driver.begin_write()
    driver.run_script(SCHEMA)
    driver.commit()
    return driver


@pytest.fixture
def reader(opened: Opener, writer: SqliteDriver) -> SqliteDriver:
    return opened(Role.READER)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.fail_sync = disk.fail_write = 0
    disk.unregister()
