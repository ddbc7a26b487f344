"""Guarantee 5: a cancelled call has not committed, and has stopped."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing

from tests.guarantees.support import (
    Begun,
    Endless,
    bodies_in,
    open_endless,
    write_lock_held,
)
from tests.notes import NewNote, Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig

TASKS = 12
CALLS = 15


async def put_in_block(db: Database, body: str) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("", body)
        await Notes(tx).count()


async def put_raw(db: Database, body: str) -> None:
    def insert(connection: Any) -> None:
        connection.execute("INSERT INTO note (box, body) VALUES ('', ?)", (body,)).fetchall()

    await db.write(insert)


KINDS: Final[tuple[Callable[[Database, str], Awaitable[object]], ...]] = (
    lambda db, body: Notes(db).put("", body),
    lambda db, body: Notes(db).add("", body),
    lambda db, body: Notes(db).put_all([NewNote("", body), NewNote("", body + "-b")]),
    lambda db, body: Notes(db).put_two("", body, body + "-b"),
    put_in_block,
    put_raw,
)
TWO_NOTES = KINDS[2:4]


@pytest.mark.parametrize("group_commit", [1, 128])
@pytest.mark.parametrize("seed", range(4))
async def test_returned_is_there_and_cancelled_is_not(
    seed: int, group_commit: int, db_path: Path
) -> None:
    chance = random.Random(seed)
    returned: set[str] = set()
    cancelled: set[str] = set()

    async def cancel_later(scope: trio.CancelScope, steps: int) -> None:
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async def call(db: Database, body: str) -> None:
        kind = chance.choice(KINDS)
        left = {body, body + "-b"} if kind in TWO_NOTES else {body}
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                if chance.randrange(5):  # one in five is left alone, on the slowest disk too
                    nursery.start_soon(cancel_later, scope, chance.randrange(60))
                await kind(db, body)
                returned.update(left)
        if scope.cancelled_caught:
            cancelled.update(left)

    async def caller(db: Database, number: int) -> None:
        for turn in range(CALLS):
            await call(db, f"{number}-{turn}")

    # Synchronous: the wait for the disk is where a cancellation may come too late.
    pool = PoolConfig(group_commit=group_commit)
    async with open_notes(db_path, pool=pool, synchronous="full") as db:
        async with trio.open_nursery() as nursery:
            for number in range(TASKS):
                nursery.start_soon(caller, db, number)
        await assert_healthy(db)
    bodies = await bodies_in(db_path)
    assert set(bodies) == returned
    assert not cancelled & set(bodies)
    assert cancelled
    assert returned


@pytest.mark.parametrize("max_readers", [0, 2])
@pytest.mark.parametrize("kind", ["read", "write", "snapshot", "transaction", "execute"])
async def test_a_query_without_end_is_ended(kind: str, max_readers: int, db_path: Path) -> None:
    async def run() -> None:
        match kind:
            case "read":
                await Endless(db).read()
            case "write":
                await Endless(db).write()
            case "snapshot":
                async with db.snapshot() as snap:
                    await Endless(snap).read()
            case "transaction":
                async with db.transaction() as tx:
                    await Notes(tx).put("", "undone")
                    await Endless(tx).write()
            case _:
                await db.execute(
                    "WITH RECURSIVE e(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM e"
                    " WHERE n < 1000000000) SELECT count(*) FROM e"
                )

    begun = Begun()
    async with open_endless(db_path, begun, pool=PoolConfig(max_readers=max_readers)) as db:
        for turn in range(1, 4):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                await until(lambda wanted=turn: begun.count == wanted)  # type: ignore[misc]
                nursery.cancel_scope.cancel()
            assert nursery.cancel_scope.cancelled_caught
            # Its thread no longer works on it: the connection serves the next, or the block could
            # not end.
            await assert_healthy(db)
    assert await bodies_in(db_path) == []


@pytest.mark.parametrize("kind", KINDS, ids=range(len(KINDS)))
async def test_a_wait_for_the_lock_of_another_process_is_ended(
    kind: Callable[[Database, str], Awaitable[object]], db_path: Path
) -> None:
    async with open_notes(db_path, busy_timeout=120.0) as db:
        with write_lock_held(db_path):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kind, db, "cancelled")
                await until(lambda: db.stats().writers.idle == 0)
                await trio.testing.wait_all_tasks_blocked(0.01)
                nursery.cancel_scope.cancel()
            assert nursery.cancel_scope.cancelled_caught
            assert await Notes(db).bodies() == []  # reads go on meanwhile
        await Notes(db).put("", "later")
        await assert_healthy(db)
    assert await bodies_in(db_path) == ["later"]
