"""Every public call that waits, each as a function of a database and a mark to leave in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs

from tests.cancellation.stepping import Ticker
from tests.notes import NewNote, open_notes
from trio_sqlrepo import (
    Database,
    PoolConfig,
    Repository,
    RowCount,
    RowStream,
    SqlFunction,
    query,
    snapshot,
    transaction,
)

_TEN: Final = "WITH ten(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM ten WHERE n < 10)"


class Ticking(Repository):
    """Queries from whose middle the test hears."""

    @query("SELECT tick(n) FROM counter")
    async def read(self) -> int: ...

    @query("WITH ten(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM ten WHERE n < 10)"
           " SELECT tick(n) FROM ten")  # fmt: skip
    async def read_ten(self) -> list[int]: ...

    @query("INSERT INTO note (box, body) VALUES ('ticking', tick(:body))")
    async def put(self, body: str) -> None: ...

    @query("INSERT INTO note (box, body) VALUES ('ticking', tick(:body)) RETURNING body")
    async def add(self, body: str) -> str: ...

    @query("INSERT INTO note (box, body) VALUES (:box, tick(:body))")
    async def put_all(self, notes: Sequence[NewNote]) -> RowCount: ...

    @query("INSERT INTO note (box, body) VALUES (:box, tick(:body)) RETURNING body")
    async def add_all(self, notes: Sequence[NewNote]) -> list[str]: ...

    @query("WITH ten(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM ten WHERE n < 10)"
           " INSERT INTO note (box, body) SELECT 'ticking', :body || tick(n) FROM ten")  # fmt: skip
    async def put_ten(self, body: str) -> RowCount: ...

    @query("WITH ten(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM ten WHERE n < 10)"
           " SELECT tick(n) FROM ten")  # fmt: skip
    def stream_ten(self) -> RowStream[int]: ...

    @snapshot
    async def stream_twice(self) -> list[int]:
        async with self.stream_ten() as first, self.stream_ten() as second:
            return [n + await anext(second) async for n in first]

    @transaction
    async def put_each(self, bodies: Sequence[str]) -> int:
        for body in bodies:
            await self.put(body)
        return await self.read()

    @transaction
    async def put_nested(self, bodies: Sequence[str]) -> None:
        await self.put_each(bodies[1:])
        await self.put(bodies[0])

    @transaction
    async def put_stubbornly(self, body: str) -> str:
        """Swallow whatever a query raises, and go on."""
        for suffix in "xyz":
            try:
                await self.put(body + suffix)
            except BaseException:  # that is the point
                continue
        return body

    @snapshot
    async def read_twice(self) -> tuple[int, list[int]]:
        return await self.read(), await self.read_ten()


def tens(mark: str) -> list[str]:
    return [f"{mark}{n}" for n in range(1, 11)]


def nothing(mark: str) -> list[str]:
    del mark
    return []


def itself(mark: str) -> list[str]:
    return [mark]


@attrs.frozen
class Call:
    """One way to use the library.

    `leaves`: the bodies it leaves if it returns; if it is cancelled, none.
    """

    run: Callable[[Database, str], Awaitable[object]]
    leaves: Callable[[str], list[str]] = nothing


async def transaction_block(db: Database, mark: str) -> None:
    async with db.transaction() as tx:
        await Ticking(tx).put(mark)
        await Ticking(tx).read()
        await tx.execute("INSERT INTO note (box, body) VALUES ('x', tick(?))", (mark + "x",))
        await Ticking(tx).put_all([NewNote("x", mark + "y"), NewNote("x", mark + "z")])
        await Ticking(tx).put_each([mark + "v", mark + "w"])


async def savepoints(db: Database, mark: str) -> None:
    async with db.transaction() as tx:
        await Ticking(tx).put(mark)
        async with tx.savepoint():
            await Ticking(tx).put(mark + "x")
            async with tx.savepoint():
                await Ticking(tx).add(mark + "y")
        try:
            async with tx.savepoint():
                await Ticking(tx).put(mark + "undone")
                raise LookupError
        except LookupError:
            pass


async def rolled_back(db: Database, mark: str) -> None:
    async with db.transaction() as tx:
        await Ticking(tx).put(mark)
        await tx.rollback()


async def failing(db: Database, mark: str) -> None:
    try:
        async with db.transaction() as tx:
            await Ticking(tx).put(mark)
            raise LookupError
    except LookupError:
        pass


async def snapshot_block(db: Database, mark: str) -> None:
    del mark
    async with db.snapshot() as snap:
        await Ticking(snap).read()
        await snap.execute("SELECT tick(n) FROM counter")
        await Ticking(snap).read_twice()


async def live(db: Database, mark: str) -> None:
    del mark
    async with db.live(Ticking(db).read_ten) as values, db.live(Ticking(db).read_twice) as twice:
        await anext(values)
        await anext(twice)


async def changes(db: Database, mark: str) -> None:
    del mark
    async with db.changes() as feed:
        db._pool.live.doubt()
        await anext(feed)


async def stream(db: Database, mark: str) -> None:
    """All of its rows; then some of another's, whose block is left early."""
    del mark
    async with Ticking(db).stream_ten() as rows:
        assert [n async for n in rows] == list(range(1, 11))
    async with Ticking(db).stream_ten() as rows:
        assert await anext(rows) == 1


