"""Each read, write, sync, lock … of a run fails, once or until mended; the pool must serve on."""

from __future__ import annotations

import enum
import itertools
import random
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Final

import apsw
import attrs
import trio

from tests.faults.figure import Figure
from tests.faults.ledger import ROWS, SCHEMA, Entries, Ledger
from tests.faults.recovery import Recovery
from trio_sqlrepo import Database, PoolConfig, SQLiteConfig, SqlRepoError, open_database
from trio_sqlrepo.testing.disk import Fault, FaultyDisk, Operation

PROMISE: Final = "Every I/O fault gives a typed error and leaves a working pool."
_TASKS: Final = 4
_BACK: Final = 5.0  # seconds from the end of a fault to full service
_TIMEOUT: Final = 2.0  # seconds that a call waits for a connection
_GUARD: Final = 60.0  # seconds; a run that takes this long hangs
_WHILE_STICKY: Final = 8  # operations that meet a sticky fault before it is mended
_OUTAGE: Final = 15.0  # seconds that the long ones last: no back-off may grow with them
_SHOWN: Final = 20  # broken cases whose traceback is shown
_NEVER: Final = 1 << 30


class Phase(enum.Enum):
    """When the fault is there."""

    OPENING = "opening"
    SERVING = "serving"
    CLOSING = "closing"


@attrs.frozen
class Sort:
    """A sort of fault: what fails, and how."""

    name: str
    operation: Operation | None = None
    code: int | None = None
    short: bool = False
    sticky: tuple[bool, ...] = (False, True)


SORTS: Final = (
    Sort("any operation"),
    Sort("a write, disk full", Operation.WRITE, apsw.SQLITE_FULL),
    Sort("a write, half-way", Operation.WRITE, apsw.SQLITE_FULL, short=True),
    Sort("a read, half-way", Operation.READ, short=True),
    Sort("any operation, no memory", None, apsw.SQLITE_IOERR_NOMEM),
    # Where it is never free SQLite itself tries for ten seconds, to no avail.
    Sort("a lock, busy", Operation.SHM_LOCK, apsw.SQLITE_BUSY, sticky=(False,)),
)


@attrs.frozen
class Case:
    """One fault of one run."""

    sort: Sort
    phase: Phase
    nth: int
    sticky: bool
    outage: float = 0.0  # seconds before a sticky fault is mended, at least

    def __str__(self) -> str:
        how = f"sticky for {self.outage:.3g} s" if self.sticky else "once"
        return f"{self.sort.name} #{self.nth} while {self.phase.value}, {how}"


