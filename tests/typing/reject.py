"""What a type checker must reject: exactly the errors marked, and no others. Never run."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from tests.typing.accept import (
    Kinds,
    Message,
    Messages,
    NewMessage,
    any_rows,
    count_rooms,
    rename,
)
from trio_sqlrepo import (
    CrudRepository,
    Database,
    LaneStats,
    Live,
    Migration,
    PoolConfig,
    Repository,
    RowCount,
    RowStream,
    Session,
    Snapshot,
    SqlFunction,
    SQLiteConfig,
    Stats,
    Transaction,
    UniqueViolation,
    declared,
    open_database,
    query,
    snapshot,
    transaction,
)


async def calls(messages: Messages) -> None:
    await messages.get("1")  # E: arg-type
    await messages.get()  # E: call-arg
    await messages.get(1, 2)  # E: call-arg
    await messages.get(key=1)  # E: call-arg
    await messages.post(Message)  # E: arg-type
    await messages.post_all([1])  # E: list-item
    await messages.move("1", "attic")  # E: arg-type
    await messages.fetch(1)  # E: attr-defined


async def results(messages: Messages) -> None:
    messages.get(1)  # E: unused-coroutine
    messages.get(1).body  # E: attr-defined
    (await messages.get(1)).body  # E: union-attr
    (await messages.recent("lobby")).body  # E: attr-defined
    found: Message = await messages.get(1)  # E: assignment
    count: RowCount = 3  # E: assignment
    nothing = await messages.clear()  # E: func-returns-value


async def streams(messages: Messages) -> None:
    async for _ in messages.export():  # E: attr-defined
        pass
    await messages.export()  # E: misc
    async with messages.export() as rows:
        for _ in rows:  # E: attr-defined
            pass
        async for row in rows:
            row.author  # E: attr-defined
        narrower: RowStream[int] = messages.export()  # E: assignment
    messages.export(1)  # E: arg-type
    RowStream[Message](messages)  # E: call-arg


async def sessions(db: Database, tx: Transaction, snap: Snapshot) -> None:
    Messages()  # E: call-arg
    Messages("chat.db")  # E: arg-type
    Messages(db).using("chat.db")  # E: arg-type
    Messages(db).session = tx  # E: misc
    snap.savepoint()  # E: attr-defined
    tx.transaction()  # E: attr-defined
    db.rollback()  # E: attr-defined
    async with tx.savepoint(1):  # E: call-arg
        ...
    with db.transaction():  # E: attr-defined, attr-defined
        ...
    async with db.transaction() as not_none:
        wrong: Snapshot = not_none  # E: assignment
    async with tx.savepoint() as nothing:
        nothing.rollback()  # E: attr-defined
    await db.snapshot()  # E: misc
    tx.rollback()  # E: unused-coroutine
    snap.rollback()  # E: attr-defined


async def adhoc(db: Database, tx: Transaction) -> None:
    db.execute("SELECT 1")  # E: unused-coroutine
    await db.execute(b"SELECT 1")  # E: arg-type
    await db.execute("SELECT ?", 1)  # E: arg-type
    await db.execute("SELECT ?", [object()])  # E: list-item
    await tx.execute("SELECT :x", {"x": object()})  # E: dict-item
    await tx.execute()  # E: call-arg
    (await db.execute("SELECT 1"))[0][0].upper()  # E: union-attr, union-attr, union-attr


async def functions(db: Database) -> None:
    await db.read(count_rooms, 1)  # E: arg-type
    await db.write(rename)  # E: arg-type
    await db.write(rename, 1)  # E: arg-type
    await db.read(any_rows, "x")  # E: arg-type
    await db.read(3)  # E: arg-type
    await db.read(rename, old="x")  # E: call-arg, arg-type
    number: str = await db.read(count_rooms)  # E: arg-type
    db.write(count_rooms)  # E: unused-coroutine

    def takes_no_connection() -> int:
        return 1

    await db.read(takes_no_connection)  # E: arg-type


def statistics(stats: Stats, lane: LaneStats) -> None:
    stats.commits = 0  # E: misc
    stats.statements["Messages.get"].calls = 0  # E: misc
    stats.statements["Messages.get"] = None  # E: index
    stats.reader  # E: attr-defined
    lane.degraded.upper()  # E: union-attr


def errors(error: UniqueViolation) -> None:
    error.columns.append("x")  # E: attr-defined
    error.table.upper()  # E: union-attr
    error.value  # E: attr-defined


async def opening() -> None:
    open_database()  # E: call-arg
    open_database("chat.db", [Messages])  # E: call-arg
    open_database("chat.db", repositories=[Message])  # E: list-item
    open_database("chat.db", repository=[Messages])  # E: call-arg
    open_database("chat.db").transaction()  # E: attr-defined
    open_database(b"chat.db")  # E: arg-type
    open_database("chat.db", migrations=[1])  # E: list-item
    open_database("chat.db", migrations=1)  # E: arg-type
    open_database("chat.db", pool={"max_readers": 4})  # E: arg-type
    open_database("chat.db", sqlite=PoolConfig())  # E: arg-type
    open_database("chat.db", converter=1)  # E: arg-type
    with open_database("chat.db"):  # E: attr-defined, attr-defined
        ...
    async with open_database("chat.db") as db:
        db.close()  # E: attr-defined


def settings(pool: PoolConfig) -> None:
    PoolConfig(4)  # E: call-arg
    PoolConfig(max_reader=4)  # E: call-arg
    PoolConfig(max_readers="4")  # E: arg-type
    SQLiteConfig(synchronous="ful")  # E: arg-type
    pool.max_readers = 4  # E: misc
    SQLiteConfig(page_size="4096")  # E: arg-type
    SQLiteConfig(temp_store="disk")  # E: arg-type
    SqlFunction(len)  # E: call-arg
    SqlFunction(call=object)  # E: arg-type
    Migration("0001", 2)  # E: arg-type
    PoolConfig.from_mapping([])  # E: arg-type


class Overridden(Messages):
    @query("SELECT * FROM message WHERE id = :id")
    async def get(self, id: str) -> Message | None: ...  # E: override

    @transaction
    async def move(self, ids: Sequence[int], room: str) -> str:  # E: override
        return room


class Undecorated(Repository):
    async def count(self) -> None:
        await self.session.fetch()  # E: attr-defined


class NoText(Repository):
    @query(1)  # E: arg-type
    async def count(self) -> int: ...


class WrongBodies(Repository):
    @snapshot()  # E: call-arg, untyped-decorator
    async def one(self) -> int:
        return 1

    @transaction
    async def two(self) -> int:
        return "two"  # E: return-value

    @query  # E: arg-type
    async def three(self) -> int: ...  # E: misc

    @query("SELECT 1", 2)  # E: call-arg
    async def four(self) -> int: ...


async def values(kinds: Kinds) -> None:
    await kinds.keyword_only(4)  # E: call-arg
    await kinds.varied(1)  # E: arg-type
    await kinds.varied(limit="x")  # E: arg-type
    await kinds.varied(other="x")  # E: arg-type
    (await kinds.point()).z  # E: attr-defined


def the_connection_is_apsw_s(connection: apsw.Connection) -> None:
    connection.no_such_thing()  # E: attr-defined


class MyDatabase(Database): ...  # E: misc


class MySnapshot(Snapshot): ...  # E: misc


class MyTransaction(Transaction): ...  # E: misc


def an_any_session(session: Session) -> Database:
    return session  # E: return-value


class NoColumn(Repository):
    @query.insert(1)  # E: arg-type
    async def insert(self) -> None: ...

    @query.update("message", key=["id"])  # E: arg-type
    async def update(self, id: int) -> None: ...

    @query.find("message", key="id")  # E: call-arg
    async def find(self) -> list[Message]: ...

    @query("SELECT {order}", order=["id"])  # E: arg-type
    async def ordered(self, order: str) -> int: ...


class Crud(CrudRepository[Message, int, NewMessage], table="message"):
    pass


class CrudOfFour(CrudRepository[Message, int, NewMessage, str], table="message"):  # E: type-arg
    pass


async def crud(messages: Crud, new: NewMessage) -> None:
    await messages.get("1")  # E: arg-type
    await messages.upsert(new)  # E: arg-type
    (await messages.get(1)).body  # E: union-attr
    await messages.add_all(new)  # E: arg-type
    declared(new)  # E: arg-type


async def live(db: Database, messages: Messages) -> None:
    db.live(messages.get, "1")  # E: arg-type
    db.live(messages.get)  # E: call-arg
    db.live(messages.get, 1, 2)  # E: call-arg
    db.live(messages.get(1))  # E: arg-type
    db.live(len, [])  # E: arg-type
    async for value in db.live(messages.get, 1):  # E: attr-defined
        assert value
    async with db.live(messages.get, 1) as values:
        (await anext(values)).body  # E: union-attr
        values.close()  # E: attr-defined


class MyLive(Live[int]): ...  # E: misc
