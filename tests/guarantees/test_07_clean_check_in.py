"""Guarantee 7: a connection comes back with nothing open, whatever has happened to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.guarantees.support import (
    Begun,
    Endless,
    bodies_in,
    open_endless,
    write_lock_held,
)
from tests.notes import NewNote, Notes
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    SqlRepoError,
    query,
    snapshot,
    transaction,
)

_kept: list[Any] = []


class Failing(Repository):
    @query("INSERT INTO note (box, body) VALUES ('', :body)")
    async def put(self, body: str) -> None: ...

    @query("SELECT body FROM note")
    async def only(self) -> str: ...

    @query("INSERT INTO note (box, body) SELECT '', 'z' || id FROM note RETURNING body")
    async def copy_only(self) -> str: ...

    @transaction
    async def put_and_raise(self, body: str) -> None:
        await self.put(body)
        raise LookupError

    @transaction
    async def put_and_sleep(self, body: str) -> None:
        await self.put(body)
        await trio.sleep(0)

    @snapshot
    async def read_and_raise(self) -> None:
        await self.only()
        raise LookupError


async def constraint(db: Database) -> None:
    await Notes(db).put("", "first")


async def constraint_in_batch(db: Database) -> None:
    await Notes(db).put_all([NewNote("", "fresh"), NewNote("", "first")])


async def strict_constraint(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("", "undone")
        await Notes(tx).put_strictly("taken")
        await Notes(tx).put_strictly("taken")


async def wrong_number_of_rows(db: Database) -> None:
    await Failing(db).copy_only()


async def error_in_write(db: Database) -> None:
    def write(connection: Any) -> None:
        connection.execute("INSERT INTO note (box, body) VALUES ('', 'undone')").fetchall()
        raise LookupError

    await db.write(write)


async def cursor_left_open_by_read(db: Database) -> None:
    def read(connection: Any) -> None:
        cursor = connection.execute("SELECT * FROM note, note AS n")
        next(cursor)
        _kept.append(cursor)

    await db.read(read)


async def cursor_left_open_by_failing_read(db: Database) -> None:
    await cursor_left_open_by_read(db)

    def read(connection: Any) -> None:
        cursor = connection.execute("SELECT * FROM note")
        next(cursor)
        _kept.append(cursor)
        raise LookupError

    await db.read(read)


async def cursor_left_open_by_write(db: Database) -> None:
    def write(connection: Any) -> None:
        cursor = connection.execute(
            "INSERT INTO note (box, body) VALUES ('', 'undone1'), ('', 'undone2') RETURNING id"
        )
        next(cursor)
        _kept.append(cursor)
        raise LookupError

    await db.write(write)


async def cancelled_transaction(db: Database) -> None:
    with trio.CancelScope() as scope:
        async with db.transaction() as tx:
            await Notes(tx).put("", "undone")
            scope.cancel()
            await Notes(tx).put("", "undone too")
    assert scope.cancelled_caught


async def cancelled_in_running_write(db: Database) -> None:
    async def run() -> None:
        async with db.transaction() as tx:
            await Notes(tx).put("", "undone")
            await Endless(tx).write()

    await _cancel_when_begun(db, run)


async def cancelled_in_running_read(db: Database) -> None:
    async def run() -> None:
        async with db.snapshot() as snap:
            await Endless(snap).read()

    await _cancel_when_begun(db, run)


async def _cancel_when_begun(db: Database, run: Callable[[], Awaitable[None]]) -> None:
    begun = BEGUN[db]
    before = begun.count
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await until(lambda: begun.count > before)
        nursery.cancel_scope.cancel()


async def raising_block(db: Database) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("", "undone")
        async with tx.savepoint():
            await Notes(tx).put("", "undone too")
            raise LookupError


async def raising_snapshot(db: Database) -> None:
    async with db.snapshot() as snap:
        await Notes(snap).count()
        raise LookupError


FAILURES: Final[dict[str, Callable[[Database], Awaitable[None]]]] = {
    function.__name__: function
    for function in (
        constraint,
        constraint_in_batch,
        strict_constraint,
        wrong_number_of_rows,
        error_in_write,
        cursor_left_open_by_read,
        cursor_left_open_by_failing_read,
        cursor_left_open_by_write,
        cancelled_transaction,
        cancelled_in_running_write,
        cancelled_in_running_read,
        raising_block,
        raising_snapshot,
    )
}
FAILURES["raising @transaction"] = lambda db: Failing(db).put_and_raise("undone")
FAILURES["foreign await"] = lambda db: Failing(db).put_and_sleep("undone")
FAILURES["raising @snapshot"] = lambda db: Failing(db).read_and_raise()

BEGUN: Final[dict[Database, Begun]] = {}


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    _kept.clear()
    BEGUN.clear()


@pytest.mark.parametrize("max_readers", [0, 1])
@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
async def test_nothing_is_left_open(
    fail: Callable[[Database], Awaitable[None]], max_readers: int, db_path: Path
) -> None:
    begun = Begun()
    # One connection each: the next call meets the one that failed, or its replacement.
    pool = PoolConfig(max_readers=max_readers, min_readers=max_readers, group_commit=1)
    async with open_endless(db_path, begun, Failing, pool=pool) as db:
        BEGUN[db] = begun
        notes = Notes(db)
        await notes.put_all([NewNote("", "first"), NewNote("", "second")])
        with suppress(LookupError, SqlRepoError):
            await fail(db)
        # The lock is free while the block is open, and no reader keeps an old view.
        await trio.to_thread.run_sync(_take_lock, db_path)
        stats = db.stats()
        assert (stats.readers.leased, stats.writers.leased) == (0, 0)
        assert (stats.readers.waiting, stats.writers.waiting) == (0, 0)
        await notes.put("", "third")
        assert await notes.count() == 3
        async with db.snapshot() as snap:
            assert await Notes(snap).bodies() == ["first", "second", "third"]
    assert await bodies_in(db_path) == ["first", "second", "third"]
    assert not db_path.with_name("test.db-wal").exists()


def _take_lock(path: Path) -> None:
    with write_lock_held(path):
        pass


@pytest.mark.parametrize("max_readers", [0, 1])
async def test_settings_are_as_they_were(max_readers: int, db_path: Path) -> None:
    """A function that changes a setting of its connection has changed nothing for the next."""

    def misuse(connection: Any) -> None:
        connection.set_busy_timeout(1)
        for pragma in ("foreign_keys=OFF", "query_only=ON", "cache_size=3"):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    def settings(connection: Any) -> list[object]:
        return [
            connection.execute(f"PRAGMA {name}").fetchall()[0][0]
            for name in ("foreign_keys", "query_only", "cache_size")
        ]

    begun = Begun()
    async with open_endless(db_path, begun, pool=PoolConfig(max_readers=max_readers)) as db:
        for apply in (db.read, db.write):
            before = await apply(settings)
            with pytest.raises(SqlRepoError):
                await apply(misuse)
            assert await apply(settings) == before
        assert await Notes(db).increment() == 1


# -- what is found is not reused -------------------------------------------------------------------


class Careless(Repository):
    @query("SELECT count(*) FROM note")
    async def count(self) -> int: ...

    @transaction
    async def make_temporary(self) -> None:
        await self.count()
        await self.session.execute("CREATE TEMP TABLE extra (n)")

    @transaction
    async def make_temporary_and_raise(self) -> None:
        await self.session.execute("CREATE TEMP TABLE extra (n)")
        raise LookupError


async def temporary_by_execute(db: Database) -> None:
    await db.execute("CREATE TEMP TABLE extra (n)")


async def temporary_by_function(db: Database) -> None:
    await db.write(lambda connection: connection.execute("CREATE TEMP TABLE extra (n)").fetchall())


async def temporary_by_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("CREATE TEMP TABLE extra (n)")
        await Notes(tx).count()


async def temporary_by_savepoint(db: Database) -> None:
    async with db.transaction() as tx, tx.savepoint():
        await tx.execute("CREATE TEMP VIEW extra AS SELECT 1 AS n")


async def temporary_by_body(db: Database) -> None:
    await Careless(db).make_temporary()


async def temporary_by_body_in_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await Careless(tx).make_temporary()


async def limit_by_read(db: Database) -> None:
    await db.read(lambda connection: connection.limit(0, 1000))


async def limit_by_write(db: Database) -> None:
    await db.write(lambda connection: connection.limit(0, 1000))


async def setting_by_write(db: Database) -> None:
    def function(connection: Any) -> None:
        gate, connection.authorizer = connection.authorizer, None
        connection.execute("PRAGMA recursive_triggers = ON").fetchall()
        connection.authorizer = gate

    await db.write(function)


async def transaction_by_write(db: Database) -> None:
    def function(connection: Any) -> None:
        gate, connection.authorizer = connection.authorizer, None
        connection.execute("COMMIT; BEGIN").fetchall()
        connection.authorizer = gate

    await db.write(function)


async def blob_by_write(db: Database) -> None:
    def function(connection: Any) -> None:
        _kept.append(connection.blob_open("main", "note", "body", 1, False))

    await db.write(function)


LEFT: Final = [
    temporary_by_execute,
    temporary_by_function,
    temporary_by_transaction,
    temporary_by_savepoint,
    temporary_by_body,
    temporary_by_body_in_transaction,
    limit_by_read,
    limit_by_write,
    setting_by_write,
    transaction_by_write,
    blob_by_write,
]


@pytest.mark.parametrize("max_readers", [0, 1])
@pytest.mark.parametrize("leave", LEFT)
async def test_what_is_dirty_is_replaced(
    leave: Callable[[Database], Awaitable[None]], max_readers: int, db_path: Path
) -> None:
    pool = PoolConfig(max_readers=max_readers, min_readers=max_readers)
    async with open_endless(db_path, Begun(), Careless, pool=pool) as db:
        await Notes(db).put("", "first")
        with suppress(SqlRepoError):
            await leave(db)
        _kept.clear()
        await until(lambda: db.stats().readers.replaced + db.stats().writers.replaced == 1)
        # The next caller meets the replacement.
        await Notes(db).put("", "second")
        assert await db.execute("SELECT count(*) FROM sqlite_temp_schema") == [(0,)]
        async with db.transaction() as tx:
            assert await tx.execute("SELECT count(*) FROM sqlite_temp_schema") == [(0,)]
            assert await tx.execute("PRAGMA recursive_triggers") == [(0,)]


async def undone_by_body(db: Database) -> None:
    await Careless(db).make_temporary_and_raise()


async def undone_by_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("CREATE TEMP TABLE extra (n)")
        await tx.rollback()


async def dropped_by_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("CREATE TEMP TABLE extra (n)")
        await tx.execute("DROP TABLE extra")


async def hook_by_write(db: Database) -> None:
    await db.write(lambda connection: connection.set_update_hook(print))


@pytest.mark.parametrize(
    "leave", [undone_by_body, undone_by_transaction, dropped_by_transaction, hook_by_write]
)
async def test_what_is_clean_is_kept(
    leave: Callable[[Database], Awaitable[None]], db_path: Path
) -> None:
    async with open_endless(db_path, Begun(), Careless) as db:
        with suppress(LookupError):
            await leave(db)
        await Notes(db).put("", "second")
        assert db.stats().writers.replaced == 0


async def test_a_database_in_memory_is_swept_and_kept() -> None:
    async with open_endless(Path(":memory:"), Begun(), Careless) as db:
        await Notes(db).put("", "first")
        await temporary_by_execute(db)
        await temporary_by_body(db)
        assert await db.execute("SELECT name FROM sqlite_temp_schema") == []
        assert await Notes(db).bodies() == ["first"]
