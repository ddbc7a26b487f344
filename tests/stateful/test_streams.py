"""Random streams beside random writers: the rows are a prefix of one state of the database.

Consumers stop anywhere, sleep anywhere, are cancelled anywhere and go on, on every kind of session.
Which state it must be is known: a writer moves all numbers up by one in each transaction, so a row
tells of which commit it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    RowCount,
    Rows,
    RowStream,
    SQLiteConfig,
    open_database,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo.testing import LeakGuard

ROWS: Final = 300
SCHEMA: Final = f"""
    CREATE TABLE number (n INTEGER PRIMARY KEY, version INTEGER NOT NULL);
    WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS})
    INSERT INTO number SELECT n, 0 FROM c;
"""


@attrs.frozen
class Reading:
    """What one consumer does."""

    where: str
    takes: int  # rows; then it leaves the block
    pauses: list[tuple[str, int]]  # by turns: what it does, and after how many rows


class Versions(Repository):
    @query("SELECT n, version FROM number ORDER BY n")
    def all(self) -> RowStream[tuple[int, int]]: ...

    @query("SELECT min(version) FROM number")
    async def version(self) -> int: ...

    @query("UPDATE number SET version = version + 1 WHERE n % 2 = :odd")
    async def move(self, odd: bool) -> RowCount: ...

    @transaction
    async def move_all(self) -> None:
        await self.move(False)
        await self.move(True)

    @snapshot
    async def read(self, takes: int) -> tuple[int, list[tuple[int, int]]]:
        async with self.all() as rows:
            found: list[tuple[int, int]] = []
            async for row in rows:
                if len(found) == takes:
                    break
                found.append(row)
            return await self.version(), found


async def consume(rows: Rows[tuple[int, int]], reading: Reading) -> list[tuple[int, int]]:
    """Take rows as the reading says."""
    found: list[tuple[int, int]] = []
    pauses = iter(reading.pauses)
    what, until = next(pauses, ("", ROWS))
    while len(found) < reading.takes:
        if len(found) >= until:
            if what == "sleep":
                await trio.sleep(0)
            elif what == "cancel":
                with trio.CancelScope() as scope:
                    scope.cancel()
                    found.append(await anext(rows))  # cancelled, it has lost nothing
            elif what == "chunk":
                found += await anext(rows.chunks(), [])
            what, step = next(pauses, ("", ROWS))
            until = len(found) + step
            continue
        try:
            found.append(await anext(rows))
        except StopAsyncIteration:
            break
    return found


async def read_one(db: Database, reading: Reading) -> None:
    if reading.where == "body":
        version, found = await Versions(db).read(reading.takes)
        check(found, version, version, reading)
        return
    before = await Versions(db).version()
    if reading.where == "database":
        async with Versions(db).all() as rows:
            after = await Versions(db).version()
            check(await consume(rows, reading), before, after, reading)
        return
    block: Any = db.snapshot() if reading.where == "snapshot" else db.transaction()
    async with block as session:
        if reading.where == "transaction":
            await Versions(session).move_all()
        before = await Versions(session).version()
        async with Versions(session).all() as rows:
            found = await consume(rows, reading)
        check(found, before, before, reading)


def check(found: list[tuple[int, int]], least: int, most: int, reading: Reading) -> None:
    assert [n for n, _ in found] == list(range(1, len(found) + 1))
    assert len(found) >= min(reading.takes, ROWS)
    versions = {version for _, version in found}
    assert len(versions) <= 1, "rows of more than one state"
    assert all(least <= version <= most for version in versions)


PAUSES = st.lists(
    st.tuples(st.sampled_from(["sleep", "cancel", "chunk"]), st.integers(0, 120)), max_size=8
)
READINGS = st.builds(
    Reading,
    where=st.sampled_from(["database", "database", "snapshot", "transaction", "body"]),
    takes=st.integers(0, ROWS + 1),
    pauses=PAUSES,
)
STEPS = st.lists(
    st.tuples(READINGS, st.integers(0, 20) | st.none()), min_size=1, max_size=4
)  # when it is cancelled for good, in passes of the loop


@given(steps=STEPS, readers=st.integers(2, 4), writes=st.integers(0, 6))
def test_rows_are_a_prefix_of_one_state(
    steps: list[tuple[Reading, int | None]], readers: int, writes: int
) -> None:
    async def one(db: Database, reading: Reading, patience: int | None) -> None:
        async with trio.open_nursery() as nursery:
            if patience is not None:
                nursery.start_soon(cancel_after, nursery.cancel_scope, patience)
            await read_one(db, reading)
            nursery.cancel_scope.cancel()

    async def cancel_after(scope: trio.CancelScope, passes: int) -> None:
        for _ in range(passes):
            await trio.sleep(0)
        scope.cancel()

    async def write(db: Database) -> None:
        for _ in range(writes):
            await Versions(db).move_all()

    async def main(path: Path) -> None:
        pool = PoolConfig(max_readers=readers, reserved_readers=1)
        async with (
            open_database(
                path, repositories=[Versions], migrations=[SCHEMA], pool=pool,
                sqlite=SQLiteConfig(synchronous="off"),
            ) as db,
            LeakGuard(db),
        ):  # fmt: skip
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, db)
                for reading, patience in steps:
                    nursery.start_soon(one, db, reading, patience)
            assert not db._pool.streams
            assert db.stats().readers.replaced == 0
            assert await Versions(db).version() >= writes

    with tempfile.TemporaryDirectory() as directory:
        trio.run(main, Path(directory) / "test.db")
