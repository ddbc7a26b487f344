"""What users write, and a type checker must accept. Never run."""

from __future__ import annotations

import enum
import importlib.resources
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypedDict,
    TypeVar,
    assert_type,
)
from uuid import UUID

import apsw
import attrs
import cattrs
import trio

import trio_sqlrepo
from trio_sqlrepo import (
    UNSET,
    Blob,
    ChangeFeed,
    Changes,
    CheckViolation,
    CrudRepository,
    Database,
    DatabaseError,
    DeclarationError,
    DeclaredColumn,
    DeclaredQuery,
    DeclaredStatement,
    IntegrityError,
    Json,
    LaneStats,
    Live,
    Migration,
    Naive,
    PoolConfig,
    PoolError,
    PoolTimeout,
    Repository,
    RowCount,
    Rows,
    RowStream,
    Session,
    SessionError,
    Snapshot,
    SqlFunction,
    SQLiteConfig,
    SqlRepoError,
    SqlValue,
    StatementStats,
    Stats,
    Transaction,
    UniqueViolation,
    Unset,
    declared,
    open_database,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo.testing import memory_database

T = TypeVar("T")


@attrs.frozen
class NewMessage:
    room: str
    body: str
    sent_at: datetime


@attrs.frozen
class Message(NewMessage):
    id: int


class Total(NamedTuple):
    room: str
    messages: int


class Messages(Repository):
    @query("INSERT INTO message (room, body, sent_at) VALUES (:room, :body, :sent_at) RETURNING *")
    async def post(self, message: NewMessage) -> Message: ...

    @query("INSERT INTO message (room, body, sent_at) VALUES (:room, :body, :sent_at)")
    async def post_all(self, messages: Iterable[NewMessage]) -> RowCount: ...

    @query("SELECT * FROM message WHERE id = :id")
    async def get(self, id: int) -> Message | None: ...

    @query("SELECT * FROM message WHERE room = :room ORDER BY id DESC LIMIT :limit")
    async def recent(self, room: str, limit: int = 50) -> list[Message]: ...

    @query("SELECT room, count(*) AS messages FROM message GROUP BY room")
    async def totals(self) -> list[Total]: ...

    @query("SELECT min(sent_at), max(sent_at) FROM message")
    async def span(self) -> tuple[datetime | None, datetime | None]: ...

    @query("UPDATE message SET room = :room WHERE id = :id")
    async def set_room(self, id: int, room: str) -> RowCount: ...

    @query("DELETE FROM message")
    async def clear(self) -> None: ...

    @query("SELECT * FROM message WHERE room = :room ORDER BY id")
    def export(self, room: str = "lobby") -> RowStream[Message]: ...

    @transaction
    async def move(self, ids: Sequence[int], room: str) -> int:
        return sum([await self.set_room(id, room) for id in ids])

    @snapshot
    async def digest(self, rooms: Sequence[str]) -> dict[str, int]:
        return {room: len(await self.recent(room)) for room in rooms}


async def calls(session: Session) -> None:
    messages = Messages(session)
    assert_type(await messages.post(NewMessage("lobby", "hi", datetime.now(UTC))), Message)
    assert_type(await messages.post_all([]), RowCount)
    assert_type(await messages.get(1), Message | None)
    assert_type(await messages.get(id=1), Message | None)
    assert_type(await messages.recent("lobby"), list[Message])
    assert_type(await messages.recent("lobby", limit=3), list[Message])
    assert_type(await messages.totals(), list[Total])
    assert_type(await messages.span(), tuple[datetime | None, datetime | None])
    assert_type(await messages.move([1, 2], "attic"), int)
    assert_type(await messages.digest(["lobby"]), dict[str, int])
    await messages.clear()


async def streams(session: Session) -> None:
    messages = Messages(session)
    assert_type(messages.export(), RowStream[Message])
    async with messages.export("attic") as rows:
        assert_type(rows, Rows[Message])
        async for row in rows:
            assert_type(row, Message)
        async for chunk in rows.chunks():
            assert_type(chunk, list[Message])
        await send(rows)
    wider: RowStream[NewMessage] = messages.export()
    async with wider as new_rows:
        assert_type(new_rows, Rows[NewMessage])


async def send(messages: AsyncIterable[NewMessage]) -> None: ...


async def a_row_count_is_an_int(messages: Messages) -> int:
    return 1 + await messages.post_all([])


async def sessions(db: Database) -> None:
    messages = Messages(db)
    assert_type(messages.session, Session)
    async with db.transaction() as tx:
        assert_type(tx, Transaction)
        assert_type(messages.using(tx), Messages)
        assert_type(await Messages(tx).get(1), Message | None)
        async with tx.savepoint():
            await calls(tx)
        await tx.rollback()
    async with db.snapshot() as snap:
        assert_type(snap, Snapshot)
        await calls(snap)
    await calls(db)
    for row in await db.execute("SELECT id, body FROM message WHERE room = :room", {"room": "x"}):
        assert_type(row[0], int | float | str | bytes | None)
        assert_type(row[0], SqlValue)


async def adhoc(session: Session, db: Database, tx: Transaction, snap: Snapshot) -> None:
    for each in (session, db, tx, snap):
        assert_type(await each.execute("SELECT 1"), list[tuple[SqlValue, ...]])
        await each.execute("SELECT ?, ?", (1, "x"))
        await each.execute("SELECT ?, ?", [1.5, None])
        await each.execute("SELECT :x", {"x": b"bytes"})


# Functions with the raw connection.


def count_rooms(connection: apsw.Connection) -> int:
    return len(list(connection.execute("SELECT DISTINCT room FROM message")))


def rename(connection: apsw.Connection, old: str, new: str = "attic") -> tuple[str, str]:
    connection.execute("UPDATE message SET room = ? WHERE room = ?", (new, old))
    return old, new


def any_rows(connection: apsw.Connection, *numbers: int) -> list[int]:
    return [*numbers, len(list(connection.execute("SELECT 1")))]


async def functions(db: Database) -> None:
    assert_type(await db.read(count_rooms), int)
    assert_type(await db.write(count_rooms), int)
    assert_type(await db.write(rename, "lobby", "attic"), tuple[str, str])
    assert_type(await db.write(partial(rename, old="lobby")), tuple[str, str])
    assert_type(await db.read(any_rows, 1, 2), list[int])
    assert_type(await db.read(lambda connection: connection.in_transaction), bool)
    await db.write(lambda connection: connection.execute("DELETE FROM message").fetchall())


def statistics(db: Database) -> None:
    stats = db.stats()
    assert_type(stats, Stats)
    assert_type(stats.path, str)
    assert_type(stats.state, str)
    assert_type(stats.commits, int)
    assert_type(stats.writes, int)
    assert_type(stats.writes_per_commit, float)
    assert_type(stats.as_dict(), dict[str, Any])
    for lane in (stats.readers, stats.writers):
        assert_type(lane, LaneStats)
        assert_type(lane.size + lane.idle + lane.leased + lane.waiting, int)
        assert_type(lane.created + lane.replaced + lane.failed, int)
        assert_type(lane.acquisitions + lane.timeouts + lane.overloads, int)
        assert_type(lane.busy_seconds, float)
        assert_type(lane.degraded, str | None)
    assert_type(stats.statements, Mapping[str, StatementStats])
    statement = stats.statements["Messages.get"]
    assert_type(statement.calls + statement.errors + statement.rows, int)
    assert_type(statement.total_seconds + statement.max_seconds, float)
    assert_type(statement.precompiled, bool)


def blocks(db: Database, tx: Transaction) -> None:
    """They are context managers, to be entered where that suits."""
    assert_type(db.transaction(), AbstractAsyncContextManager[Transaction])
    assert_type(db.snapshot(), AbstractAsyncContextManager[Snapshot])
    assert_type(tx.savepoint(), AbstractAsyncContextManager[None])


async def live(db: Database) -> None:
    messages = Messages(db)
    assert_type(db.live(messages.get, 1), AbstractAsyncContextManager[Live[Message | None]])
    async with db.live(messages.recent, "lobby", limit=3) as lists:
        assert_type(lists, Live[list[Message]])
        assert_type(await anext(lists), list[Message])
        async for found in lists:
            assert_type(found, list[Message])
        anything: Live[object] = lists
        assert anything
    async with db.changes() as changes:
        assert_type(changes, ChangeFeed)
        async for change in changes:
            assert_type(change, Changes)
            assert_type(change.touches("message", "body"), bool)
            assert_type(change.tables["message"], frozenset[str] | None)


async def tasks(db: Database, nursery: trio.Nursery) -> None:
    messages = Messages(db)
    nursery.start_soon(messages.get, 1)
    nursery.start_soon(messages.move, [1], "attic")
    nursery.start_soon(db.execute, "VACUUM")
    call: Callable[[int], Coroutine[Any, Any, Message | None]] = messages.get
    assert_type(await call(1), Message | None)


# Errors.


async def errors(db: Database) -> None:
    try:
        await Messages(db).clear()
    except UniqueViolation as error:
        assert_type(error.table, str | None)
        assert_type(error.columns, tuple[str, ...])
        assert_type(error.constraint, str | None)
    except IntegrityError as error:
        database_error: DatabaseError = error
        assert_type(database_error.query, str | None)
    except DatabaseError as error:
        assert_type(error.code, int)
        assert_type(error.extended_code, int)
    except DeclarationError as error:
        assert_type(error.problems, tuple[str, ...])
    except (PoolError, SessionError):
        raise
    except SqlRepoError:
        ...


def the_tree() -> tuple[type[SqlRepoError], ...]:
    return (
        trio_sqlrepo.CheckViolation,
        trio_sqlrepo.DatabaseCorrupt,
        trio_sqlrepo.DatabaseLocked,
        trio_sqlrepo.DatabaseReadOnly,
        trio_sqlrepo.DatabaseReplaced,
        trio_sqlrepo.DatatypeViolation,
        trio_sqlrepo.DiskFull,
        trio_sqlrepo.ForeignAwait,
        trio_sqlrepo.ForeignKeyViolation,
        trio_sqlrepo.ForkedProcess,
        trio_sqlrepo.InternalError,
        trio_sqlrepo.MappingError,
        trio_sqlrepo.MigrationError,
        trio_sqlrepo.MultipleResults,
        trio_sqlrepo.NoResult,
        trio_sqlrepo.NotNullViolation,
        trio_sqlrepo.NotRegistered,
        trio_sqlrepo.OpenError,
        trio_sqlrepo.OutcomeUnknown,
        trio_sqlrepo.PoolClosed,
        trio_sqlrepo.PoolOverloaded,
        trio_sqlrepo.ReadOnlySession,
        trio_sqlrepo.ReentrantUse,
        trio_sqlrepo.SessionEnded,
        trio_sqlrepo.SqlError,
        trio_sqlrepo.TransactionAborted,
        trio_sqlrepo.TriggerViolation,
    )


def a_database_error_is_one(error: CheckViolation, timeout: PoolTimeout) -> list[SqlRepoError]:
    return [error, timeout]


async def opening(path: Path) -> None:
    async with open_database(path) as db:
        assert_type(db, Database)
    async with open_database(
        "chat.db",
        repositories=[Messages, Named, Renamed],
        migrations=["CREATE TABLE message (id INTEGER PRIMARY KEY)"],
        pool=PoolConfig(max_readers=8, connection_timeout=2.5),
        sqlite=SQLiteConfig(synchronous="normal", cache_size=1 << 20),
    ):
        ...
    migrations = [Migration("0001_message", "CREATE TABLE message (id INTEGER PRIMARY KEY)")]
    opened: AbstractAsyncContextManager[Database] = open_database(path, migrations=migrations)
    async with opened, open_database(path, migrations=path / "migrations"):
        ...
    mixed: Sequence[Migration | str] = [*migrations, "CREATE TABLE more (x)"]
    open_database(trio.Path("chat.db"), migrations=mixed, converter=cattrs.Converter())
    open_database(path, migrations=importlib.resources.files("chat") / "migrations")
    open_database(path, migrations=None, repositories=iter([Messages]))
    open_database(":memory:", repositories={Messages, MessageTable})


def settings_from_a_file(parsed: dict[str, object]) -> tuple[PoolConfig, SQLiteConfig]:
    return PoolConfig.from_mapping(parsed), SQLiteConfig.from_mapping(parsed)


def all_settings() -> None:
    PoolConfig(
        min_readers=1,
        max_readers=4,
        max_writers=1,
        reserved_readers=1,
        connection_timeout=30,
        max_waiting=10_000,
        max_idle=600.0,
        max_lifetime=3600.0,
        health_check_interval=60.0,
        health_check_timeout=5.0,
        group_commit=128,
        drain_timeout=5.0,
    )
    config = SQLiteConfig(
        synchronous="extra",
        busy_timeout=5,
        foreign_keys=True,
        trusted_schema=False,
        recursive_triggers=False,
        cache_size=None,
        mmap_size=0,
        page_size=4096,
        temp_store="memory",
        wal_size_limit=1 << 26,
        functions={"twice": SqlFunction(call=lambda x: x + x, arguments=1, deterministic=True)},
        extensions=["./fuzzy.so"],
        pragmas={"cell_size_check": "on", "threads": 2},
    )
    assert_type(config.functions, Mapping[str, SqlFunction])
    assert_type(config.busy_timeout, float)
    assert_type(attrs.evolve(config, page_size=8192), SQLiteConfig)
    assert_type(PoolConfig().max_readers, int)


# Repositories are ordinary classes.


class Named(Messages):
    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session)
        self.name = name

    def renamed(self, session: Session) -> Named:
        return self.using(session)


