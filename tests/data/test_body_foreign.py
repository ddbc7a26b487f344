"""What a body may not await: everything but queries; the refusal names the call and its place."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import trio

from tests.notes import Notes, assert_healthy, do_nothing, open_notes
from trio_sqlrepo import (
    Database,
    ForeignAwait,
    PoolConfig,
    ReentrantUse,
    Session,
    SessionError,
    query,
    snapshot,
    transaction,
)

HERE = Path(__file__)


class Others(Notes):
    """Repositories of its own, which stay bound where they were."""

    def __init__(self, session: Session, foreign: Callable[[Any], Awaitable[object]]) -> None:
        super().__init__(session)
        self.foreign = foreign
        self.name = "no repository"
        self.notes = Notes(session)

    @transaction
    async def write(self) -> str:
        await self.put("", "before")
        await self.foreign(self)
        await self.put("", "after")
        return "survived"

    @snapshot
    async def read(self) -> str:
        await self.foreign(self)
        return "survived"

    @query("SELECT last_insert_rowid()")
    async def last(self) -> int: ...


@pytest.fixture
async def db(db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path, Others) as database:
        yield database


def line_of(mark: str) -> int:
    """Where in this file `# <mark>` stands."""
    lines = HERE.read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}")]
    return found


# -- the many kinds ----------------------------------------------------------------------------

event, set_event, lock = trio.Event(), trio.Event(), trio.Lock()
set_event.set()
sender, receiver = trio.open_memory_channel[int](1)


class Custom:
    """An awaitable that waits for another framework's loop."""

    def __await__(self) -> Generator[str, None, None]:
        yield "a message to a loop"


async def sleep(_: Any) -> None:
    await trio.sleep(1)  # sleep


async def checkpoint(_: Any) -> None:
    await trio.lowlevel.checkpoint()  # checkpoint


async def wait(_: Any) -> None:
    await event.wait()  # wait


async def wait_for_what_is_there(_: Any) -> None:
    await set_event.wait()  # wait_for_what_is_there


async def scope(_: Any) -> None:
    with trio.CancelScope():  # scope
        pass


async def deadline(_: Any) -> None:
    with trio.fail_after(1):  # deadline
        pass


async def acquire(_: Any) -> None:
    await lock.acquire()  # acquire


async def lock_block(_: Any) -> None:
    async with lock:  # lock_block
        pass


async def nursery(_: Any) -> None:
    async with trio.open_nursery():  # nursery
        pass


async def send(_: Any) -> None:
    await sender.send(1)  # send


async def receive(_: Any) -> None:
    await receiver.receive()  # receive


async def thread(_: Any) -> None:
    await trio.to_thread.run_sync(int)  # thread


async def custom(_: Any) -> None:
    await Custom()  # custom


async def deep(_: Any) -> None:
    async def deeper() -> None:
        await checkpoint(None)

    await deeper()


async def generator(_: Any) -> None:
    async def numbers() -> AsyncIterator[int]:
        await Custom()
        yield 1

    async for _number in numbers():  # generator
        raise AssertionError


async def a_database(_: Any) -> None:
    async with open_notes(":memory:"):  # a_database
        pass


