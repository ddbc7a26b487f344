"""Looking at a file from outside: nothing is changed, nothing left, and what is told is true."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

from tests.sqlite.support import Opener
from trio_sqlrepo import DatabaseCorrupt, DatabaseLocked, OpenError, SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import SqliteDriver, looking
from trio_sqlrepo._sqlite.looking import look

CONFIG = SQLiteConfig(busy_timeout=0.05)


def names(connection: apsw.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [str(name) for (name,) in rows]


def make(path: Path, mode: str = "wal") -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA journal_mode = {mode}; CREATE TABLE a (x)").fetchall()
    connection.close()


def test_a_file_at_rest_is_left_as_it_was_and_nothing_beside_it(db_path: Path) -> None:
    make(db_path)
    before = db_path.read_bytes()
    assert look(str(db_path), CONFIG, names) == ["a"]
    assert db_path.read_bytes() == before
    assert list(db_path.parent.iterdir()) == [db_path]


def test_what_another_has_in_its_wal_is_seen(opened: Opener, db_path: Path) -> None:
    writer = opened(Role.WRITER)
    writer.begin_write()
    writer.run_script("CREATE TABLE fresh (x)")
    writer.commit()
    assert look(str(db_path), CONFIG, names) == ["fresh"]
    writer.begin_write()  # and who writes is neither waited for nor hindered
    writer.run_script("CREATE TABLE later (x)")
    assert look(str(db_path), CONFIG, names) == ["fresh"]
    writer.commit()


def test_a_link_to_a_file_in_use_is_a_file_in_use(opened: Opener, db_path: Path) -> None:
    writer = opened(Role.WRITER)
    writer.begin_write()
    writer.run_script("CREATE TABLE fresh (x)")
    writer.commit()
    link = db_path.with_name("link ?immutable=1#%41.db")
    link.symlink_to(db_path)
    assert look(str(link), CONFIG, names) == ["fresh"]


def test_it_cannot_write(writer: SqliteDriver, db_path: Path) -> None:
    def spoil(connection: apsw.Connection) -> None:
        with pytest.raises(apsw.ReadOnlyError):
            connection.execute("CREATE TABLE b (x)")

    look(str(db_path), CONFIG, spoil)  # in use
    writer.close()
    look(str(db_path), CONFIG, spoil)  # at rest


def test_who_opens_the_file_meanwhile_is_noticed(opened: Opener, db_path: Path) -> None:
    make(db_path)
    looked: list[list[str]] = []

    def ask(connection: apsw.Connection) -> list[str]:
        looked.append(names(connection))
        if len(looked) == 1:
            driver: SqliteDriver = opened(Role.WRITER)
            driver.begin_write()
            driver.run_script("CREATE TABLE b (x)")
            driver.commit()
        return looked[-1]

    assert look(str(db_path), CONFIG, ask) == ["a", "b"]
    assert looked == [["a"], ["a", "b"]]


def test_an_error_of_a_file_that_moved_meanwhile_counts_for_nothing(db_path: Path) -> None:
    make(db_path)
    failures = [apsw.CorruptError("torn")]

    def ask(connection: apsw.Connection) -> list[str]:
        if failures:
            os.utime(db_path, ns=(0, 0))
            raise failures.pop()
        return names(connection)

    assert look(str(db_path), CONFIG, ask) == ["a"]


def test_an_error_of_a_file_at_rest_counts(db_path: Path) -> None:
    make(db_path)
    db_path.write_bytes(db_path.read_bytes()[:100] + b"\xff" * 5000)
    with pytest.raises(DatabaseCorrupt, match="is damaged"):
        look(str(db_path), CONFIG, names)


def test_a_file_without_a_wal_is_read_with_locks(db_path: Path) -> None:
    make(db_path, "delete")
    assert look(str(db_path), CONFIG, names) == ["a"]
    other = apsw.Connection(str(db_path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseLocked, match=r"longer than SQLiteConfig.busy_timeout, 0.05 s") as e:
        look(str(db_path), CONFIG, names)
    assert e.value.__notes__ == ["It was to be read, without changing anything."]
    other.close()


def test_a_lock_is_waited_for(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(db_path, "delete")
    other = apsw.Connection(str(db_path))
    other.execute("BEGIN EXCLUSIVE")

    def release() -> bool:  # asked while it waits
        other.close()
        return False

    monkeypatch.setattr(looking, "never", release)
    assert look(str(db_path), SQLiteConfig(busy_timeout=60), names) == ["a"]


def test_a_transaction_left_half_way_is_told(db_path: Path) -> None:
    make(db_path, "delete")
    connection = apsw.Connection(str(db_path))
    connection.execute("PRAGMA cache_size = 1; BEGIN").fetchall()
    connection.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 999)"
        " INSERT INTO a SELECT randomblob(999) FROM n"
    )
    # As a crash would leave them.
    copy = db_path.with_name("copy.db")
    copy.write_bytes(db_path.read_bytes())
    copy.with_name("copy.db-journal").write_bytes(Path(f"{db_path}-journal").read_bytes())
    connection.close()
    with pytest.raises(OpenError, match="a process has ended in the middle of a transaction"):
        look(str(copy), CONFIG, names)


def test_a_file_that_is_not_there_or_no_database_is_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "wat.db"
    with pytest.raises(OpenError, match=r"^There is no file .*wat\.db\.$"):
        look(str(missing), CONFIG, names)
    assert not missing.exists()
    with pytest.raises(OpenError, match="is a directory"):
        look(str(tmp_path), CONFIG, names)
    missing.write_text("no database " * 100)
    with pytest.raises(OpenError, match="is no SQLite database"):
        look(str(missing), CONFIG, names)


def test_an_unreadable_file_is_a_sentence(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(db_path)

    def refuse(*_: object, **__: object) -> None:
        apsw.exception_for(apsw.SQLITE_CANTOPEN)
        raise apsw.exception_for(apsw.SQLITE_CANTOPEN)

    monkeypatch.setattr(looking, "_ask", refuse)  # the tests may run as root, who reads all
    with pytest.raises(OpenError, match=r"can't be read \(SQLITE_CANTOPEN\); look at its perm"):
        look(str(db_path), CONFIG, names)


def test_a_file_that_vanishes_is_not_at_rest(db_path: Path) -> None:
    assert looking._at_rest(str(db_path)) is None
