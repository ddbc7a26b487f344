"""One process of `figure_isolation`: `python -m tests.faults.isolation_load SETTINGS`.

Its tasks append to lists and read them, each in its own way, until time is up; what they did goes
to a file line by line, so that it is there when the process is killed.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

import attrs
import trio

from tests.testing import planted
from tests.testing.lists import Lists, open_lists
from trio_sqlrepo import Database, DatabaseLocked, PoolConfig, PoolTimeout
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.testing.histories import Append, History, Read

TASKS: Final = 8
PAUSE: Final = 0.008  # seconds between two transactions of a task, on the mean
CANCELLED: Final = 0.15  # of all transactions are to be cancelled, after
SOON: Final = 0.002  # seconds, on the mean
FAILING: Final = 0.1  # of all transaction blocks raise

# All processes use the same few lists at a time, and leave them before they are long.
KEYS: Final = 3
LASTING: Final = 200_000_000  # nanoseconds
MOST_VALUES: Final = 10_000_000  # of one process


class Undone(Exception):
    """Ends a transaction block, with nothing left."""


@attrs.frozen(kw_only=True)
class Settings:
    """What a process is told, as JSON.

    Attributes:
        path: the database.
        log: where its history goes.
        number: which process it is, from 0.
        seed: of its random choices.
        began: when the first process began, by `time.monotonic_ns`.
        seconds: how long it works.
        driver: the class of `tests.testing.planted` that breaks its isolation; empty for none.
    """

    path: str
    log: str
    number: int
    seed: int
    began: int
    seconds: float
    driver: str = ""


@final
class Load:
    """What the tasks of one process do."""

    def __init__(self, settings: Settings, db: Database, history: History) -> None:
        self._settings = settings
        self._db = db
        self._lists = Lists(db)
        self._history = history
        self._random = random.Random(settings.seed)
        self._values = itertools.count(settings.number * MOST_VALUES)

    async def work(self) -> None:
        ways = [
            self.single_append, self.single_read, self.body, self.block, self.look, self.snapshot
        ]  # fmt: skip
        while True:
            with trio.CancelScope() as scope:
                if self._random.random() < CANCELLED:
                    scope.deadline = trio.current_time() + self._random.expovariate(1 / SOON)
                # What has failed is recorded as such, and has left nothing.
                with suppress(Undone, DatabaseLocked, PoolTimeout):
                    await self._random.choice(ways)()
            await trio.sleep(self._random.expovariate(1 / PAUSE))

    def key(self) -> str:
        age = (time.monotonic_ns() - self._settings.began) // LASTING
        return f"{age - self._random.randrange(2)}.{self._random.randrange(KEYS)}"

    def steps(self) -> Iterator[Append | Read]:
        for _ in range(self._random.randint(1, 4)):
            yield self.append() if self._random.random() < 0.5 else Read(self.key())

    def append(self) -> Append:
        return Append(self.key(), next(self._values))

    async def single_append(self) -> None:
        append = self.append()
        with self._history.transaction(append):
            await self._lists.append(str(append.key), int(append.value))

    async def single_read(self) -> None:
        key = self.key()
        with self._history.transaction() as t:
            t.read(key, await self._lists.items(key))

    async def body(self) -> None:
        steps = list(self.steps())
        with self._history.transaction(*steps) as t:
            t.ran(await self._lists.change(steps, self._random.random() < 0.5))

    async def block(self) -> None:
        with self._history.transaction() as t:
            async with self._db.transaction() as tx:
                await self.do(t, Lists(tx), list(self.steps()))
                if self._random.random() < 0.2:
                    await self.savepoint(tx)
                if self._random.random() < FAILING:
                    raise Undone

    async def savepoint(self, tx: Any) -> None:
        """What it does is undone, so it is a failed transaction of its own."""
        with suppress(Undone), self._history.transaction() as t:
            async with tx.savepoint():
                await self.do(t, Lists(tx), [self.append()])
                raise Undone

    async def look(self) -> None:
        keys = [self.key() for _ in range(3)]
        with self._history.transaction(*map(Read, keys)) as t:
            t.ran(await self._lists.look(keys))

    async def snapshot(self) -> None:
        with self._history.transaction() as t:
            async with self._db.snapshot() as snap:
                await self.do(t, Lists(snap), [Read(self.key()) for _ in range(4)])

    async def do(self, t: Any, lists: Lists, steps: list[Append | Read]) -> None:
        for step in steps:
            key = str(step.key)
            if isinstance(step, Read):
                t.read(key, await lists.items(key))
            else:
                t.append(key, step.value)
                by_hand = self._random.random() < 0.5
                await (lists.append_by_hand if by_hand else lists.append)(key, int(step.value))


async def run(settings: Settings) -> None:
    opener: Callable[..., Any] = open_driver
    if settings.driver:
        opener = planted.opener(getattr(planted, settings.driver))
    with Path(settings.log).open("w", encoding="utf-8") as sink:
        history = History(f"{settings.number}/", sink=sink, failures=(Undone,))
        async with open_lists(
            Path(settings.path), opener, pool=PoolConfig(min_readers=2), synchronous="normal"
        ) as db:
            load = Load(settings, db, history)
            print("ready", flush=True)
            sys.stdin.readline()  # the word to go; until then nothing of it runs
            with trio.move_on_after(settings.seconds):
                async with trio.open_nursery() as nursery:
                    for number in range(TASKS):
                        nursery.start_soon(load.work, name=f"task {number}")


if __name__ == "__main__":
    trio.run(run, Settings(**json.loads(sys.argv[1])))
