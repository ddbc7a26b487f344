"""`Transaction` and `Snapshot`: what holds one connection for a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import NewNote, Note, Notes, assert_healthy, do_nothing, open_notes
from tests.support import read_in_child
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolClosed,
    PoolConfig,
    ReadOnlySession,
    ReentrantUse,
    Session,
    SessionEnded,
    SqlError,
    Transaction,
    TransactionAborted,
    UniqueViolation,
)


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path) as database:
        yield database


class Oops(Exception):
    pass


# -- its end -----------------------------------------------------------------------------------


async def test_the_block_s_end_commits(db: Database, db_path: Path) -> None:
    async with db.transaction() as tx:
        notes = Notes(tx)
        assert await notes.add("b", "one") == Note("b", "one", 1)
        assert await notes.put_all([NewNote("b", "two"), NewNote("b", "three")]) == 2
        assert [note.id for note in await notes.add_all([NewNote("b", "four")])] == [4]
        assert await notes.bodies() == ["one", "two", "three", "four"]  # it sees its own
        assert await Notes(db).bodies() == []  # nobody else does
        assert repr(tx) == "<Transaction open>"
    assert repr(tx) == "<Transaction ended>"
    assert await Notes(db).count() == 4
    assert read_in_child(db_path, "SELECT count(*) FROM note") == [(4,)]
    await assert_healthy(db)


@pytest.mark.parametrize("kind", [Oops, KeyboardInterrupt, GeneratorExit, StopAsyncIteration])
async def test_an_exception_undoes_and_leaves_as_itself(
    kind: type[BaseException], db: Database
) -> None:
    raised = kind()
    with pytest.raises(kind) as caught:
        async with db.transaction() as tx:
            await Notes(tx).put("b", "never")
            raise raised
    assert caught.value is raised
    assert caught.value.__context__ is None
    assert await Notes(db).bodies() == []
    await assert_healthy(db)


async def test_a_group_leaves_as_itself(db: Database) -> None:
    raised = ExceptionGroup("mine", [Oops(), ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with db.transaction():
            raise raised
    assert caught.value is raised
    await assert_healthy(db)


async def test_rollback_ends_it_without_an_exception(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("b", "never")
        await tx.rollback()
        assert repr(tx) == "<Transaction ended>"
        # The writer is free, though the block goes on.
        await Notes(db).put("b", "other")
    assert await Notes(db).bodies() == ["other"]
    await assert_healthy(db)


async def every_use(session: Any) -> list[Any]:
    """Each public call of a session, not yet awaited."""

    async def enter(block: Any) -> None:
        async with block:
            raise AssertionError

    notes = Notes(session)
    calls = [
        notes.count(),
        notes.count_twice(),
        session.execute("SELECT 1"),
    ]
    if isinstance(session, Transaction):
        calls += [
            notes.put("b", "late"),
            notes.put_all([NewNote("b", "late")]),
            notes.put_two("b", "late", "too late"),
            enter(session.savepoint()),
            session.rollback(),
        ]
    return calls


async def test_after_its_end_every_use_is_refused(db: Database) -> None:
    async with db.transaction() as committed:
        pass
    async with db.transaction() as rolled_back:
        await rolled_back.rollback()
        for call in await every_use(rolled_back):
            with pytest.raises(SessionEnded, match="was called on a Transaction that has ended"):
                await call
    async with db.snapshot() as snap:
        pass
    for session in (committed, rolled_back, snap):
        for call in await every_use(session):
            with pytest.raises(SessionEnded, match="Use it inside its `async with` block"):
                await call
    assert await Notes(db).bodies() == []


async def test_it_waits_for_its_turn_and_others_for_its_end(db: Database) -> None:
    order: list[str] = []

    async def write(body: str) -> None:
        await Notes(db).put("b", body)
        order.append(body)

    async with trio.open_nursery() as nursery, db.transaction() as tx:
        nursery.start_soon(write, "after")
        await until(lambda: db.stats().writers.waiting)
        await Notes(tx).put("b", "inside")
        order.append("inside")
        assert db.stats().writers.leased == 1
    assert order == ["inside", "after"]
    assert await Notes(db).bodies() == ["inside", "after"]


async def test_a_task_does_not_wait_for_itself(db: Database) -> None:
    async with db.transaction():
        for call in (
            Notes(db).put("b", "x"),
            Notes(db).put_two("b", "x", "y"),
            db.execute("DELETE FROM note"),
            db.write(do_nothing),
        ):
            with pytest.raises(ReentrantUse, match="but this task holds it in an open"):
                await call
        with pytest.raises(ReentrantUse, match=r"Use what is open \(tx, snap\)"):
            async with db.transaction():
                raise AssertionError
    await assert_healthy(db)


# -- calls in it -------------------------------------------------------------------------------


async def test_a_failing_call_undoes_only_itself(db: Database) -> None:
    async with db.transaction() as tx:
        notes = Notes(tx)
        await notes.put("b", "one")
        for call in (
            notes.put("b", "one"),
            notes.put_all([NewNote("b", "fresh"), NewNote("b", "one")]),
            notes.add_all([NewNote("b", "fresh"), NewNote("b", "one")]),
            notes.put_two("b", "fresh", "one"),
            tx.execute("INSERT OR FAIL INTO note (box, body) VALUES ('b', 'fresh'), ('b', 'one')"),
        ):
            with pytest.raises(UniqueViolation):
                await call
        with pytest.raises(SqlError, match="The SQL is wrong"):
            await tx.execute("SELEC")
        await notes.put("b", "two")
    assert await Notes(db).bodies() == ["one", "two"]


async def test_adhoc_sql(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.execute("INSERT INTO note (box, body) VALUES (?, ?)", ("b", "x")) == []
        assert await tx.execute("SELECT body FROM note WHERE box = :box", {"box": "b"}) == [("x",)]
        with pytest.raises(TypeError, match="takes its parameters as a sequence or a mapping"):
            await tx.execute("SELECT ?", "x")
        with pytest.raises(SqlError):
            await tx.execute("COMMIT")
        with pytest.raises(SqlError):
            await tx.execute("VACUUM")
    assert await Notes(db).bodies() == ["x"]


async def test_several_tasks_may_share_it(db: Database) -> None:
    results: list[Note] = []

    async def add(tx: Transaction, body: str) -> None:
        results.append(await Notes(tx).add("b", body))

    async with db.transaction() as tx:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(add, tx, str(number))
        assert await Notes(tx).count() == 50
    # First come, first served: the ids are in the order in which the tasks called.
    notes = {note.body: note.id for note in results}
    assert sorted(notes.values()) == list(range(1, 51))
    assert await Notes(db).bodies() == sorted(notes, key=lambda body: notes[body])


async def test_a_cancelled_call_of_one_task_leaves_the_others_theirs(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("b", "kept")
        with trio.CancelScope() as scope:
            scope.cancel()
            await Notes(tx).put("b", "never")
        assert scope.cancelled_caught
        await Notes(tx).put("b", "kept too")
    assert await Notes(db).bodies() == ["kept", "kept too"]


# -- what SQLite ended -------------------------------------------------------------------------


async def end_by_conflict(tx: Transaction) -> None:
    with pytest.raises(UniqueViolation):
        await Notes(tx).put_strictly("taken")


async def test_what_sqlite_ended_is_over_even_if_that_is_swallowed(db: Database) -> None:
    await Notes(db).put_strictly("taken")
    with pytest.raises(TransactionAborted, match="SQLite has ended this transaction"):
        async with db.transaction() as tx:
            await Notes(tx).put("b", "never")
            await end_by_conflict(tx)
            for call in await every_use(tx):
                if call.__name__ == "rollback":
                    call.close()
                    continue
                with pytest.raises(TransactionAborted, match="all it did is undone"):
                    await call
    assert await Notes(db).bodies() == []
    await assert_healthy(db)


async def test_a_rollback_of_what_sqlite_ended_is_what_was_wanted(db: Database) -> None:
    await Notes(db).put_strictly("taken")
    async with db.transaction() as tx:
        await end_by_conflict(tx)
        await tx.rollback()
    await assert_healthy(db)


async def test_the_block_s_own_error_goes_before_the_transaction_s(db: Database) -> None:
    await Notes(db).put_strictly("taken")
    with pytest.raises(Oops):
        async with db.transaction() as tx, tx.savepoint():
            await end_by_conflict(tx)
            raise Oops
    await assert_healthy(db)


# -- the pool closes under it ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["transaction", "snapshot"])
@pytest.mark.parametrize("ends", ["well", "badly"])
async def test_a_block_that_outlives_the_database(kind: str, ends: str, db_path: Path) -> None:
    inside, closed = trio.Event(), trio.Event()

    async def hold(db: Database) -> None:
        async with db.transaction() if kind == "transaction" else db.snapshot() as session:
            await Notes(session).count()
            if kind == "transaction":
                await Notes(session).put("b", "never")
            inside.set()
            await closed.wait()
            for call in await every_use(session):
                if call.__name__ == "rollback":
                    call.close()  # that would be the end of the block's wish to commit
                    continue
                with pytest.raises(PoolClosed):
                    await call
            if ends == "badly":
                raise Oops

    async def outlive(db: Database) -> None:
        # Nothing was committed, so a block of writes cannot end as if it were; a view can.
        if ends == "badly":
            with pytest.raises(Oops):
                await hold(db)
        elif kind == "transaction":
            with pytest.raises(PoolClosed):
                await hold(db)
        else:
            await hold(db)

    async with trio.open_nursery() as nursery:
        async with open_notes(db_path, pool=PoolConfig(drain_timeout=0)) as db:
            nursery.start_soon(outlive, db)
            await inside.wait()
        closed.set()
    assert read_in_child(db_path, "SELECT count(*) FROM note") == [(0,)]


# -- snapshots -----------------------------------------------------------------------------------


async def test_a_snapshot_sees_one_state_fixed_on_entry(db: Database) -> None:
    await Notes(db).put("b", "one")
    async with db.snapshot() as snap:
        await Notes(db).put("b", "two")  # before the snapshot's first read
        notes = Notes(snap)
        assert await notes.bodies() == ["one"]
        assert await notes.count_twice() == (1, 1)
        assert await snap.execute("SELECT body FROM note") == [("one",)]
        assert await Notes(db).bodies() == ["one", "two"]
        assert repr(snap) == "<Snapshot open>"
    assert await Notes(db).count() == 2
    await assert_healthy(db)


@pytest.mark.parametrize("readers", [0, 1, 2])
async def test_a_snapshot_does_not_write(readers: int, db_path: Path) -> None:
    config = PoolConfig(max_readers=readers, min_readers=0)
    async with open_notes(db_path, pool=config) as db:
        async with db.snapshot() as snap:
            notes = Notes(snap)
            for call in (
                notes.put("b", "x"),
                notes.add("b", "x"),
                notes.put_all([NewNote("b", "x")]),
                notes.put_two("b", "x", "y"),
                snap.execute("INSERT INTO note (box, body) VALUES ('b', 'x')"),
            ):
                with pytest.raises(ReadOnlySession, match="writes, but a Snapshot only reads"):
                    await call
            with pytest.raises(TypeError, match="takes SQL as a str; it was given bytes"):
                await snap.execute(b"SELECT 1")  # type: ignore[arg-type]
            assert await notes.bodies() == []
        await assert_healthy(db)


async def test_a_task_that_holds_all_readers_is_refused_another(db_path: Path) -> None:
    async with open_notes(db_path, pool=PoolConfig(max_readers=1)) as db:
        async with db.snapshot():
            with pytest.raises(ReentrantUse):
                await Notes(db).count()
            with pytest.raises(ReentrantUse):
                async with db.snapshot():
                    raise AssertionError
            await Notes(db).put("b", "x")  # the writer is another
        await assert_healthy(db)


async def test_sessions_look_alike_to_a_service(db: Database) -> None:
    async def service(session: Session) -> int:
        return await Notes(session).count()

    assert await service(db) == 0
    async with db.transaction() as tx, db.snapshot() as snap:
        await Notes(tx).put("b", "x")
        assert (await service(tx), await service(snap)) == (1, 0)
