"""A value that must never be seen, sent through every kind of error there is."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import logging
import pickle
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import trio

from tests.waiting import until
from trio_sqlrepo import (
    CheckViolation,
    Database,
    DatabaseLocked,
    DatabaseReadOnly,
    DatatypeViolation,
    DiskFull,
    ForeignAwait,
    ForeignKeyViolation,
    Json,
    MappingError,
    MultipleResults,
    NoResult,
    NotNullViolation,
    PoolClosed,
    PoolConfig,
    PoolOverloaded,
    PoolTimeout,
    ReadOnlySession,
    ReentrantUse,
    Repository,
    RowCount,
    SessionEnded,
    SqlError,
    SQLiteConfig,
    TransactionAborted,
    TriggerViolation,
    UniqueViolation,
    open_database,
    query,
    snapshot,
    transaction,
)

CANARY: Final = "s3cretcanary7f3a9c"

_SCHEMA: Final = (
    """
    CREATE TABLE item (
        body TEXT NOT NULL UNIQUE,
        n INTEGER CONSTRAINT small CHECK (n < 10),
        other TEXT REFERENCES item (body),
        late TEXT REFERENCES item (body) DEFERRABLE INITIALLY DEFERRED
    ) STRICT;
    CREATE TABLE strict_item (body TEXT PRIMARY KEY ON CONFLICT ROLLBACK) STRICT;
    CREATE TABLE quoted (body TEXT);
    CREATE TRIGGER quoting BEFORE INSERT ON quoted BEGIN
        SELECT RAISE(ABORT, 'no ' || NEW.body);
    END;
    CREATE TABLE said (body TEXT);
    CREATE TRIGGER saying BEFORE INSERT ON said BEGIN SELECT RAISE(ABORT, 'it says no'); END;
    CREATE TABLE big (body BLOB);
    CREATE VIRTUAL TABLE words USING fts5 (body);
    INSERT INTO words VALUES ('one');
    CREATE TABLE raw (body);
    """,
)


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Two:
    body: str
    n: int


class Items(Repository):
    @query("INSERT INTO item (body, n, other, late) VALUES (:body, :n, :other, :late)")
    async def put(
        self, body: str | None, n: int = 1, other: str | None = None, late: str | None = None
    ) -> None: ...

    @query("INSERT INTO item (body, n) VALUES (:body, :n)")
    async def put_all(self, items: list[Two]) -> RowCount: ...

    @query("INSERT INTO item (n, body) VALUES (:text, 'n')")
    async def put_wrongly(self, text: str) -> None: ...

    @query("INSERT INTO strict_item VALUES (:body)")
    async def put_strictly(self, body: str) -> None: ...

    @query("INSERT INTO quoted VALUES (:body)")
    async def put_quoted(self, body: str) -> None: ...

    @query("INSERT INTO said VALUES (:body)")
    async def put_said(self, body: str) -> None: ...

    @query("INSERT INTO big VALUES (:body || zeroblob(9000000))")
    async def put_big(self, body: str) -> None: ...

    @query("INSERT INTO raw VALUES (:body)")
    async def put_raw(self, body: str) -> None: ...

    @query("INSERT INTO raw VALUES (CAST(:body AS BLOB))")
    async def put_blob(self, body: bytes) -> None: ...

    @query("SELECT json_extract('{}', :path)")
    async def at(self, path: str) -> str | None: ...

    @query("SELECT json(:text)")
    async def parse(self, text: str) -> str: ...

    @query("SELECT body FROM words WHERE words MATCH :wanted")
    async def search(self, wanted: str) -> list[str]: ...

    @query("SELECT body FROM words WHERE words MATCH 'one' AND rank MATCH :rank")
    async def ranked(self, rank: str) -> list[str]: ...

    @query("SELECT name FROM pragma_index_info('x', :schema)")
    async def columns(self, schema: str) -> list[str]: ...

    @query("SELECT abs(-9223372036854775807 - 1) + length(:text)")
    async def overflow(self, text: str) -> int: ...

    @query("SELECT 'x' LIKE 'y' ESCAPE :escape")
    async def escape(self, escape: str) -> int: ...

    @query("SELECT body FROM item WHERE body = :body || 'nothing'")
    async def none(self, body: str) -> str: ...

    @query("SELECT :body UNION ALL SELECT :body || 'x'")
    async def many(self, body: str) -> str: ...

    @query("SELECT :text")
    async def as_int(self, text: str) -> int: ...

    @query("SELECT :text")
    async def as_colour(self, text: str) -> Colour: ...

    @query("SELECT :text")
    async def as_uuid(self, text: str) -> uuid.UUID: ...

    @query("SELECT :text")
    async def as_datetime(self, text: str) -> dt.datetime: ...

    @query("SELECT :text")
    async def as_date(self, text: str) -> dt.date: ...

    @query("SELECT :text")
    async def as_decimal(self, text: str) -> decimal.Decimal: ...

    @query("SELECT :text")
    async def as_json(self, text: str) -> Annotated[dict[str, int], Json]: ...

    @query("SELECT :text AS body, :text AS n")
    async def as_two(self, text: str) -> Two: ...

    @query("SELECT CAST(body AS TEXT) FROM raw")
    async def texts(self) -> list[str]: ...

    @query("SELECT count(*) FROM item WHERE body IN (SELECT value FROM json_each(:bodies))")
    async def count_of(self, bodies: list[str]) -> int: ...

    @transaction
    async def put_and_sleep(self, body: str) -> None:
        await self.put(body)
        await trio.sleep(0)

    @transaction
    async def put_and_fail(self, body: str) -> None:
        await self.put(body)
        await self.put(body)

    @snapshot
    async def write_in_snapshot(self, body: str) -> None:
        await self.put(body)


class Opaque:
    """What no column can hold."""

    def __repr__(self) -> str:
        return CANARY


Scenario = Callable[[Database, Items], Awaitable[object]]


async def _duplicate(db: Database, items: Items) -> None:
    await items.put(f"{CANARY} twice")
    await items.put(f"{CANARY} twice")


async def _duplicate_in_batch(db: Database, items: Items) -> None:
    await items.put_all([Two(f"{CANARY} b", 1), Two(f"{CANARY} b", 2)])


async def _vanished(db: Database, items: Items) -> None:
    await items.put_strictly(CANARY)
    async with db.transaction() as tx:
        try:
            await Items(tx).put_strictly(CANARY)
        except UniqueViolation:
            await Items(tx).put(CANARY)


async def _ended(db: Database, items: Items) -> None:
    async with db.transaction() as tx:
        pass
    await Items(tx).put(CANARY)


async def _reentrant(db: Database, items: Items) -> None:
    async with db.transaction():
        await items.put(CANARY)


async def _not_utf8(db: Database, items: Items) -> None:
    await items.put_blob(CANARY.encode() + b"\xff\xfe")
    await items.texts()


async def _waits_in_vain(db: Database, items: Items) -> None:
    """While a transaction that has written the canary is held."""

    async def hold(task_status: trio.TaskStatus[None]) -> None:
        async with db.transaction() as tx:
            await Items(tx).put(f"{CANARY} held")
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(hold)
        try:
            await items.put(CANARY)
        finally:
            nursery.cancel_scope.cancel()


async def _one_too_many(db: Database, items: Items) -> None:
    caught: list[PoolOverloaded] = []

    async def put(number: int) -> None:
        try:
            await items.put(f"{CANARY} {number}")
        except PoolOverloaded as error:
            caught.append(error)

    async with trio.open_nursery() as nursery:  # noqa: SIM117  # it waits for all of them
        async with db.transaction():
            for number in range(4):
                nursery.start_soon(put, number)
            await until(lambda: caught)
    raise caught[0]


def _raw(sql: str, *values: Any) -> Callable[[Any], object]:
    return lambda connection: connection.execute(sql, values).fetchall()


def _wrong(value: Any) -> Any:
    """A value that no type checker lets pass."""
    return value


_INSERT: Final = "INSERT INTO item (body, n) VALUES (?, ?)"

SCENARIOS: Final[dict[str, tuple[type[BaseException], Scenario]]] = {
    "unique": (UniqueViolation, _duplicate),
    "unique in a batch": (UniqueViolation, _duplicate_in_batch),
    "unique in a body": (UniqueViolation, lambda _, items: items.put_and_fail(f"{CANARY} c")),
    "not null": (NotNullViolation, lambda _, items: items.put(None, other=CANARY)),
    "check": (CheckViolation, lambda _, items: items.put(f"{CANARY} d", 11)),
    "datatype": (DatatypeViolation, lambda _, items: items.put_wrongly(CANARY)),
    "foreign key": (ForeignKeyViolation, lambda _, items: items.put("x", other=CANARY)),
    "deferred foreign key": (ForeignKeyViolation, lambda _, items: items.put("x", late=CANARY)),
    "trigger that quotes": (TriggerViolation, lambda _, items: items.put_quoted(CANARY)),
    "trigger that does not": (TriggerViolation, lambda _, items: items.put_said(CANARY)),
    "disk full": (DiskFull, lambda _, items: items.put_big(CANARY)),
    "JSON path": (SqlError, lambda _, items: items.at(CANARY)),
    "malformed JSON": (SqlError, lambda _, items: items.parse(CANARY)),
    "full-text column": (SqlError, lambda _, items: items.search(f"{CANARY}: x")),
    "full-text syntax": (SqlError, lambda _, items: items.search(f'"{CANARY}')),
    "full-text rank": (SqlError, lambda _, items: items.ranked(f"{CANARY}(")),
    "unknown schema": (SqlError, lambda _, items: items.columns(CANARY)),
    "overflow": (SqlError, lambda _, items: items.overflow(CANARY)),
    "escape": (SqlError, lambda _, items: items.escape(CANARY)),
    "no row": (NoResult, lambda _, items: items.none(CANARY)),
    "two rows": (MultipleResults, lambda _, items: items.many(CANARY)),
    "no int": (MappingError, lambda _, items: items.as_int(CANARY)),
    "no enum": (MappingError, lambda _, items: items.as_colour(CANARY)),
    "no UUID": (MappingError, lambda _, items: items.as_uuid(CANARY)),
    "no datetime": (MappingError, lambda _, items: items.as_datetime(CANARY)),
    "no date": (MappingError, lambda _, items: items.as_date(CANARY)),
    "no decimal": (MappingError, lambda _, items: items.as_decimal(CANARY)),
    "no JSON": (MappingError, lambda _, items: items.as_json(CANARY)),
    "JSON of another form": (MappingError, lambda _, items: items.as_json(f'{{"{CANARY}": "x"}}')),
    "no object": (MappingError, lambda _, items: items.as_two(CANARY)),
    "no UTF-8": (MappingError, _not_utf8),
    "parameter of another type": (MappingError, lambda _, items: items.put("x", _wrong(CANARY))),
    "parameter of no type": (MappingError, lambda _, items: items.put(_wrong(Opaque()))),
    "parameter with a surrogate": (MappingError, lambda _, items: items.put(CANARY + "\ud800")),
    "element of another type": (MappingError, lambda _, i: i.count_of(_wrong([CANARY, Opaque()]))),
    "field of another type": (
        MappingError,
        lambda _, items: items.put_all([Two(_wrong(Opaque()), _wrong(CANARY))]),
    ),
    "text for a sequence": (TypeError, lambda _, items: items.count_of(_wrong(CANARY))),
    "execute: unique": (UniqueViolation, lambda db, _: db.execute(_INSERT, (f"{CANARY} twice", 1))),
    "execute: opaque": (MappingError, lambda db, _: db.execute(_INSERT, (_wrong(Opaque()), 1))),
    "execute: too many": (SqlError, lambda db, _: db.execute(_INSERT, (CANARY, 1, CANARY))),
    "execute: other names": (SqlError, lambda db, _: db.execute("SELECT :a", {"b": CANARY})),
    "execute: JSON path": (
        SqlError,
        lambda db, _: db.execute("SELECT json_extract('{}', ?)", (CANARY,)),
    ),
    "function: unique": (
        UniqueViolation,
        lambda db, _: db.write(_raw(_INSERT, f"{CANARY} twice", 1)),
    ),
    "function: JSON path": (
        SqlError,
        lambda db, _: db.read(_raw("SELECT json_extract('{}', ?)", CANARY)),
    ),
    "function: write on a reader": (
        DatabaseReadOnly,
        lambda db, _: db.read(_raw(_INSERT, CANARY, 1)),
    ),
    "write in a snapshot": (ReadOnlySession, lambda _, items: items.write_in_snapshot(CANARY)),
    "body that sleeps": (ForeignAwait, lambda _, items: items.put_and_sleep(f"{CANARY} e")),
    "vanished transaction": (TransactionAborted, _vanished),
    "ended session": (SessionEnded, _ended),
    "reentrant": (ReentrantUse, _reentrant),
    "timeout": (PoolTimeout, _waits_in_vain),
    "overload": (PoolOverloaded, _one_too_many),
}


class _Listener(logging.Handler):
    """Keeps all that is logged, as text."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += [self.format(record), repr(record.args), repr(vars(record))]


