"""The database file is taken away, replaced, moved, robbed of its WAL, while tasks read and write.

The times of one swap, on the loop thread:

    BEFORE      the file that was opened bears the path
    AWAY        the swap is done; perhaps no file, or one that does not fit, bears the path
    RESTORED    a well file bears the path

Swapping is one step of the loop: a call that began in a later time, and was answered, met the files
of that time.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.faults.files_swaps import SWAPS, Place, Swap
from tests.faults.ledger import ROWS, SCHEMA, Entries, Ledger
from tests.faults.recovery import Recovery
from trio_sqlrepo import Database, DatabaseReplaced, PoolConfig, SqlRepoError, open_database
from trio_sqlrepo.testing import ChildReader

_TASKS: Final = 4
_GUARD: Final = 60.0  # seconds; what takes so long hangs
MOST_REOPENED: Final = 3
_OTHER: Final = "CREATE TABLE other AS SELECT 'not of this program' AS text"


class Time(enum.IntEnum):
    """When something happened."""

    BEFORE = 0
    AWAY = 1
    RESTORED = 2


@attrs.define
class _Run:
    """One swap under load. Loop thread only."""

    swap: Swap
    place: Place
    rng: random.Random
    reader: ChildReader
    ledger: Ledger = attrs.field(factory=Ledger)
    time: Time = Time.BEFORE
    began: dict[int, Time] = attrs.field(factory=dict)  # of each write, by its number
    ended: dict[int, Time] = attrs.field(factory=dict)  # of each that was acknowledged
    noticed: bool = False  # a call was told
    reopened: int = 0
    back_after: float = 0.0  # seconds from the well file to full service

    async def main(self) -> None:
        with trio.fail_after(_GUARD):
            config = PoolConfig(
                max_readers=2,
                health_check_interval=self.rng.choice([0.02, 60.0]),
                group_commit=self.rng.choice([1, 128]),
            )
            async with open_database(
                self.place.path, repositories=[Entries], migrations=SCHEMA, pool=config
            ) as db:
                async with trio.open_nursery() as load:
                    for task in range(_TASKS):
                        load.start_soon(self.work, db, task)
                    await self.go_through_it(db)
                    load.cancel_scope.cancel()
                stats = db.stats()
                self.reopened = stats.readers.replaced + stats.writers.replaced

    async def go_through_it(self, db: Database) -> None:
        await self.pass_writes(self.rng.randint(2, 30))
        for sql, path in ("VACUUM INTO ?", self.place.backup), (_OTHER, self.place.other):
            where = path if sql is _OTHER else self.place.path
            bindings = () if sql is _OTHER else (str(path),)
            path.touch()
            await trio.to_thread.run_sync(partial(self.reader.read, where, sql, *bindings))
        await self.pass_writes(self.rng.randint(0, 20))
        self.swap.do(self.place)
        self.time = Time.AWAY
        if self.swap.mend is not None:
            if self.rng.random() < 0.7:
                await self.stay_away(db)
            else:  # for a moment: it may not even be noticed
                for _ in range(self.rng.randint(0, 50)):
                    await trio.lowlevel.checkpoint()
            self.swap.mend(self.place)
        elif not self.swap.keeps_wal:
            await self.until(lambda: self.noticed)
        self.time = Time.RESTORED
        since = trio.current_time()
        while not await self.serves(db):
            await trio.sleep(0.005)
        self.back_after = trio.current_time() - since
        await self.pass_writes(20)

    async def stay_away(self, db: Database) -> None:
        """Out of service, and nothing brings it back but a well file."""
        await self.until(lambda: self.noticed)
        found = self.place.path.exists()
        for _ in range(self.rng.randint(1, 3)):
            await db.check()  # attempts to come back
            assert db.stats().state == "failed", db.stats()
            for call in (Entries(db).count(), Entries(db).add(-1, 0, "never")):
                try:
                    await call
                except DatabaseReplaced:
                    continue
                raise AssertionError("a call was answered without a file")
        assert self.place.path.exists() == found, "a file was made anew"

    async def serves(self, db: Database) -> bool:
        """Whether reads and writes are answered, and from all connections that are wanted."""
        stats = db.stats()
        whole = stats.state == "open" and not (stats.readers.degraded or stats.writers.degraded)
        return await self.write(db) and await self.read(db) and whole

    async def work(self, db: Database, task: int) -> None:
        turn = task
        while True:
            turn += 1
            one = self.read if turn % 3 == 2 else self.write
            if not await one(db):
                await trio.sleep(0.002)  # a caller who tries again gives the loop some rest

    async def write(self, db: Database) -> bool:
        number = self.ledger.numbers + 1
        self.began[number] = self.time
        done = await self.ledger.write(db)
        if done:
            self.ended[number] = self.time
        elif self.time is not Time.BEFORE:
            self.noticed = True
        return done

    async def read(self, db: Database) -> bool:
        number = max(self.ledger.acknowledged, default=0)
        try:
            body = await Entries(db).get(number)
        except SqlRepoError as error:
            self.ledger.errors.append(error)
            return False
        assert body in {None, self.ledger.body(number)}, f"write {number} is read as {body!r}"
        return True

    async def pass_writes(self, count: int) -> None:
        most = len(self.ended) + count
        await self.until(lambda: len(self.ended) >= most)

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        while not condition():  # tasks that do their work are waited for
            await trio.sleep(0.001)

    # -- what is found -------------------------------------------------------------------------

    def judge(self, recovery: Recovery) -> None:
        """Compare what was told with what lies in the files, as another process sees them."""
        first = recovery.rows(self.swap.first(self.place), ROWS)
        last = recovery.rows(self.place.path, ROWS)
        for rows in (first, last):
            self.ledger.verify(rows)
        in_first = {number for _, number, _, _ in first}
        in_last = {number for _, number, _, _ in last}
        same = self.swap.first(self.place) == self.place.path
        for number, ended in self.ended.items():
            began = self.began[number]
            where = f"write {number}, {self.swap}: acknowledged, begun {began.name}"
            if ended is Time.BEFORE:
                assert number in in_first or not self.swap.keeps_wal, f"{where}, and lost"
            elif began is Time.BEFORE:  # answered while the swap was done
                assert number in in_first | in_last or not self.swap.keeps_wal, f"{where}, and lost"
            else:
                assert number in in_last, f"{where}, and not in the file that bears the path"
                absent = began is ended is Time.AWAY and self.swap.mend is not None
                assert not absent, f"{where}, without a file"
        # The COMMIT that finds out has written there, and with it perhaps calls that began later.
        assert same or not any(
            number in in_first for number in self.ended if self.began[number] is Time.RESTORED
        ), "the file that was swapped away was written to"


def swap_files(
    seed: int, count: int, directory: Path, recovery: Recovery, reader: ChildReader
) -> Counter[str]:
    """Swap files so many times. What was counted; `back` is in milliseconds.

    Raises:
        AssertionError: what was broken, and by which swap.
    """
    rng = random.Random(f"swaps {seed}")
    numbers: Counter[str] = Counter()
    for turn in range(count):
        # Each kind in turn, in an order that is drawn.
        if turn % len(SWAPS) == 0:
            kinds = rng.sample(SWAPS, len(SWAPS))
        swap = kinds[turn % len(SWAPS)]
        place = Place(directory / f"swap {turn}")
        place.home.mkdir(parents=True)
        run = _Run(swap, place, random.Random(rng.random()), reader)
        try:
            trio.run(run.main)
            run.judge(recovery)
            assert run.reopened <= MOST_REOPENED, f"{run.reopened} connections were reopened"
        except Exception as error:
            error.add_note(f"swap {turn}: {swap}; the last errors: {run.ledger.errors[-3:]}")
            raise
        numbers["swaps"] += 1
        numbers["noticed"] += run.noticed
        numbers["acknowledged"] += len(run.ended)
        numbers["after"] += sum(time is Time.RESTORED for time in run.ended.values())
        numbers["errors"] += len(run.ledger.errors)
        numbers["reopened"] = max(numbers["reopened"], run.reopened)
        numbers["back"] = max(numbers["back"], round(run.back_after * 1000))
    return numbers
