"""What the children of the figures do: each is started by `tests.faults.zygote`."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from tests.faults.files_damaged import meet_damage, prepare_files
from tests.faults.soak import be_loaded, lock_now_and_then
from tests.faults.zygote import say
from tests.notes import NewNote, Notes, open_notes
from trio_sqlrepo import (
    Database,
    DatabaseLocked,
    PoolConfig,
    Repository,
    RowStream,
    SqlFunction,
    SqlRepoError,
    query,
)


async def write_and_tell(db: Database, name: str, number: int) -> None:
    """Write once, in one of several ways; tell the bodies once they are acknowledged."""
    notes = Notes(db)
    bodies = [f"{name}/{number}"]
    match number % 4:
        case 0:
            bodies.append(f"{name}/{number}/pair")
            await notes.put_two(name, *bodies)
        case 1:
            bodies += [f"{name}/{number}/{part}" for part in range(3)]
            await notes.put_all([NewNote(name, body) for body in bodies])
        case 2:
            bodies.append(f"{name}/{number}/pair")
            async with db.transaction() as tx:
                for body in bodies:
                    await Notes(tx).put(name, body)
        case _:
            await notes.put(name, bodies[0])
    say("acknowledged " + " ".join(bodies))


async def write_for_ever(db: Database, name: str) -> None:
    number = 0
    while True:
        number += 1
        await write_and_tell(db, name, number)


# -- kill ------------------------------------------------------------------------------------------


def write_until_killed(path: str, name: str, tasks: int) -> None:
    """Write from many tasks, durably, and tell what was acknowledged."""

    async def main() -> None:
        async with open_notes(path, synchronous="full") as db, trio.open_nursery() as nursery:
            say("open")
            for task in range(tasks):
                nursery.start_soon(write_for_ever, db, f"{name}/{task}")

    trio.run(main)


def open_once(path: str, name: str) -> None:
    """Open what a killed process has left, read, write, close."""

    async def main() -> None:
        async with open_notes(path, synchronous="full") as db:
            before = await Notes(db).count()
            await Notes(db).put("opened", name)
            assert await Notes(db).count() > before  # others may write as well

    trio.run(main)


# -- several processes -----------------------------------------------------------------------------


def write_so_many(path: str, name: str, writes: int, busy_timeout: float) -> None:
    """Write so many times, one after the other, from the given moment on; tell the times."""

    async def main() -> None:
        times = []
        async with open_notes(path, synchronous="full", busy_timeout=busy_timeout) as db:
            say("open")
            # All begin when the file says so; reading it is no write.
            while not await db.execute("SELECT 1 FROM note WHERE body = 'go'"):
                await trio.sleep(0.001)
            for number in range(writes):
                await Notes(db).put(name, f"{name}/{number}")
                times.append(time.monotonic())
        say("times " + " ".join(f"{moment:.4f}" for moment in times))

    trio.run(main)


# -- exit ------------------------------------------------------------------------------------------


class Endless(Repository):
    @query("WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
    def numbers(self) -> RowStream[int]: ...


def _stand_still(_: object) -> None:
    """In Python, on the connection's thread: nothing but the process's end ends it."""
    time.sleep(3600)


async def _do_nothing_more(db: Database, name: str) -> None:
    del db, name


async def _wedge_a_read(db: Database, name: str) -> None:
    del name
    await db.read(_stand_still)


async def _wedge_a_write(db: Database, name: str) -> None:
    del name
    await db.write(_stand_still)


async def _wedge_a_query(db: Database, name: str) -> None:
    """Stuck inside sqlite3_step."""
    del name
    await db.execute("SELECT stuck(1)")


async def _hold_a_snapshot(db: Database, name: str) -> None:
    del name
    async with db.snapshot() as snap:
        await Notes(snap).count()
        await trio.sleep_forever()


async def _hold_a_transaction(db: Database, name: str) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put(name, f"{name}/never")
        await trio.sleep_forever()


async def _hold_a_stream(db: Database, name: str) -> None:
    """Some rows are taken, the next are read ahead."""
    del name
    async with Endless(db).numbers() as rows:
        assert await anext(rows) == 1
        await trio.sleep_forever()


async def _run_through_a_stream(db: Database, name: str) -> None:
    del name
    async with Endless(db).numbers() as rows:
        async for _ in rows:
            pass


async def _watch(db: Database, name: str) -> None:
    del name
    async with db.live(Notes(db).count) as counts:
        async for _ in counts:
            pass


# What holds a connection when the interrupt comes: a task beside the block, whose end must do
# without it, or the task of the block itself, to which trio delivers the interrupt.
INSIDE: Final = " inside"
_BESIDE: Final[dict[str, Callable[[Database, str], Awaitable[None]]]] = {
    "snapshot": _hold_a_snapshot,
    "transaction": _hold_a_transaction,
    "stream": _hold_a_stream,
    "stream that runs": _run_through_a_stream,
    "live query": _watch,
    "wedged read": _wedge_a_read,
    "wedged write": _wedge_a_write,
    "wedged query": _wedge_a_query,
}
HELD: Final = {
    "load": _do_nothing_more,
    **_BESIDE,
    **{kind + INSIDE: hold for kind, hold in _BESIDE.items()},
}


async def _hold(held: str, db: Database, name: str) -> None:
    with suppress(SqlRepoError):  # the database is closed under it
        await HELD[held](db, name)


async def _load(db: Database, name: str) -> None:
    # While a writer is stuck that was interrupted, nothing can be written.
    with suppress(DatabaseLocked):
        await write_for_ever(db, name)


def live(path: str, name: str, seed: int, config: dict[str, float], held: str) -> None:
    """Open, load, close, again and again, until interrupted."""
    rng = random.Random(seed)
    pool = PoolConfig.from_mapping(config)
    stuck = {"stuck": SqlFunction(call=_stand_still)}

    async def main() -> None:
        turn = 0
        while True:
            turn += 1
            async with trio.open_nursery() as outside:
                async with open_notes(path, Endless, pool=pool, functions=stuck) as db:
                    if not held.endswith(INSIDE):
                        outside.start_soon(_hold, held, db, f"{name}/{turn}")
                        seconds = rng.uniform(0, 0.03)
                    else:  # the interrupt comes to one that was cancelled, or to one that was not
                        seconds = rng.choice([rng.uniform(0, 0.03), math.inf])
                    with trio.move_on_after(seconds):
                        async with trio.open_nursery() as nursery:
                            for task in range(3):
                                nursery.start_soon(_load, db, f"{name}/{turn}/{task}")
                            if held.endswith(INSIDE):
                                await _hold(held, db, f"{name}/{turn}")
                outside.cancel_scope.cancel()

    try:
        trio.run(main)
    except* KeyboardInterrupt:
        raise KeyboardInterrupt from None


COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    command.__name__: command
    for command in (
        write_until_killed,
        open_once,
        write_so_many,
        live,
        be_loaded,
        lock_now_and_then,
        prepare_files,
        meet_damage,
    )
}
