"""What `Database.live` and `Database.changes` refuse, and how they end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.live import has_item, settled
from tests.notes import Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import (
    ChangeFeed,
    Database,
    ForeignAwait,
    Live,
    MappingError,
    PoolClosed,
    PoolConfig,
    ReadOnlySession,
    ReentrantUse,
    Repository,
    SessionEnded,
    SessionError,
    query,
    snapshot,
)
from trio_sqlrepo.testing import LeakGuard


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any) -> Any:
        raise AssertionError  # it is never called

    return wrapper


class Odd(Repository):
    @wrapped
    @query("SELECT n FROM counter")
    async def wrapped(self) -> int: ...

    @query("SELECT count(*) FROM note WHERE box = :box")
    async def count(self, box: str) -> int: ...

    @query("SELECT last_insert_rowid()")
    async def last(self) -> int: ...

    @snapshot
    async def each(self, boxes: Any) -> list[int]:
        return [await self.count(box) for box in boxes]

    @snapshot
    async def within(self, db: Any) -> None:
        async with db.live(Notes(db).count):
            pass

    @snapshot
    async def stepping(self, iteration: Any) -> None:
        await anext(iteration)

    async def plain(self) -> int:
        raise AssertionError  # it is never called


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path, Odd, pool=PoolConfig(max_readers=1)) as database:
        yield database


# -- which calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda db: Odd(db).plain, r"it was given Odd\.plain"),
        (lambda db: Odd.count, r"it was given Odd\.count"),
        (lambda db: len, "it was given len"),
        (lambda db: 5, "it was given 5"),
        (lambda db: Odd(db).wrapped, "wrapped in a decorator of another kind"),
    ],
)
async def test_only_declared_methods(call: Any, says: str, db: Database) -> None:
    with pytest.raises(TypeError, match=says):
        db.live(call(db))


async def test_a_call_that_was_made_is_none(db: Database) -> None:
    coroutine: Any = Odd(db).count("a")
    with pytest.raises(TypeError, match="Do not call it yourself"):
        db.live(coroutine)
    coroutine.close()


async def test_a_plain_def_gives_no_whole_values(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "iscoroutinefunction", lambda function: False)
    with pytest.raises(TypeError, match="bit by bit"):
        db.live(Odd(db).count, "a")


@pytest.mark.parametrize("name", ["put", "increment", "put_two"])
async def test_nothing_that_writes(name: str, db: Database) -> None:
    arguments = {"put": ("a", "b"), "increment": (), "put_two": ("a", "b", "c")}[name]
    with pytest.raises(ReadOnlySession, match=rf"Notes\.{name} writes, and db.live\(\) runs"):
        db.live(getattr(Notes(db), name), *arguments)
    with pytest.raises(ReadOnlySession, match=r"Odd\.last writes"):
        db.live(Odd(db).last)
    assert await Notes(db).count() == 0


async def test_only_repositories_of_this_database(db: Database, tmp_path: Path) -> None:
    async with open_notes(tmp_path / "other.db") as other:
        with pytest.raises(SessionError, match=r"Notes\.count is of one that is bound to <Datab"):
            db.live(Notes(other).count)
    async with db.snapshot() as snap:
        with pytest.raises(SessionError, match=r"bound to <Snapshot open>. Use Notes\(db\)"):
            db.live(Notes(snap).count)
    async with db.transaction() as tx:
        with pytest.raises(SessionError, match="bound to <Transaction open>"):
            db.live(Notes(tx).count)


async def test_arguments_are_checked_at_once(db: Database) -> None:
    with pytest.raises(TypeError, match=r"Odd\.count\(\) missing 1 required"):
        db.live(Odd(db).count)  # type: ignore[call-arg]  # the point
    with pytest.raises(MappingError, match=r"Odd\.count: parameter `box`"):
        db.live(Odd(db).count, 5)  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match="its body may run a second time"):
        db.live(Odd(db).each, iter(["a"]))
    async with db.live(Odd(db).count, box="a") as count:
        assert await anext(count) == 0


async def test_not_in_a_body(db: Database) -> None:
    with pytest.raises(ForeignAwait):
        await Odd(db).within(db)
    async with db.live(Notes(db).count) as count:
        with pytest.raises(ForeignAwait):
            await Odd(db).stepping(count)
        assert await anext(count) == 0


def test_nobody_makes_one() -> None:
    for kind in (Live, ChangeFeed):
        with pytest.raises(TypeError, match="stands behind `as`"):
            kind()


async def test_their_reprs_tell_their_state(db: Database) -> None:
    live = db._pool.live
    async with db.live(Notes(db).count) as count, db.changes() as changes:
        await settled(db)
        assert repr(count) == "<Live: <Watcher of db.live(Notes.count), has a value>>"
        await anext(count)
        assert repr(count) == "<Live: <Watcher of db.live(Notes.count), waits>>"
        assert repr(changes).startswith("<ChangeFeed: <Feed Footprint(")
        assert repr(live) == "<LiveQueries 1 watchers, 0 dirty, 1 feeds>"
    assert repr(live) == "<LiveQueries 0 watchers, 0 dirty, 0 feeds>"


# -- their end -----------------------------------------------------------------------------------


async def test_they_end_with_their_block(db: Database) -> None:
    async with db.live(Notes(db).count) as count, db.changes() as changes:
        await anext(count)
    for iteration in (count, changes):
        with pytest.raises(SessionEnded, match="has ended"):
            await anext(iteration)
    assert not db._pool.writers.watched


async def test_who_waits_in_another_task_is_told_that_the_block_was_left(db: Database) -> None:
    async def wait() -> None:
        with pytest.raises(SessionEnded, match=r"db.changes\(\) has ended"):
            await anext(changes)

    async with trio.open_nursery() as nursery, db.changes() as changes:
        nursery.start_soon(wait)
        await until(lambda: changes._subscription._taken_by)


async def test_one_task_at_a_time(db: Database) -> None:
    async with db.changes() as changes, trio.open_nursery() as nursery:
        nursery.start_soon(anext, changes)
        await until(lambda: changes._subscription._taken_by)
        with pytest.raises(SessionError, match="Two tasks wait"):
            await anext(changes)
        await Notes(db).put("a", "one")


@pytest.mark.parametrize("waits", [True, False])
async def test_they_end_with_the_pool(waits: bool, db_path: Path) -> None:
    ended: list[Any] = []

    async def watch(open_it: Callable[[], Any]) -> None:
        async with open_it() as iteration:
            if isinstance(iteration, Live):
                await anext(iteration)
            started.append(iteration)
            if not waits:
                await closed.wait()
            with pytest.raises(PoolClosed):
                await anext(iteration)
            ended.append(iteration)

    started: list[Any] = []
    closed = trio.Event()
    async with trio.open_nursery() as nursery:
        async with open_notes(db_path) as db:
            nursery.start_soon(watch, lambda: db.live(Notes(db).count))
            nursery.start_soon(watch, db.changes)
            await until(lambda: len(started) == 2)
        closed.set()
    assert len(ended) == 2


async def test_nothing_is_entered_when_the_pool_has_ended(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        notes = Notes(db)
    for block in (db.live(notes.count), db.changes()):
        with pytest.raises(PoolClosed):
            async with block:
                pass


async def test_a_pool_closes_while_a_look_is_under_way(db_path: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(drain_timeout=0.0)) as db:
        block = db.live(Notes(db).count)
        await block.__aenter__()
        assert db._pool.live._dirty
    with pytest.raises(PoolClosed):
        async with db.changes():
            pass
    await block.__aexit__(None, None, None)


async def test_a_step_that_is_cancelled_has_taken_nothing(db: Database) -> None:
    async with db.live(Notes(db).count) as count, db.changes() as changes:
        await Notes(db).put("a", "one")
        await settled(db)
        for iteration in (count, changes):
            with trio.move_on_after(0) as scope:
                await anext(iteration)
            assert scope.cancelled_caught
            assert has_item(iteration)
        assert await anext(count) == 1
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(anext, count)
                await until(lambda: count._subscription._taken_by)
                scope.cancel()
        await Notes(db).put("a", "two")
        assert await anext(count) == 2
    await assert_healthy(db)


async def test_entering_is_a_checkpoint_that_can_be_cancelled(db: Database) -> None:
    for block in (db.live(Notes(db).count), db.changes()):
        with trio.move_on_after(0) as scope:
            async with block:
                raise AssertionError  # it was entered
        assert scope.cancelled_caught
    assert not db._pool.writers.watched


async def test_they_leave_nothing_behind(db: Database, db_path: Path, tmp_path: Path) -> None:
    async with db.live(Notes(db).count) as count:
        await anext(count)
        await settled(db)
    async with LeakGuard(db):
        async with db.live(Notes(db).count_twice) as twice, db.changes():
            await anext(twice)
        await settled(db)
    async with (
        LeakGuard(),
        open_notes(tmp_path / "another.db") as other,
        other.live(Notes(other).count) as count,
    ):
        await anext(count)


@pytest.mark.parametrize("path", [":memory:", None])
async def test_nobody_waits_for_what_he_holds(path: str | None, db_path: Path) -> None:
    async with (
        open_notes(path or db_path, pool=PoolConfig(max_readers=0)) as db,
        db.live(Notes(db).count) as count,
    ):
        async with db.transaction():
            with pytest.raises(ReentrantUse, match="waits for the only connection"):
                await anext(count)
        assert await anext(count) == 0


async def test_a_transaction_may_be_open_where_there_is_a_connection(db: Database) -> None:
    async with db.live(Notes(db).count) as count, db.transaction() as tx:
        await Notes(tx).put("a", "one")
        assert await anext(count) == 0  # what is committed


async def test_the_connection_is_closed_when_it_was_idle_for_long(db: Database) -> None:
    lane = db._pool.live.lane
    assert lane is not None
    assert not lane.workers
    async with db.live(Notes(db).count) as count:
        await anext(count)
        (worker,) = lane.workers
        assert {each.lane for each in (await db.check()).connections} == {
            "reader", "writer", "observer",
        }  # fmt: skip
        await until(lambda: worker in lane.idle)
        lane.dismiss(worker)  # as `watch_ages` does
        worker.wake()
        await Notes(db).put("a", "one")
        assert await anext(count) == 1
        assert lane.workers != [worker]
