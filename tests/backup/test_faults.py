"""Disks that fail while a backup is made: typed errors, no copy under its name, a well pool."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.backup.support import assert_nothing, assert_sound, fill, leftovers
from tests.notes import Notes, open_notes
from tests.support import read_in_child
from trio_sqlrepo import BackupError, BackupProgress, DiskFull, SqlRepoError
from trio_sqlrepo.testing.disk import FaultyDisk, FileKind, Operation


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.mark.parametrize("stage", ["copying", "verifying"])
async def test_each_operation_fails_once(stage: str, db_path: Path, copy: Path) -> None:
    """Of all that SQLite asks of the disk from that stage on, the source's reads included."""
    with FaultyDisk() as disk:
        async with open_notes(db_path, vfs=disk.name) as db:
            await db.write(fill)
            await db.execute("PRAGMA user_version")  # every connection has read its pages
            failed: list[SqlRepoError] = []
            for nth in range(1, 1000):
                if nth > 20:  # the first ones, and some of the others
                    nth = 20 + (nth - 20) * 17  # noqa: PLW2901  # see above
                faults: list[Any] = []

                def arm(progress: BackupProgress, nth: int = nth, faults: Any = faults) -> None:
                    if progress.stage == stage and not faults:
                        faults.append(disk.arm(nth=nth))

                try:
                    await db.backup(copy, progress=arm)
                except SqlRepoError as error:
                    failed.append(error)
                    assert_nothing(copy)
                else:
                    assert_sound(copy)
                    copy.unlink()
                fired = faults[0].fired
                disk.mend()
                assert db.stats().state == "open"
                if not fired:
                    break
            assert len(failed) > 10
            assert {type(error) for error in failed} >= {BackupError}
            await Notes(db).put("box", "it serves")
    assert read_in_child(db_path, "SELECT body FROM note") == [("it serves",)]


async def test_a_full_disk_is_told_of_and_room_is_enough(db_path: Path, copy: Path) -> None:
    with FaultyDisk() as disk:
        async with open_notes(db_path, vfs=disk.name) as db:
            await db.write(fill)
            fault = disk.arm(
                Operation.WRITE, kind=FileKind.DATABASE, code=apsw.SQLITE_FULL, sticky=True
            )
            with pytest.raises(DiskFull, match=r"The disk is too full for the backup "):
                await db.backup(copy)
            assert fault.fired
            assert_nothing(copy)
            # The database is on the same disk in this test; it was not written to.
            assert db.stats().warnings == ()
            fault.mend()
            await db.backup(copy)
            assert_sound(copy)


@pytest.mark.parametrize(
    ("operation", "kind"), [(Operation.WRITE, BackupError), (Operation.SYNC, BackupError)]
)
async def test_what_the_target_meets_costs_no_connection(
    operation: Operation, kind: type[SqlRepoError], db_path: Path, copy: Path
) -> None:
    with FaultyDisk() as disk:
        async with open_notes(db_path, vfs=disk.name) as db:
            await db.write(fill)
            fault = disk.arm(operation, kind=FileKind.DATABASE)
            with pytest.raises(kind, match="can't be written or read back"):
                await db.backup(copy)
            assert fault.fired
            assert_nothing(copy)
            assert db.stats().warnings == ()


async def test_a_source_that_cannot_be_read_is_its_own_error(db_path: Path, copy: Path) -> None:
    with FaultyDisk() as disk:
        async with open_notes(db_path, vfs=disk.name) as db:
            await db.write(fill)
            fault = disk.arm(Operation.READ, nth=20, kind=FileKind.WAL)
            with pytest.raises(SqlRepoError, match="Reading or writing a file of the") as caught:
                await db.backup(copy)
            assert fault.fired
            assert not isinstance(caught.value, BackupError)
            assert_nothing(copy)
            await db.backup(copy)
            assert_sound(copy)


async def test_a_connection_that_cannot_be_opened_is_told_of(db_path: Path, copy: Path) -> None:
    with FaultyDisk() as disk:
        async with open_notes(db_path, vfs=disk.name) as db:
            disk.arm(Operation.OPEN, kind=FileKind.DATABASE)
            with pytest.raises(SqlRepoError, match="can't be opened"):
                await db.backup(copy)
            assert_nothing(copy)
            await db.backup(copy)
            assert_sound(copy)


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(
    ("call", "code", "kind", "sentence"),
    [
        ("open", errno.ENOSPC, DiskFull, "The disk is too full"),
        ("open", errno.EACCES, BackupError, "can't be made there: Permission denied."),
        ("fdatasync", errno.EIO, BackupError, "can't be brought to the disk: Input/output error."),
        ("fdatasync", errno.ENOSPC, DiskFull, "The disk is too full"),
        ("fsync", errno.EIO, BackupError, "can't be brought to the disk: Input/output error."),
        ("link", errno.EIO, BackupError, "can't be given its name: Input/output error."),
        ("link", errno.EEXIST, BackupError, "exists already: another program has just made it."),
    ],
)
async def test_what_the_system_refuses_is_told_of(  # noqa: PLR0917  # pytest names them
    call: str,
    code: int,
    kind: type[Exception],
    sentence: str,
    db_path: Path,
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trio_sqlrepo._sqlite.backup._SYNC_EVERY", 1)
    async with open_notes(db_path) as db:
        await db.write(fill)
        await db.backup(copy)
        copy.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(f"trio_sqlrepo._sqlite.backup.os.{call}", failing(code))
            with pytest.raises(kind, match=sentence):
                await db.backup(copy)
        assert_nothing(copy)
        assert db.stats().state == "open"


async def test_a_directory_that_cannot_be_synced_leaves_the_copy_and_says_so(
    db_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_sqlrepo._sqlite.backup._sync_directory", failing(errno.EIO))
    async with open_notes(db_path) as db:
        with pytest.raises(BackupError, match="is in its place, but its directory can't be synced"):
            await db.backup(copy)
    assert_sound(copy)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
async def test_where_there_are_no_hard_links_it_is_renamed(
    code: int, db_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_sqlrepo._sqlite.backup.os.link", failing(code))
    async with open_notes(db_path) as db:
        await db.backup(copy)
        assert_sound(copy)
        with pytest.raises(BackupError, match="exists already"):
            await db.backup(copy)


async def test_a_file_that_got_the_name_meanwhile_stays(db_path: Path, copy: Path) -> None:
    def be_faster(progress: BackupProgress) -> None:
        if progress.stage == "verifying":
            copy.write_text("precious")

    async with open_notes(db_path) as db:
        with pytest.raises(BackupError, match="exists already"):
            await db.backup(copy, progress=be_faster)
    assert copy.read_text() == "precious"
    assert leftovers(copy.parent) == []


async def test_a_program_that_opens_the_target_meanwhile_is_left_alone(
    db_path: Path, copy: Path
) -> None:
    copy.write_text("a database")
    wal = copy.with_name("copy.db-wal")

    def be_faster(progress: BackupProgress) -> None:
        if progress.stage == "verifying":
            wal.touch()

    async with open_notes(db_path) as db:
        with pytest.raises(BackupError, match=r"copy.db-wal lies beside it"):
            await db.backup(copy, progress=be_faster, overwrite=True)
    assert copy.read_text() == "a database"
    assert leftovers(copy.parent) == []
