"""`LeakGuard`: each kind of leak is planted and found, and what is none is let pass."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from tests.notes import Notes, do_nothing, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, DatabaseReplaced, PoolConfig
from trio_sqlrepo._sqlite.identity import FileIdentity
from trio_sqlrepo.testing import LeakGuard, _leaks

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no names of descriptors")
ENDLESS = "WITH RECURSIVE e(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM e) SELECT n FROM e"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine what is on its way may take its time."""
    monkeypatch.setattr(_leaks, "_PATIENCE", 60.0)


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    pool = PoolConfig(min_readers=1, max_readers=3)
    async with open_notes(db_path, pool=pool) as database:
        await until(lambda: database._pool.readers.idle and database._pool.writers.idle)
        yield database


def impatient() -> Any:
    """What is planted stays: waiting for it would be in vain."""
    return mock.patch.object(_leaks, "_PATIENCE", 0.05)


@contextmanager
def failing(pattern: str) -> Iterator[pytest.ExceptionInfo[AssertionError]]:
    with pytest.raises(AssertionError, match=pattern) as caught, impatient():
        yield caught


def connections(db: Database) -> list[Any]:
    return [w.driver._connection for lane in db._pool.lanes for w in lane.workers]  # type: ignore[union-attr]


# -- threads and descriptors ---------------------------------------------------------------------


def test_a_thread_that_goes_on() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="the planted one")
    try:
        with failing("left behind") as caught, LeakGuard():
            thread.start()
        assert str(caught.value) == "The block has left behind:\n  the thread 'the planted one'"
    finally:
        release.set()
        thread.join()


def test_a_thread_that_is_about_to_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    looks = 0
    names = _leaks._thread_names

    def look() -> Any:
        nonlocal looks
        looks += 1
        if looks == 4:  # before, at the end, after collecting, and again
            release.set()
        return names()

    monkeypatch.setattr(_leaks, "_thread_names", look)
    with LeakGuard():
        threading.Thread(target=release.wait).start()
    assert looks >= 4


@on_linux
def test_a_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "left open"
    path.touch()
    descriptors: list[int] = []
    try:
        with failing(r"a descriptor of .*/left open \(2 times\)$"), LeakGuard():
            descriptors += [os.open(path, os.O_RDONLY) for _ in range(2)]
        with failing(r"left behind:\n  a descriptor of a pipe \(2 t"), LeakGuard():
            descriptors += os.pipe()
        with LeakGuard():  # others of the same kind, and no more of them
            os.close(descriptors.pop())
            os.close(descriptors.pop())
            descriptors += os.pipe()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@on_linux
def test_what_waits_for_the_collector_is_no_leak(tmp_path: Path) -> None:
    class Holder:
        def __init__(self) -> None:
            self.descriptor = os.open(tmp_path, os.O_RDONLY)
            self.itself = self  # only the collector frees it

        def __del__(self) -> None:
            os.close(self.descriptor)

    with LeakGuard():
        Holder()


def test_where_descriptors_have_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_leaks, "_LISTINGS", (Path("/nowhere"), Path("/dev/fd")))
    read_end, write_end = -1, -1
    try:
        with failing(r"a descriptor of a file \(2 times\)$"), LeakGuard():
            read_end, write_end = os.pipe()
    finally:
        os.close(read_end)
        os.close(write_end)


def test_where_descriptors_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_leaks, "_LISTINGS", (Path("/nowhere"), Path("/nowhere else")))
    with LeakGuard():
        ends = os.pipe()
    for end in ends:
        os.close(end)


async def test_a_database_leaves_nothing(db_path: Path) -> None:
    """Neither does trio, though it keeps the threads for a while."""
    with LeakGuard():
        async with open_notes(db_path) as db:
            await Notes(db).put("b", "x")
    async with LeakGuard(), open_notes(db_path) as db, db.snapshot(), db.snapshot() as snap:
        await Notes(snap).count()


