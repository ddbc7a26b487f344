"""`Transaction.savepoint`: blocks inside a transaction that can be undone alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.notes import Notes, assert_healthy, open_notes
from trio_sqlrepo import (
    Database,
    SessionError,
    Transaction,
    TransactionAborted,
    UniqueViolation,
)


class Oops(Exception):
    pass


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path) as database:
        yield database
        await assert_healthy(database)


async def test_what_it_did_is_kept_or_undone(db: Database) -> None:
    async with db.transaction() as tx:
        notes = Notes(tx)
        await notes.put("b", "before")
        async with tx.savepoint():
            await notes.put("b", "kept")
        with pytest.raises(Oops):
            async with tx.savepoint():
                await notes.put("b", "undone")
                raise Oops
        await notes.put("b", "after")
    assert await Notes(db).bodies() == ["before", "kept", "after"]


async def test_they_nest(db: Database) -> None:
    async with db.transaction() as tx:
        notes = Notes(tx)
        async with tx.savepoint():
            await notes.put("b", "outer")
            with pytest.raises(Oops):
                async with tx.savepoint():
                    await notes.put("b", "inner")
                    async with tx.savepoint():
                        await notes.put("b", "innermost, kept by its own savepoint")
                    raise Oops
            async with tx.savepoint():
                await notes.put("b", "second inner")
    assert await Notes(db).bodies() == ["outer", "second inner"]


async def test_it_falls_with_the_transaction(db: Database) -> None:
    with pytest.raises(Oops):
        async with db.transaction() as tx:
            async with tx.savepoint():
                await Notes(tx).put("b", "never")
            raise Oops
    assert await Notes(db).bodies() == []


async def test_a_rollback_inside_ends_both(db: Database) -> None:
    async with db.transaction() as tx, tx.savepoint(), tx.savepoint():
        await Notes(tx).put("b", "never")
        await tx.rollback()
    assert await Notes(db).bodies() == []


async def test_its_exception_leaves_as_itself_after_a_rollback(db: Database) -> None:
    with pytest.raises(Oops) as caught:
        async with db.transaction() as tx, tx.savepoint():
            await tx.rollback()
            raise Oops
    assert caught.value.__context__ is None


async def test_a_swallowed_end_of_the_transaction_shows_at_its_end(db: Database) -> None:
    await Notes(db).put_strictly("taken")
    with pytest.raises(TransactionAborted):
        async with db.transaction() as tx:
            await Notes(tx).put("b", "never")
            with pytest.raises(TransactionAborted):
                async with tx.savepoint():
                    with pytest.raises(UniqueViolation):
                        await Notes(tx).put_strictly("taken")
    assert await Notes(db).bodies() == []


async def test_a_body_inside_it(db: Database) -> None:
    async with db.transaction() as tx:
        notes = Notes(tx)
        async with tx.savepoint():
            await notes.put_two("b", "one", "two")
            with pytest.raises(UniqueViolation):
                await notes.put_two("b", "three", "one")
        with pytest.raises(Oops):
            async with tx.savepoint():
                await notes.put_two("b", "four", "five")
                raise Oops
    assert await Notes(db).bodies() == ["one", "two"]


async def test_a_cancelled_savepoint_is_undone(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("b", "kept")
        with trio.CancelScope() as scope:
            async with tx.savepoint():
                await Notes(tx).put("b", "undone")
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
    assert await Notes(db).bodies() == ["kept"]


async def test_one_whose_work_is_done_is_kept_though_cancelled(db: Database) -> None:
    async with db.transaction() as tx:
        with trio.CancelScope() as scope:
            async with tx.savepoint():
                await Notes(tx).put("b", "kept")
                scope.cancel()
        assert not scope.cancelled_caught
        with pytest.raises(Oops):
            async with tx.savepoint():
                await Notes(tx).put("b", "undone")
                raise Oops
    assert await Notes(db).bodies() == ["kept"]


# -- savepoints of several tasks -----------------------------------------------------------------


@pytest.mark.parametrize("older_raises", [False, True])
@pytest.mark.parametrize("younger_raises", [False, True])
async def test_one_left_too_early_takes_all_with_it(
    older_raises: bool, younger_raises: bool, db: Database
) -> None:
    """What it did can't be undone alone: the younger one stands on it.

    older                         younger
    -----                         -------
    enters, writes
                                  enters, writes
    leaves: SessionError, or
    what it raised
                                  leaves: TransactionAborted, or what it raised
    """
    older_in, younger_in, older_out = trio.Event(), trio.Event(), trio.Event()

    async def be_older(tx: Transaction) -> None:
        async with tx.savepoint():
            await Notes(tx).put("b", "older")
            older_in.set()
            await younger_in.wait()
            if older_raises:
                raise Oops

    async def be_younger(tx: Transaction) -> None:
        await older_in.wait()
        async with tx.savepoint():
            await Notes(tx).put("b", "younger")
            younger_in.set()
            await older_out.wait()
            if younger_raises:
                raise Oops

    async def expect_younger(tx: Transaction) -> None:
        with pytest.raises(Oops if younger_raises else TransactionAborted):
            await be_younger(tx)

    # However many of the errors are swallowed, it never ends as if it had been committed.
    with pytest.raises(TransactionAborted):
        async with db.transaction() as tx, trio.open_nursery() as nursery:
            await Notes(tx).put("b", "before")
            nursery.start_soon(expect_younger, tx)
            if older_raises:
                with pytest.raises(Oops):
                    await be_older(tx)
            else:
                with pytest.raises(SessionError, match="Savepoints of one transaction must nest"):
                    await be_older(tx)
            older_out.set()
    assert await Notes(db).bodies() == []


@pytest.mark.parametrize("younger_raises", [False, True])
async def test_tasks_may_open_them_one_inside_the_other(younger_raises: bool, db: Database) -> None:
    older_in, younger_out = trio.Event(), trio.Event()

    async def be_younger(tx: Transaction) -> None:
        await older_in.wait()
        try:
            async with tx.savepoint():
                await Notes(tx).put("b", "younger")
                if younger_raises:
                    raise Oops
        except Oops:
            pass
        younger_out.set()

    async with db.transaction() as tx, trio.open_nursery() as nursery:
        nursery.start_soon(be_younger, tx)
        async with tx.savepoint():
            await Notes(tx).put("b", "older")
            older_in.set()
            await younger_out.wait()
    assert await Notes(db).bodies() == ["older"] + ["younger"] * (not younger_raises)