class Renamed(Messages):
    @query("SELECT * FROM message WHERE id = :id AND room <> 'attic'")
    async def get(self, id: int) -> Message | None: ...


class Table(Repository, Generic[T]):
    @query("SELECT * FROM message")
    async def everything(self) -> list[T]: ...


class MessageTable(Table[Message]): ...


async def a_generic_repository_knows_its_rows(session: Session) -> None:
    assert_type(await MessageTable(session).everything(), list[Message])


class FindsMessages(Protocol):
    async def get(self, id: int) -> Message | None: ...


def a_repository_meets_a_protocol(session: Session) -> FindsMessages:
    return Messages(session)


# Every kind of value and result.


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Named2(TypedDict):
    name: str


class Kinds(Repository):
    @query("INSERT INTO kinds VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :m)")
    async def store(
        self,
        *,
        a: bool,
        b: float | None,
        c: bytes,
        d: Annotated[datetime, Naive],
        e: date,
        f: time,
        g: timedelta,
        h: Decimal,
        i: Annotated[UUID, Blob],
        j: Colour,
        k: Path,
        m: Literal["x", "y"],
    ) -> None: ...

    @query("SELECT json FROM kinds")
    async def json(self) -> Annotated[dict[str, int], Json]: ...

    @query("SELECT 1 AS x, 2 AS y")
    async def point(self) -> Point: ...

    @query("SELECT 'x' AS name")
    async def typed_dict(self) -> list[Named2]: ...

    @query("SELECT * FROM kinds")
    async def anything(self) -> list[dict[str, Any]]: ...

    @query("SELECT :point")
    async def keyword_only(self, *, point: int = 3) -> int | None: ...

    @transaction
    async def varied(self, *rooms: str, limit: int = 3, **more: float) -> None:
        assert_type(self.session, Session)
        await self.store(
            a=True, b=None, c=b"", d=datetime.now(UTC), e=date.today(), f=time(), g=timedelta(),
            h=Decimal(1), i=UUID(int=0), j=Colour.RED, k=Path(), m="x",
        )  # fmt: skip


