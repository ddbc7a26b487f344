"""Group commit isolates its members: each is told, and leaves, what it would alone."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from tests.faults.figure import Figure
from tests.notes import NewNote, Notes, assert_healthy
from tests.waiting import until
from trio_sqlrepo import (
    CheckViolation,
    Database,
    ForeignKeyViolation,
    NoResult,
    PoolConfig,
    Repository,
    SqlFunction,
    SQLiteConfig,
    TriggerViolation,
    UniqueViolation,
    open_database,
    query,
    transaction,
)
from trio_sqlrepo.testing import ChildReader, LeakGuard

PROMISE: Final = "writes that share a COMMIT do not touch each other: each is as it would be alone"

_MOST_MEMBERS: Final = 12
_KEYS: Final = 3  # few, so that members of a batch meet
_BATCHES_PER_FILE: Final = 1000

_SCHEMA: Final = (
    """
    CREATE TABLE note (
        id INTEGER PRIMARY KEY, box TEXT NOT NULL, body TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE counter (n INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
    CREATE TABLE strict_note (body TEXT PRIMARY KEY ON CONFLICT ROLLBACK) STRICT;
    CREATE TABLE parent (body TEXT PRIMARY KEY) STRICT;
    CREATE TABLE child (
        body TEXT PRIMARY KEY REFERENCES parent (body) DEFERRABLE INITIALLY DEFERRED
    ) STRICT;
    CREATE TRIGGER note_roll_back BEFORE INSERT ON note WHEN NEW.box = 'roll back' BEGIN
        SELECT RAISE(ROLLBACK, 'rolled back');
    END;
    CREATE TRIGGER note_fail BEFORE INSERT ON note WHEN NEW.box = 'fail' AND NEW.body LIKE '%/2'
    BEGIN SELECT RAISE(FAIL, 'failed'); END;
    CREATE TABLE checked (body TEXT, n INTEGER CHECK (n < 10)) STRICT;
    """,
)
_EVERYTHING: Final = (
    "SELECT 'note', body FROM note WHERE body LIKE :prefix UNION ALL"
    " SELECT 'strict', body FROM strict_note WHERE body LIKE :prefix UNION ALL"
    " SELECT 'parent', body FROM parent WHERE body LIKE :prefix UNION ALL"
    " SELECT 'child', body FROM child WHERE body LIKE :prefix UNION ALL"
    " SELECT 'checked', body FROM checked WHERE body LIKE :prefix"
)


class Members(Repository):
    """Writes, each of which may be a member; `tick` is where cancellations come from."""

    @query("INSERT INTO note (box, body) VALUES ('', tick(:body))")
    async def put(self, body: str) -> None: ...

    @query("INSERT INTO note (box, body) VALUES ('', tick(:body)) RETURNING body")
    async def add(self, body: str) -> str: ...

    @query("INSERT INTO note (box, body) VALUES (:box, tick(:body))")
    async def put_all(self, notes: Sequence[NewNote]) -> None: ...

    @query("INSERT INTO note (box, body) VALUES (:box, :body)")
    async def put_in(self, box: str, body: str) -> None: ...

    @query("INSERT INTO note (box, body) WITH n(x) AS (VALUES (1), (2), (3))"
           " SELECT 'fail', :body || '/fail/' || x FROM n")  # fmt: skip
    async def fail_half_way(self, body: str) -> None: ...

    @query("UPDATE OR IGNORE note SET box = box WHERE body = 'nobody' || :body RETURNING body")
    async def touch_nobody(self, body: str) -> str: ...

    @query("INSERT INTO strict_note VALUES (tick(:body))")
    async def put_strictly(self, body: str) -> None: ...

    @query("INSERT INTO parent VALUES (tick(:body))")
    async def put_parent(self, body: str) -> None: ...

    @query("INSERT INTO child VALUES (tick(:body))")
    async def put_child(self, body: str) -> None: ...

    @query("INSERT INTO checked VALUES (:body, :n)")
    async def put_checked(self, body: str, n: int) -> None: ...

    @query("DELETE FROM note WHERE body = tick(:body)")
    async def delete(self, body: str) -> None: ...

    @transaction
    async def put_stubbornly(self, body: str) -> None:
        """Go on after a failure: the rest of the body stays."""
        for each in (body, body, f"{body}/more"):
            try:
                await self.put(each)
            except UniqueViolation:
                continue

    @transaction
    async def put_and_raise(self, body: str) -> None:
        await self.put(f"{body}/raised")
        raise LookupError

    @transaction
    async def put_child_then_parent(self, body: str) -> None:
        await self.put_child(body)
        await self.put_parent(body)


State = set[tuple[str, str]]


@attrs.frozen
class _Kind:
    """A member: what it does, and the model of that, alone.

    The model gives the state after it, or the error's type; then it leaves nothing.
    """

    call: Callable[[Members, str], Awaitable[Any]]
    model: Callable[[State, str], State | type[Exception]]


def _insert(table: str, *suffixes: str) -> Callable[[State, str], State | type[Exception]]:
    """The model of one statement per suffix, all or nothing."""

    def model(state: State, key: str) -> State | type[Exception]:
        new = set(state)
        for suffix in suffixes:
            if (table, key + suffix) in new:
                return UniqueViolation
            new.add((table, key + suffix))
        return new

    return model


def _raises(error: type[Exception]) -> Callable[[State, str], State | type[Exception]]:
    return lambda _state, _key: error


def _child(state: State, key: str) -> State | type[Exception]:
    if ("child", key) in state:
        return UniqueViolation
    return state | {("child", key)} if ("parent", key) in state else ForeignKeyViolation


def _stubborn(state: State, key: str) -> State | type[Exception]:
    return state | {("note", key), ("note", f"{key}/more")}


def _child_then_parent(state: State, key: str) -> State | type[Exception]:
    if {("child", key), ("parent", key)} & state:
        return UniqueViolation
    return state | {("child", key), ("parent", key)}


KINDS: Final = {
    "put": _Kind(Members.put, _insert("note", "")),
    "returning": _Kind(Members.add, _insert("note", "")),
    "batch": _Kind(
        lambda members, key: members.put_all([NewNote("", f"{key}/b"), NewNote("", key)]),
        _insert("note", "/b", ""),
    ),
    "RAISE(ROLLBACK)": _Kind(
        lambda members, key: members.put_in("roll back", key), _raises(TriggerViolation)
    ),
    "RAISE(FAIL)": _Kind(Members.fail_half_way, _raises(TriggerViolation)),
    "no result": _Kind(Members.touch_nobody, _raises(NoResult)),
    "ON CONFLICT ROLLBACK": _Kind(Members.put_strictly, _insert("strict", "")),
    "parent": _Kind(Members.put_parent, _insert("parent", "")),
    "deferred foreign key": _Kind(Members.put_child, _child),
    "check": _Kind(lambda members, key: members.put_checked(key, 10), _raises(CheckViolation)),
    "delete": _Kind(Members.delete, lambda state, key: state - {("note", key)}),
    "body": _Kind(Members.put_stubbornly, _stubborn),
    "raising body": _Kind(Members.put_and_raise, _raises(LookupError)),
    "body of child and parent": _Kind(Members.put_child_then_parent, _child_then_parent),
}


@attrs.define(eq=False)
class _Member:
    kind: str
    key: str
    cancels: _Member | None = None  # whose scope is cancelled when this one's first row is made
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    outcome: str | type[BaseException] = ""  # "returned", "cancelled", or the error's type

    def __repr__(self) -> str:
        said = self.outcome if isinstance(self.outcome, str) else self.outcome.__name__
        return f"{self.kind}({self.key}): {said}"


class _Ticker:
    """Behind the SQL function `tick(body)`: cancels whom the row's member says, once."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[_Member]] = {}  # by key
        self.token: trio.lowlevel.TrioToken | None = None

    def __call__(self, value: Any) -> Any:
        key = "/".join(str(value).split("/")[:2])
        for member in self.waiting.pop(key, ()):
            assert member.cancels is not None
            trio.from_thread.run_sync(member.cancels.scope.cancel, trio_token=self.token)
        return value


def run(seed: int, *, full: bool) -> Figure:
    """Have random writes wait together, and compare with the model of each alone."""
    rng = random.Random(seed)
    batches = 10_000 if full else 500
    counts = dict.fromkeys(("members", "cancelled", "failed", "commits"), 0)
    with tempfile.TemporaryDirectory() as directory, ChildReader() as reader:
        for first in range(0, batches, _BATCHES_PER_FILE):
            path = Path(directory, f"{first}.db")
            numbers = range(first, min(first + _BATCHES_PER_FILE, batches))
            expected = trio.run(_run_batches, path, numbers, rng, counts)
            found = reader.read(path, _EVERYTHING.replace(":prefix", "'%'"))
            assert sorted(found) == sorted(expected), f"batches {numbers}"
    assert counts["commits"] < counts["members"], "nothing was ever grouped"
    return Figure(
        f"{batches} batches of {counts['members']} writes in {counts['commits']} commits, of which"
        f" {counts['failed']} failed and {counts['cancelled']} were cancelled: 0 cross-effects",
        {"batches": batches, **counts, "cross_effects": 0},
    )


async def _run_batches(
    path: Path, numbers: range, rng: random.Random, counts: dict[str, int]
) -> State:
    ticker = _Ticker()
    ticker.token = trio.lowlevel.current_trio_token()
    expected: State = set()
    async with open_database(
        path,
        repositories=[Members, Notes],
        migrations=_SCHEMA,
        pool=PoolConfig(max_readers=1),
        sqlite=SQLiteConfig(
            synchronous="off", functions={"tick": SqlFunction(call=ticker, arguments=1)}
        ),
    ) as db:
        async with LeakGuard(db):
            for number in numbers:
                expected |= await _run_batch(db, number, ticker, rng, counts)
        await assert_healthy(db)
        counts["commits"] += db.stats().commits
    return expected


def _draw(number: int, rng: random.Random) -> list[_Member]:
    kinds = rng.sample(sorted(KINDS), rng.randint(1, 6))  # some batches without a failure
    members = [
        _Member(rng.choice(kinds), f"{number}/{rng.randrange(_KEYS)}")
        for _ in range(rng.randint(2, _MOST_MEMBERS))
    ]
    for member in members:
        if rng.random() < 0.15:
            member.cancels = rng.choice(members)
    return members


async def _run_batch(
    db: Database, number: int, ticker: _Ticker, rng: random.Random, counts: dict[str, int]
) -> State:
    """Queue the members behind a transaction, let them go, and judge what came of each."""
    members = _draw(number, rng)
    ticker.waiting = {}
    for member in members:
        if member.cancels is not None:
            ticker.waiting.setdefault(member.key, []).append(member)
    sent: list[_Member] = []
    async with trio.open_nursery() as nursery, db.transaction():
        for member in members:
            nursery.start_soon(_call, Members(db), member, sent)
        await until(lambda: db.stats().writers.waiting >= len(members))
        for member in rng.sample(members, rng.choice((0, 0, 0, 1, 2))):
            member.scope.cancel()
    state: State = set()
    for member, (expected, after) in zip(sent, _expect(sent), strict=True):
        state = after
        assert member.outcome == expected, (
            f"batch {number}: alone {member.kind}({member.key}) would have"
            f" {expected if isinstance(expected, str) else expected.__name__}: {sent}"
        )
    rows = await db.execute(_EVERYTHING, {"prefix": f"{number}/%"})
    assert sorted(rows) == sorted(state), f"batch {number}: {sent} left {rows}, not {state}"
    counts["members"] += len(sent)
    counts["cancelled"] += sum(member.outcome == "cancelled" for member in sent)
    counts["failed"] += sum(isinstance(member.outcome, type) for member in sent)
    return state


def _expect(sent: list[_Member]) -> Iterator[tuple[str | type[BaseException], State]]:
    """What each must be told, given who was cancelled, and the state after it."""
    state: State = set()
    for member in sent:
        expected: str | type[BaseException] = "returned"
        if member.outcome == "cancelled":
            expected = "cancelled"
            assert member.scope.cancel_called
        else:
            after = KINDS[member.kind].model(state, member.key)
            if isinstance(after, set):
                state = after
            else:
                expected = after
        yield expected, state


async def _call(members: Members, member: _Member, sent: list[_Member]) -> None:
    with member.scope:
        sent.append(member)  # from here to the queue there is no checkpoint
        try:
            await KINDS[member.kind].call(members, member.key)
            member.outcome = "returned"
        except Exception as error:
            member.outcome = type(error)
    if member.scope.cancelled_caught:
        member.outcome = "cancelled"