def texts_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Everything an error, and whatever hangs on it, says of itself."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield from getattr(error, "__notes__", ())
    if not isinstance(error, BaseExceptionGroup):
        yield repr(pickle.dumps(error))
    for other in (
        error.__cause__,
        error.__context__,
        *getattr(error, "exceptions", ()),
    ):
        if other is not None:
            yield from texts_of(other, seen)


async def search(directory: Path) -> tuple[int, list[str]]:
    """How many texts were looked at, and those that hold the canary."""
    listener = _Listener()
    root = logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.NOTSET)
    texts: dict[str, list[str]] = {name: [] for name in (*SCENARIOS, "locked", "closed")}
    try:
        async with _open(directory / "canary.db") as db:
            for name, (kind, scenario) in SCENARIOS.items():
                if kind is not PoolTimeout:
                    await _provoke(db, name, kind, scenario, texts[name])
        await _expect(PoolClosed, "closed", lambda: Items(db).put(CANARY), texts["closed"])
        async with _open(directory / "timeout.db", connection_timeout=0.05) as db:
            for name, (kind, scenario) in SCENARIOS.items():
                if kind is PoolTimeout:
                    await _provoke(db, name, kind, scenario, texts[name])
        await _locked(directory / "locked.db", texts["locked"])
        texts["log"] = listener.heard
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
    shown = [
        f"{name}: {text[:300]}" for name, said in texts.items() for text in said if CANARY in text
    ]
    return sum(map(len, texts.values())), shown


