"""Ten thousand calls wait, half of them are cancelled: the others keep their order."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.notes import Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig, Repository, SqlFunction, query
from trio_sqlrepo._base.job import Job

WAITERS = 10_000


class Seen(Repository):
    @query("SELECT seen(:number)")
    async def see(self, number: int) -> int: ...


class Waiters:
    """Tasks that each make one call; they note when they made it, and when it returned."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.returned: set[int] = set()
        self.cancelled: set[int] = set()
        self.scopes = [trio.CancelScope() for _ in range(WAITERS)]

    async def wait(self, number: int, call: Callable[[int], Awaitable[object]]) -> None:
        with self.scopes[number] as scope:
            self.sent.append(number)  # from here to the queue there is no checkpoint
            await call(number)
            self.returned.add(number)
        if scope.cancelled_caught:
            self.cancelled.add(number)

    def cancel_half(self) -> set[int]:
        half = shuffled_half(WAITERS)
        for number in half:
            self.scopes[number].cancel()
        return half


def shuffled_half(count: int) -> set[int]:
    """Half of the numbers, spread without a pattern."""
    return {number for number in range(count) if number * 2_654_435_761 % (1 << 32) < 1 << 31}


def jobs_alive() -> int:
    return sum(type(thing) is Job for thing in gc.get_objects())


async def test_writes_keep_their_order(db_path: Path) -> None:
    waiters = Waiters()
    gc.collect()
    others = jobs_alive()  # of earlier tests
    async with open_notes(db_path) as db:
        notes = Notes(db)
        async with trio.open_nursery() as nursery, db.transaction():
            for number in range(WAITERS):
                nursery.start_soon(waiters.wait, number, lambda n: notes.put("", str(n)))
            await until(lambda: db.stats().writers.waiting == WAITERS)
            half = waiters.cancel_half()
            assert db.stats().writers.waiting == WAITERS - len(half)
            # They are gone at once, while the writer is still held.
            await until(lambda: waiters.cancelled == half)
            assert not waiters.returned
            # What was cancelled is not kept: at most as many dead as live ones.
            assert len(db._pool.writers.queue) <= 2 * (WAITERS - len(half))
            gc.collect()
            assert jobs_alive() - others <= 2 * (WAITERS - len(half)) + 10
        assert waiters.returned == set(range(WAITERS)) - half
        kept = [str(number) for number in waiters.sent if number not in half]
        assert await notes.bodies() == kept
        await assert_healthy(db)


async def test_reads_keep_their_order(db_path: Path) -> None:
    waiters = Waiters()
    seen: list[int] = []

    def see(number: int) -> int:
        seen.append(number)
        return number

    async with open_notes(
        db_path, Seen,
        pool=PoolConfig(max_readers=1), functions={"seen": SqlFunction(call=see)},
    ) as db:  # fmt: skip
        async with trio.open_nursery() as nursery, db.snapshot():
            for number in range(WAITERS):
                nursery.start_soon(waiters.wait, number, Seen(db).see)
            await until(lambda: db.stats().readers.waiting == WAITERS)
            half = waiters.cancel_half()
            await until(lambda: waiters.cancelled == half)
        assert seen == [number for number in waiters.sent if number not in half]
        assert waiters.returned == set(seen)
        await assert_healthy(db)


@pytest.mark.parametrize("kind", ["transactions", "snapshots"])
async def test_blocks_keep_their_order(kind: str, db_path: Path) -> None:
    """Those that wait to hold a connection."""
    waiters = Waiters()
    entered: list[int] = []
    async with open_notes(db_path, pool=PoolConfig(max_readers=1)) as db:

        def enter_one(db: Database = db) -> object:
            return db.transaction() if kind == "transactions" else db.snapshot()

        async def enter(number: int) -> None:
            async with enter_one():  # type: ignore[attr-defined]
                entered.append(number)

        count = 500
        async with trio.open_nursery() as nursery:  # noqa: SIM117  # it waits for all of them
            async with enter_one():  # type: ignore[attr-defined]
                for number in range(count):
                    nursery.start_soon(waiters.wait, number, enter)
                await until(lambda: len(waiters.sent) == count)
                half = shuffled_half(count)
                for number in half:
                    waiters.scopes[number].cancel()
                await until(lambda: waiters.cancelled == half)
        assert entered == [number for number in waiters.sent if number not in half]
        assert waiters.returned == set(entered)
        await assert_healthy(db)


async def test_waiters_that_come_and_go_leave_nothing(db_path: Path) -> None:
    """A queue whose calls are all cancelled, again and again, does not grow."""
    async with open_notes(db_path) as db:
        notes = Notes(db)
        async with db.transaction():
            for _ in range(20):
                async with trio.open_nursery() as nursery:
                    for number in range(100):
                        nursery.start_soon(notes.put, "", str(number))
                    await until(lambda: db.stats().writers.waiting == 100)
                    nursery.cancel_scope.cancel()
                assert db.stats().writers.waiting == 0
                assert len(db._pool.writers.queue) <= 100
                assert not db._pool.outstanding
        await assert_healthy(db)
        assert await notes.count() == 0
