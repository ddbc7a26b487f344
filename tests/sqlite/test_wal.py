"""Checkpoints, the count of frames and the planner's statistics, on real files."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.sqlite.support import Holder, Opener, reads, run_in, write, writes
from tests.support import read_in_child
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Checkpoint, CheckpointMode, Interrupted, Role, Verdict
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReadOnly,
    DiskFull,
    InternalError,
    SqlError,
)
from trio_sqlrepo._sqlite import SqliteDriver

FRAME = 4096 + 24
ADD = writes("INSERT INTO message (room, body) VALUES (1, ?)", parameters=1)


@pytest.fixture
def adding(writer: SqliteDriver) -> SqliteDriver:
    writer.prepare([ADD])
    writer.checkpoint(CheckpointMode.TRUNCATE)
    return writer


def size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


# -- the count of frames ---------------------------------------------------------------------------


def test_each_commit_is_counted(adding: SqliteDriver, db_path: Path) -> None:
    assert (adding.wal_frames, adding.wal_frame_bytes) == (0, FRAME)
    assert repr(adding._gauge) == f"<Gauge 0 frames of {FRAME} bytes>"
    run_in(adding, ADD, "x" * 10_000)
    first = adding.wal_frames
    assert size(db_path) == 32 + first * FRAME
    with pytest.raises(ZeroDivisionError), write(adding):
        adding.run(ADD, ("undone",))
        raise ZeroDivisionError
    assert adding.wal_frames == first
    run_in(adding, ADD, "y")
    assert adding.wal_frames > first


@pytest.mark.parametrize("role", [Role.WRITER, Role.SOLE])
def test_the_frame_is_as_large_as_the_page(opened: Opener, role: Role) -> None:
    assert opened(role, SQLiteConfig(page_size=8192)).wal_frame_bytes == 8192 + 24


def test_in_memory_there_is_no_wal(opened: Opener) -> None:
    driver = opened(Role.SOLE, path=":memory:")
    with write(driver):
        driver.run_script("CREATE TABLE t (x)")
    assert (driver.wal_frames, driver.wal_frame_bytes) == (0, 0)
    assert driver.checkpoint(CheckpointMode.PASSIVE) == (False, 0, 0)
    with write(driver):
        driver.apply(lambda connection: connection.set_wal_hook(None))


def test_nothing_checkpoints_by_itself(adding: SqliteDriver) -> None:
    for _ in range(2):
        run_in(adding, ADD, "x" * (600 * 4096))
    assert adding.wal_frames > 1200  # SQLite would have moved the first thousand and begun anew


@pytest.mark.parametrize(
    "meddle",
    [
        lambda connection: connection.set_wal_hook(None),
        lambda connection: connection.wal_autocheckpoint(1),
    ],
    ids=["hook", "autocheckpoint"],
)
def test_a_function_with_the_connection_cannot_end_that(adding: SqliteDriver, meddle: Any) -> None:
    with write(adding):
        adding.apply(meddle)
    run_in(adding, ADD, "x")
    before = adding.wal_frames
    assert before
    run_in(adding, ADD, "y")
    assert adding.wal_frames > before
    assert adding.is_clean()


# -- checkpoints -----------------------------------------------------------------------------------


def test_passive_moves_what_nobody_reads(adding: SqliteDriver, opened: Opener) -> None:
    aside = opened(Role.CHECKPOINTER)
    run_in(adding, ADD, "x")
    frames = adding.wal_frames
    assert aside.checkpoint(CheckpointMode.PASSIVE) == Checkpoint(False, frames, frames)
    # So the next writer begins the WAL anew.
    run_in(adding, ADD, "y")
    assert adding.wal_frames <= frames


def test_passive_stops_at_the_oldest_reader(
    adding: SqliteDriver, reader: SqliteDriver, opened: Opener
) -> None:
    aside = opened(Role.CHECKPOINTER)
    run_in(adding, ADD, "x")
    seen = adding.wal_frames
    reader.begin_read()
    run_in(adding, ADD, "y")
    found = aside.checkpoint(CheckpointMode.PASSIVE)
    assert found == Checkpoint(False, adding.wal_frames, seen)
    reader.rollback()


def test_after_a_restart_the_wal_begins_anew_and_keeps_its_size(
    adding: SqliteDriver, reader: SqliteDriver, db_path: Path
) -> None:
    run_in(adding, ADD, "x" * 50_000)
    frames, before = adding.wal_frames, size(db_path)
    reader.begin_read()  # it has seen all, and needs it no more once it is in the file
    assert adding.checkpoint(CheckpointMode.RESTART) == Checkpoint(True, frames, frames)
    reader.rollback()
    assert adding.checkpoint(CheckpointMode.RESTART) == Checkpoint(False, frames, frames)
    run_in(adding, ADD, "y")
    assert adding.wal_frames < frames
    assert size(db_path) == before


def test_truncate_leaves_an_empty_file(adding: SqliteDriver, db_path: Path) -> None:
    run_in(adding, ADD, "x")
    assert adding.checkpoint(CheckpointMode.TRUNCATE) == Checkpoint(False, 0, 0)
    assert (size(db_path), adding.wal_frames) == (0, 0)
    assert read_in_child(db_path, "SELECT body FROM message") == [("x",)]
    run_in(adding, ADD, "y")  # the files are still those that were opened
    assert adding.wal_frames


def test_truncate_says_how_far_a_reader_let_it(
    adding: SqliteDriver, reader: SqliteDriver, db_path: Path
) -> None:
    run_in(adding, ADD, "x")
    seen = adding.wal_frames
    reader.begin_read()
    run_in(adding, ADD, "y")
    frames = adding.wal_frames
    found = adding.checkpoint(CheckpointMode.TRUNCATE, patience=0.02)
    assert found == Checkpoint(True, frames, seen)
    assert adding.wal_frames == frames
    assert size(db_path)
    reader.rollback()
    assert not adding.checkpoint(CheckpointMode.TRUNCATE).busy


def test_patience_outlasts_a_reader(adding: SqliteDriver, reader: SqliteDriver) -> None:
    reader.begin_read()
    run_in(adding, ADD, "x")
    asked = 0

    def leaving() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            reader.rollback()
        return False

    adding.give_up = leaving
    assert not adding.checkpoint(CheckpointMode.TRUNCATE, patience=60.0).busy
    assert asked == 3


def test_the_wait_can_be_given_up(adding: SqliteDriver, reader: SqliteDriver) -> None:
    reader.begin_read()
    run_in(adding, ADD, "x")
    adding.give_up = lambda: True
    assert adding.checkpoint(CheckpointMode.TRUNCATE, patience=60.0).busy
    reader.rollback()
    # Nothing of that wait is left: the next lock is waited for as usual.
    adding.give_up = lambda: False
    assert adding._link.busy.timeout == 0.05
    assert not adding._link.busy.gave_up


def test_two_at_once(adding: SqliteDriver, opened: Opener) -> None:
    """Another process checkpoints: SQLite waits for nobody then, and has no numbers."""
    run_in(adding, ADD, "x" * 100_000)
    aside = opened(Role.CHECKPOINTER)
    found: list[Checkpoint] = []
    reader = opened(Role.READER)
    reader.begin_read()

    def waiting() -> bool:
        # Here the writer holds the checkpoint lock, and waits for the reader.
        found.append(aside.checkpoint(CheckpointMode.PASSIVE))
        found.append(aside.checkpoint(CheckpointMode.TRUNCATE, patience=60.0))
        reader.rollback()
        return False

    adding.give_up = waiting
    run_in(adding, ADD, "y")
    assert not adding.checkpoint(CheckpointMode.TRUNCATE, patience=60.0).busy
    assert found == [Checkpoint(True, 0, 0)] * 2


def test_an_interrupt_ends_it(adding: SqliteDriver) -> None:
    for _ in range(4):
        run_in(adding, ADD, "x" * (2000 * 4096))
    stop = threading.Event()

    def interrupt() -> None:
        while not stop.is_set():
            adding.abort()

    # The interpreter lock is free while SQLite works, or this thread would wait for its end.
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted) as caught:
            for _ in range(1000):
                adding.checkpoint(CheckpointMode.PASSIVE)
    finally:
        stop.set()
        thread.join()
    assert adding.verdict(caught.value) is not Verdict.RETIRE
    assert adding.is_clean()
    # A last interrupt may have come when nothing ran; the flag it leaves is taken down by the next.
    run_in(adding, ADD, "y")
    found = adding.checkpoint(CheckpointMode.PASSIVE)
    assert found.frames == found.done


@pytest.mark.parametrize(
    ("code", "error", "verdict"),
    [
        (apsw.SQLITE_IOERR_WRITE, SqlError, Verdict.RETIRE),
        (apsw.SQLITE_FULL, DiskFull, Verdict.NOT_APPLIED),
    ],
)
def test_what_the_disk_does(
    adding: SqliteDriver, db_path: Path, code: int, error: type[Exception], verdict: Verdict
) -> None:
    """Written to the WAL; the file itself takes no more."""

    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            self.main = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
            super().__init__(apsw.vfs_names()[0], name, flags)

        def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  # SQLite's name
            if self.main and failing:
                raise apsw.exception_for(code)
            super().xWrite(data, offset)

    class Disk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("full", "")

        def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's
            return File(name, flags)

    failing = False
    disk = Disk()
    try:
        driver = Opener(str(db_path), SQLiteConfig(vfs="full"))(Role.WRITER)
        run_in(driver, writes("INSERT INTO message (room) VALUES (1)"))
        failing = True
        with pytest.raises(error) as caught:
            driver.checkpoint(CheckpointMode.PASSIVE)
        assert driver.verdict(caught.value) is verdict
        assert driver.is_clean()
        failing = False
        assert driver.checkpoint(CheckpointMode.PASSIVE).done == driver.wal_frames
        failing = True
        driver.close()  # what it cannot move stays in the WAL
    finally:
        failing = False
        disk.unregister()


def test_a_checkpointer_cannot_write(adding: SqliteDriver, opened: Opener) -> None:
    aside = opened(Role.CHECKPOINTER)
    with pytest.raises(DatabaseReadOnly):
        aside.execute("DELETE FROM message")
    with pytest.raises(InternalError):
        aside.begin_write()


def test_a_checkpointer_makes_no_file(opened: Opener, db_path: Path) -> None:
    with pytest.raises(Exception, match="can't be opened"):
        opened(Role.CHECKPOINTER)
    assert not db_path.exists()


# -- statistics ------------------------------------------------------------------------------------

BY_BODY = reads("SELECT id FROM message WHERE body = ? AND stars = 3", "id", parameters=1)


@pytest.fixture
def indexed(adding: SqliteDriver) -> SqliteDriver:
    with write(adding):
        adding.run_script(
            "CREATE INDEX by_stars ON message (stars); CREATE INDEX by_body ON message (body);"
            "INSERT INTO message (room, body, stars)"
            " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
            " SELECT 1, i, 3 FROM n"
        )
    return adding


def test_statistics_are_made_of_what_nobody_here_has_read(
    indexed: SqliteDriver, opened: Opener
) -> None:
    indexed.optimize()
    statistics = "SELECT stat FROM sqlite_stat1 WHERE idx = 'by_body'"
    before = indexed.execute(statistics)
    with write(indexed):
        for _ in range(4):
            indexed.run_script("INSERT INTO message (room, body) SELECT room, body FROM message")
    fresh = opened(Role.WRITER)
    fresh.optimize()
    assert fresh.execute(statistics) != before


def test_declared_statements_go_on_after_new_statistics(
    indexed: SqliteDriver, reader: SqliteDriver
) -> None:
    reader.prepare([BY_BODY])
    before = reader.run(BY_BODY, ("77",))
    indexed.optimize()
    assert indexed.is_clean()
    statistics = indexed.execute("SELECT idx FROM sqlite_stat1 WHERE tbl = 'message'")
    assert {name for (name,) in statistics} == {"by_stars", "by_body"}
    # Declared statements go on, on every connection, and their rows map.
    assert reader.run(BY_BODY, ("77",)) == before == [{"id": before[0]["id"]}]
    run_in(indexed, ADD, "x")
    indexed.optimize()  # there is nothing to do now
    assert indexed.is_precompiled(ADD)
    with write(indexed):
        compiled = indexed.compilations
        indexed.run(ADD, ("y",))
        assert indexed.compilations == compiled


def test_what_no_longer_fits_does_not_stop_it(indexed: SqliteDriver, opened: Opener) -> None:
    indexed.prepare([BY_BODY])
    with write(opened(Role.MIGRATOR)) as other:
        other.run_script("ALTER TABLE message RENAME body TO text")
    indexed.optimize()
    assert indexed.is_precompiled(ADD) is indexed.is_precompiled(BY_BODY) is False


def test_a_lock_of_another_process_is_not_waited_for(indexed: SqliteDriver, db_path: Path) -> None:
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return False

    indexed._link.busy.timeout = 60.0
    indexed.give_up = ask
    with Holder(db_path), pytest.raises(DatabaseLocked) as caught:
        indexed.optimize()
    assert asked <= 1
    assert indexed._link.busy.timeout == 60.0
    assert indexed.verdict(caught.value) is Verdict.BUSY
    assert indexed.is_clean()


def test_an_interrupt_leaves_nothing_of_it(indexed: SqliteDriver) -> None:
    indexed._connection.set_progress_handler(lambda: True, 100)
    with pytest.raises(Interrupted):
        indexed.optimize()
    indexed._connection.set_progress_handler(None)
    assert indexed.is_clean()
    assert not indexed.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'")
    indexed.optimize()
    assert indexed.execute("SELECT count(*) FROM sqlite_stat1") != [(0,)]