async def kinds(session: Session) -> None:
    repository = Kinds(session)
    assert_type(await repository.json(), dict[str, int])
    assert_type(await repository.point(), Point)
    assert_type(await repository.typed_dict(), list[Named2])
    assert_type(await repository.anything(), list[dict[str, Any]])
    assert_type(await repository.keyword_only(point=4), int | None)
    await repository.varied("a", "b", limit=1, other=2.5)


# Without SQL, and with alternatives.


@attrs.frozen
class Patch:
    room: str | Unset = UNSET
    body: str | Unset = UNSET


def was_set(patch: Patch) -> str:
    if patch.room is UNSET:
        assert_type(patch.room, Literal[Unset.UNSET])
        return ""
    assert_type(patch.room, str)
    return patch.room


class Generated(Repository):
    @query.insert("message")
    async def add(self, message: NewMessage) -> Message: ...

    @query.upsert("message", conflict="id")
    async def put(self, message: Message) -> None: ...

    @query.upsert("message", conflict=("room", "body"))
    async def put_all(self, messages: Iterable[Message]) -> RowCount: ...

    @query.update("message", key="id")
    async def patch(self, id: int, change: Patch) -> Message | None: ...

    @query.update("message")
    async def patch_room(self, id: int, room: str | Unset = UNSET) -> RowCount: ...

    @query.delete("message", key=("room",))
    async def delete(self, room: str) -> RowCount: ...

    @query.find("message")
    async def find(self, room: str) -> list[Message]: ...

    @query(
        "SELECT * FROM message WHERE TRUE {room: AND room = :room} ORDER BY {order}, {colour}",
        order={"newest": "id DESC", "oldest": "id"},
        colour={Colour.RED: "body"},
    )
    async def search(
        self, order: Literal["newest", "oldest"], colour: Colour, room: str | None = None
    ) -> list[Message]: ...


