"""Guarantee 10: what is broken is replaced before anyone is given it; a bad file stops the answers.

Faults of files and processes. Those of SQLite's own operations stand in `tests/testing` and
`tests/faults`, those of threads in `tests/pool`.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import trio

from tests.guarantees.support import bodies_in, read_file, view_held
from tests.notes import Notes, assert_healthy, open_notes
from tests.support import run_child
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseReplaced,
    PoolConfig,
    Repository,
    SqlFunction,
    query,
)

_COPY = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))"
_OTHER = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('CREATE TABLE other (a)')"


async def in_child(source: str, *arguments: Path) -> None:
    child = await trio.to_thread.run_sync(lambda: run_child("-c", source, *arguments))
    assert not child.returncode, child.stderr


async def until_open(db: Database) -> None:
    """Back in service, by itself."""
    with trio.move_on_after(60) as patience:
        while db.stats().state != "open":
            await trio.sleep(0.001)
    assert not patience.cancelled_caught, db._pool.outage


# -- another file ----------------------------------------------------------------------------------


async def test_after_a_restored_backup_all_connections_use_it(db_path: Path) -> None:
    """Nothing of the earlier file's WAL gets into it."""
    backup = db_path.with_name("backup.db")
    kept = db_path.with_name("kept.db")
    async with open_notes(db_path, pool=PoolConfig(min_readers=2, max_readers=2)) as db:
        notes = Notes(db)
        await notes.put("", "in the backup")
        await in_child(_COPY, db_path, backup)
        await notes.put("", "later")
        db_path.rename(kept)
        backup.rename(db_path)
        with pytest.raises(DatabaseReplaced, match="is another file than the one opened"):
            await notes.put("", "lost")
        assert db.stats().state == "failed"
        await until_open(db)
        assert await notes.bodies() == ["in the backup"]
        await notes.put("", "new")
        await assert_healthy_but_replaced(db)
    assert await bodies_in(db_path) == ["in the backup", "new"]
    # What was acknowledged before is in the file that was moved away.
    assert {"in the backup", "later"} <= set(await bodies_in(kept))


async def assert_healthy_but_replaced(db: Database) -> None:
    health = await db.check()
    assert health.well, health
    stats = db.stats()
    assert (stats.state, stats.outage) == ("open", None)
    assert stats.writers.waiting == stats.readers.waiting == 0


async def test_a_deleted_file_is_not_made_anew(db_path: Path) -> None:
    backup = db_path.with_name("backup.db")
    async with open_notes(db_path) as db:
        notes = Notes(db)
        await notes.put("", "kept")
        await in_child(_COPY, db_path, backup)
        db_path.unlink()
        with pytest.raises(DatabaseReplaced, match="is gone"):
            await notes.put("", "lost")
        for _ in range(3):
            health = await db.check()
            assert (health.well, health.state, health.connections) == (False, "failed", ())
            assert "is gone" in str(health.outage)
        assert not db_path.exists()
        shutil.copy(backup, db_path)  # nothing has it open
        await until_open(db)
        assert await notes.bodies() == ["kept"]


async def test_a_file_that_does_not_fit_is_not_served(db_path: Path) -> None:
    other = db_path.with_name("other.db")
    await in_child(_OTHER, other)
    async with open_notes(db_path) as db:
        await Notes(db).put("", "kept")
        other.replace(db_path)
        with pytest.raises(DatabaseReplaced):
            await Notes(db).put("", "lost")
        await db.check()
        outage = db._pool.outage
        assert outage is not None
        assert "does not fit the declared queries" in str(outage.latest)
        assert db.stats().state == "failed"
    assert await read_file(db_path, "SELECT name FROM sqlite_schema") == [("other",)]


async def test_a_new_connection_does_not_open_another_file(db_path: Path) -> None:
    """It would answer from another file than the others do."""
    backup = db_path.with_name("backup.db")
    async with open_notes(db_path, pool=PoolConfig(max_readers=3)) as db:
        await Notes(db).put("", "kept")
        await in_child(_COPY, db_path, backup)
        backup.rename(db_path)
        async with db.snapshot() as snap:
            assert await Notes(snap).count() == 1  # reading compares no files
            with pytest.raises(DatabaseReplaced):
                async with db.snapshot():  # for which a second reader is opened
                    raise AssertionError
        await until_open(db)
        await Notes(db).put("", "new")


async def test_the_wal_of_another_file_is_not_applied(db_path: Path) -> None:
    """A child keeps the WAL in use, so that it can't be emptied into the earlier file."""
    backup = db_path.with_name("backup.db")
    async with open_notes(db_path) as db:
        await Notes(db).put("", "in the backup")
        await in_child(_COPY, db_path, backup)
        await Notes(db).put("", "later")
        wal = Path(f"{db_path}-wal")
        with view_held(db_path):
            backup.rename(db_path)
            with pytest.raises(DatabaseReplaced):
                await Notes(db).put("", "lost")
            await db.check()
            outage = db._pool.outage
            assert outage is not None
            assert f"{wal} beside it belongs to the earlier one" in str(outage.latest)
        wal.rename(wal.with_name("moved away"))
        await until_open(db)
        assert await Notes(db).bodies() == ["in the backup"]