KINDS = {
    sleep: r"calls trio\.sleep",
    checkpoint: r"awaits trio\.checkpoint",
    wait: r"calls trio\.Event\.wait",
    wait_for_what_is_there: r"awaits trio\.Event\.wait",
    scope: r"calls trio\.CancelScope\.__enter__",
    deadline: r"calls trio\.fail_after",
    acquire: r"calls trio\.\w+\.acquire",  # of a private base
    lock_block: r"calls trio\.\w+\.__aenter__",
    nursery: r"calls trio\.open_nursery",
    send: r"calls trio\.MemorySendChannel\.send",
    receive: r"calls trio\.MemoryReceiveChannel\.receive",
    thread: r"calls trio\.to_thread_run_sync",
    custom: r"awaits Custom\.__await__",
    deep: r"awaits trio\.checkpoint",
    generator: r"awaits async_generator_asend",
    a_database: r"calls trio\.\w+\.__aenter__",  # its nursery's
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("body", ["write", "read"])
async def test_a_foreign_await_is_refused(kind: Any, body: str, db: Database) -> None:
    with pytest.raises(ForeignAwait) as caught:
        await getattr(Others(db, kind), body)()
    message = str(caught.value)
    place = f"{HERE}:{line_of('checkpoint' if kind is deep else kind.__name__)}"
    assert re.search(rf"it {KINDS[kind]} at {re.escape(place)}\. ", message), message
    assert "or use `async with db.transaction()`" in message
    assert await Notes(db).bodies() == []
    await assert_healthy(db)


# -- and how they are not survived -------------------------------------------------------------


async def swallow(body: Any) -> None:
    with pytest.raises(ForeignAwait):
        await trio.lowlevel.checkpoint()
    await body.put("", "after the refusal")


async def swallow_and_await_again(_: Any) -> None:
    with pytest.raises(ForeignAwait):
        await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()


async def await_while_closing(_: Any) -> None:
    try:
        await trio.lowlevel.checkpoint()
    finally:
        try:
            await trio.lowlevel.checkpoint()
        finally:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", [swallow, swallow_and_await_again, await_while_closing])
async def test_a_swallowed_refusal_is_raised_all_the_same(kind: Any, db: Database) -> None:
    lines, start = inspect.getsourcelines(kind)
    first = start + next(n for n, line in enumerate(lines) if "checkpoint()" in line)
    with pytest.raises(ForeignAwait, match=rf"{re.escape(str(HERE))}:{first}\. "):
        await Others(db, kind).write()
    assert await Notes(db).bodies() == []
    await assert_healthy(db)


async def test_what_a_body_makes_of_the_refusal_is_raised(db: Database) -> None:
    async def convert(_: Any) -> None:
        try:
            await trio.lowlevel.checkpoint()
        except ForeignAwait as refusal:
            raise LookupError from refusal

    with pytest.raises(LookupError) as caught:
        await Others(db, convert).write()
    assert isinstance(caught.value.__cause__, ForeignAwait)
    assert await Notes(db).bodies() == []


async def test_errors_of_its_own_stay_what_they_are(db: Database) -> None:
    """Trio's refusals are RuntimeErrors and AttributeErrors; these are not trio's."""

    async def attribute(body: Any) -> None:
        body.no_such_thing  # noqa: B018

    async def runtime(_: Any) -> None:
        raise RuntimeError("mine")

    async def neighbour(_: Any) -> None:
        exec(code_of_a_neighbour(), {})

    async def callback(_: Any) -> None:
        # trio is on the stack, but it is this function that raises.
        trio.lowlevel.ParkingLot.__len__(FailingLot())  # type: ignore[arg-type]

    for foreign, error, message in (
        (attribute, AttributeError, "no_such_thing"),
        (runtime, RuntimeError, "mine"),
        (neighbour, RuntimeError, "of a neighbour"),
        (callback, RuntimeError, "of a callback"),
    ):
        with pytest.raises(error, match=message) as caught:
            await Others(db, foreign).write()
        assert type(caught.value) is error
    assert await Notes(db).bodies() == []


def code_of_a_neighbour() -> CodeType:
    """Code of a package whose directory's name begins like trio's, as this library's does."""
    return compile("raise RuntimeError('of a neighbour')", f"{trio.__path__[0]}_next/x.py", "exec")


class FailingLot:
    @property
    def _parked(self) -> object:
        raise RuntimeError("of a callback")


# -- sessions and repositories of the loop -------------------------------------------------------


async def through_attribute(body: Any) -> None:
    await body.notes.count()


async def through_attribute_write(body: Any) -> None:
    await body.notes.put("", "x")


async def through_attribute_body(body: Any) -> None:
    await body.notes.put_two("", "x", "y")


@pytest.mark.parametrize(
    "foreign", [through_attribute, through_attribute_write, through_attribute_body]
)
async def test_a_repository_held_as_attribute(foreign: Any, db: Database) -> None:
    with pytest.raises(ForeignAwait) as caught:
        await Others(db, foreign).write()
    assert str(caught.value) == (
        "self.notes is bound to the Database; in a body use `self.notes.using(self.session)`."
    )
    async with db.transaction() as tx:
        with pytest.raises(ForeignAwait, match=r"self\.notes is bound to the Transaction"):
            await Others(tx, foreign).write()
        with pytest.raises(ForeignAwait, match=r"self\.notes is bound to the Transaction"):
            await Others(tx, foreign).read()
    assert await Notes(db).bodies() == []


async def test_of_several_repositories_the_one_that_was_called_is_named(db: Database) -> None:
    async def foreign(body: Any) -> None:
        body.aaa = Others(db, foreign)
        await body.notes.count()

    with pytest.raises(ForeignAwait, match=r"^self\.notes is bound to the Database; in a body"):
        await Others(db, foreign).write()

    async def session(body: Any) -> None:
        await db.execute("SELECT 1")  # no repository's fault

    with pytest.raises(ForeignAwait, match=r"^execute was called in a body"):
        await Others(db, session).write()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("savepoint", "move what it is for into another @transaction body"),
        ("rollback", "raise an exception"),
        ("transaction", "the body is one"),
        ("snapshot", "the body sees one state"),
        ("read", r"use execute\(\), or run the function"),
        ("write", r"use execute\(\), or run the function"),
        ("live", "a body runs on one state"),
        ("changes", "a body runs on one state"),
    ],
)
async def test_what_a_session_of_the_loop_has(db: Database, name: str, says: str) -> None:
    async def foreign(body: Any) -> None:
        assert not hasattr(body.session, "nothing")
        with pytest.raises(AttributeError, match="'BodySession' object has no attribute 'other'"):
            _ = body.session.other
        getattr(body.session, name)()

    for body in (Others(db, foreign).write, Others(db, foreign).read):
        with pytest.raises(
            AttributeError, match=rf"^self\.session has no {name}\(\) in a body: {says}"
        ):
            await body()
    assert await Notes(db).bodies() == []