@attrs.define
class _Run:
    """One run with one fault at most. Loop thread only."""

    case: Case
    path: Path
    disk: FaultyDisk
    operations: int  # how many to make
    ledger: Ledger = attrs.field(factory=Ledger)
    fault: Fault | None = None
    opened: bool = False
    done: int = 0
    done_when_fired: int = 0
    fired_at: float | None = None  # as noticed, on trio's clock
    ended_at: float | None = None  # of the fault, on trio's clock
    is_back: bool = False  # full service, after the fault
    back_after: float = 0.0  # seconds
    counts: Counter[Phase] = attrs.field(factory=Counter)  # operations of the sort

    def begin(self, phase: Phase) -> None:
        """A phase begins: count from here, and arm the fault if it is for this one."""
        self.counts[phase] -= self.disk.count(self.case.sort.operation)
        if self.case.phase is phase:
            sort = self.case.sort
            self.fault = self.disk.arm(
                sort.operation,
                self.case.nth,
                code=sort.code,
                short=sort.short,
                sticky=self.case.sticky,
            )

    def end(self, phase: Phase) -> None:
        """It ends: no fault reaches into the next one."""
        self.counts[phase] += self.disk.count(self.case.sort.operation)
        self.mend()

    def mend(self) -> None:
        self.disk.mend()
        if self.fault is not None and self.fault.fired and self.ended_at is None:
            self.ended_at = trio.current_time()

    def notice(self) -> None:
        """After each operation: mend a sticky fault that enough of them have met."""
        self.done += 1
        if self.fault is None or not self.fault.fired:
            return
        if self.fired_at is None:
            self.done_when_fired, self.fired_at = self.done, trio.current_time()
        if not self.in_outage:
            self.mend()

    @property
    def in_outage(self) -> bool:
        """Whether a sticky fault has fired and is to stay for a while."""
        if self.fired_at is None or self.ended_at is not None or not self.case.sticky:
            return False
        met = self.done - self.done_when_fired
        return met < _WHILE_STICKY or trio.current_time() < self.fired_at + self.case.outage

    async def main(self) -> None:
        with trio.fail_after(_GUARD):
            self.begin(Phase.OPENING)
            try:
                await self.live()
            except SqlRepoError:
                assert not self.opened, "an error came out of a block that was entered"
                assert self.fault is not None
                assert self.fault.fired
                self.mend()
                await self.live()  # mended, it opens at once

    async def live(self) -> None:
        """Open the database, use it, close it."""
        pool = PoolConfig(max_readers=2, reserved_readers=0, connection_timeout=_TIMEOUT)
        sqlite = SQLiteConfig(vfs=self.disk.name, busy_timeout=0.2)
        async with open_database(
            self.path, repositories=[Entries], migrations=SCHEMA, pool=pool, sqlite=sqlite
        ) as db:
            self.opened = True
            self.end(Phase.OPENING)
            self.begin(Phase.SERVING)
            await self.work(db)
            # How many operations of the disk's these were depends on how threads met.
            while self.is_to_fire_now() and self.done < 2 * self.operations:
                await self.operate(db)
            self.end(Phase.SERVING)
            await self.come_back(db)
            before = len(self.ledger.errors)
            await self.work(db)
            errors = self.ledger.errors[before:]
            assert not errors, f"errors after full service was back: {errors}"
            self.begin(Phase.CLOSING)
        self.end(Phase.CLOSING)

    def is_to_fire_now(self) -> bool:
        return (
            self.case.phase is Phase.SERVING
            and self.fault is not None
            and not self.fault.fired
            and self.case.nth < _NEVER
        )

    async def work(self, db: Database) -> None:
        """Read and write from several tasks until all is done, or a fault has ended."""

        async def work() -> None:
            while self.is_to_go_on():
                if not await self.operate(db):
                    await trio.sleep(0.005)  # a caller who tries again gives the loop some rest

        async with trio.open_nursery() as nursery:
            for _ in range(_TASKS):
                nursery.start_soon(work)

    def is_to_go_on(self) -> bool:
        if self.ended_at is not None and not self.is_back:
            return False
        return self.done < self.operations or self.in_outage

    async def operate(self, db: Database) -> bool:
        one = self.ledger.read if self.done % 3 == 2 else self.ledger.write
        succeeded = await one(db)
        self.notice()
        return succeeded

    async def come_back(self, db: Database) -> None:
        """Full service: reads and writes of several tasks, and no connection is missed."""
        since = trio.current_time() if self.ended_at is None else self.ended_at
        while not self.is_back:
            self.is_back = await self.serves(db)
            self.back_after = trio.current_time() - since
            assert self.back_after <= _BACK, (
                f"{'' if self.is_back else 'no '}full service {self.back_after:.1f} s after:"
                f" {self.ledger.errors[-3:]}, {db.stats()}"
            )
            await trio.sleep(0.01)  # what is measured is how long this takes

    async def serves(self, db: Database) -> bool:
        answers = []

        async def ask() -> None:
            answers.append(await self.ledger.write(db) and await self.ledger.read(db))

        async with trio.open_nursery() as nursery:
            for _ in range(_TASKS):
                nursery.start_soon(ask)
        stats = db.stats()
        whole = stats.state == "open" and not (stats.readers.degraded or stats.writers.degraded)
        return all(answers) and whole