async def test_a_database_left_open(db_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with failing("left behind") as caught:
            async with LeakGuard():
                await stack.enter_async_context(open_notes(db_path))
    assert "the thread 'trio_sqlrepo writer 1'" in str(caught.value)
    if Path("/proc/self/fd").is_dir():
        assert f"a descriptor of {db_path.resolve()}" in str(caught.value)


# -- a live database -----------------------------------------------------------------------------


async def test_a_database_in_use_leaves_nothing(db: Database) -> None:
    """It grows meanwhile: threads and descriptors of its own are no leak."""
    async with LeakGuard(db):
        async with db.snapshot() as snap, db.transaction() as tx:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(Notes(db).count)
            await Notes(tx).put("b", "x")
            async with db.snapshot():
                await Notes(snap).count()
        await db.read(do_nothing)
        await db.write(do_nothing)
    assert db.stats().readers.size > 1


async def test_what_was_open_before_is_no_leak(db: Database) -> None:
    async with db.transaction(), db.snapshot(), LeakGuard(db):
        await Notes(db).count()


async def held_open(db: Database, kind: str, task_status: trio.TaskStatus[None]) -> None:
    async with db.transaction() if kind == "writer" else db.snapshot():
        task_status.started()
        await trio.sleep_forever()


@pytest.mark.parametrize("kind", ["writer", "reader"])
async def test_a_session_that_another_task_holds(kind: str, db: Database) -> None:
    async with trio.open_nursery() as nursery:
        with failing(rf"an open .*held by task .*held_open.*{kind} 1"):
            async with LeakGuard(db):
                await nursery.start(held_open, db, kind)
        nursery.cancel_scope.cancel()


async def test_a_call_that_still_runs_or_waits(db: Database) -> None:
    release = threading.Event()
    async with trio.open_nursery() as nursery:
        with failing("left behind") as caught:
            async with LeakGuard(db):
                for _ in range(2):
                    nursery.start_soon(db.write, lambda _: release.wait())
                await until(lambda: db.stats().writers.waiting == 1)
        release.set()
    found = str(caught.value)
    assert "a call that has not ended on writer 1" in found
    assert "calls that wait for a writer connection" in found


async def test_a_call_that_is_about_to_end_is_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    async with trio.open_nursery() as nursery, LeakGuard(db):
        nursery.start_soon(db.write, lambda _: release.wait())
        await until(lambda: not db.stats().writers.idle)
        nursery.start_soon(_set_later, release)


async def _set_later(event: threading.Event) -> None:
    for _ in range(5):
        await trio.lowlevel.checkpoint()
    event.set()


def begin(connection: Any) -> Callable[[], object]:
    connection.execute("BEGIN")
    return lambda: connection.execute("ROLLBACK")


def read_half_way(connection: Any) -> Callable[[], object]:
    """In autocommit mode: it holds a view of the file, which no transaction shows."""
    connection.execute("BEGIN")
    cursor = connection.cursor().execute("SELECT name FROM sqlite_schema")
    connection.execute("COMMIT")
    return lambda: cursor.close(True)


def count_half_way(connection: Any) -> Callable[[], object]:
    """It reads no table, so it holds no view either."""
    cursor = connection.cursor().execute(ENDLESS)
    return lambda: cursor.close(True)


PLANTED = {
    "an open transaction": begin,
    "an open read transaction": read_half_way,
    "a statement that was not reset": count_half_way,
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("which", [0, 1], ids=["writer", "reader"])
async def test_what_a_connection_at_rest_must_not_have(kind: str, which: int, db: Database) -> None:
    connection = connections(db)[which]
    gate, connection.authorizer = connection.authorizer, None
    undo: Callable[[], object] | None = None
    with failing(f"{kind}.* on {'reader' if which else 'writer'} 1"):
        async with LeakGuard(db):
            undo = PLANTED[kind](connection)
    assert undo is not None
    undo()
    connection.authorizer = gate
    async with LeakGuard(db):
        await Notes(db).count()


async def test_looking_compiles_and_disturbs_nothing(db: Database) -> None:
    await Notes(db).count()
    drivers = [w.driver for lane in db._pool.lanes for w in lane.workers]
    before = [driver.compilations for driver in drivers]  # type: ignore[union-attr]
    async with LeakGuard(db):
        await Notes(db).put("b", "x")
    await Notes(db).bodies()
    assert [driver.compilations for driver in drivers] == before  # type: ignore[union-attr]
    assert db.stats().writers.replaced == db.stats().readers.replaced == 0


async def test_a_file_that_is_not_well_is_no_leak(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(_: object) -> None:
        raise DatabaseReplaced("It is gone.")

    async with LeakGuard(db):
        monkeypatch.setattr(FileIdentity, "check", replaced)
    monkeypatch.undo()


async def test_a_database_that_closes_within_the_block(db_path: Path) -> None:
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_notes(db_path))
        async with LeakGuard(db):
            await stack.aclose()


# -- how it speaks -------------------------------------------------------------------------------


def test_the_blocks_own_error_leaves_it_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="planted")
    try:
        with impatient(), pytest.raises(LookupError) as caught, LeakGuard():
            thread.start()
            raise LookupError
        assert caught.value.__notes__ == ["The block has left behind:\n  the thread 'planted'"]
        with pytest.raises(LookupError) as caught, LeakGuard():
            raise LookupError
        assert not hasattr(caught.value, "__notes__")
    finally:
        release.set()
        thread.join()


async def test_with_a_database_it_must_wait(db: Database) -> None:
    with pytest.raises(TypeError, match="async with"), LeakGuard(db):
        raise AssertionError


async def test_a_cancelled_block_is_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections come to rest, and the cancellation goes on."""
    release = threading.Event()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with LeakGuard(db):
                nursery.start_soon(db.write, lambda _: release.wait())
                await until(lambda: not db.stats().writers.idle)
                nursery.start_soon(_set_later, release)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_leak_of_a_cancelled_block_is_not_lost(grouped: bool) -> None:
    """The scope takes `Cancelled`, with any note on it."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="planted")
    try:
        with failing("planted"), trio.CancelScope() as scope:
            async with LeakGuard():
                thread.start()
                scope.cancel()
                if grouped:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(trio.lowlevel.checkpoint)
                        await trio.sleep_forever()
                await trio.lowlevel.checkpoint()
    finally:
        release.set()
        thread.join()


async def test_repr(db: Database, db_path: Path) -> None:
    assert repr(LeakGuard()) == "<LeakGuard of threads and descriptors>"
    assert repr(LeakGuard(db)) == f"<LeakGuard of {str(db_path)!r}>"
