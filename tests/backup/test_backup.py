"""`Database.backup`: one committed state, under its name whole and verified or not at all."""

from __future__ import annotations

import contextvars
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.backup.support import (
    PAGES,
    assert_nothing,
    assert_serves,
    assert_sound,
    fill,
)
from tests.notes import Notes, open_notes
from tests.support import read_in_child, run_child
from tests.waiting import until
from trio_sqlrepo import (
    BackupError,
    BackupProgress,
    Database,
    DatabaseReplaced,
    PoolClosed,
    PoolConfig,
    SqlFunction,
    open_database,
)
from trio_sqlrepo._pool.wal import oldest_reader
from trio_sqlrepo.testing import LeakGuard

POOLS = {"readers": PoolConfig(), "one connection": PoolConfig(max_readers=0)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.db"


# -- the copy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
async def test_it_holds_all_that_was_acknowledged(pool: str, db_path: Path, copy: Path) -> None:
    async with open_notes(db_path, pool=POOLS[pool]) as db:
        await db.write(fill)
        async with LeakGuard(db):
            await Notes(db).put("box", "before")
            await db.backup(copy)
            await Notes(db).put("box", "after")
        await assert_serves(db)
        assert_sound(copy)
        assert read_in_child(copy, "SELECT body FROM note") == [("before",)]
    async with open_notes(copy) as db:
        assert await Notes(db).bodies() == ["before"]
        assert await db.execute("SELECT count(*) FROM filling") == [(PAGES,)]


async def test_a_database_in_memory_is_copied(copy: Path) -> None:
    async with open_notes(":memory:") as db:
        await Notes(db).put("box", "before")
        async with LeakGuard(db):
            await db.backup(str(copy))
        await Notes(db).put("box", "after")
        assert await Notes(db).bodies() == ["before", "after"]
    assert_sound(copy)
    assert read_in_child(copy, "SELECT body FROM note") == [("before",)]


@pytest.mark.parametrize("path", [":memory:", "file"])
async def test_an_empty_database_is_one_as_well(path: str, tmp_path: Path, copy: Path) -> None:
    heard: list[BackupProgress] = []
    async with open_database(tmp_path / path if path == "file" else path) as db:
        await db.backup(copy, progress=heard.append)
    assert all(each.fraction == 1.0 for each in heard)
    assert read_in_child(copy, "SELECT * FROM sqlite_schema") == []
    assert_sound(copy)


async def test_who_may_read_the_database_may_read_the_copy(db_path: Path, copy: Path) -> None:
    async with open_notes(db_path) as db:
        db_path.chmod(0o600)
        await db.backup(copy)
        assert copy.stat().st_mode & 0o777 == 0o600
        db_path.chmod(0o644)
        await db.backup(copy, overwrite=True)
        assert copy.stat().st_mode & 0o777 == 0o644


async def test_under_load_it_is_a_prefix_of_what_was_committed(db_path: Path, copy: Path) -> None:
    acknowledged: list[int] = []
    done = False

    async def write(db: Database, name: int) -> None:
        number = 0
        while not done:
            note = await Notes(db).add("box", f"{name}/{number}")
            acknowledged.append(note.id)
            number += 1

    async with open_notes(db_path) as db:
        await db.write(fill)
        async with trio.open_nursery() as nursery:
            for name in range(4):
                nursery.start_soon(write, db, name)
            for attempt in range(3):
                before = max(acknowledged, default=0)
                await db.backup(copy, overwrite=attempt > 0)
                after = await Notes(db).count()
                assert_sound(copy)
                ids = [id for (id,) in read_in_child(copy, "SELECT id FROM note ORDER BY id")]
                assert ids == list(range(1, len(ids) + 1))
                assert before <= len(ids) <= after
            done = True
        assert len(acknowledged) == await Notes(db).count()


async def test_two_at_once_are_made_one_after_the_other(db_path: Path, copy: Path) -> None:
    heard: list[str] = []
    states: list[str] = []

    async def make(db: Database, name: str) -> None:
        def hear(_: BackupProgress) -> None:
            heard.append(name)
            states.append(repr(db._pool.backups))

        await db.backup(copy.with_name(name), progress=hear)

    async with open_notes(db_path) as db:
        await db.write(fill)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make, db, "a")
            nursery.start_soon(make, db, "b")
        await assert_serves(db)
        assert repr(db._pool.backups) == "<Backups 0 waiting>"
    assert states[0] == "<Backups 1 waiting>"
    first, second = dict.fromkeys(heard)
    assert heard == [first] * heard.count(first) + [second] * heard.count(second)
    for name in "ab":
        assert_sound(copy.with_name(name))


async def test_its_connection_is_closed_after_it(db_path: Path, copy: Path) -> None:
    async with open_notes(db_path) as db:
        await db.backup(copy)
        assert db._pool.backups is not None
        lane = db._pool.backups.lane
        assert lane is not None
        with trio.fail_after(10):
            await until(lambda: not lane.workers)


