"""Guarantee 1: one write transaction at a time, first come first served, never busy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.guarantees.support import bodies_in, read_file
from tests.notes import NewNote, Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig, Repository, query, transaction

TASKS = 20
ROUNDS = 10


class Account(Repository):
    @query("SELECT n FROM counter")
    async def balance(self) -> int: ...

    @query("UPDATE counter SET n = :n")
    async def set_balance(self, n: int) -> None: ...

    @transaction
    async def deposit(self) -> int:
        balance = await self.balance()
        await self.set_balance(balance + 1)
        return balance + 1


async def deposit_in_block(db: Database) -> int:
    async with db.transaction() as tx:
        account = Account(tx)
        balance = await account.balance() + 1
        await trio.lowlevel.checkpoint()
        await account.set_balance(balance)
    return balance


def deposit_raw(connection: Any) -> int:
    ((balance,),) = connection.execute("SELECT n FROM counter").fetchall()
    connection.execute("UPDATE counter SET n = ?", (balance + 1,)).fetchall()
    return int(balance) + 1


@pytest.mark.parametrize(
    "pool",
    [
        PoolConfig(),
        PoolConfig(max_writers=3),
        PoolConfig(group_commit=1, max_writers=3),
        PoolConfig(max_readers=0),
    ],
    ids=["one writer", "three writers", "no groups", "one connection"],
)
async def test_no_update_is_lost(pool: PoolConfig, db_path: Path) -> None:
    """Many tasks read, then write what they read plus one; no lock is ever waited for."""
    seen: list[int] = []

    async def depositor(db: Database, number: int) -> None:
        for turn in range(ROUNDS):
            match (number + turn) % 4:
                case 0 | 1:
                    seen.append(await Account(db).deposit())
                case 2:
                    seen.append(await deposit_in_block(db))
                case _:
                    seen.append(await db.write(deposit_raw))

    async with open_notes(db_path, Account, pool=pool, busy_timeout=0.0) as db:
        before = db.stats()
        async with trio.open_nursery() as nursery:
            for number in range(TASKS):
                nursery.start_soon(depositor, db, number)
        stats = db.stats()
        assert sorted(seen) == list(range(1, TASKS * ROUNDS + 1))
        assert stats.writes - before.writes == TASKS * ROUNDS
        commits = stats.commits - before.commits
        assert commits == TASKS * ROUNDS if pool.group_commit == 1 else commits <= TASKS * ROUNDS
        await assert_healthy(db)
    assert await read_file(db_path, "SELECT n FROM counter") == [(TASKS * ROUNDS + 1,)]


@pytest.mark.parametrize("max_writers", [1, 3])
async def test_writes_are_applied_in_the_order_sent(max_writers: int, db_path: Path) -> None:
    """Whatever their kind: those that share a commit, and those that have one of their own."""
    sent: list[str] = []
    async with open_notes(db_path, pool=PoolConfig(max_writers=max_writers)) as db:
        notes = Notes(db)

        def put_raw(connection: Any, body: str) -> None:
            connection.execute("INSERT INTO note (box, body) VALUES ('', ?)", (body,)).fetchall()

        async def send(number: int) -> None:
            body = str(number)
            sent.append(body)  # from here to the queue there is no checkpoint
            match number % 5:
                case 0:
                    await notes.put("", body)
                case 1:
                    await notes.put_all([NewNote("", body)])
                case 2:
                    await notes.put_two("", body, body + "b")
                case 3:
                    await db.write(put_raw, body)
                case _:
                    async with db.transaction() as tx:
                        await Notes(tx).put("", body)

        async with trio.open_nursery() as nursery, db.transaction():
            for number in range(200):
                nursery.start_soon(send, number)
            await until(lambda: db.stats().writers.waiting == 200)
        await assert_healthy(db)
    expected = [each for body in sent for each in (body, body + "b") if each in both(body)]
    assert await bodies_in(db_path) == expected


def both(body: str) -> tuple[str, ...]:
    return (body, body + "b") if int(body) % 5 == 2 else (body,)


async def test_waiting_writes_share_a_commit_and_fail_alone(db_path: Path) -> None:
    """One commit for many writes; the one that a constraint refuses is the one that raises."""
    failed: list[str] = []
    async with open_notes(db_path) as db:
        notes = Notes(db)
        before = db.stats()

        async def send(body: str) -> None:
            try:
                await notes.put("", body)
            except Exception:
                failed.append(body)

        async with trio.open_nursery() as nursery, db.transaction() as tx:
            await Notes(tx).put("", "taken")
            for body in ["a", "b", "taken", "c", "d"]:
                nursery.start_soon(send, body)
            await until(lambda: db.stats().writers.waiting == 5)
        stats = db.stats()
        assert failed == ["taken"]
        assert stats.writes - before.writes == 5
        assert stats.commits - before.commits == 2
        assert stats.writes_per_commit == stats.writes / stats.commits
    assert sorted(await bodies_in(db_path)) == ["a", "b", "c", "d", "taken"]
