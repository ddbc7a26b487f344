"""`@transaction` and `@snapshot` bodies: whole, nested as savepoints, with the caller's context."""

from __future__ import annotations

import contextvars
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.notes import NewNote, Notes, open_notes
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    ReadOnlySession,
    RowCount,
    Session,
    SessionEnded,
    TransactionAborted,
    UniqueViolation,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo._worker import commit

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Oops(Exception):
    pass


class Bodies(Notes):
    runs = 0

    @transaction
    async def put_and_fail(self, body: str) -> None:
        await self.put("inner", body)
        raise Oops

    @transaction
    async def put_around_a_failure(self) -> list[str]:
        await self.put("outer", "before")
        try:
            await self.put_and_fail("never")
        except Oops:
            await self.put("outer", "after")
        return await self.bodies()

    @transaction
    async def put_around_a_success(self) -> None:
        await self.put("outer", "before")
        await self.put_two("inner", "one", "two")
        raise Oops

    @transaction
    async def survive_a_duplicate(self, body: str) -> list[str]:
        await self.put("", body)
        with pytest.raises(UniqueViolation):
            await self.put("", body)
        with pytest.raises(UniqueViolation):
            await self.put_all([NewNote("", "fresh"), NewNote("", body)])
        with pytest.raises(UniqueViolation):
            await self.session.execute("INSERT INTO note (box, body) VALUES ('', ?)", (body,))
        return await self.bodies()

    @transaction
    async def adhoc(self) -> list[tuple[Any, ...]]:
        await self.session.execute("INSERT INTO note (box, body) VALUES ('', :b)", {"b": "x"})
        return await self.session.execute("SELECT body FROM note")

    @snapshot
    async def look(self) -> list[str]:
        assert await self.session.execute("SELECT 1") == [(1,)]
        return await self.bodies()

    @snapshot
    async def look_away(self) -> None:
        raise AssertionError

    @snapshot
    async def look_and_put(self) -> None:
        await self.put("", "x")

    @snapshot
    async def look_and_put_two(self) -> None:
        await self.put_two("", "x", "y")

    @snapshot
    async def look_and_insert(self) -> None:
        await self.session.execute("INSERT INTO note (box, body) VALUES ('', 'x')")

    @snapshot
    async def look_deeper(self) -> list[str]:
        return await self.look()

    @transaction
    async def look_in_between(self, view: str) -> list[str]:
        await self.put("", "before")
        if view == "look":
            assert await self.look() == ["before"]
            assert await self.look_deeper() == ["before"]
        else:
            with pytest.raises(ReadOnlySession, match=rf"but Bodies\.{view} only reads"):
                await getattr(self, view)()
        await self.put("", "after")  # the view has ended; here it may write again
        return await self.bodies()

    @transaction
    async def context(self) -> str:
        before = request_id.get()
        request_id.set("changed in the body")
        return before

    @transaction
    async def keep(self, kept: list[Any]) -> None:
        kept.append(self)

    @query("DELETE FROM note")
    async def clear(self) -> RowCount: ...

    @transaction
    async def call_with(self, *args: int, key: str = "k", **more: int) -> tuple[Any, ...]:
        assert await self.count() == 0
        return args, key, more


class CallsBack(Notes):
    """A body that runs whatever it is given."""

    def __init__(self, session: Session, function: Any) -> None:
        super().__init__(session)
        self.function = function

    @transaction
    async def call(self) -> Any:
        return await self.function(self.session)


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path, Bodies, CallsBack) as database:
        yield database


# -- nesting -----------------------------------------------------------------------------------


async def test_a_body_that_fails_leaves_nothing(db: Database) -> None:
    with pytest.raises(Oops):
        await Bodies(db).put_and_fail("never")
    assert await Notes(db).bodies() == []


async def test_a_body_within_a_body_is_a_savepoint(db: Database) -> None:
    assert await Bodies(db).put_around_a_failure() == ["before", "after"]
    assert await Notes(db).bodies() == ["before", "after"]


async def test_what_an_inner_body_did_falls_with_the_outer(db: Database) -> None:
    with pytest.raises(Oops):
        await Bodies(db).put_around_a_success()
    assert await Notes(db).bodies() == []


async def test_a_body_within_a_transaction_is_a_savepoint(db: Database) -> None:
    async with db.transaction() as tx:
        bodies = Bodies(tx)
        await bodies.put("", "kept")
        with pytest.raises(Oops):
            await bodies.put_and_fail("never")
        assert await bodies.put_two("", "one", "two") == 3
        assert await bodies.look() == ["kept", "one", "two"]  # what the transaction sees
        assert await Notes(db).bodies() == []
    assert await Notes(db).bodies() == ["kept", "one", "two"]


