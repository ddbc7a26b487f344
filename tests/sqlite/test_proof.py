"""The proof that a file which was in doubt is well."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import apsw
import attrs
import pytest

from tests.sqlite.support import Holder, fail_once, run_in, writes
from tests.support import read_in_child, run_child
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import DatabaseCorrupt, OutcomeUnknown, SqlError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

INSERT = writes("INSERT INTO room (name) VALUES ('cellar')")


def test_a_sound_file_passes_and_stays_as_it_was(writer: SqliteDriver, db_path: Path) -> None:
    before = read_in_child(db_path, "SELECT * FROM room")
    writer.verify()
    assert writer.is_clean()
    assert read_in_child(db_path, "SELECT * FROM room") == before
    run_in(writer, INSERT)


def test_rows_that_break_a_rule_are_no_damage(writer: SqliteDriver, db_path: Path) -> None:
    """They were written with the checks off; the pages that hold them are sound."""
    source = (
        "import apsw, sys; c = apsw.Connection(sys.argv[1]);"
        " c.execute('PRAGMA ignore_check_constraints = 1');"
        " c.execute('INSERT INTO message (room, stars) VALUES (1, 99)')"
    )
    assert not run_child("-c", source, db_path).returncode
    writer.verify()


def test_a_damaged_page_is_found(opened: Opener, db_path: Path, writer: SqliteDriver) -> None:
    for number in range(200):
        run_in(writer, writes(f"INSERT INTO room (name) VALUES ('{number:0>100}')"))
    opened.close()
    descriptor = os.open(db_path, os.O_RDWR)
    half = os.fstat(descriptor).st_size // 2
    os.pwrite(descriptor, b"\xa5" * half, half)
    os.close(descriptor)
    with pytest.raises(DatabaseCorrupt, match="damaged") as caught:
        opened(Role.WRITER).verify()
    assert caught.value.code == apsw.SQLITE_CORRUPT


def test_a_write_that_others_prevent_is_no_damage(writer: SqliteDriver, db_path: Path) -> None:
    with Holder(db_path):
        writer.verify()
    assert writer.is_clean()
    run_in(writer, INSERT)


@pytest.mark.parametrize(
    ("begins", "kind"), [("BEGIN IMMEDIATE", SqlError), ("COMMIT", OutcomeUnknown)]
)
def test_a_disk_that_takes_no_write_is_found(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch, begins: str, kind: type[Exception]
) -> None:
    fail_once(monkeypatch, begins, apsw.SQLITE_IOERR)
    with pytest.raises(kind):
        writer.verify()


@attrs.frozen
class But:
    """A connection, but for one pragma."""

    connection: apsw.Connection
    pragma: str
    instead: Callable[[], str]  # SQL

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str) -> apsw.Cursor:
        return self.connection.execute(self.instead() if self.pragma in sql else sql)


def fail() -> NoReturn:
    raise apsw.exception_for(apsw.SQLITE_IOERR)


def test_what_the_check_finds_is_told(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = "SELECT 'Tree 2 page 3: free space corruption'"
    connection = But(writer._link.connection, "quick_check", lambda: found)
    monkeypatch.setattr(writer._link, "connection", connection)
    with pytest.raises(DatabaseCorrupt, match=r"quick_check says: Tree 2 page 3: free space") as c:
        writer.verify()
    assert c.value.code == apsw.SQLITE_CORRUPT
    assert writer.is_clean()


@pytest.mark.parametrize("pragma", ["quick_check", "user_version"])
def test_what_the_disk_says_is_told(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch, pragma: str
) -> None:
    monkeypatch.setattr(writer._link, "connection", But(writer._link.connection, pragma, fail))
    with pytest.raises(SqlError, match="failed") as caught:
        writer.verify()
    assert caught.value.code == apsw.SQLITE_IOERR
    assert writer.is_clean()
