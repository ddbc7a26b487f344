"""Guarantee 9: every wait has a bound and a deadline, and says what it waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.guarantees.support import Begun, Endless, open_endless
from tests.notes import NewNote, Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolConfig,
    PoolOverloaded,
    PoolTimeout,
    ReentrantUse,
    Repository,
    query,
    snapshot,
    transaction,
)


async def hold_writer(db: Database, let_go: trio.Event) -> None:
    async with db.transaction() as tx:
        await Notes(tx).count()
        await let_go.wait()


async def hold_reader(db: Database, let_go: trio.Event) -> None:
    async with db.snapshot():
        await let_go.wait()


@pytest.mark.parametrize("lane", ["writers", "readers"])
async def test_a_full_queue_refuses_at_once(lane: str, db_path: Path) -> None:
    """And lets in again as soon as somebody has left it."""
    let_go = trio.Event()
    pool = PoolConfig(max_waiting=3, max_readers=1)
    async with open_notes(db_path, pool=pool) as db:
        notes = Notes(db)

        async def call(number: int) -> None:
            await (notes.put("", str(number)) if lane == "writers" else notes.count())

        def waiting() -> int:
            return int(getattr(db.stats(), lane).waiting)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_writer if lane == "writers" else hold_reader, db, let_go)
            await until(lambda: getattr(db.stats(), lane).leased == 1)
            last = trio.CancelScope()

            async def leave() -> None:
                with last:
                    await call(99)

            nursery.start_soon(leave)
            nursery.start_soon(call, 1)
            nursery.start_soon(call, 2)
            await until(lambda: waiting() == 3)
            with pytest.raises(PoolOverloaded, match="3 calls wait"):
                await call(3)
            assert waiting() == 3
            last.cancel()
            await until(lambda: waiting() == 2)
            nursery.start_soon(call, 4)
            await until(lambda: waiting() == 3)
            let_go.set()
        assert getattr(db.stats(), lane).overloads == 1
        if lane == "writers":
            assert sorted(await notes.bodies()) == ["1", "2", "4"]
        await assert_healthy(db)


@pytest.mark.parametrize("lane", ["writers", "readers"])
async def test_a_timeout_names_who_holds_the_connection(
    lane: str, db_path: Path, mock_clock: MockClock
) -> None:
    begun = Begun()
    pool = PoolConfig(connection_timeout=30.0, max_readers=1, health_check_interval=1e6)
    outcomes: list[str] = []
    async with open_endless(db_path, begun, pool=pool) as db:

        async def hold_and_run() -> None:
            if lane == "writers":
                async with db.transaction() as tx:
                    await Endless(tx).write()
            else:
                async with db.snapshot() as snap:
                    await Endless(snap).read()

        async def wait() -> None:
            notes = Notes(db)
            with pytest.raises(PoolTimeout) as caught:
                await (notes.put("", "late") if lane == "writers" else notes.count())
            outcomes.append(str(caught.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_and_run, name="the task that holds it")
            await until(lambda: begun.count == 1)
            nursery.start_soon(wait)
            await until(lambda: getattr(db.stats(), lane).waiting == 1)
            mock_clock.jump(29)
            await trio.testing.wait_all_tasks_blocked(0)
            assert not outcomes
            mock_clock.jump(2)
            await until(lambda: bool(outcomes))
            nursery.cancel_scope.cancel()
        (message,) = outcomes
        assert "the task that holds it" in message
        assert ("Endless.write" if lane == "writers" else "Endless.read") in message
        assert ("Notes.put" if lane == "writers" else "Notes.count") in message
        assert "30 s" in message
        assert getattr(db.stats(), lane).timeouts == 1
        await assert_healthy(db)
        assert await Notes(db).bodies() == []


async def test_who_holds_the_writer_may_not_wait_for_it(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        notes = Notes(db)
        async with db.transaction() as tx:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: notes.put("", "x"),
                lambda: notes.put_all([NewNote("", "x")]),
                lambda: notes.put_two("", "x", "y"),
                lambda: db.execute("DELETE FROM note"),
                lambda: db.write(lambda _: None),
                lambda: hold_writer(db, trio.Event()),
            ]
            for call in calls:
                with pytest.raises(ReentrantUse):
                    await call()
            assert db.stats().writers.waiting == 0
            await Notes(tx).put("", "kept")
            assert await notes.bodies() == []  # reads are no reentry: they have their own
        assert await notes.bodies() == ["kept"]
        await assert_healthy(db)


async def test_who_holds_the_only_reader_may_not_wait_for_it(db_path: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(max_readers=1)) as db:
        notes = Notes(db)
        async with db.snapshot() as snap:
            calls: list[Callable[[], Awaitable[object]]] = [
                notes.count,
                notes.count_twice,
                lambda: db.read(lambda _: None),
                lambda: hold_reader(db, trio.Event()),
            ]
            for call in calls:
                with pytest.raises(ReentrantUse):
                    await call()
            await notes.put("", "written")
            assert await Notes(snap).count() == 0
        await assert_healthy(db)


async def test_who_holds_the_only_connection_may_not_wait_for_it(db_path: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(max_readers=0)) as db:
        async with db.transaction():
            with pytest.raises(ReentrantUse):
                await Notes(db).count()
        async with db.snapshot():
            with pytest.raises(ReentrantUse):
                await Notes(db).put("", "x")
        await assert_healthy(db)


class FromInside(Repository):
    """Bodies that go round the session they are given, by the loop."""

    def __init__(self, session: Any, other: Database | None = None) -> None:
        super().__init__(session)
        self.other = other

    @query("SELECT n FROM counter")
    async def counted(self) -> int: ...

    @transaction
    async def write(self) -> None:
        await self.counted()
        assert self.other is not None
        trio.from_thread.run(Notes(self.other).put, "", "x")

    @snapshot
    async def read(self) -> None:
        await self.counted()
        assert self.other is not None
        trio.from_thread.run(Notes(self.other).count)


async def test_a_body_may_not_wait_for_its_own_connection(db_path: Path) -> None:
    async with open_notes(db_path, FromInside, pool=PoolConfig(max_readers=1)) as db:
        inside = FromInside(db, db)
        with pytest.raises(ReentrantUse):
            await inside.write()
        with pytest.raises(ReentrantUse):
            await inside.read()
        with pytest.raises(ReentrantUse):
            await db.write(lambda _: trio.from_thread.run(Notes(db).put, "", "x"))
        with pytest.raises(ReentrantUse):
            await db.read(lambda _: trio.from_thread.run(Notes(db).count))
        await assert_healthy(db)
        assert await Notes(db).bodies() == []
