"""Broken isolation, planted in a driver, is found; the same program on a sound one is accepted.

Each program interleaves transactions at fixed places, in one task or in two that wait for each
other, so that it does the same each time.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.notes import Notes, open_notes
from tests.support import read_in_child
from tests.testing import planted
from tests.testing.lists import ALL, Lists, open_lists
from trio_sqlrepo import Database, DatabaseLocked, PoolConfig
from trio_sqlrepo.testing import histories
from trio_sqlrepo.testing.histories import (
    Append,
    History,
    Operation,
    Verdict,
    check_linearizability,
    check_serializability,
)

ONE_READER = PoolConfig(max_readers=1)


class Undone(Exception):
    """Ends a transaction block."""


@attrs.define(eq=False)
class Programs:
    """What is done to two pools of one file."""

    a: Database
    b: Database
    history: History

    async def append(self, db: Database, key: str, value: int, task: str = "a") -> None:
        """A single call."""
        with self.history.transaction(Append(key, value), task=task):
            await Lists(db).append(key, value)

    async def read(self, db: Database, key: str, task: str = "a") -> None:
        with self.history.transaction(task=task) as t:
            t.read(key, await Lists(db).items(key))

    async def snapshot_around_a_write(self) -> None:
        with self.history.transaction(task="reader") as t:
            async with self.a.snapshot() as snap:
                t.read("x", await Lists(snap).items("x"))
                with self.history.transaction(Append("x", 1), Append("y", 2), task="writer") as w:
                    w.ran(await Lists(self.a).change([Append("x", 1), Append("y", 2)]))
                t.read("y", await Lists(snap).items("y"))

    async def read_twice_around_a_write(self) -> None:
        with self.history.transaction(task="reader") as t:
            async with self.a.snapshot() as snap:
                t.read("x", await Lists(snap).items("x"))
                await self.append(self.a, "x", 1, task="writer")
                t.read("x", await Lists(snap).items("x"))

    async def read_after_a_write(self) -> None:
        await self.read(self.a, "x")
        await self.append(self.a, "x", 1)
        await self.read(self.a, "x")

    async def write_at_the_end(self) -> None:
        await self.append(self.a, "x", 1)

    async def fail(self) -> None:
        with pytest.raises(Undone), self.history.transaction(task="a") as t:
            async with self.a.transaction() as tx:
                t.append("x", 1)
                await Lists(tx).append("x", 1)
                raise Undone
        await self.read(self.a, "x")

    async def be_cancelled(self) -> None:
        with trio.CancelScope() as scope, self.history.transaction(task="a") as t:
            async with self.a.transaction() as tx:
                t.append("x", 1)
                await Lists(tx).append("x", 1)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        await self.read(self.a, "x")

    async def look_into_a_transaction(self) -> None:
        with self.history.transaction(task="a") as t:
            async with self.a.transaction() as tx:
                for value in (1, 2):
                    t.append("x", value)
                    await Lists(tx).append("x", value)
                    await self.read(self.b, "x", task="b")

    async def interleave(
        self,
        first: Callable[[Lists, Any], Awaitable[None]],
        second: Callable[[Lists, Any], Awaitable[None]],
    ) -> None:
        """Two transactions of two pools, the second as a whole inside of the first.

        The first has read when the second begins. Where transactions are sound the second finds
        the database locked, and has not happened.
        """
        with self.history.transaction(task="a") as outer:
            async with self.a.transaction() as tx:
                for key in ("x", "y"):
                    outer.read(key, await Lists(tx).items(key))
                try:
                    with self.history.transaction(task="b") as inner:
                        async with self.b.transaction() as other:
                            await second(Lists(other), inner)
                except DatabaseLocked:
                    pass
                await first(Lists(tx), outer)

    async def lose_an_update(self) -> None:
        async def first(lists: Lists, t: Any) -> None:
            t.append("x", 1)
            await lists.replace("x", [1])

        async def second(lists: Lists, t: Any) -> None:
            t.append("x", 2)
            await lists.append_by_hand("x", 2)

        await self.interleave(first, second)
        await self.read(self.a, "x")

    async def skew(self) -> None:
        async def first(lists: Lists, t: Any) -> None:
            t.append("x", 1)
            await lists.append("x", 1)

        async def second(lists: Lists, t: Any) -> None:
            t.read("x", await lists.items("x"))
            t.append("y", 2)
            await lists.append("y", 2)

        await self.interleave(first, second)

    async def cross(self) -> None:
        """Each appends to both lists, in the opposite order."""

        async def first(lists: Lists, t: Any) -> None:
            t.append("x", 1)
            await lists.append("x", 1)

        async def second(lists: Lists, t: Any) -> None:
            for key in ("x", "y"):
                t.append(key, 2)
                await lists.append(key, 2)

        with self.history.transaction(task="a") as t:
            async with self.a.transaction() as tx:
                t.append("y", 1)
                await Lists(tx).append("y", 1)
                try:
                    with self.history.transaction(task="b") as inner:
                        async with self.b.transaction() as other:
                            await second(Lists(other), inner)
                except DatabaseLocked:
                    pass
                await first(Lists(tx), t)
        for key in ("x", "y"):
            await self.read(self.a, key)


Program = Callable[[Programs], Awaitable[None]]


async def judged(path: Path, kind: type[planted.Planted], program: Program) -> Verdict:
    history = History(failures=(Undone,))
    opener = planted.opener(kind)
    async with (
        open_lists(path, opener, pool=ONE_READER) as a,
        open_lists(path, opener, pool=ONE_READER, busy_timeout=0.01) as b,
    ):
        await program(Programs(a, b, history))
    final = await trio.to_thread.run_sync(read_in_child, path, ALL)
    return check_serializability(
        history, final_state={key: json.loads(items) for key, items in final}
    )


PLANTED = [
    (planted.NoView, Programs.snapshot_around_a_write, {"G-single"}),
    (planted.NoView, Programs.read_twice_around_a_write, {"internal"}),
    (planted.OldView, Programs.read_after_a_write, {"G-single-session"}),
    (planted.EarlyAnswer, Programs.read_after_a_write, {"G-single-session", "lost append"}),
    (planted.EarlyAnswer, Programs.write_at_the_end, {"lost append"}),
    (planted.RollbackCommits, Programs.fail, {"G1a"}),
    (planted.RollbackCommits, Programs.be_cancelled, {"G1a"}),
    (planted.NoTransaction, Programs.look_into_a_transaction, {"G1b"}),
    (planted.NoTransaction, Programs.lose_an_update, {"lost append"}),
    (planted.NoTransaction, Programs.skew, {"G2"}),
    (planted.NoTransaction, Programs.cross, {"G0"}),
]


@pytest.mark.parametrize(("kind", "program", "found"), PLANTED)
async def test_it_is_found(
    kind: type[planted.Planted], program: Program, found: set[str], db_path: Path
) -> None:
    verdict = await judged(db_path, kind, program)
    assert {each.kind for each in verdict.anomalies} >= found, verdict.explanation


@pytest.mark.parametrize("program", dict.fromkeys(program for _, program, _ in PLANTED))
async def test_a_sound_driver_is_accepted(program: Program, db_path: Path) -> None:
    verdict = await judged(db_path, planted.Sound, program)
    verdict.require()
    assert verdict.judged


EMPTY: tuple[int, ...] = ()


def one_list(items: tuple[int, ...], operation: Operation) -> tuple[tuple[int, ...], Any]:
    if operation.name == "append":
        return (*items, operation.arguments[1]), None
    return items, list(items)


async def judged_calls(path: Path, kind: type[planted.Planted]) -> Verdict:
    history = History()

    async def use(lists: Lists, key: str, value: int) -> None:
        await history.call("items", lists.items, key)
        await history.call("append", lists.append, key, value)
        await history.call("items", lists.items, key)

    async with open_lists(path, planted.opener(kind), pool=ONE_READER) as db:
        for value in range(3):
            async with trio.open_nursery() as nursery:
                for key in "xy":
                    nursery.start_soon(use, Lists(db), key, value)
    return check_linearizability(history, one_list, EMPTY, key=lambda each: each.arguments[0])


@pytest.mark.parametrize("kind", [planted.OldView, planted.EarlyAnswer])
async def test_stale_calls_are_found(kind: type[planted.Planted], db_path: Path) -> None:
    verdict = await judged_calls(db_path, kind)
    assert {each.kind for each in verdict.anomalies} == {"not linearizable"}, verdict.explanation


async def test_sound_calls_are_accepted(db_path: Path) -> None:
    verdict = await judged_calls(db_path, planted.Sound)
    verdict.require()
    assert verdict.judged == 18


async def test_the_example_of_the_package_runs(db_path: Path) -> None:
    lines = (histories.__doc__ or "").splitlines()
    code = "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    "))
    program, check = code.rsplit("\n", 1)
    names: dict[str, Any] = {**vars(histories), "Notes": Notes}
    exec(program, names)
    async with open_notes(db_path) as db, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(names["user"], Notes(db))
    assert len(names["history"]) == 3
    exec(check, names)
    await names["history"].call("increment", trio.sleep, 0)  # gives no number
    with pytest.raises(AssertionError, match="not linearizable"):
        exec(check, names)
