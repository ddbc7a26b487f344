"""Commits and rollbacks that fail, and what is known after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from tests.sqlite.support import Holder, fail_once, reads, run_in, writes
from tests.support import run_child
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role, Verdict
from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseLocked,
    DiskFull,
    ForeignKeyViolation,
    InternalError,
    OutcomeUnknown,
    SqlError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sqlite.support import FaultyDisk, Opener
    from trio_sqlrepo._sqlite import SqliteDriver

ADD = writes("INSERT INTO room (name) VALUES (:name)", parameters=1)
COUNT = reads("SELECT count(*) AS n FROM room", "n")


def count(driver: SqliteDriver) -> int:
    rows: list[dict[str, int]] = driver.run(COUNT, ())
    return rows[0]["n"]


# -- commits that fail ---------------------------------------------------------------------


def test_a_broken_deferred_key_is_found_before_and_at_commit(writer: SqliteDriver) -> None:
    writer.begin_write()
    assert not writer.has_deferred_violations()
    writer.run(writes("INSERT INTO message (room) VALUES (9)"), ())
    assert writer.has_deferred_violations()
    with pytest.raises(ForeignKeyViolation) as caught:
        writer.commit()
    assert writer.verdict(caught.value) is Verdict.NOT_APPLIED
    assert writer.is_clean()
    assert writer.execute("SELECT count(*) FROM message") == [(0,)]


def test_a_disk_that_is_full_at_commit_applies_nothing(disk: FaultyDisk, opened: Opener) -> None:
    driver = opened(Role.WRITER)
    run_in(driver, writes("CREATE TABLE room (name)"))
    driver.begin_write()
    driver.run(ADD, ("x",))
    disk.fail_write = apsw.SQLITE_FULL
    with pytest.raises(DiskFull) as caught:
        driver.commit()
    assert disk.fired
    disk.fail_write = 0
    assert driver.verdict(caught.value) is Verdict.NOT_APPLIED
    assert driver.is_clean()
    assert count(driver) == 0
    run_in(driver, ADD, "y")
    assert count(driver) == 1


def test_a_commit_that_finds_an_index_of_words_damaged_applies_nothing(
    writer: SqliteDriver, db_path: Path
) -> None:
    """FTS5 writes at COMMIT what it has kept back until then."""
    run_in(writer, writes("CREATE VIRTUAL TABLE words USING fts5 (body)"))
    for number in range(40):
        run_in(writer, writes(f"INSERT INTO words VALUES ('word{number}')"))
    before = count(writer)
    source = (
        "import apsw, sys; apsw.Connection(sys.argv[1])"
        ".execute(\"UPDATE words_data SET block = x'0000ffff' WHERE id > 100\")"
    )
    assert not run_child("-c", source, db_path).returncode
    met = None
    for turn in range(20):  # until it merges what is damaged
        writer.begin_write()
        writer.run(ADD, (f"room {turn}",))
        writer.execute("INSERT INTO words VALUES ('more')")
        try:
            writer.commit()
        except DatabaseCorrupt as error:
            met = error
            break
        before += 1
    assert met is not None
    assert met.extended_code == apsw.SQLITE_CORRUPT_VTAB
    assert writer.verdict(met) is Verdict.NOT_APPLIED
    assert writer.is_clean()
    assert count(writer) == before
    run_in(writer, ADD, "kept")


@pytest.mark.parametrize("code", [apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_CORRUPT_INDEX])
def test_a_commit_whose_sync_fails_is_of_unknown_outcome(
    disk: FaultyDisk, opened: Opener, code: int
) -> None:
    driver = opened(Role.WRITER)
    run_in(driver, writes("CREATE TABLE room (name)"))
    driver.begin_write()
    driver.run(ADD, ("x",))
    disk.fail_sync = code
    name = apsw.mapping_extended_result_codes[code]
    with pytest.raises(OutcomeUnknown, match=rf"{name}.*may or may not") as caught:
        driver.commit()
    assert disk.fired
    assert caught.value.extended_code == code
    assert caught.value.is_damaged is (code == apsw.SQLITE_CORRUPT_INDEX)
    assert driver.verdict(caught.value) is Verdict.UNKNOWN
    driver.rollback()
    assert not driver.is_clean()
    with pytest.raises(InternalError, match="outcome unknown"):
        driver.begin_write()


def test_a_file_that_may_not_grow_is_full(opened: Opener) -> None:
    driver = opened(Role.WRITER, SQLiteConfig(pragmas={"max_page_count": 3}))
    run_in(driver, writes("CREATE TABLE room (name)"))
    driver.begin_write()
    with pytest.raises(DiskFull):
        driver.run_many(ADD, [("x" * 10_000,)] * 10)
    driver.rollback()
    assert driver.is_clean()
    run_in(driver, ADD, "small")


def test_a_commit_that_is_busy_applies_nothing(writer: SqliteDriver) -> None:
    writer.begin_write()
    # Not by the connection's own factory, so that nobody closes it:
    cursor = apsw.Cursor(writer._connection)
    cursor.execute("INSERT INTO room (name) VALUES ('a'), ('b') RETURNING id")
    with pytest.raises(DatabaseLocked) as caught:
        writer.commit()
    assert writer.verdict(caught.value) is Verdict.BUSY
    assert not writer.in_transaction
    cursor.close(force=True)
    assert writer.is_clean()
    assert count(writer) == 2


def test_a_wait_given_up_before_does_not_colour_it(writer: SqliteDriver, db_path: Path) -> None:
    # SQLite asks no busy handler about a COMMIT that a statement of its own hinders.
    writer.give_up = lambda: True
    with Holder(db_path), pytest.raises(Interrupted):
        writer.begin_write()
    writer.begin_write()
    cursor = apsw.Cursor(writer._connection)
    cursor.execute("INSERT INTO room (name) VALUES ('a'), ('b') RETURNING id")
    with pytest.raises(DatabaseLocked):
        writer.commit()
    cursor.close(force=True)


def test_a_cursor_left_open_makes_the_connection_unclean(writer: SqliteDriver) -> None:
    writer.begin_write()
    cursor = apsw.Cursor(writer._connection)
    cursor.execute("SELECT * FROM room")
    writer.commit()
    assert not writer.is_clean()
    cursor.close(force=True)
    assert writer.is_clean()


def test_an_interrupt_that_meets_the_commit_applies_nothing(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin_write()
    writer.run(ADD, ("x",))
    fail_once(monkeypatch, "COMMIT", apsw.SQLITE_INTERRUPT)
    with pytest.raises(DatabaseError, match="interrupted"):
        writer.commit()
    assert writer.is_clean()
    assert count(writer) == 2


# -- interrupts that come late -------------------------------------------------------------


def test_a_rollback_is_tried_again_after_an_interrupt(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin_write()
    ran = fail_once(monkeypatch, "ROLLBACK", apsw.SQLITE_INTERRUPT, times=3)
    writer.rollback()
    assert len(ran) == 4
    assert writer.is_clean()


@pytest.mark.parametrize(
    ("code", "attempts"), [(apsw.SQLITE_INTERRUPT, 10), (apsw.SQLITE_IOERR, 1)]
)
def test_a_rollback_that_fails_does_not_raise_and_is_not_clean(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch, code: int, attempts: int
) -> None:
    writer.begin_write()
    with monkeypatch.context() as patch:
        ran = fail_once(patch, "ROLLBACK", code, times=99)
        writer.rollback()
        assert len(ran) == attempts
        assert not writer.is_clean()
    writer.rollback()


def test_a_savepoint_is_ended_in_spite_of_an_interrupt(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin_write()
    writer.savepoint()
    writer.run(ADD, ("x",))
    fail_once(monkeypatch, "ROLLBACK TO", apsw.SQLITE_INTERRUPT, times=2)
    fail_once(monkeypatch, "RELEASE", apsw.SQLITE_INTERRUPT, times=9)
    writer.undo()
    assert writer.savepoint_depth == 0
    writer.commit()
    assert count(writer) == 2


@pytest.mark.parametrize("code", [apsw.SQLITE_INTERRUPT, apsw.SQLITE_IOERR])
def test_a_savepoint_that_cannot_be_ended_says_so(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    writer.begin_write()
    writer.savepoint()
    fail_once(monkeypatch, "RELEASE", code, times=99)
    with pytest.raises(SqlError):
        writer.release()
    assert writer.savepoint_depth == 1


def test_readers_do_not_wait_for_writers(reader: SqliteDriver, db_path: Path) -> None:
    with Holder(db_path):
        reader.begin_read()
        assert count(reader) == 2
        reader.commit()
