"""What a watcher is given is a part of the true history, in its order, and ends with its end."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cancellation.stepping import Ticker, When, attempt
from tests.live import has_item, settled
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    Live,
    PoolConfig,
    Repository,
    RowCount,
    SQLiteConfig,
    open_database,
    query,
    snapshot,
    transaction,
)

SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, owner TEXT, n INTEGER);
CREATE TABLE part (item INTEGER REFERENCES item ON DELETE CASCADE, n INTEGER);
CREATE TABLE log (line TEXT);
CREATE TRIGGER logs AFTER UPDATE OF n ON item BEGIN INSERT INTO log VALUES (new.n); END;
INSERT INTO item VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0);
"""


class Items(Repository):
    @query("INSERT INTO item (owner, n) VALUES (:owner, :n) RETURNING id")
    async def add(self, owner: str, n: int) -> int: ...

    @query("INSERT INTO part SELECT max(id), :n FROM item")
    async def add_part(self, n: int) -> None: ...

    @query("UPDATE item SET n = :n WHERE owner = :owner")
    async def set(self, owner: str, n: int) -> RowCount: ...

    @query("UPDATE item SET n = n + 1 WHERE owner = :owner")
    async def increment(self, owner: str) -> None: ...

    @query("UPDATE item SET owner = :to WHERE owner = :owner")
    async def give(self, owner: str, to: str) -> RowCount: ...

    @query("DELETE FROM item WHERE id = (SELECT max(id) FROM item)")
    async def drop(self) -> None: ...

    @query("DELETE FROM log")
    async def forget(self) -> None: ...

    @query("SELECT count(*) FROM item")
    async def count(self) -> int: ...

    @query("SELECT n FROM item WHERE owner = :owner ORDER BY id")
    async def numbers(self, owner: str) -> list[int]: ...

    @query("SELECT count(*), total(n) FROM part")
    async def parts(self) -> tuple[int, float]: ...

    @query("SELECT count(*) FROM log")
    async def lines(self) -> int: ...

    @query("SELECT owner, part.n FROM item JOIN part ON part.item = item.id ORDER BY 1, 2")
    async def joined(self) -> list[tuple[str, int]]: ...

    @snapshot
    async def digest(self) -> tuple[int, list[int] | int]:
        count = await self.count()
        return count, await (self.numbers("a") if count % 2 else self.lines())

    @transaction
    async def twice(self, owner: str, n: int, fails: bool) -> None:
        await self.set(owner, n)
        await self.add_part(n)
        if fails:
            raise LookupError


WATCHED: dict[str, Callable[[Items], Any]] = {
    "count": lambda items: (items.count,),
    "a": lambda items: (items.numbers, "a"),
    "b": lambda items: (items.numbers, "b"),
    "parts": lambda items: (items.parts,),
    "lines": lambda items: (items.lines,),
    "joined": lambda items: (items.joined,),
    "digest": lambda items: (items.digest,),
}


async def roll_back(db: Database, owner: str, n: int) -> None:
    async with db.transaction() as tx:
        await Items(tx).add(owner, n)
        await tx.rollback()


async def in_transaction(db: Database, owner: str, n: int) -> None:
    async with db.transaction() as tx:
        await Items(tx).set(owner, n)
        try:
            async with tx.savepoint():
                await Items(tx).add_part(n)
                raise LookupError
        except LookupError:
            pass


async def failing(db: Database, owner: str, n: int) -> None:
    with contextlib.suppress(LookupError):
        await Items(db).twice(owner, n, fails=True)


def raw(connection: Any, owner: str, n: int) -> None:
    connection.execute("UPDATE item SET n = ? WHERE owner = ?", (n, owner))
    connection.execute("DELETE FROM part WHERE n = ?", (n,))


Write = Callable[[Database, str, int], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "add": lambda db, owner, n: Items(db).add(owner, n),
    "add part": lambda db, owner, n: Items(db).add_part(n),
    "set": lambda db, owner, n: Items(db).set(owner, n),
    "give": lambda db, owner, n: Items(db).give(owner, "abc"[n % 3]),
    "drop": lambda db, owner, n: Items(db).drop(),
    "forget": lambda db, owner, n: Items(db).forget(),
    "twice": lambda db, owner, n: Items(db).twice(owner, n, fails=False),
    "failing": failing,
    "roll back": roll_back,
    "transaction": in_transaction,
    "raw": lambda db, owner, n: db.write(raw, owner, n),
    "ad hoc": lambda db, owner, n: db.execute("DELETE FROM item WHERE owner = ?", (owner,)),
}


@attrs.frozen
class Step:
    """A write, perhaps cancelled at its n-th checkpoint; then some of the watchers look."""

    write: str
    owner: str
    n: int
    cancelled_at: int | None
    looks: frozenset[int]


@attrs.define(eq=False)
class Watch:
    name: str
    values: Live[Any]
    seen: list[Any] = attrs.field(factory=list)

    async def take_all(self) -> None:
        while has_item(self.values):
            self.seen.append(await anext(self.values))


STEPS = st.lists(
    st.builds(
        Step,
        write=st.sampled_from(list(WRITES)),
        owner=st.sampled_from("abc"),
        n=st.integers(0, 3),
        cancelled_at=st.none() | st.integers(0, 3),
        looks=st.frozensets(st.integers(0, 3), max_size=4),
    ),
    max_size=12,
)
POOLS = st.sampled_from([PoolConfig(max_readers=1, reserved_readers=0), PoolConfig(max_readers=0)])