async def test_a_failing_query_undoes_only_itself(db: Database) -> None:
    assert await Bodies(db).survive_a_duplicate("x") == ["x"]
    async with db.transaction() as tx:
        assert await Bodies(tx).survive_a_duplicate("y") == ["x", "y"]
    assert await Notes(db).bodies() == ["x", "y"]


async def test_adhoc_sql_in_a_body(db: Database) -> None:
    assert await Bodies(db).adhoc() == [("x",)]
    assert await Notes(db).bodies() == ["x"]


async def test_arguments_arrive_as_given(db: Database) -> None:
    bodies = Bodies(db)
    assert await bodies.call_with() == ((), "k", {})
    assert await bodies.call_with(1, 2, key="x", z=3) == ((1, 2), "x", {"z": 3})


# -- reading only ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["look_and_put", "look_and_put_two", "look_and_insert"])
@pytest.mark.parametrize("where", ["database", "transaction", "snapshot"])
async def test_a_view_does_not_write(name: str, where: str, db: Database) -> None:
    async def refuse(session: Session) -> None:
        with pytest.raises(ReadOnlySession, match=rf"writes, but Bodies\.{name} only reads"):
            await getattr(Bodies(session), name)()

    if where == "database":
        await refuse(db)
    elif where == "snapshot":
        async with db.snapshot() as snap:
            await refuse(snap)
    else:
        async with db.transaction() as tx:
            await refuse(tx)
    assert await Notes(db).bodies() == []


@pytest.mark.parametrize("view", ["look", "look_and_put", "look_and_put_two", "look_and_insert"])
async def test_a_view_within_a_transaction_body(view: str, db: Database) -> None:
    assert await Bodies(db).look_in_between(view) == ["before", "after"]
    assert await Notes(db).bodies() == ["before", "after"]


async def test_a_view_on_a_snapshot(db: Database) -> None:
    await Notes(db).put("", "x")
    async with db.snapshot() as snap:
        await Notes(db).put("", "y")
        assert await Bodies(snap).look() == ["x"]
        with pytest.raises(ReadOnlySession, match=r"Notes\.put_two writes, but a Snapshot only"):
            await Bodies(snap).put_two("", "a", "b")


# -- context -----------------------------------------------------------------------------------


async def test_a_body_sees_the_context_of_its_caller(db: Database) -> None:
    token = request_id.set("of the caller")
    try:
        assert await Bodies(db).context() == "of the caller"
        assert request_id.get() == "of the caller"
        async with db.transaction() as tx:
            assert await Bodies(tx).context() == "of the caller"
        assert request_id.get() == "of the caller"
    finally:
        request_id.reset(token)


async def test_an_exception_brings_its_own_traceback(db: Database) -> None:
    with pytest.raises(Oops) as caught:
        await Bodies(db).put_and_fail("x")
    error = caught.value
    frames = traceback.extract_tb(error.__traceback__)
    names = [frame.name for frame in frames]
    # From the caller, through the declared method, to the line of the body that raised.
    assert names[0] == "test_an_exception_brings_its_own_traceback"
    assert (names[-1], frames[-1].line) == ("put_and_fail", "raise Oops")
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, AssertionError])
async def test_any_exception_leaves_as_itself(kind: type[BaseException], db: Database) -> None:
    raised = kind("as it is")

    async def put_and_raise(session: Session) -> None:
        await Bodies(session).put("", "never")
        raise raised

    with pytest.raises(kind) as caught:
        await CallsBack(db, put_and_raise).call()
    assert caught.value is raised
    assert await Notes(db).bodies() == []


# -- after its end -----------------------------------------------------------------------------


async def test_a_body_s_session_ends_with_it(db: Database) -> None:
    kept: list[Bodies] = []
    await Bodies(db).keep(kept)
    (bodies,) = kept
    assert bodies.session is not db
    for call in (
        bodies.count(),
        bodies.put("", "x"),
        bodies.put_two("", "x", "y"),
        bodies.look_away(),
        bodies.session.execute("SELECT 1"),
    ):
        with pytest.raises(SessionEnded, match=r"Bodies\.keep has ended; its session and what was"):
            await call
    assert repr(bodies.session) == "<BodySession of Bodies.keep, ended>"
    assert await Notes(db).bodies() == []


# -- an ended transaction ----------------------------------------------------------------------


