"""What the children do that are sent Ctrl-C. They leave as KeyboardInterrupt, with nothing left."""

from __future__ import annotations

import os
import signal
from typing import Any, Final

import trio

from tests.notes import Notes, open_notes, pool_threads
from tests.processes.child import say
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig
from trio_sqlrepo._pool.pool import Pool

CONFIG: Final = PoolConfig(drain_timeout=0.5)


async def write_forever(db: Database, number: int) -> None:
    notes = Notes(db)
    turn = 0
    while True:
        turn += 1
        await notes.put("b", f"{number}/{turn}")
        await notes.put_two("b", f"{number}/{turn}/x", f"{number}/{turn}/y")
        await notes.count()
        async with db.transaction() as tx:
            await Notes(tx).increment()


async def work(path: str) -> None:
    async with open_notes(path, pool=CONFIG) as db, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(write_forever, db, number)
        say("ready")
        await write_forever(db, 3)


async def read(path: str) -> None:
    async with open_notes(path, pool=CONFIG) as db:
        say("ready")
        while True:
            await Notes(db).count()
            await Notes(db).count_twice()


async def hold(db: Database, task_status: trio.TaskStatus[None]) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("b", "never")
        task_status.started()
        await trio.sleep_forever()


@trio.lowlevel.enable_ki_protection  # so that it is the main task that is interrupted
async def say_when_closing(db: Database) -> None:
    await until(lambda: db.stats().state != "open")
    say("ready")


async def close(path: str) -> None:
    """It drains for as long as it may, as another task does not leave."""
    async with trio.open_nursery() as nursery:  # noqa: SIM117  # left in this order
        async with open_notes(path, pool=CONFIG) as db:
            await nursery.start(hold, db)
            nursery.start_soon(say_when_closing, db)


@trio.lowlevel.enable_ki_protection  # so that it waits until the main task does
def interrupt_myself() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def close_badly(path: str) -> None:
    """Ctrl-C comes while the library itself runs, in a task that closes."""
    refuse_waiting = Pool.refuse_waiting

    def interrupted(pool: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        refuse_waiting(pool)

    Pool.refuse_waiting = interrupted  # type: ignore[method-assign, assignment]
    say("ready")
    async with open_notes(path, pool=CONFIG):
        pass


async def fail(path: str) -> None:
    """Ctrl-C comes between the exception and the next checkpoint."""
    say("ready")
    try:
        async with open_notes(path, pool=CONFIG):
            interrupt_myself()
            raise LookupError
    except KeyboardInterrupt as interrupt:
        # It goes first, and what the block raised is not lost.
        assert isinstance(interrupt.__context__, LookupError)  # noqa: PT017  # in a child
        raise


def main(path: str, when: str) -> None:
    program = {
        "working": work,
        "reading": read,
        "closing": close,
        "in the library": close_badly,
        "failing": fail,
    }[when]
    try:
        trio.run(program, path)
    except* KeyboardInterrupt:
        assert pool_threads() == []
        say("interrupted")
