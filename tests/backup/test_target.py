"""Where a copy may go, and what is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.backup.support import assert_nothing, assert_serves, assert_sound, leftovers
from tests.notes import open_notes
from trio_sqlrepo import BackupError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.db"


async def test_an_existing_file_stays_unless_it_may_be_replaced(db_path: Path, copy: Path) -> None:
    copy.write_text("precious")
    async with open_notes(db_path) as db:
        with pytest.raises(BackupError, match=r"copy.db exists already; give another name, or ove"):
            await db.backup(copy)
        assert copy.read_text() == "precious"
        assert leftovers(copy.parent) == []
        await db.backup(copy, overwrite=True)
        assert_sound(copy)


async def test_the_database_is_never_overwritten(db_path: Path, copy: Path) -> None:
    async with open_notes(db_path) as db:
        copy.symlink_to(db_path)
        hard = copy.with_name("hard.db")
        os.link(db_path, hard)
        suffixed = [Path(f"{db_path}{suffix}") for suffix in ("-wal", "-shm", "-journal")]
        for path in (db_path, copy, hard, *suffixed):
            for overwrite in (True, False):
                with pytest.raises(BackupError, match="would be the database itself"):
                    await db.backup(path, overwrite=overwrite)
        await assert_serves(db)


async def test_a_link_is_followed(db_path: Path, tmp_path: Path, copy: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(copy)
    async with open_notes(db_path) as db:
        await db.backup(link)
        assert_sound(copy)
        with pytest.raises(BackupError, match="exists already"):
            await db.backup(link)
        await db.backup(link, overwrite=True)
    assert link.is_symlink()
    assert_sound(copy)


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
async def test_what_sqlite_would_apply_to_the_copy_is_in_its_way(
    suffix: str, db_path: Path, copy: Path
) -> None:
    Path(f"{copy}{suffix}").touch()
    async with open_notes(db_path) as db:
        for overwrite in (True, False):
            with pytest.raises(BackupError, match=f"copy.db{suffix} lies beside it"):
                await db.backup(copy, overwrite=overwrite)
    assert_nothing(copy)


async def test_a_database_that_is_open_is_not_replaced(db_path: Path, copy: Path) -> None:
    async with open_notes(db_path) as db, open_notes(copy) as other:
        with pytest.raises(BackupError, match="so a program has that database open"):
            await db.backup(copy, overwrite=True)
        await assert_serves(other)


async def test_a_place_where_none_can_be_is_told_of(db_path: Path, tmp_path: Path) -> None:
    async with open_notes(db_path) as db:
        with pytest.raises(BackupError, match=f"there is no directory {tmp_path / 'no'}"):
            await db.backup(tmp_path / "no" / "copy.db")
        with pytest.raises(BackupError, match="something that is no regular file bears its name"):
            await db.backup(tmp_path, overwrite=True)
        with pytest.raises(BackupError, match="can't be made there: "):
            await db.backup("/proc/copy.db")
        for name in ("", ":memory:", "a\0b"):
            with pytest.raises(BackupError, match="is no file name"):
                await db.backup(name)
        await assert_serves(db)


async def test_what_is_no_path_or_function_is_refused(db_path: Path, copy: Path) -> None:
    async def progress(_: object) -> None: ...

    async with open_notes(db_path) as db:
        for path in (5, b"copy.db", None):
            with pytest.raises(TypeError, match="takes a path as str or PathLike"):
                await db.backup(path)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="takes a plain function, not an async one"):
            await db.backup(copy, progress=progress)
        with pytest.raises(TypeError, match="a plain function, not an object of type int"):
            await db.backup(copy, progress=5)  # type: ignore[arg-type]
    assert_nothing(copy)


async def test_a_relative_path_starts_where_the_caller_is(
    db_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)
    async with open_notes(db_path) as db:
        await db.backup("copy.db")
    assert_sound(copy)