class Strict(Notes):
    @transaction
    async def swallow(self, body: str, *, go_on: str) -> str:
        await self.put("", body)
        with suppress(UniqueViolation):
            await self.put_strictly("taken")
        if go_on == "write":
            await self.put("", body + "x")
        elif go_on == "read":
            # It would see the database without what the body wrote.
            raise AssertionError(await self.bodies())
        return "as if nothing had happened"

    @transaction
    async def swallow_inside(self, body: str) -> str:
        with suppress(TransactionAborted):
            await self.swallow(body, go_on="no")
        return "as if nothing had happened"


@pytest.mark.parametrize("go_on", ["no", "read", "write"])
@pytest.mark.parametrize("where", ["alone", "grouped", "transaction"])
async def test_an_ended_transaction_is_not_survived_by_swallowing(
    go_on: str, where: str, db_path: Path
) -> None:
    async with open_notes(db_path, Strict) as db:
        strict = Strict(db)
        await strict.put_strictly("taken")

        async def expect_abortion(session: Session) -> None:
            with pytest.raises(TransactionAborted, match=r"SQLite has ended|ended by SQLite"):
                await Strict(session).swallow("x", go_on=go_on)

        if where == "alone":
            await expect_abortion(db)
        elif where == "grouped":
            async with trio.open_nursery() as nursery, db.transaction():
                nursery.start_soon(strict.put, "", "innocent")
                nursery.start_soon(expect_abortion, db)
                nursery.start_soon(strict.put_two, "", "as innocent", "too")
                await until(lambda: db.stats().writers.waiting >= 3)
        else:
            with pytest.raises(TransactionAborted, match=r"SQLite has ended|ended by SQLite"):
                async with db.transaction() as tx:
                    await strict.using(tx).put("", "before")
                    await expect_abortion(tx)
                    await strict.using(tx).count()
        innocent = {"innocent", "as innocent", "too"} if where == "grouped" else set()
        assert set(await strict.bodies()) == innocent


async def test_an_inner_body_s_end_is_the_outer_s(db_path: Path) -> None:
    async with open_notes(db_path, Strict) as db:
        await Strict(db).put_strictly("taken")
        with pytest.raises(TransactionAborted):
            await Strict(db).swallow_inside("x")
        assert await Notes(db).bodies() == []


# -- run again ---------------------------------------------------------------------------------


class Rerun(Notes):
    def __init__(self, session: Session, seen: list[Any]) -> None:
        super().__init__(session)
        self.seen = seen
        self.fresh = True

    @transaction
    async def work(self, body: str, *, more: Sequence[str] = ()) -> str:
        self.seen.append((self.fresh, request_id.get(), more, id(self)))
        self.fresh = False
        request_id.set("left by the first run")
        await self.put("", body)
        return body


async def test_a_body_that_is_run_again_starts_afresh(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its group is undone by a member whose conflict ends the transaction."""
    monkeypatch.setattr(commit, "_OLD", float("inf"))  # however slow the machine, it is one group
    async with open_notes(db_path, Rerun) as db:
        notes = Notes(db)
        await notes.put_strictly("taken")
        seen: list[Any] = []
        rerun = Rerun(db, seen)
        results: list[str] = []

        async def work() -> None:
            request_id.set("of the caller")
            results.append(await rerun.work("x", more=["y"]))

        async def clash() -> None:
            with pytest.raises(UniqueViolation):
                await notes.put_strictly("taken")

        async with trio.open_nursery() as nursery, db.transaction():
            # One after the other, so that the body runs before the group falls.
            nursery.start_soon(work)
            await until(lambda: db.stats().writers.waiting == 1)
            nursery.start_soon(clash)
            await until(lambda: db.stats().writers.waiting == 2)
        assert results == ["x"]
        assert await notes.bodies() == ["x"]
        assert len(seen) == 2
        (first, second) = seen
        assert first[:3] == second[:3] == (True, "of the caller", ["y"])
        assert rerun.fresh


async def test_an_iterator_is_refused_before_the_first_run() -> None:
    class Takes(Notes):
        @transaction
        async def take(self, things: Any, *, more: Any = ()) -> None: ...

    async with open_notes(":memory:", Takes) as memory:
        takes = Takes(memory)
        for call in (lambda: takes.take(iter("x")), lambda: takes.take([], more=map(str, "x"))):
            with pytest.raises(TypeError, match=r"take was given an iterator .* Give a list"):
                await call()  # type: ignore[no-untyped-call]
        await takes.take(range(3))
