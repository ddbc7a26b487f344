"""The two children of `figure_soak`: one is loaded and measured, the other is in its way."""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path
from typing import Final

import apsw
import trio

from tests.cancellation.calls import CALLS, open_ticking
from tests.cancellation.stepping import Ticker
from tests.faults.zygote import say
from tests.notes import Notes
from trio_sqlrepo import Database, DatabaseLocked, PoolConfig, UniqueViolation
from trio_sqlrepo.testing._leaks import _thread_names

_TASKS: Final = 8
_READERS: Final = 2
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MEAN_DELAYS: Final = (0.0005, 0.005, 0.05)
_MOST_NOTES: Final = 3000  # then they are deleted: the file is not to grow for ever


def be_loaded(path: str, seed: int, seconds: float, every: float) -> None:
    """Use a database in all ways, with faults; pause and tell the process's size now and then."""
    rng = random.Random(seed)
    pool = PoolConfig(
        min_readers=_READERS, max_readers=_READERS, max_lifetime=2 * every, max_idle=every,
        connection_timeout=60.0,
    )  # fmt: skip

    async def main() -> None:
        ends = time.monotonic() + seconds
        calls = {"returned": 0, "cancelled": 0, "refused": 0}
        async with open_ticking(path, Ticker(), pool) as db:
            turn = 0
            while time.monotonic() < ends:
                turn += 1
                with trio.CancelScope() as phase:
                    async with trio.open_nursery() as nursery:
                        for task in range(_TASKS):
                            nursery.start_soon(_use, db, f"{turn}/{task}", rng, calls)
                        nursery.start_soon(_keep_small, db)
                        await trio.sleep(every)
                        phase.cancel()
                await _rest(db)
                stats = db.stats()
                replaced = stats.readers.replaced + stats.writers.replaced
                say(f"sample {_size()} {_descriptors()} {_threads()} {replaced}")
        say(f"calls {calls['returned']} {calls['cancelled']} {calls['refused']}")

    trio.run(main)


async def _use(db: Database, name: str, rng: random.Random, calls: dict[str, int]) -> None:
    number = 0
    while True:
        number += 1
        kind = rng.choice(list(CALLS))
        if kind == "execute VACUUM" and rng.random() < 0.99:
            continue
        mark = f"{name}/{number}/"
        with trio.CancelScope() as scope:
            if rng.random() < 0.5:
                scope.deadline = trio.current_time() + rng.expovariate(1 / rng.choice(_MEAN_DELAYS))
            try:
                await CALLS[kind].run(db, mark)
                calls["returned"] += 1
                await Notes(db).put("again", mark)  # a duplicate, half of the time
            except (UniqueViolation, DatabaseLocked):
                calls["refused"] += 1
            if rng.random() < 0.002:
                await db.read(_soften)
        calls["cancelled"] += scope.cancelled_caught
        await trio.lowlevel.checkpoint()


def _soften(connection: apsw.Connection) -> None:
    """Make it dirty, so that it is replaced."""
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 3)


async def _keep_small(db: Database) -> None:
    while True:
        if await Notes(db).count() > _MOST_NOTES:
            try:
                await db.execute("DELETE FROM note")
            except DatabaseLocked:
                continue
        await trio.sleep(0.05)


async def _rest(db: Database) -> None:
    """Until every connection is there and none does anything."""
    while True:
        stats = db.stats()
        lanes = (stats.readers, _READERS), (stats.writers, 1)
        if all(lane.size == lane.idle == wanted for lane, wanted in lanes):
            return
        await trio.sleep(0.001)


def _size() -> int:
    """Bytes resident, after what is garbage has gone."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _threads() -> int:
    """Those that work: trio keeps others for a while."""
    return len(list(_thread_names()))


def lock_now_and_then(path: str, seed: int) -> None:
    """Hold the write lock for a while, again and again, until killed."""
    rng = random.Random(seed)
    connection = apsw.Connection(path)
    connection.set_busy_timeout(10_000)
    while True:
        time.sleep(rng.uniform(0, 0.5))
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(rng.uniform(0, 0.1))
        connection.execute("COMMIT")