def _open(path: Path, *, busy_timeout: float = 5.0, connection_timeout: float = 60.0) -> Any:
    return open_database(
        path,
        repositories=[Items],
        migrations=_SCHEMA,
        pool=PoolConfig(max_readers=1, connection_timeout=connection_timeout, max_waiting=2),
        sqlite=SQLiteConfig(
            synchronous="off", pragmas={"max_page_count": 1000}, busy_timeout=busy_timeout
        ),
    )


async def _provoke(
    db: Database, name: str, kind: type[BaseException], scenario: Scenario, texts: list[str]
) -> None:
    await _expect(kind, name, lambda: scenario(db, Items(db)), texts)
    # What shows the state of things shows no value either.
    pool = db._pool
    texts += [repr(db), repr(db.stats()), repr(db.stats().as_dict()), repr(pool)]
    texts += [repr(worker) for lane in pool.lanes for worker in lane.workers]
    texts += [repr(worker.driver) for lane in pool.lanes for worker in lane.workers]


async def _locked(path: Path, texts: list[str]) -> None:
    """Another connection, here one of another pool, holds the lock."""
    async with (
        _open(path) as holder,
        _open(path, busy_timeout=0.02) as db,
        holder.transaction() as tx,
    ):
        await Items(tx).put(f"{CANARY} held")
        await _expect(DatabaseLocked, "locked", lambda: Items(db).put(CANARY), texts)


async def _expect(
    kind: type[BaseException],
    name: str,
    call: Callable[[], Awaitable[object]],
    texts: list[str],
) -> None:
    """Make the call, which must raise that, and note all that the error says."""
    try:
        await call()
    except BaseException as error:
        found = error
        while isinstance(found, BaseExceptionGroup):  # of a nursery in the scenario
            found = found.exceptions[0]
        if not isinstance(found, kind):
            raise
        texts += texts_of(error, set())
        texts += traceback.format_exception(error)
        return
    message = f"{name}: {kind.__name__} was not raised"
    raise AssertionError(message)
