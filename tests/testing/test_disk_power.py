"""A disk whose power fails: what SQLite promises of it holds, and a lying disk is found out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from tests.notes import Notes, open_notes
from tests.support import read_in_child
from trio_sqlrepo import SqlRepoError
from trio_sqlrepo.testing.disk import FileKind, Losses, Operation, PowerLoss

ROWS: Final = 14


@pytest.fixture
def disk() -> Iterator[PowerLoss]:
    with PowerLoss() as disk:
        yield disk
        assert disk.open_files == 0


def connect(path: Path, disk: PowerLoss, synchronous: str = "full") -> apsw.Connection:
    connection = apsw.Connection(str(path), vfs=disk.name)
    for setting in (f"synchronous = {synchronous}", "journal_mode = WAL", "wal_autocheckpoint = 6"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def write_rows(path: Path, disk: PowerLoss, synchronous: str) -> list[int]:
    """A life of a database, with checkpoints, until the power fails. Gives what was answered."""
    answered = []
    connection = None
    try:
        connection = connect(path, disk, synchronous)
        connection.execute("CREATE TABLE t (x, pad)")
        for number in range(ROWS):
            connection.execute("INSERT INTO t VALUES (?, zeroblob(900))", (number,))
            answered.append(number)
            if number == ROWS - 5:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        assert disk.crashed
    finally:
        if connection is not None:
            connection.close()
    return answered


def recover(path: Path) -> list[Any] | None:
    """What a plain SQLite finds, for no connection is open any more. None: it is damaged."""
    if not path.exists():
        return []
    connection = apsw.Connection(str(path))
    try:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return None
        if not connection.table_exists("main", "t"):
            return []
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY rowid")]
    except (apsw.CorruptError, apsw.NotADBError):
        return None
    finally:
        connection.close()


def crashes(
    directory: Path, synchronous: str, operation: Operation | None = None, **physics: Any
) -> Iterator[tuple[list[int], list[Any] | None]]:
    """Crash at each operation of a life. Gives what was answered and what is found after each."""
    directory.mkdir(exist_ok=True)
    with PowerLoss(**physics) as disk:
        assert write_rows(directory / "whole.db", disk, synchronous) == list(range(ROWS))
        operations = disk.count(operation)
    assert recover(directory / "whole.db") == list(range(ROWS))
    assert operations
    for nth in range(1, operations + 1):
        path = directory / f"{nth}.db"
        with PowerLoss(**physics) as disk:
            cut = disk.crash_at(nth, seed=nth, operation=operation)
            answered = write_rows(path, disk, synchronous)
            assert cut.fired
            assert disk.open_files == 0
        assert not path.with_name(path.name + "-shm").exists()
        yield answered, recover(path)


PHYSICS = pytest.mark.parametrize(
    "physics",
    [
        {},
        {"sector_size": 512},
        {"sector_size": 512, "powersafe_overwrite": False},
        {"sector_size": 8192, "powersafe_overwrite": False},
    ],
    ids=str,
)


@PHYSICS
def test_synchronous_full_loses_nothing(physics: dict[str, Any], tmp_path: Path) -> None:
    for answered, found in crashes(tmp_path, "full", **physics):
        assert found is not None
        assert found in (answered, [*answered, len(answered)])  # the one in flight: all or nothing


@PHYSICS
def test_synchronous_normal_loses_the_last_alone(physics: dict[str, Any], tmp_path: Path) -> None:
    lost = 0
    for answered, found in crashes(tmp_path, "normal", **physics):
        assert found is not None
        assert found == list(range(len(found)))
        assert len(found) <= len(answered) + 1
        lost += len(found) < len(answered)
    assert lost


def test_synchronous_off_is_found_out(tmp_path: Path) -> None:
    ends = list(crashes(tmp_path, "off"))
    assert any(found is None for _, found in ends)  # damaged
    assert any(found is not None and len(found) < len(answered) for answered, found in ends)


def test_a_lying_disk_is_found_out(tmp_path: Path) -> None:
    ends = list(crashes(tmp_path, "full", Operation.SYNC, lying=True))
    lost = [1 for answered, found in ends if found is None or len(found) < len(answered)]
    assert len(lost) > len(ends) / 2


@pytest.mark.parametrize("operation", [Operation.OPEN, Operation.TRUNCATE, Operation.DELETE])
def test_it_fails_at_other_operations(operation: Operation, tmp_path: Path) -> None:
    for answered, found in crashes(tmp_path, "full", operation):
        assert found is not None
        assert found in (answered, [*answered, len(answered)])


def test_after_it_every_operation_fails_and_what_is_left_is_not_touched(
    disk: PowerLoss, db_path: Path
) -> None:
    connection = connect(db_path, disk)
    reader = connect(db_path, disk)
    connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    assert reader.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert not disk.crashed
    assert disk.losses is None
    before = db_path.stat().st_ino
    losses = disk.crash(seed=1)
    assert disk.crashed
    assert db_path.stat().st_ino != before  # not the file whose locks the old connections hold
    assert disk.losses == losses
    assert losses == Losses(kept=0, dropped=0, torn=0, garbled=0, undone=0)  # all was synced
    for statement in (
        "INSERT INTO t VALUES (2)", "SELECT x FROM t", "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = DELETE",
    ):  # fmt: skip
        for old in (connection, reader):
            with pytest.raises(apsw.IOError):
                old.execute(statement).fetchall()
    # Another process may recover the file before the old connections are closed.
    assert read_in_child(db_path, "SELECT x FROM t") == [(1,)]
    with pytest.raises(apsw.CantOpenError):
        apsw.Connection(str(db_path), vfs=disk.name)
    with pytest.raises(RuntimeError, match="no power any more"):
        disk.crash(seed=2)
    connection.close()
    reader.close()
    assert read_in_child(db_path, "SELECT x FROM t") == [(1,)]


def test_rollback_journals_lose_nothing_either_when_their_deletion_is_durable(
    tmp_path: Path,
) -> None:
    """synchronous=EXTRA syncs the directory after the journal is deleted."""
    for seed in range(40):
        path = tmp_path / f"{seed}.db"
        with PowerLoss() as disk:
            connection = apsw.Connection(str(path), vfs=disk.name)
            connection.execute(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA"
            ).fetchall()
            connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (0)")
            cut = disk.crash_at(seed % 12 + 1, seed=seed, operation=None)
            answered = [0]
            with pytest.raises(apsw.Error):  # until the power fails
                while True:
                    connection.execute("INSERT INTO t VALUES (?)", (len(answered),))
                    answered.append(len(answered))
            connection.close()
            assert cut.fired
        assert recover(path) in (answered, [*answered, len(answered)])


def test_what_a_directory_holds_may_be_taken_back(tmp_path: Path) -> None:
    """A deletion that is not synced: the journal is there again, and undoes the last write."""
    undone = 0
    for seed in range(20):
        path = tmp_path / f"{seed}.db"
        with PowerLoss() as disk:
            connection = apsw.Connection(str(path), vfs=disk.name)
            connection.execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL").fetchall()
            connection.execute("CREATE TABLE t (x)")
            connection.execute("INSERT INTO t VALUES (0)")
            losses = disk.crash(seed)
            connection.close()
        hot = path.with_name(path.name + "-journal").exists()
        assert losses.undone == hot
        assert recover(path) == ([] if hot else [0])
        undone += hot
    assert 0 < undone < 20


def test_a_file_that_was_never_synced_may_be_gone(tmp_path: Path) -> None:
    there = []
    for seed in range(20):
        path = tmp_path / f"{seed}.db"
        with PowerLoss() as disk:
            connection = connect(path, disk, "off")
            connection.execute("CREATE TABLE t (x)")
            disk.crash(seed)
            connection.close()
        there.append(path.exists())
    assert set(there) == {True, False}


def test_a_sync_makes_its_own_directory_durable_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    there = []
    for seed in range(20):
        paths = tmp_path / "a" / f"{seed}.db", tmp_path / "b" / f"{seed}.db"
        with PowerLoss() as disk:
            unsynced = connect(paths[1], disk, "off")
            unsynced.execute("CREATE TABLE t (x)")
            synced = connect(paths[0], disk)
            synced.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
            disk.crash(seed)
            synced.close()
            unsynced.close()
        assert recover(paths[0]) == [1]
        there.append(paths[1].exists())
    assert set(there) == {True, False}


def test_a_stale_file_that_it_never_opened_is_deleted_for_good(
    disk: PowerLoss, db_path: Path
) -> None:
    wal = db_path.with_name("test.db-wal")
    wal.write_bytes(b"of a database that is gone")
    connection = apsw.Connection(str(db_path), vfs=disk.name)
    connection.execute("SELECT * FROM sqlite_schema").fetchall()
    assert not wal.exists()
    disk.crash(seed=1)
    assert not wal.exists()
    connection.close()


def test_locks_are_the_real_disks(disk: PowerLoss, db_path: Path) -> None:
    """A reader that finds a journal asks whether its writer lives."""
    writer, reader = (apsw.Connection(str(db_path), vfs=disk.name) for _ in "ab")
    writer.execute("CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1)")
    assert reader.execute("SELECT x FROM t").fetchall() == []
    with pytest.raises(apsw.BusyError):
        reader.execute("INSERT INTO t VALUES (2)")
    disk.crash(seed=1)
    with pytest.raises(apsw.IOError):
        reader.execute("SELECT x FROM t").fetchall()
    writer.close()
    reader.close()


def test_what_was_there_before_belongs_to_the_disk(tmp_path: Path) -> None:
    for seed in range(10):
        path = tmp_path / f"{seed}.db"
        plain = apsw.Connection(str(path))
        plain.execute("CREATE TABLE t (x); INSERT INTO t VALUES ('before')")
        plain.close()
        path.chmod(0o600)
        with PowerLoss() as disk:
            connection = connect(path, disk, "off")
            connection.execute("INSERT INTO t VALUES ('after')")
            connection.execute("PRAGMA wal_checkpoint").fetchall()
            losses = disk.crash(seed)
            connection.close()
        assert losses.kept + losses.dropped + losses.torn + losses.garbled > 0
        assert path.stat().st_mode & 0o777 == 0o600
        if losses.torn == losses.garbled == losses.kept == 0:
            assert recover(path) == ["before"]


def test_other_processes_see_what_is_not_yet_durable(disk: PowerLoss, db_path: Path) -> None:
    connection = connect(db_path, disk, "normal")
    connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    assert read_in_child(db_path, "SELECT x FROM t") == [(1,)]
    connection.close()


def test_temporary_files_work_and_are_no_loss(disk: PowerLoss, db_path: Path) -> None:
    connection = connect(db_path, disk)
    connection.execute("PRAGMA temp_store = FILE; CREATE TEMP TABLE u (x)").fetchall()
    connection.execute("PRAGMA temp.cache_size = 1").fetchall()
    connection.execute("INSERT INTO u VALUES (zeroblob(1000000))")
    assert disk.count(Operation.WRITE, FileKind.TEMPORARY)
    assert connection.execute("SELECT length(x) FROM u").fetchall() == [(1_000_000,)]
    assert disk.crash(seed=1).dropped == 0
    connection.close()


def test_a_rollback_of_a_bigger_file_truncates(disk: PowerLoss, db_path: Path) -> None:
    """What reads ask for is what was written last, synced or not."""
    connection = connect(db_path, disk, "normal")
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))")
    connection.execute("DELETE FROM t; VACUUM")
    assert disk.count(Operation.TRUNCATE, FileKind.DATABASE)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert read_in_child(db_path, "SELECT count(*) FROM t") == [(0,)]


def test_it_fails_from_another_thread(tmp_path: Path) -> None:
    for seed in range(5):
        path = tmp_path / f"{seed}.db"
        with PowerLoss() as disk:
            connection = connect(path, disk)
            connection.execute("CREATE TABLE t (x, pad)")
            thread = threading.Thread(target=disk.crash, args=(seed,))
            answered = 0
            with pytest.raises(apsw.IOError):  # until the power fails
                while True:
                    connection.execute("INSERT INTO t VALUES (?, 0)", (answered,))
                    answered += 1
                    if answered == 10:
                        thread.start()
            thread.join()
            connection.close()
        assert recover(path) in (list(range(answered)), list(range(answered + 1)))


@pytest.mark.parametrize("size", [0, 256, 1000, 131_072])
def test_no_disk_has_such_sectors(size: int) -> None:
    with pytest.raises(ValueError, match=f"sector_size={size}"):
        PowerLoss(sector_size=size)


def test_it_fails_at_what_changes_something(disk: PowerLoss) -> None:
    with pytest.raises(ValueError, match="nth=0"):
        disk.crash_at(0, seed=1)
    with pytest.raises(ValueError, match="READ"):
        disk.crash_at(1, seed=1, operation=Operation.READ)


def test_a_cut_tells_what_it_is(disk: PowerLoss, db_path: Path) -> None:
    cut = disk.crash_at(1, seed=1)
    later = disk.crash_at(2, seed=1, operation=None)
    assert repr(cut) == "<PowerCut at xSync #1, waiting>"
    assert repr(later) == "<PowerCut at any operation #2, waiting>"
    with pytest.raises(apsw.Error):
        connect(db_path, disk)
    assert repr(later) == "<PowerCut at any operation #2, fired>"
    assert not cut.fired


async def test_a_pool_can_be_closed_after_it(disk: PowerLoss, db_path: Path) -> None:
    answered: list[str] = []
    with pytest.raises(SqlRepoError):
        async with open_notes(db_path, vfs=disk.name, synchronous="full") as db:
            cut = disk.crash_at(7, seed=3)
            while True:
                await Notes(db).put("", str(len(answered)))
                answered.append(str(len(answered)))
    assert cut.fired
    found = [body for (body,) in read_in_child(db_path, "SELECT body FROM note ORDER BY id")]
    assert found in (answered, [*answered, str(len(answered))])