@attrs.define
class _Runs:
    """All runs, on one directory and with one child that looks at what they leave."""

    directory: Path
    recovery: Recovery
    operations: int
    numbers: Counter[str] = attrs.field(factory=Counter)
    slowest: float = 0.0
    broken: list[str] = attrs.field(factory=list)

    def clean(self, sort: Sort) -> Counter[Phase]:
        """How many operations of the sort each phase has without a fault."""
        run = self._run(Case(sort, Phase.SERVING, _NEVER, sticky=False))
        assert not run.ledger.errors, run.ledger.errors
        return run.counts

    def run(self, case: Case) -> bool:
        """Run one case; whether its fault fired. What breaks is noted."""
        self.numbers["runs"] += 1
        try:
            run = self._run(case)
        except Exception:
            self.broken.append(f"{case}\n{traceback.format_exc()}")
            return True
        assert run.fault is not None
        self.numbers["fired"] += bool(run.fault.fired)
        self.numbers["acknowledged"] += len(run.ledger.acknowledged)
        self.numbers["errors"] += len(run.ledger.errors)
        self.slowest = max(self.slowest, run.back_after)
        return bool(run.fault.fired)

    def _run(self, case: Case) -> _Run:
        path = self.directory / "io.db"
        try:
            with FaultyDisk() as disk:
                run = _Run(case, path, disk, self.operations)
                trio.run(run.main)
                assert disk.open_files == 0, f"{disk} after its pool was closed"
            rows = self.recovery.rows(path, ROWS)
            run.ledger.verify(rows)
            lost = run.ledger.lost(rows)
            assert not lost, f"writes {sorted(lost)} were acknowledged and are gone"
        finally:
            for left in self.directory.iterdir():
                left.unlink()
        return run


def _every_case(runs: _Runs, sort: Sort, *, sticky: bool) -> None:
    for phase in (Phase.OPENING, Phase.CLOSING):  # until one is not reached
        for nth in itertools.count(1):
            if not runs.run(Case(sort, phase, nth, sticky)):
                runs.numbers["runs"] -= 1
                break
    for nth in range(1, runs.clean(sort)[Phase.SERVING] + 1):
        runs.run(Case(sort, Phase.SERVING, nth, sticky))
    if sticky:
        runs.run(Case(sort, Phase.SERVING, 20, sticky, outage=_OUTAGE))


def _some_cases(chance: random.Random, runs: _Runs) -> None:
    for sort in SORTS:
        counts = runs.clean(sort)
        for phase in Phase:
            sticky = chance.choice(sort.sticky)
            # The last ones may not be reached: it depends on how threads meet.
            if most := counts[phase] * 3 // 4:
                runs.run(Case(sort, phase, chance.randint(1, most), sticky))


def run(seed: int, *, full: bool) -> Figure:
    """Fail each operation of the disk's in a run of 200 reads and writes by several tasks."""
    with tempfile.TemporaryDirectory() as directory, Recovery() as recovery:
        runs = _Runs(Path(directory), recovery, 200 if full else 15)
        if full:
            for sort in SORTS:
                for sticky in sort.sticky:
                    _every_case(runs, sort, sticky=sticky)
        else:
            _some_cases(random.Random(seed), runs)
    unfired = runs.numbers["runs"] - len(runs.broken) - runs.numbers["fired"]
    if runs.broken or unfired:
        told = (
            f"{len(runs.broken)} of {runs.numbers['runs']} cases are broken, {unfired} faults did"
            f" not fire; the first {_SHOWN}:"
        )
        message = "\n\n".join([told, *runs.broken[:_SHOWN]])
        raise AssertionError(message)
    return Figure(
        f"{runs.numbers['runs']} faults, all fired: {runs.numbers['errors']} typed errors, no"
        f" others, no hangs; {runs.numbers['acknowledged']} acknowledged writes, none lost; full"
        f" service at most {runs.slowest:.2f} s after the fault.",
        {**{name: float(number) for name, number in runs.numbers.items()}, "back": runs.slowest},
    )
