"""The connection as a whole: it meets the protocol, ends cleanly, and can be interrupted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.support import FaultyDisk, reads, run_in, write, writes
from tests.support import read_in_child
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Driver, Interrupted, Role
from trio_sqlrepo._base.errors import InternalError
from trio_sqlrepo._sqlite.busy import never

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

ADD = writes("INSERT INTO room (name) VALUES (:name)", parameters=1)


def test_it_is_a_driver(writer: SqliteDriver) -> None:
    driver: Driver = writer
    assert driver.give_up is never
    for name in (name for name in vars(Driver) if not name.startswith("_")):
        assert hasattr(driver, name)


def test_repr_tells_the_state(writer: SqliteDriver, db_path: Path) -> None:
    assert repr(writer) == f"<SqliteDriver {db_path} writer, no transaction>"
    writer.begin_read()
    assert repr(writer) == f"<SqliteDriver {db_path} writer, reading>"
    writer.close()
    assert repr(writer) == f"<SqliteDriver {db_path} writer, closed>"


def test_closing_twice_does_nothing(writer: SqliteDriver) -> None:
    writer.close()
    writer.close()


def test_closing_undoes_what_is_open(writer: SqliteDriver, db_path: Path) -> None:
    writer.prepare([ADD, reads("SELECT * FROM room", "id", "name")])
    writer.begin_write()
    writer.run(ADD, ("cellar",))
    writer.close()
    assert read_in_child(db_path, "SELECT count(*) FROM room") == [(2,)]


def test_the_last_writer_leaves_no_wal(opened: Opener, writer: SqliteDriver, db_path: Path) -> None:
    reader = opened(Role.READER)
    run_in(writer, ADD, "cellar")
    wal = Path(f"{db_path}-wal")
    assert wal.exists()
    writer.close()
    assert wal.exists()  # the reader is there yet
    reader.close()
    assert not wal.exists()
    assert read_in_child(db_path, "SELECT count(*) FROM room") == [(3,)]


def test_a_disk_that_fails_at_the_end_does_not_keep_it_open(
    disk: FaultyDisk, opened: Opener
) -> None:
    driver = opened(Role.WRITER)
    run_in(driver, writes("CREATE TABLE t (a)"))
    disk.fail_sync = 1034  # SQLITE_IOERR_FSYNC
    driver.close()
    assert disk.fired
    assert "closed" in repr(driver)


def test_abort_after_close_is_harmless(writer: SqliteDriver) -> None:
    writer.close()
    writer.abort()


def test_abort_ends_a_statement_from_another_thread(opened: Opener, writer: SqliteDriver) -> None:
    running = threading.Event()

    def signal() -> None:
        running.set()

    config = SQLiteConfig(functions={"signal": SqlFunction(call=signal)})
    driver = opened(Role.READER, config)
    ended = threading.Event()

    def abort() -> None:
        running.wait()
        # Repeated, as the loop does: the first may come before SQLite looks.
        while not ended.wait(0.001):
            driver.abort()

    thread = threading.Thread(target=abort)
    thread.start()
    endless = "WITH n(i) AS (SELECT signal() UNION ALL SELECT 1 FROM n) SELECT count(i) FROM n"
    try:
        with pytest.raises(Interrupted):
            driver.run(reads(endless, "count(i)"), ())
    finally:
        ended.set()
        thread.join()
    assert driver.is_clean()
    assert driver.run(reads("SELECT 1", "1"), ()) == [{"1": 1}]


def test_aborting_and_closing_at_once(opened: Opener, writer: SqliteDriver) -> None:
    # 1. One thread aborts all the time. 2. The other closes. SQLite would crash if `abort` came
    # upon a connection that is being closed.
    for _ in range(50):
        driver = opened(Role.READER)
        started, ended = threading.Event(), threading.Event()

        def abort(
            driver: SqliteDriver = driver,
            started: threading.Event = started,
            ended: threading.Event = ended,
        ) -> None:
            while not ended.is_set():
                driver.abort()
                started.set()

        thread = threading.Thread(target=abort)
        thread.start()
        started.wait()
        driver.close()
        ended.set()
        thread.join()


def test_a_probe_reads_and_compares(reader: SqliteDriver, writer: SqliteDriver) -> None:
    for driver in (reader, writer):
        driver.probe()
        assert driver.is_clean()


def test_a_driver_that_is_misused_says_whose_bug_it_is(writer: SqliteDriver) -> None:
    with pytest.raises(InternalError):
        writer.release()


def test_total_changes_counts_all(writer: SqliteDriver) -> None:
    before = writer.total_changes()
    with write(writer):
        writer.run(ADD, ("a",))
        writer.run(ADD, ("b",))
    assert writer.total_changes() == before + 2