async def test_the_advice_is_good(db: Database) -> None:
    async def use(body: Any) -> None:
        await body.notes.using(body.session).put("", "by the other")

    assert await Others(db, use).write() == "survived"
    assert await Notes(db).bodies() == ["before", "by the other", "after"]


async def test_sessions_of_the_loop(db: Database) -> None:
    """Reached by other ways than an attribute that is a repository."""

    class Bare(Notes):
        def __init__(self, session: Session, foreign: Any) -> None:
            super().__init__(session)
            self.foreign = foreign

        @transaction
        async def write(self) -> None:
            await self.put("", "before")
            await self.foreign()

        @snapshot
        async def look(self) -> None:
            await self.foreign()

    async def enter(block: Any) -> None:
        async with block:
            raise AssertionError

    async with open_notes(":memory:", Bare) as memory, db.transaction() as tx:
        notes = Notes(db)
        repository = "bind the repository with `repository"
        calls: dict[tuple[str, str], Callable[[], Awaitable[object]]] = {
            (r"Notes\.count", repository): notes.count,
            (r"Notes\.put_two", repository): lambda: notes.put_two("", "x", "y"),
            ("execute", r"use `self\.session\.execute\("): lambda: db.execute("SELECT 1"),
            (r"Database\.read\(", r"or use `self\.session\.ex"): lambda: db.read(do_nothing),
            (r"Database\.write\(", r"or use `self\.session\.ex"): lambda: db.write(do_nothing),
            ("Transaction", r"or use `self\.session`"): lambda: enter(db.transaction()),
            ("Snapshot", r"or use `self\.session`"): lambda: enter(db.snapshot()),
            ("savepoint", "another @transaction body"): lambda: enter(tx.savepoint()),
            (r"Transaction\.rollback", "a body that raises undoes"): tx.rollback,
        }
        for (label, advice), call in calls.items():
            says = rf"^{label}.* was called in a body through .*{advice}"
            with pytest.raises(ForeignAwait, match=says):
                await Bare(memory, call).write()
            with pytest.raises(ForeignAwait, match=says):
                await Bare(memory, call).look()
        assert await Notes(memory).bodies() == []
        # Least of all has the body ended the transaction that it could not end.
        await Notes(tx).put("", "of the transaction")
    assert await Notes(db).bodies() == ["of the transaction"]


async def test_a_call_where_no_task_runs(db: Database) -> None:
    """Neither a body nor a task: it is driven by hand, as by another framework."""

    def drive(coroutine: Any) -> None:
        coroutine.send(None)

    with pytest.raises(RuntimeError, match=r"Notes\.count must be awaited in a trio task"):
        await trio.to_thread.run_sync(drive, Notes(db).count())
    with pytest.raises(RuntimeError, match=r"Notes\.count must be awaited in a trio task"):
        await db.read(lambda _: drive(Notes(db).count()))


# -- calls smuggled back to the loop -------------------------------------------------------------


async def test_a_call_smuggled_to_the_loop_does_not_wait_for_itself(db_path: Path) -> None:
    async def smuggle_write(body: Any) -> None:
        trio.from_thread.run(body.notes.put, "", "x")

    async def smuggle_read(body: Any) -> None:
        trio.from_thread.run(body.notes.count)

    async with open_notes(db_path, Others, pool=PoolConfig(max_readers=1)) as db:
        for foreign, body in ((smuggle_write, "write"), (smuggle_read, "read")):
            with pytest.raises(ReentrantUse, match="the body or function that asks runs on it"):
                await getattr(Others(db, foreign), body)()
        # A reader is free: that works, and sees what is committed.
        assert await Others(db, smuggle_read).write() == "survived"
        with pytest.raises(ReentrantUse, match="the body or function that asks runs on it"):
            await db.write(lambda _: trio.from_thread.run(Notes(db).put, "", "x"))
        await assert_healthy(db)


async def test_a_call_smuggled_to_the_loop_may_use_another_reader(db: Database) -> None:
    async def smuggle_read(body: Any) -> None:
        assert trio.from_thread.run(body.notes.count) == 0

    assert await Others(db, smuggle_read).read() == "survived"


# -- what means something only on one connection -------------------------------------------------


async def test_the_connection_s_last_change(db: Database) -> None:
    async def ask(body: Any) -> None:
        assert await body.last() == 1

    assert await Others(db, ask).write() == "survived"
    others = Others(db, ask)
    async with db.transaction() as tx:
        await others.using(tx).put("", "x")
        assert await others.using(tx).last() == 3
    with pytest.raises(SessionError, match=r"Others\.last asks about the connection's last change"):
        await others.last()
    async with db.snapshot() as snap:
        with pytest.raises(SessionError, match="which means nothing outside a transaction"):
            await Others(snap, ask).read()
        with pytest.raises(SessionError, match="which means nothing outside a transaction"):
            await others.using(snap).last()
