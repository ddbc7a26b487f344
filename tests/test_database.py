"""`Database`: ad-hoc SQL, functions with the raw connection, its state."""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import NewNote, Notes, assert_healthy, do_nothing, open_notes
from tests.support import read_in_child
from trio_sqlrepo import (
    Database,
    DatabaseReadOnly,
    HighErrorRate,
    MappingError,
    PoolClosed,
    PoolConfig,
    ReadOnlySession,
    SqlError,
    SqlRepoError,
    TransactionAborted,
    UniqueViolation,
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

# Every way in which connections can be shared out.
POOLS = {
    "usual": PoolConfig(),
    "one connection": PoolConfig(max_readers=0),
    "one reader": PoolConfig(max_readers=1),
    "spare writer": PoolConfig(max_writers=2),
    "no groups": PoolConfig(group_commit=1),
    "memory": PoolConfig(),
}


@pytest.fixture(params=POOLS)
async def db(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[Database]:
    path = ":memory:" if request.param == "memory" else db_path
    async with open_notes(path, pool=POOLS[request.param]) as database:
        yield database
        if database.stats().state == "open":
            await assert_healthy(database)


INSERT = "INSERT INTO note (box, body) VALUES (?, ?)"


# -- every pool serves all ---------------------------------------------------------------------


async def test_every_kind_of_call(db: Database) -> None:
    notes = Notes(db)
    await notes.put("b", "one")
    assert (await notes.add("b", "two")).id == 2
    assert await notes.put_all([NewNote("b", "three")]) == 1
    assert await notes.put_two("b", "four", "five") == 5
    assert await notes.count_twice() == (5, 5)
    async with db.transaction() as tx:
        await Notes(tx).put("b", "six")
    async with db.snapshot() as snap:
        assert await Notes(snap).count() == 6
    assert await db.write(lambda c: c.execute("DELETE FROM note").fetchall()) == []
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM note").fetchall()) == [(0,)]


async def test_many_tasks_at_once(db: Database) -> None:
    async def work(task: int) -> None:
        notes = Notes(db)
        for number in range(5):
            body = f"{task}/{number}"
            note = await notes.add("b", body)
            assert await notes.get(note.id) == note  # it reads what it wrote

    async with trio.open_nursery() as nursery:
        for task in range(20):
            nursery.start_soon(work, task)
    assert await Notes(db).count() == 100


# -- execute -----------------------------------------------------------------------------------


async def test_execute_reads_and_writes(db: Database) -> None:
    assert await db.execute(INSERT, ("b", "x")) == []
    assert await db.execute(INSERT + " RETURNING id, body", ["b", "y"]) == [(2, "y")]
    assert await db.execute("SELECT body FROM note WHERE box = :box", {"box": "b"}) == [
        ("x",), ("y",),
    ]  # fmt: skip
    assert await db.execute("SELECT 1.5, NULL, x'00', 'text'") == [(1.5, None, b"\0", "text")]
    assert await db.execute("EXPLAIN QUERY PLAN SELECT * FROM note")
    assert await db.execute("PRAGMA user_version") == [(0,)]
    assert await db.execute("WITH x AS (SELECT 1) SELECT * FROM x") == [(1,)]
    await db.execute("CREATE TABLE more (x)")
    assert await db.execute("SELECT * FROM more") == []


async def test_execute_is_one_transaction(db: Database) -> None:
    await db.execute(INSERT, ("b", "x"))
    with pytest.raises(UniqueViolation):
        await db.execute("INSERT OR FAIL INTO note (box, body) VALUES ('b', 'y'), ('b', 'x')")
    assert await Notes(db).bodies() == ["x"]


async def test_execute_vacuum(db: Database) -> None:
    await db.execute(INSERT, ("b", "x"))
    assert await db.execute("VACUUM") == []
    assert await Notes(db).bodies() == ["x"]


async def test_execute_vacuum_into_a_copy(db: Database, tmp_path: Path) -> None:
    await db.execute(INSERT, ("b", "x"))
    assert await db.execute(f"VACUUM INTO '{tmp_path / 'copy.db'}'") == []
    assert read_in_child(tmp_path / "copy.db", "SELECT body FROM note") == [("x",)]
    with pytest.raises(SqlError):  # it exists
        await db.execute(f"VACUUM INTO '{tmp_path / 'copy.db'}'")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "there is no statement"),
        ("-- a comment", "there is no statement"),
        ("SELEC", "syntax error"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("BEGIN", "BEGIN is not allowed"),
        ("COMMIT", "COMMIT is not allowed"),
        ("SAVEPOINT x", "SAVEPOINT is not allowed"),
        ("ATTACH 'x' AS y", "ATTACH is not allowed"),
        ("PRAGMA user_version = 3", "PRAGMA user_version is not allowed"),
        ("SELECT ?", "0 values were given"),
        ("SELECT :a", "0 values were given"),
    ],
)
async def test_execute_refuses(sql: str, message: str, db: Database) -> None:
    with pytest.raises(SqlError, match=message):
        await db.execute(sql)