async def test_a_snapshot_does_not_keep_the_wal_from_its_file(db_path: Path) -> None:
    """The writer notices first, and waits for the readers, which are ended."""
    backup = db_path.with_name("backup.db")
    kept = db_path.with_name("kept.db")
    async with open_notes(db_path) as db:
        await Notes(db).put("", "in the backup")
        await in_child(_COPY, db_path, backup)
        await Notes(db).put("", "later")
        async with db.snapshot() as snap:
            assert await Notes(snap).count() == 2
            db_path.rename(kept)
            backup.rename(db_path)
            with pytest.raises(DatabaseReplaced):
                await Notes(db).put("", "lost")
            await until_open(db)
        assert await Notes(db).bodies() == ["in the backup"]
    assert {"in the backup", "later"} <= set(await bodies_in(kept))


async def test_the_only_connection_may_be_renewed(db_path: Path) -> None:
    """Its WAL goes with it, and the next one makes another."""
    pool = PoolConfig(max_readers=0, max_lifetime=0.001)
    async with open_notes(db_path, pool=pool) as db:
        with trio.fail_after(60):
            for number in range(1000):
                await Notes(db).put("", str(number))
                if db.stats().writers.replaced > 3:
                    break
                await trio.sleep(0.001)
        assert db.stats().state == "open"
        assert db.stats().writers.replaced > 3


# -- a damaged file --------------------------------------------------------------------------------


def smash(path: Path) -> None:
    """Overwrite the second half, where the notes are, by a descriptor of a child's."""
    source = (
        "import os, sys; f = os.open(sys.argv[1], os.O_RDWR);"
        " half = os.fstat(f).st_size // 2; os.pwrite(f, b'\\xa5' * half, half)"
    )
    assert not run_child("-c", source, path).returncode


async def test_a_damaged_file_stops_the_answers_until_it_is_restored(db_path: Path) -> None:
    async with open_notes(db_path, wal_size_limit=4096) as db:
        notes = Notes(db)
        for number in range(50):
            await notes.put("", f"{number:0>500}")
    shutil.copy(db_path, db_path.with_name("backup.db"))
    smash(db_path)
    async with open_notes(db_path) as db:
        notes = Notes(db)
        with pytest.raises(DatabaseCorrupt):
            await notes.bodies()
        assert db.stats().state == "failed"
        with pytest.raises(DatabaseCorrupt, match="out of service"):
            await notes.put("", "refused")
        created = db.stats().readers.created
        for _ in range(3):
            assert not (await db.check()).well
        assert db.stats().readers.created == created  # no storm of connections
        db_path.with_name("backup.db").rename(db_path)
        await until_open(db)
        assert await notes.count() == 50


# -- a thread that does not come back --------------------------------------------------------------


class Slow(Repository):
    @query("SELECT hang(:n)")
    async def read(self, n: int) -> int: ...

    @query("INSERT INTO counter VALUES (hang(:n))")
    async def write(self, n: int) -> None: ...


async def test_a_writer_stuck_in_a_transaction_is_named_and_reads_go_on(db_path: Path) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def hang(n: int) -> int:
        reached.set()
        assert let_go.wait(60)
        return n

    pool = PoolConfig(health_check_timeout=0.05)
    functions = {"hang": SqlFunction(call=hang, arguments=1)}
    async with open_notes(db_path, Slow, pool=pool, functions=functions) as db:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Slow(db).write, 1)
                await until(reached.is_set)
                scope.cancel()
        assert scope.cancelled_caught
        with pytest.raises(DatabaseLocked, match=r"writer 1 is stuck in Slow\.write for"):
            await Notes(db).put("", "refused")
        assert await Notes(db).count() == 0
        let_go.set()
        with trio.fail_after(60):
            while db._pool.writers.stuck:
                await trio.lowlevel.checkpoint()
        await Notes(db).put("", "kept")
        assert await Notes(db).counted() == 0  # what was cancelled left nothing
    assert await bodies_in(db_path) == ["kept"]


# -- with nothing wrong ----------------------------------------------------------------------------


async def test_probes_leave_no_trace(db_path: Path) -> None:
    pool = PoolConfig(min_readers=2, health_check_interval=0.001)
    async with open_notes(db_path, pool=pool) as db:
        notes = Notes(db)
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(_put_some, notes, number)
            for _ in range(20):
                assert (await db.check()).well
        assert await notes.count() == 100
        await assert_healthy(db)


async def _put_some(notes: Notes, number: int) -> None:
    for turn in range(20):
        await notes.put("", f"{number}-{turn}")


async def test_memory_is_checked_too() -> None:
    async with open_notes(":memory:") as db:
        health = await db.check()
        assert [one.name for one in health.connections] == ["writer 1"]
        assert health.well
