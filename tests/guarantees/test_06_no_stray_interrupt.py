"""Guarantee 6: cancelling one call never disturbs another."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.guarantees.support import Begun, Endless, bodies_in, open_endless
from tests.notes import NewNote, Notes, assert_healthy
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig

CANCELS = 25
NEIGHBOURS = 5


@pytest.mark.parametrize("max_readers", [0, 2])
@pytest.mark.parametrize("kind", ["read", "write"])
async def test_neighbours_of_the_cancelled_all_succeed(
    kind: str, max_readers: int, db_path: Path
) -> None:
    """Any error of a neighbour leaves its nursery, and fails the test."""
    cancelling = True
    begun = Begun()
    written: list[str] = []

    async def neighbour(db: Database, number: int) -> None:
        notes = Notes(db)
        turn = 0
        while cancelling:
            turn += 1
            body = f"{number}-{turn}"
            match turn % 6:
                case 0:
                    await notes.put_two("", body, body + "b")
                    written.append(body + "b")
                case 1:
                    await notes.put_all([NewNote("", body)])
                case 2:
                    async with db.transaction() as tx:
                        await Notes(tx).put("", body)
                case _:
                    await notes.put("", body)
            written.append(body)
            assert (await notes.in_box("nowhere")) == []
            assert len(await notes.count_twice()) == 2

    async def cancel_over_and_over(db: Database) -> None:
        nonlocal cancelling
        endless = Endless(db)
        for turn in range(1, CANCELS + 1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(endless.read if kind == "read" else endless.write)
                await until(lambda wanted=turn: begun.count >= wanted)  # type: ignore[misc]
                # Some are cancelled while they run, some when their interrupt has been sent
                # already: at other points of the loop each time.
                for _ in range(turn):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert nursery.cancel_scope.cancelled_caught
        cancelling = False

    pool = PoolConfig(max_readers=max_readers)
    async with open_endless(db_path, begun, pool=pool) as db:
        async with trio.open_nursery() as nursery:
            for number in range(NEIGHBOURS):
                nursery.start_soon(neighbour, db, number)
            nursery.start_soon(cancel_over_and_over, db)
        await assert_healthy(db)
    bodies = await bodies_in(db_path)
    assert sorted(bodies) == sorted(written)


async def test_a_call_that_ends_when_it_is_cancelled_interrupts_nobody(db_path: Path) -> None:
    """Short calls, cancelled at all points, on the one connection that all share."""
    begun = Begun()

    async def victim(db: Database, number: int) -> None:
        for turn in range(60):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(Notes(db).bodies)
                    for _ in range((turn + number) % 7):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

    async def neighbour(db: Database, number: int) -> None:
        for turn in range(100):
            await Notes(db).put("", f"{number}-{turn}")
            assert await Notes(db).count() > turn

    async with open_endless(db_path, begun, pool=PoolConfig(max_readers=0)) as db:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(victim, db, number)
                nursery.start_soon(neighbour, db, number)
        assert await Notes(db).count() == 400
        await assert_healthy(db)