@pytest.mark.parametrize(
    ("sql", "parameters", "error", "message"),
    [
        (b"SELECT 1", (), TypeError, "takes SQL as a str; it was given bytes"),
        ("SELECT ?", "x", TypeError, "was given str. For one value write"),
        ("SELECT ?", b"x", TypeError, "was given bytes"),
        ("SELECT ?", 3, TypeError, "was given int"),
        ("SELECT ?", None, TypeError, "was given NoneType"),
        ("SELECT ?", {1}, TypeError, "was given set"),
        ("SELECT ?", (1, 2), SqlError, "2 values were given"),
        ("SELECT :a", {"b": 1}, SqlError, "has no value for the parameters :a"),
        ("SELECT ?", (object(),), MappingError, "parameter 1 is a object"),
        ("SELECT ?", (1 << 63,), MappingError, "beyond 64 bits"),
        ("SELECT ?", (float("nan"),), MappingError, "is NaN"),
        ("SELECT ?", ("\ud800",), MappingError, "lone surrogate"),
    ],
)
async def test_execute_refuses_bindings(
    sql: Any, parameters: Any, error: type[Exception], message: str, db: Database
) -> None:
    with pytest.raises(error, match=message):
        await db.execute(sql, parameters)


# -- functions ---------------------------------------------------------------------------------


async def test_write_is_one_transaction_on_the_writer_s_thread(db: Database) -> None:
    def work(connection: Any, first: str, second: str) -> tuple[str, bool]:
        connection.execute(INSERT, ("b", first))
        connection.execute(INSERT, ("b", second))
        return threading.current_thread().name, connection.in_transaction

    name, inside = await db.write(work, "x", "y")
    assert name.startswith("trio_sqlrepo writer")
    assert inside
    assert await Notes(db).bodies() == ["x", "y"]

    def fail(connection: Any) -> None:
        connection.execute(INSERT, ("b", "never"))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await db.write(fail)
    with pytest.raises(UniqueViolation):
        await db.write(work, "fresh", "x")
    assert await Notes(db).bodies() == ["x", "y"]


async def test_a_function_that_swallows_the_end_of_its_transaction(db: Database) -> None:
    await Notes(db).put_strictly("taken")

    def swallow(connection: Any) -> str:
        connection.execute(INSERT, ("b", "never"))
        with pytest.raises(Exception, match="UNIQUE"):
            connection.execute("INSERT INTO strict_note VALUES ('taken')")
        return "as if nothing had happened"

    with pytest.raises(TransactionAborted):
        await db.write(swallow)
    assert await Notes(db).bodies() == []


async def test_read_sees_one_state_and_does_not_write(db: Database) -> None:
    await Notes(db).put("b", "x")

    def count(connection: Any, factor: int) -> int:
        ((found,),) = connection.execute("SELECT count(*) FROM note")
        return factor * int(found)

    assert await db.read(count, 10) == 10
    with pytest.raises((DatabaseReadOnly, ReadOnlySession, SqlError)):
        await db.read(lambda connection: connection.execute(INSERT, ("b", "never")).fetchall())
    assert await Notes(db).bodies() == ["x"]


async def test_a_function_sees_the_context_of_its_caller(db: Database) -> None:
    token = variable.set("of the caller")
    try:

        def look(_: Any) -> str:
            seen = variable.get()
            variable.set("changed in the thread")
            return seen

        assert await db.read(look) == "of the caller"
        assert await db.write(look) == "of the caller"
        assert variable.get() == "of the caller"
    finally:
        variable.reset(token)