class Crud(CrudRepository[Message, int, NewMessage], table="message"):
    pass


class CrudOfTwo(CrudRepository[Total, tuple[str, int]], table="total", key=("room", "messages")):
    pass


async def generated(db: Database, new: NewMessage, message: Message) -> None:
    messages = Generated(db)
    assert_type(await messages.add(new), Message)
    assert_type(await messages.patch(1, Patch(room="x")), Message | None)
    assert_type(await messages.patch_room(1), RowCount)
    assert_type(await messages.find("x"), list[Message])
    assert_type(await messages.search("newest", Colour.RED), list[Message])
    crud = Crud(db)
    assert_type(await crud.get(1), Message | None)
    assert_type(await crud.add(new), Message)
    assert_type(await crud.add(message), Message)  # which is a NewMessage
    assert_type(await crud.add_all([new]), list[Message])
    assert_type(await crud.update(message), RowCount)
    assert_type(await crud.upsert(message), Message)
    assert_type(await crud.delete(1), RowCount)
    assert_type(await crud.all(), list[Message])
    assert_type(await crud.count(), int)
    totals = CrudOfTwo(db)
    assert_type(await totals.add(Total("a", 1)), Total)
    assert_type(await totals.get(("a", 1)), Total | None)


async def introspection(db: Database) -> None:
    assert_type(declared(Crud), dict[str, DeclaredQuery])
    assert_type(declared(Crud(db)), dict[str, DeclaredQuery])
    found = declared(Crud, db)["get"]
    assert_type(found.sql, str)
    (statement,) = found.statements
    assert_type(statement, DeclaredStatement)
    assert_type(statement.writes, bool)
    assert_type(statement.columns[0], DeclaredColumn)
    async with memory_database(Crud, Messages, migrations=["CREATE TABLE message (id)"]) as memory:
        assert_type(memory, Database)