@given(
    names=st.lists(st.sampled_from(list(WATCHED)), min_size=1, max_size=4),
    steps=STEPS,
    pool=POOLS,
    settles=st.booleans(),
)
def test_what_is_seen_is_a_part_of_the_history(
    names: list[str], steps: list[Step], pool: PoolConfig, settles: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(run_program, Path(directory) / "live.db", names, steps, pool, settles)


async def run_program(
    path: Path, names: Sequence[str], steps: Sequence[Step], pool: PoolConfig, settles: bool
) -> None:
    async with open_items(path, pool) as db:
        items = Items(db)
        history: dict[str, list[Any]] = {name: [] for name in WATCHED}
        await take_down(history, items)
        async with trio.open_nursery() as nursery:
            watches = [await nursery.start(watch, db, name) for name in names]
            for step in steps:
                await perform(db, step)
                await take_down(history, items)
                if settles:
                    await settled(db)
                for number in step.looks & set(range(len(watches))):
                    await watches[number].take_all()
            await settled(db)
            for each in watches:
                await each.take_all()
            nursery.cancel_scope.cancel()
        for each in watches:
            check(each.seen, history[each.name])


def open_items(path: Path, pool: PoolConfig) -> Any:
    return open_database(
        path,
        repositories=[Items],
        migrations=[SCHEMA],
        pool=pool,
        sqlite=SQLiteConfig(synchronous="off"),
    )


async def watch(
    db: Database, name: str, task_status: trio.TaskStatus[Watch] = trio.TASK_STATUS_IGNORED
) -> None:
    call, *arguments = WATCHED[name](Items(db))
    async with db.live(call, *arguments) as values:
        task_status.started(Watch(name, values))
        await trio.sleep_forever()


async def perform(db: Database, step: Step) -> None:
    write = WRITES[step.write]
    if step.cancelled_at is None:
        await write(db, step.owner, step.n)
    else:
        call = lambda: write(db, step.owner, step.n)  # noqa: E731  # short
        await attempt(call, Ticker(), When.BLOCKED, step.cancelled_at)


async def take_down(history: dict[str, list[Any]], items: Items) -> None:
    for name, values in history.items():
        call, *arguments = WATCHED[name](items)
        values.append(await call(*arguments))


def check(seen: list[Any], history: list[Any]) -> None:
    assert seen, "not even the first value came"
    assert seen[-1] == history[-1]
    assert all(one != other for one, other in itertools.pairwise(seen))
    rest = iter(history)
    assert all(value in rest for value in seen), f"{seen} is no part of {history}"


@settings(max_examples=15)
@given(
    writers=st.lists(st.lists(st.none() | st.integers(0, 3), max_size=8), min_size=3, max_size=3),
    pauses=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    pool=POOLS,
)
def test_the_same_with_several_who_write_at_once(
    writers: list[list[int | None]], pauses: list[int], pool: PoolConfig
) -> None:
    """Everybody adds one to a number of his own: what is seen grows, up to what was written."""
    with tempfile.TemporaryDirectory() as directory:
        trio.run(run_writers, Path(directory) / "live.db", writers, pauses, pool)


class Numbers(Items):
    @query("SELECT n FROM item ORDER BY id")
    async def all(self) -> list[int]: ...

    @snapshot
    async def one_by_one(self) -> list[int]:
        return [n for owner in "abc" for n in await self.numbers(owner)]


async def run_writers(
    path: Path, writers: list[list[int | None]], pauses: list[int], pool: PoolConfig
) -> None:
    written = [0, 0, 0]
    seen: list[list[Any]] = []

    async def write(number: int) -> None:
        for cancelled_at in writers[number]:
            if cancelled_at is None:
                await numbers.increment("abc"[number])
                written[number] += 1
            else:
                call = lambda: numbers.increment("abc"[number])  # noqa: E731  # short
                done = await attempt(call, Ticker(), When.RESUMED, cancelled_at)
                written[number] += not done.cancelled

    async def look(call: Any, pause: int) -> None:
        mine: list[Any] = []
        seen.append(mine)
        async with db.live(call) as values:
            async for value in values:
                mine.append(value)
                for _ in range(pause):
                    await trio.lowlevel.checkpoint()

    def all_have_the_last() -> bool:
        return all(mine and mine[-1] == written for mine in seen)

    async with open_database(
        path,
        repositories=[Numbers],
        migrations=[SCHEMA],
        pool=pool,
        sqlite=SQLiteConfig(synchronous="off"),
    ) as db:
        numbers = Numbers(db)
        async with trio.open_nursery() as watching:
            for pause in pauses:
                watching.start_soon(look, numbers.all, pause)
                watching.start_soon(look, numbers.one_by_one, pause)
            async with trio.open_nursery() as writing:
                for number in range(3):
                    writing.start_soon(write, number)
            await until(lambda: len(seen) == 6 and all_have_the_last())
            watching.cancel_scope.cancel()
    check_growth(seen)


def check_growth(seen: list[list[Any]]) -> None:
    for mine in seen:
        for one, other in itertools.pairwise(mine):
            assert one != other
            assert all(n <= m for n, m in zip(one, other, strict=True))
