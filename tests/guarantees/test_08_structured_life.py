"""Guarantee 8: when the block ends no thread, task, file or lock remains."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.guarantees.support import Begun, Endless, open_endless, write_lock_held
from tests.notes import Notes, open_notes, pool_threads
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DeclarationError,
    MigrationError,
    OpenError,
    PoolClosed,
    PoolConfig,
    Repository,
    open_database,
    query,
)

DESCRIPTORS = Path("/proc/self/fd")


def descriptors() -> list[str]:
    """What this process has open. Their numbers may differ, what they are may not."""
    if not DESCRIPTORS.exists():
        return []
    targets = []
    for entry in os.listdir(DESCRIPTORS):  # noqa: PTH208  # each of them is a link
        try:
            targets.append(str((DESCRIPTORS / entry).readlink()).split(":")[0])
        except FileNotFoundError:  # the listing's own
            continue
    return sorted(targets)


def child_tasks() -> set[str]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    found, rest = set(), [root]
    while rest:
        task = rest.pop()
        found.add(task.name)
        rest += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


@asynccontextmanager
async def nothing_left(path: Path) -> AsyncIterator[None]:
    await trio.to_thread.run_sync(int)  # its first use opens what trio keeps
    gc.collect()
    files, tasks = descriptors(), child_tasks()
    assert pool_threads() == []
    yield
    assert pool_threads() == []
    assert descriptors() == files
    assert child_tasks() == tasks
    for suffix in ("-wal", "-shm", "-journal"):
        assert not path.with_name(path.name + suffix).exists()
    if path.exists():
        with write_lock_held(path):
            pass


async def use(db: Database) -> None:
    """All readers open, a snapshot and a transaction have been held."""
    async with db.snapshot() as snap, db.snapshot(), db.transaction() as tx:
        await Notes(tx).put("", "x")
        await Notes(snap).count()
    assert len(pool_threads()) > 2


async def test_nothing_remains(db_path: Path) -> None:
    async with nothing_left(db_path):
        async with open_notes(db_path, pool=PoolConfig(min_readers=3, max_writers=2)) as db:
            await use(db)
        assert db.stats().state == "closed"
        with pytest.raises(PoolClosed):
            await Notes(db).count()


def made(kind: str) -> BaseException:
    match kind:
        case "exception":
            return LookupError("mine")
        case "group":
            return ExceptionGroup("mine", [LookupError("one"), OSError("two")])
        case "keyboard":
            return KeyboardInterrupt()
        case _:
            return SystemExit(3)


@pytest.mark.parametrize("kind", ["exception", "group", "keyboard", "exit"])
async def test_the_blocks_own_error_leaves_as_itself(kind: str, db_path: Path) -> None:
    error = made(kind)
    caught: BaseException | None = None
    async with nothing_left(db_path):
        try:
            async with open_notes(db_path, pool=PoolConfig(min_readers=2)) as db:
                await use(db)
                raise error
        except BaseException as raised:
            caught = raised
        assert caught is error
        assert caught.__cause__ is None
        assert caught.__context__ is None
    if isinstance(error, ExceptionGroup):
        assert [type(each) for each in error.exceptions] == [LookupError, OSError]


@pytest.mark.parametrize("where", ["block", "transaction", "snapshot"])
async def test_an_outer_cancellation_leaves_as_itself(where: str, db_path: Path) -> None:
    caught: BaseException | None = None
    async with nothing_left(db_path):
        with trio.CancelScope() as scope:
            try:
                async with open_notes(db_path) as db:
                    await use(db)
                    if where == "block":
                        scope.cancel()
                        await trio.sleep_forever()
                    session = db.transaction() if where == "transaction" else db.snapshot()
                    async with session as opened:
                        scope.cancel()
                        await opened.execute("SELECT 1")
            except BaseException as raised:
                caught = raised
                raise
        assert scope.cancelled_caught
        assert type(caught) is trio.Cancelled


async def test_calls_that_run_on_are_ended(db_path: Path) -> None:
    """Their tasks outlive the block: each call is interrupted, and says why."""
    begun = Begun()
    raised: list[type[BaseException]] = []

    async def run(db: Database, kind: str) -> None:
        try:
            await (Endless(db).read() if kind == "read" else Endless(db).write())
        except PoolClosed as error:
            raised.append(type(error))

    async with nothing_left(db_path), trio.open_nursery() as nursery:
        async with open_endless(db_path, begun, pool=PoolConfig(drain_timeout=0)) as db:
            nursery.start_soon(run, db, "read")
            nursery.start_soon(run, db, "write")
            await until(lambda: begun.count == 2)
        await until(lambda: len(raised) == 2)


class Misspelt(Repository):
    @query("SELECT boddy FROM note")
    async def bodies(self) -> list[str]: ...


async def test_an_error_while_opening_leaves_nothing(db_path: Path) -> None:
    async with nothing_left(db_path):
        with pytest.raises(DeclarationError, match=r"Misspelt\.bodies"):
            async with open_notes(db_path, Misspelt):
                pytest.fail("it opened")
        with pytest.raises(MigrationError):
            async with open_database(db_path, migrations=["SELECT nonsense"]):
                pytest.fail("it opened")
        with pytest.raises(OpenError):
            async with open_database(db_path / "below"):
                pytest.fail("it opened")
        with trio.CancelScope() as scope:
            scope.cancel()
            async with open_notes(db_path):
                pytest.fail("it opened")
        assert scope.cancelled_caught
    text = db_path.with_name("text")
    text.write_text("no database\n" * 1000)
    async with nothing_left(db_path):
        with pytest.raises(OpenError):
            async with open_database(text):
                pytest.fail("it opened")
    assert text.read_text() == "no database\n" * 1000