async def streams_of_a_snapshot(db: Database, mark: str) -> None:
    del mark
    async with db.snapshot() as snap:
        ticking = Ticking(snap)
        async with ticking.stream_ten() as first, ticking.stream_ten() as second:
            async for n in first:
                assert await anext(second) == n
                if n == 5:
                    await ticking.read()


async def streams_of_a_transaction(db: Database, mark: str) -> None:
    async with db.transaction() as tx, Ticking(tx).stream_ten() as rows:
        async for n in rows:
            if n < 3:
                await Ticking(tx).put(mark + "xyz"[n])


def write_raw(connection: Any, mark: str) -> None:
    for body in tens(mark):
        connection.execute("INSERT INTO note (box, body) VALUES ('raw', tick(?))", (body,))


def read_raw(connection: Any) -> list[Any]:
    return list(connection.execute(f"{_TEN} SELECT tick(n) FROM ten"))


def doubled(mark: str) -> list[str]:
    return [mark, mark + "x"]


def many(mark: str) -> list[str]:
    return [mark, *(mark + letter for letter in "xyzvw")]


CALLS: Final = {
    "read": Call(lambda db, _: Ticking(db).read()),
    "read many": Call(lambda db, _: Ticking(db).read_ten()),
    "write": Call(lambda db, mark: Ticking(db).put(mark), itself),
    "write many": Call(lambda db, mark: Ticking(db).put_ten(mark), tens),
    "returning": Call(lambda db, mark: Ticking(db).add(mark), itself),
    "batch": Call(lambda db, mark: Ticking(db).put_all(_notes(doubled(mark))), doubled),
    "batch returning": Call(lambda db, mark: Ticking(db).add_all(_notes(doubled(mark))), doubled),
    "@transaction": Call(lambda db, mark: Ticking(db).put_each(doubled(mark)), doubled),
    "@transaction nested": Call(lambda db, mark: Ticking(db).put_nested(doubled(mark)), doubled),
    "@transaction stubborn": Call(
        lambda db, mark: Ticking(db).put_stubbornly(mark), lambda mark: [mark + c for c in "xyz"]
    ),
    "@snapshot": Call(lambda db, _: Ticking(db).read_twice()),
    "transaction": Call(transaction_block, many),
    "savepoint": Call(savepoints, lambda mark: [mark, mark + "x", mark + "y"]),
    "rollback": Call(rolled_back),
    "failing transaction": Call(failing),
    "snapshot": Call(snapshot_block),
    "stream": Call(stream),
    "stream in a snapshot": Call(streams_of_a_snapshot),
    "stream in a transaction": Call(
        streams_of_a_transaction, lambda mark: [mark + "y", mark + "z"]
    ),
    "stream in a body": Call(lambda db, _: Ticking(db).stream_twice()),
    "Database.read": Call(lambda db, _: db.read(read_raw)),
    "Database.write": Call(lambda db, mark: db.write(write_raw, mark), tens),
    "execute read": Call(lambda db, _: db.execute(f"{_TEN} SELECT tick(n) FROM ten")),
    "execute write": Call(
        lambda db, mark: db.execute("INSERT INTO note (box, body) VALUES ('x', tick(?))", (mark,)),
        itself,
    ),
    "live": Call(live),
    "changes": Call(changes),
    "execute VACUUM": Call(lambda db, _: db.execute("VACUUM")),
}


def _notes(bodies: list[str]) -> list[NewNote]:
    return [NewNote("batch", body) for body in bodies]


def open_ticking(path: Any, ticker: Ticker, pool: PoolConfig | None = None) -> Any:
    """Open a database whose SQL function `tick` calls the ticker."""
    return open_notes(path, Ticking, pool=pool, functions={"tick": SqlFunction(call=ticker)})