# -- progress ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [":memory:", "file"])
async def test_progress_is_heard_on_the_loop_in_the_callers_context(
    path: str, tmp_path: Path, copy: Path
) -> None:
    where = contextvars.ContextVar("where", default="elsewhere")
    heard: list[BackupProgress] = []
    told: set[tuple[int, str]] = set()

    def hear(progress: BackupProgress) -> None:
        heard.append(progress)
        told.add((threading.get_ident(), where.get()))

    async with open_notes(tmp_path / path if path == "file" else path) as db:
        await db.write(fill)
        where.set("here")
        await db.backup(copy, progress=hear)
    assert told == {(threading.get_ident(), "here")}
    assert {each.pages_total for each in heard} == {heard[0].pages_total}
    assert heard[0].pages_total > PAGES
    assert heard[0].pages_done == 64
    done = [each.pages_done for each in heard]
    assert done == sorted(done)
    assert [each.stage for each in heard[-2:]] == ["copying", "verifying"]
    assert [each.stage for each in heard].count("verifying") == 1
    assert [each.fraction for each in heard[-2:]] == [1.0, 1.0]


@pytest.mark.parametrize("path", [":memory:", "file"])
@pytest.mark.parametrize("stage", ["copying", "verifying"])
async def test_what_progress_raises_ends_the_backup(
    stage: str, path: str, tmp_path: Path, copy: Path
) -> None:
    error = LookupError("mine")

    def fail(progress: BackupProgress) -> None:
        if progress.stage == stage:
            raise error

    async with open_notes(tmp_path / path if path == "file" else path) as db:
        await db.write(fill)
        with pytest.raises(LookupError) as caught:
            await db.backup(copy, progress=fail)
        assert caught.value is error
        assert_nothing(copy)
        await assert_serves(db)


async def test_the_governor_knows_who_keeps_the_wal(db_path: Path, copy: Path) -> None:
    found: list[Any] = []
    async with open_notes(db_path) as db:
        await db.backup(copy, progress=lambda _: found.append(oldest_reader(db._pool)))
    task = trio.lowlevel.current_task().name
    assert found[0][0] == f"Database.backup of task {task!r}"


async def test_a_backup_is_no_slow_operation(db_path: Path, copy: Path) -> None:
    found: list[dict[str, float]] = []
    async with open_notes(db_path) as db:
        observer = db._pool.observer
        later = trio.current_time() + 1000
        await db.backup(copy, progress=lambda _: found.append(observer._running(later, 30.0)))
    assert found
    assert not any(found)


# -- when something is wrong -------------------------------------------------------------------


async def test_a_closed_database_makes_none(db_path: Path, copy: Path) -> None:
    for path in (db_path, ":memory:"):
        async with open_notes(path) as db:
            pass
        with pytest.raises(PoolClosed):
            await db.backup(copy)
        assert_nothing(copy)


async def test_a_replaced_database_is_not_copied(db_path: Path, tmp_path: Path, copy: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(drain_timeout=0.0)) as db:
        db_path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(DatabaseReplaced):
            await db.backup(copy)
        # And the pool knows it now.
        assert db.stats().state == "failed"
        with pytest.raises(DatabaseReplaced, match="out of service"):
            await db.backup(copy)
    assert_nothing(copy)


MISINDEX = """
import apsw, sys
execute = apsw.Connection(sys.argv[1]).execute
execute("CREATE TABLE t (x, y)")
execute("CREATE INDEX i ON t (x)")
execute("INSERT INTO t VALUES (1, 2)")
execute("PRAGMA writable_schema = ON").fetchall()
execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t (y)' WHERE name = 'i'")
"""


async def test_a_damaged_copy_is_none(db_path: Path, copy: Path) -> None:
    assert run_child("-c", MISINDEX, db_path).returncode == 0
    async with open_database(db_path) as db:
        with pytest.raises(BackupError, match="is damaged; PRAGMA integrity_check says: row 1 mis"):
            await db.backup(copy)
        assert_nothing(copy)
        assert db.stats().state == "open"


UNCHECKED = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("CREATE TABLE t (x CHECK (x > 0), y NOT NULL)").fetchall()
connection.execute("PRAGMA ignore_check_constraints = ON").fetchall()
connection.execute("INSERT INTO t VALUES (-1, 2)").fetchall()
"""


async def test_rows_that_break_a_rule_are_copied_as_they_are(db_path: Path, copy: Path) -> None:
    assert run_child("-c", UNCHECKED, db_path).returncode == 0
    async with open_database(db_path) as db:
        await db.backup(copy)
    assert read_in_child(copy, "SELECT x FROM t") == [(-1,)]


async def test_closing_ends_a_backup_that_is_under_way(db_path: Path, copy: Path) -> None:
    """It is caught in its verification, by a CHECK constraint that waits."""
    verifying, released = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def tick(_: object) -> bool:
        if threading.current_thread().name == "trio_sqlrepo backup 1":
            verifying.set()
            assert released.wait(60)
        return True

    async def make(db: Database) -> None:
        with pytest.raises(PoolClosed) as refused:
            await db.backup(copy)
        caught.append(refused.value)

    def prepare(connection: Any) -> None:
        connection.execute("CREATE TABLE t (x CHECK (tick(x)))")
        connection.execute(
            "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
            " INSERT INTO t SELECT i FROM n"
        )

    functions = {"tick": SqlFunction(call=tick, deterministic=True, innocuous=True)}
    opened = open_notes(db_path, pool=PoolConfig(drain_timeout=0.0), functions=functions)
    async with trio.open_nursery() as nursery, opened as db:
        await db.write(prepare)
        nursery.start_soon(make, db)
        await until(verifying.is_set)
        nursery.start_soon(_release_when_closed, db, released)
    assert len(caught) == 1
    assert_nothing(copy)


async def _release_when_closed(db: Database, released: threading.Event) -> None:
    await until(lambda: db.stats().state == "closed")
    released.set()