async def test_a_function_is_called_by_its_name_in_messages(db: Database) -> None:
    class Callable:
        def __call__(self, connection: Any) -> None: ...

    def named(_: Any) -> None: ...

    async with open_notes(":memory:") as closed:
        pass
    for function in (named, partial(named), Callable()):
        with pytest.raises(PoolClosed, match="closed"):
            await closed.read(function)
        await db.read(function)


async def test_a_coroutine_function_is_refused(db: Database) -> None:
    async def function(connection: Any) -> None: ...

    for call in (db.read, db.write):
        with pytest.raises(TypeError, match=r"runs a plain function .* Use a @transaction or"):
            await call(function)  # type: ignore[unused-coroutine]  # that it gives one is the mistake


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, LookupError])
async def test_what_a_function_raises_leaves_as_itself(
    kind: type[BaseException], db: Database
) -> None:
    raised = kind("mine")

    def fail(_: Any) -> None:
        raise raised

    for call in (db.read, db.write):
        with pytest.raises(kind) as caught:
            await call(fail)
        assert caught.value is raised


# -- its state ---------------------------------------------------------------------------------


async def test_closed_it_takes_no_calls(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        assert repr(db) == f"<Database {str(db_path)!r} open>"
    assert repr(db) == f"<Database {str(db_path)!r} closed>"
    assert db.stats().state == "closed"

    async def enter(block: Any) -> None:
        async with block:
            raise AssertionError

    notes = Notes(db)
    for call in (
        notes.count(),
        notes.put("b", "x"),
        notes.put_two("b", "x", "y"),
        db.execute("SELECT 1"),
        db.execute("VACUUM"),
        db.read(do_nothing),
        db.write(do_nothing),
        enter(db.transaction()),
        enter(db.snapshot()),
    ):
        with pytest.raises(PoolClosed, match=r"is closed: its open_database block has ended"):
            await call
    assert read_in_child(db_path, "SELECT count(*) FROM note") == [(0,)]


async def test_stats_count_what_was_done(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        notes = Notes(db)
        await notes.put("b", "x")
        await notes.put("b", "y")
        await notes.put_all([NewNote("b", "z"), NewNote("b", "w")])
        with pytest.raises(SqlRepoError):
            await notes.put("b", "x")
        assert await notes.bodies() == ["x", "y", "z", "w"]
        stats = db.stats()
        assert (stats.path, stats.state) == (str(db_path), "open")
        put = stats.statements["Notes.put"]
        assert (put.calls, put.errors, put.rows) == (3, 1, 2)
        assert put.precompiled
        assert 0 < put.max_seconds <= put.total_seconds
        assert stats.statements["Notes.put_all"].rows == 2
        assert stats.statements["Notes.bodies"].rows == 4
        assert stats.commits >= 3
        assert stats.writers.size == 1
        assert stats.writers.acquisitions == 4
        assert stats.readers.acquisitions == 1
        assert json.loads(json.dumps(stats.as_dict()))["statements"]["Notes.put"]["calls"] == 3


async def test_stats_warn_of_queries_that_fail(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        await Notes(db).put("b", "x")
        assert db.stats().warnings == ()
        for _ in range(2):
            with pytest.raises(UniqueViolation):
                await Notes(db).put("b", "x")
        (warning,) = db.stats().warnings
        assert isinstance(warning, HighErrorRate)
        assert (warning.errors, warning.operations, warning.query) == (2, 3, "Notes.put")
        assert json.loads(json.dumps(db.stats().as_dict()))["warnings"][0]["errors"] == 2
    assert db.stats().warnings == ()


async def test_nothing_declared_is_compiled_again(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        assert all(each.precompiled for each in db.stats().statements.values())
        # Where the machine is busy readers may come and go meanwhile.
        workers = [worker for lane in db._pool.lanes for worker in lane.workers]
        before = [(w.driver, w.driver.compilations) for w in workers if w.driver is not None]
        notes = Notes(db)
        for number in range(50):
            await notes.add("b", str(number))
            await notes.put_two("b", f"{number}x", f"{number}y")
            assert await notes.get(number) is None or number
            assert len(await notes.count_twice()) == 2
        assert len(before) == 2
        assert [(driver, driver.compilations) for driver, _ in before] == before
        assert all(each.precompiled for each in db.stats().statements.values())
