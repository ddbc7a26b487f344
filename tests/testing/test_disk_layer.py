"""What every disk of `trio_sqlrepo.testing.disk` has in common: its name, its life, its calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.notes import Notes, open_notes
from trio_sqlrepo import InternalError, OpenError, SQLiteConfig, open_database
from trio_sqlrepo.testing.disk import FaultyDisk, FileKind, Operation, PowerLoss
from trio_sqlrepo.testing.disk._layer import File, Layer, _layers

KINDS = [FaultyDisk, PowerLoss]


@pytest.fixture(autouse=True)
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is printed or lost on the way, whatever the test makes go wrong."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    yield
    assert not seen


def connect(path: Path, vfs: str | None = None) -> apsw.Connection:
    connection = apsw.Connection(str(path), vfs=vfs)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    return connection


@pytest.mark.parametrize("kind", KINDS)
def test_its_name_is_its_own_and_ends_with_the_block(kind: type[Layer]) -> None:
    with kind() as one, kind() as other:
        assert one.name != other.name
        assert {one.name, other.name} <= set(apsw.vfs_names())
        assert "open, 0 open files" in repr(one)
    assert not {one.name, other.name} & set(apsw.vfs_names())
    assert "closed" in repr(one)
    one.close()  # again


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_real_disk_refuses_is_refused(kind: type[Layer], db_path: Path) -> None:
    with kind() as disk:
        with pytest.raises(apsw.CantOpenError):
            apsw.Connection(str(db_path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.name)
        assert disk.open_files == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_lives_on_it(kind: type[Layer], db_path: Path) -> None:
    with kind() as disk:
        async with open_notes(db_path, vfs=disk.name, synchronous="full") as db:
            await Notes(db).put("", "one")
            assert await Notes(db).bodies() == ["one"]
            assert disk.open_files >= 4  # a writer and a reader, each with the file and the WAL
            assert disk.count(Operation.SYNC, FileKind.WAL) >= 1
        assert disk.open_files == 0
        assert not db_path.with_name("test.db-wal").exists()  # closed as it should be


async def test_after_the_block_nobody_can_use_the_name(db_path: Path) -> None:
    with FaultyDisk() as disk:
        pass
    with pytest.raises(OpenError, match=disk.name):
        async with open_database(db_path, sqlite=SQLiteConfig(vfs=disk.name)):
            pass


def test_what_is_open_when_it_is_closed_goes_on(db_path: Path) -> None:
    with FaultyDisk() as disk:
        connection = connect(db_path, disk.name)
        connection.execute("CREATE TABLE t (x)")
    fault = disk.arm(Operation.WRITE)
    with pytest.raises(apsw.IOError):
        connection.execute("INSERT INTO t VALUES (1)")
    assert fault.fired
    connection.execute("INSERT INTO t VALUES (1)")
    assert disk.open_files == 2
    assert disk in _layers.values()
    connection.close()
    assert disk.open_files == 0
    assert disk not in _layers.values()


def test_a_connection_that_outlives_it_can_open_no_more_files() -> None:
    """One to memory has no file, so nobody can know that it is there."""
    with FaultyDisk() as disk:
        connection = apsw.Connection(":memory:", vfs=disk.name)
    connection.execute("PRAGMA temp_store = FILE; CREATE TEMP TABLE t (x)").fetchall()
    connection.execute("PRAGMA temp.cache_size = 1").fetchall()
    with pytest.raises(apsw.CantOpenError):
        connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")
    connection.close()


def test_every_read_goes_through_it_whatever_is_mapped(db_path: Path) -> None:
    with FaultyDisk() as disk:
        connection = connect(db_path, disk.name)
        assert connection.execute("PRAGMA mmap_size = 1048576").fetchall() == [(1048576,)]
        connection.execute("CREATE TABLE t (x)")
        with connection:
            connection.executemany("INSERT INTO t VALUES (zeroblob(400))", [()] * 500)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("PRAGMA shrink_memory").fetchall()
        before = disk.count(Operation.READ, FileKind.DATABASE)
        connection.execute("SELECT hex(x) FROM t").fetchall()
        assert disk.count(Operation.READ, FileKind.DATABASE) > before + 500 * 400 // 4096
        connection.close()


def test_what_the_real_disk_says_of_itself_is_handed_on(db_path: Path) -> None:
    """Where overwriting is not safe SQLite asks for the size of sectors."""
    with FaultyDisk() as disk:
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(f"file:{db_path}?psow=0", flags=flags, vfs=disk.name)
        connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
        connection.close()


def test_a_counted_operation_is_one_of_its_kind_and_file(db_path: Path) -> None:
    with FaultyDisk() as disk:
        connection = connect(db_path, disk.name)
        connection.execute("CREATE TABLE t (x); CREATE TEMP TABLE u (x)")
        connection.execute("PRAGMA cache_size = 0; PRAGMA temp.cache_size = 0").fetchall()
        connection.execute("INSERT INTO u VALUES (zeroblob(1000000))")
        connection.close()
        counts = {(o, k): disk.count(o, k) for o in Operation for k in FileKind}
        assert sum(counts.values()) == disk.count()
        for kind in FileKind:
            assert disk.count(kind=kind) == sum(disk.count(o, kind) for o in Operation) > 0
        for operation in Operation:
            of_kinds = sum(disk.count(operation, kind) for kind in FileKind)
            assert disk.count(operation) == of_kinds
            assert of_kinds or operation is Operation.TRUNCATE
        assert disk.count(Operation.DELETE, FileKind.JOURNAL)
        assert disk.count(Operation.DELETE, FileKind.WAL)
        assert disk.count(Operation.SHM_LOCK, FileKind.WAL) == 0


class _Buggy(File):
    raises: str = ""

    def read(self, buffer: int, amount: int, offset: int) -> int:
        if self.raises == "read":
            raise ZeroDivisionError
        return super().read(buffer, amount, offset)

    def close(self) -> int:
        super().close()
        if self.raises == "close":
            raise ZeroDivisionError
        return apsw.SQLITE_OK


class BuggyDisk(Layer):
    _file = _Buggy
    _prefix = "buggy-disk"
    raises: str = ""

    def _open(self, *arguments: Any) -> int:
        if self.raises == "open":
            raise ZeroDivisionError
        return super()._open(*arguments)

    def _delete(self, *arguments: Any) -> int:
        if self.raises == "delete":
            raise ZeroDivisionError
        return super()._delete(*arguments)


@pytest.mark.parametrize("what", ["open", "read", "delete", "close"])
def test_a_bug_in_it_is_an_error_to_sqlite_and_to_the_block(
    what: str, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(db_path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    disk = BuggyDisk()
    connection = connect(db_path, disk.name)
    if what == "delete":
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    monkeypatch.setattr(_Buggy, "raises", what)
    monkeypatch.setattr(BuggyDisk, "raises", what)
    if what == "open":
        with pytest.raises(apsw.InternalError):
            apsw.Connection(str(db_path), vfs=disk.name)
    elif what != "close":
        with pytest.raises(apsw.InternalError):
            connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    assert disk.open_files == 0
    with pytest.raises(InternalError, match="ZeroDivisionError") as caught:
        disk.close()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
