"""A disk that fails when it is told to: what fails, when, with what code, and what is done."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.notes import Notes, open_notes
from tests.support import read_in_child
from trio_sqlrepo import DiskFull, OutcomeUnknown
from trio_sqlrepo.testing.disk import FaultyDisk, FileKind, Operation
from trio_sqlrepo.testing.disk._layer import _files


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with FaultyDisk() as disk:
        yield disk
        assert disk.open_files == 0


@pytest.fixture
def connection(disk: FaultyDisk, db_path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(db_path), vfs=disk.name)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL; CREATE TABLE t (x)").fetchall()
    yield connection
    connection.close()


def insert(connection: apsw.Connection, value: object = 1) -> None:
    connection.execute("INSERT INTO t VALUES (?)", (value,)).fetchall()


def values(connection: apsw.Connection) -> list[object]:
    return [value for (value,) in connection.execute("SELECT x FROM t ORDER BY rowid")]


def checkpoint(connection: apsw.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def open_another(connection: apsw.Connection) -> None:
    other = apsw.Connection(connection.filename, vfs=connection.open_vfs)
    try:
        values(other)
    finally:
        other.close()


def read_cold(connection: apsw.Connection) -> None:
    connection.execute("PRAGMA shrink_memory").fetchall()
    values(connection)


def leave_wal_mode(connection: apsw.Connection) -> None:
    insert(connection)
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    insert(connection)


DOES = {
    (Operation.OPEN, FileKind.DATABASE): (open_another, apsw.SQLITE_CANTOPEN),
    (Operation.OPEN, FileKind.WAL): (open_another, apsw.SQLITE_CANTOPEN),
    (Operation.READ, FileKind.DATABASE): (open_another, apsw.SQLITE_IOERR_READ),
    (Operation.READ, FileKind.WAL): (read_cold, apsw.SQLITE_IOERR_READ),
    (Operation.WRITE, FileKind.WAL): (insert, apsw.SQLITE_IOERR_WRITE),
    (Operation.WRITE, FileKind.DATABASE): (checkpoint, apsw.SQLITE_IOERR_WRITE),
    (Operation.TRUNCATE, FileKind.WAL): (checkpoint, apsw.SQLITE_IOERR_TRUNCATE),
    (Operation.SYNC, FileKind.WAL): (insert, apsw.SQLITE_IOERR_FSYNC),
    (Operation.SYNC, FileKind.DATABASE): (checkpoint, apsw.SQLITE_IOERR_FSYNC),
    (Operation.DELETE, FileKind.JOURNAL): (leave_wal_mode, apsw.SQLITE_IOERR_DELETE),
    (Operation.LOCK, FileKind.DATABASE): (open_another, apsw.SQLITE_IOERR_LOCK),
    (Operation.FILE_SIZE, FileKind.DATABASE): (open_another, apsw.SQLITE_IOERR_FSTAT),
    (Operation.FILE_CONTROL, FileKind.DATABASE): (checkpoint, apsw.SQLITE_IOERR),
    (Operation.SHM_MAP, FileKind.DATABASE): (open_another, apsw.SQLITE_IOERR_SHMMAP),
    (Operation.SHM_LOCK, FileKind.DATABASE): (insert, apsw.SQLITE_IOERR_SHMLOCK),
}


@pytest.mark.parametrize(("operation", "kind"), DOES)
def test_the_next_one_fails_with_the_code_sqlite_knows(
    operation: Operation, kind: FileKind, disk: FaultyDisk, connection: apsw.Connection
) -> None:
    do, code = DOES[operation, kind]
    fault = disk.arm(operation, kind=kind)
    assert fault.armed
    with pytest.raises(apsw.Error) as caught:
        do(connection)
    assert getattr(caught.value, "extendedresult", None) == code
    assert (fault.armed, fault.fired) == (False, 1)
    do(connection)  # once
    insert(connection, "after")
    assert values(connection)[-1] == "after"


def test_every_operation_can_fail() -> None:
    assert {operation for operation, _ in DOES} == set(Operation)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (apsw.SQLITE_FULL, apsw.FullError),
        (apsw.SQLITE_NOMEM, apsw.NoMemError),
        (apsw.SQLITE_IOERR_CORRUPTFS, apsw.IOError),
        (apsw.SQLITE_BUSY, apsw.BusyError),
    ],
)
def test_the_code_can_be_chosen(
    code: int, error: type[apsw.Error], disk: FaultyDisk, connection: apsw.Connection
) -> None:
    disk.arm(Operation.WRITE, code=code)
    with pytest.raises(error) as caught:
        insert(connection)
    assert getattr(caught.value, "extendedresult", None) == code


def test_the_nth_fails_and_no_other(disk: FaultyDisk, connection: apsw.Connection) -> None:
    before = disk.count(Operation.SYNC, FileKind.WAL)
    insert(connection, "first")
    insert(connection, "second")
    assert disk.count(Operation.SYNC, FileKind.WAL) == before + 2
    fault = disk.arm(Operation.SYNC, 3, kind=FileKind.WAL)
    disk.arm(Operation.SYNC, kind=FileKind.JOURNAL)  # another file's
    disk.arm(Operation.READ, 10_000)  # another operation
    insert(connection, "third")
    insert(connection, "fourth")
    assert not fault.fired
    with pytest.raises(apsw.IOError):
        insert(connection, "fifth")
    insert(connection, "sixth")
    assert (fault.armed, fault.fired) == (False, 1)
    assert values(connection) == ["first", "second", "third", "fourth", "sixth"]


def test_each_of_any_operation(disk: FaultyDisk, connection: apsw.Connection) -> None:
    """Counted first, then failed one by one. Some SQLite tolerates: then the row is there."""
    before = disk.count()
    insert(connection, 0)
    operations = disk.count() - before
    failed = 0
    for nth in range(1, operations + 1):
        fault = disk.arm(None, nth)
        try:
            insert(connection, nth)
        except apsw.IOError:
            failed += 1
        else:
            assert values(connection)[-1] == nth
        assert fault.fired
    assert 0 < failed < operations


def test_a_sticky_one_fails_until_it_is_mended(
    disk: FaultyDisk, connection: apsw.Connection
) -> None:
    fault = disk.arm(Operation.SYNC, sticky=True)
    other = disk.arm(Operation.WRITE, 10_000)
    for times in range(1, 4):
        with pytest.raises(apsw.IOError):
            insert(connection)
        assert fault.fired >= times
        assert fault.armed
    fault.mend()
    fault.mend()
    assert not fault.armed
    assert other.armed
    insert(connection, "mended")
    assert values(connection) == ["mended"]


def test_all_can_be_mended_at_once(disk: FaultyDisk, connection: apsw.Connection) -> None:
    faults = [disk.arm(Operation.SYNC, sticky=True), disk.arm(Operation.READ, 10_000)]
    disk.mend()
    assert not any(fault.armed for fault in faults)
    insert(connection)
    assert not any(fault.fired for fault in faults)


def test_two_that_are_due_at_once_fail_one_each(
    disk: FaultyDisk, connection: apsw.Connection
) -> None:
    faults = [disk.arm(Operation.WRITE), disk.arm(Operation.WRITE)]
    for _ in faults:
        with pytest.raises(apsw.IOError):
            insert(connection)
    assert [fault.fired for fault in faults] == [1, 1]
    insert(connection)


def test_a_short_write_is_half_done(
    disk: FaultyDisk, connection: apsw.Connection, db_path: Path
) -> None:
    insert(connection)
    wal = db_path.with_name("test.db-wal")
    size = wal.stat().st_size
    disk.arm(Operation.WRITE, 2, short=True, code=apsw.SQLITE_FULL)  # 1: the frame's header
    with pytest.raises(apsw.FullError):
        insert(connection)
    assert wal.stat().st_size == size + 24 + 4096 // 2
    disk.arm(Operation.WRITE, short=True)
    with pytest.raises(apsw.IOError):
        insert(connection)
    insert(connection, "whole")
    assert values(connection) == [1, "whole"]


def test_a_short_read_gives_half_and_zeros(
    disk: FaultyDisk, connection: apsw.Connection, db_path: Path
) -> None:
    insert(connection, "x" * 4000)
    fault = disk.arm(Operation.READ, kind=FileKind.WAL, short=True)
    with pytest.raises(apsw.IOError) as caught:
        read_cold(connection)
    assert getattr(caught.value, "extendedresult", None) == apsw.SQLITE_IOERR_SHORT_READ
    assert fault.fired
    read_cold(connection)
    # What SQLite is given it does not show; an open file of the disk's does.
    file = next(file for file in _files.values() if file.path == str(db_path))
    disk.arm(Operation.READ, short=True)
    buffer = ctypes.create_string_buffer(b"?" * 16, 16)
    assert file.read(ctypes.addressof(buffer), 16, 0) == apsw.SQLITE_IOERR_SHORT_READ
    assert buffer.raw == b"SQLite f" + bytes(8)


def test_what_sqlite_tolerates_is_no_error_to_anybody(
    disk: FaultyDisk, connection: apsw.Connection, db_path: Path
) -> None:
    """The checkpoint after a COMMIT may fail: the write is durable in the WAL."""
    connection.execute("PRAGMA wal_autocheckpoint = 1").fetchall()
    fault = disk.arm(Operation.SYNC, kind=FileKind.DATABASE, sticky=True)
    insert(connection, "kept")
    assert fault.fired
    assert values(connection) == ["kept"]
    assert read_in_child(db_path, "SELECT x FROM t") == [("kept",)]


def test_an_error_that_sqlite_names_anew_has_sqlites_name(
    disk: FaultyDisk, connection: apsw.Connection
) -> None:
    disk.arm(Operation.WRITE, code=apsw.SQLITE_IOERR_NOMEM)
    with pytest.raises(apsw.NoMemError):
        insert(connection)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"nth": 0}, "nth=0"),
        ({"code": apsw.SQLITE_OK}, "no error"),
        ({"code": apsw.SQLITE_DONE}, "no error"),
        ({"operation": Operation.SYNC, "short": True}, "short"),
        ({"short": True}, "short"),
        (
            {"operation": Operation.READ, "short": True, "code": apsw.SQLITE_IOERR},
            "SQLITE_IOERR_SHORT_READ",
        ),
    ],
)
def test_no_fault_is_armed_that_makes_no_sense(
    arguments: dict[str, object], words: str, disk: FaultyDisk
) -> None:
    with pytest.raises(ValueError, match=words):
        disk.arm(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_a_fault_tells_what_it_is(disk: FaultyDisk, connection: apsw.Connection) -> None:
    fault = disk.arm(Operation.SYNC, 1, kind=FileKind.WAL)
    assert repr(fault) == "<Fault xSync of the wal #1, armed, fired 0 times>"
    with pytest.raises(apsw.IOError):
        insert(connection)
    assert repr(fault) == "<Fault xSync of the wal #1, spent, fired 1 times>"
    sticky = disk.arm(None, 7, sticky=True)
    disk.mend()
    assert repr(sticky) == "<Fault any operation #7, mended, fired 0 times>"
    assert repr([Operation.SYNC, FileKind.WAL]) == "[Operation.SYNC, FileKind.WAL]"


def test_it_is_armed_and_asked_from_any_thread(
    disk: FaultyDisk, connection: apsw.Connection
) -> None:
    """While the connection writes, another thread arms; each of its faults fires once."""
    armed = [disk.arm(Operation.WRITE)]
    going_on = threading.Event()

    def arm() -> None:
        while len(armed) < 50:
            if armed[-1].fired:
                armed.append(disk.arm(Operation.WRITE))
        going_on.set()

    thread = threading.Thread(target=arm)
    thread.start()
    errors = 0
    while not (going_on.is_set() and armed[-1].fired):
        try:
            insert(connection, None)
        except apsw.IOError:
            errors += 1
    thread.join()
    assert [fault.fired for fault in armed] == [1] * 50
    assert errors == 50


async def test_a_pool_meets_it_and_says_so(disk: FaultyDisk, db_path: Path) -> None:
    async with open_notes(db_path, vfs=disk.name, synchronous="full") as db:
        notes = Notes(db)
        await notes.put("", "before")
        full = disk.arm(Operation.WRITE, kind=FileKind.WAL, code=apsw.SQLITE_FULL, sticky=True)
        with pytest.raises(DiskFull):
            await notes.put("", "too much")
        assert full.fired
        assert await notes.bodies() == ["before"]
        full.mend()
        sync = disk.arm(Operation.SYNC, kind=FileKind.WAL)
        with pytest.raises(OutcomeUnknown) as caught:
            await notes.put("", "who knows")
        assert sync.fired
        assert caught.value.extended_code == apsw.SQLITE_IOERR_FSYNC
