"""The power fails at any moment of a run of durable writes from several tasks."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final, Literal

import attrs
import trio

from tests.faults.figure import Figure
from tests.faults.ledger import ROWS, SCHEMA, Entries, Ledger
from tests.faults.recovery import Damaged, Recovery
from trio_sqlrepo import PoolConfig, SQLiteConfig, SqlRepoError, open_database
from trio_sqlrepo.testing.disk import Operation, PowerLoss

PROMISE: Final = (
    "An acknowledged write survives a power loss with synchronous=FULL; NORMAL loses the last only."
)
_TASKS: Final = 4
_BODY: Final = 1500  # bytes; with small pages, so that a run fills the WAL and has checkpoints
_PAGE: Final = 512
_LIMIT: Final = 128 * 1024  # of the WAL; bytes
_GUARD: Final = 60.0  # seconds; a run that takes this long hangs
_CONTROLS: Final = 30  # crashes of a lying disk, at most, until one loses something

Synchronous = Literal["full", "normal"]


@attrs.frozen
class _Size:
    """How much is done: writes of a run; crashes at syncs (None: at each), and anywhere."""

    writes: int
    syncs: int | None
    anywhere: int


_FULL: Final = _Size(200, None, 1000)
_SMALL: Final = _Size(30, 6, 8)


@attrs.frozen
class _End:
    """How one run ended. `lost` are acknowledged writes; None: the file is damaged."""

    fired: bool
    lost: int | None
    acknowledged: int
    operations: int


@attrs.define
class _Crashes:
    """Runs of one size, each on a disk of its own, all checked by one child."""

    directory: Path
    recovery: Recovery
    writes: int
    seeds: random.Random
    runs: int = 0

    def run(
        self,
        synchronous: Synchronous,
        nth: int,
        operation: Operation | None,
        *,
        lying: bool = False,
    ) -> _End:
        """Crash at an operation, or at the end if there are not so many; recover; compare."""
        self.runs += 1
        path = self.directory / f"{self.runs}.db"
        seed = self.seeds.randrange(1 << 32)
        ledger = Ledger(_BODY)
        with PowerLoss(sector_size=_PAGE, lying=lying) as disk:
            cut = disk.crash_at(nth, seed=seed, operation=operation)
            trio.run(self._write, path, disk, ledger, synchronous)
            assert disk.open_files == 0, f"{disk} after its pool was closed"
            fired, operations = cut.fired, disk.count(operation)
            if not fired:
                disk.crash(seed)
        where = f"synchronous={synchronous}, {operation} #{nth}, crash seed {seed}"
        try:
            rows = self.recovery.rows(path, ROWS) if path.exists() else []
            ledger.verify(rows)
        except AssertionError as error:
            if isinstance(error, Damaged) and lying:
                return _End(fired, None, len(ledger.acknowledged), operations)
            error.add_note(where)
            raise
        finally:
            for left in self.directory.glob(f"{path.name}*"):
                left.unlink()
        lost = ledger.lost(rows)
        if synchronous == "full" and not lying:
            assert not lost, f"writes {sorted(lost)} were acknowledged and are gone: {where}"
        return _End(fired, len(lost), len(ledger.acknowledged), operations)

    async def _write(
        self, path: Path, disk: PowerLoss, ledger: Ledger, synchronous: Synchronous
    ) -> None:
        """Write from several tasks until the power fails or all is done."""

        async def write() -> None:
            while ledger.numbers < self.writes:
                if not await ledger.write(db):
                    nursery.cancel_scope.cancel()  # others wait for what will not come back

        sqlite = SQLiteConfig(
            vfs=disk.name, synchronous=synchronous, page_size=_PAGE, wal_size_limit=_LIMIT
        )
        pool = PoolConfig(drain_timeout=1.0, connection_timeout=10.0)
        with trio.fail_after(_GUARD):
            try:
                async with (
                    open_database(
                        path, repositories=[Entries], migrations=SCHEMA, pool=pool, sqlite=sqlite
                    ) as db,
                    trio.open_nursery() as nursery,
                ):
                    for _ in range(_TASKS):
                        nursery.start_soon(write)
            except SqlRepoError:
                assert disk.crashed


def run(seed: int, *, full: bool) -> Figure:
    """Crash at each sync of a run and at random operations, with FULL and with NORMAL."""
    size = _FULL if full else _SMALL
    seeds = random.Random(seed)
    numbers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory, Recovery() as recovery:
        crashes = _Crashes(Path(directory), recovery, size.writes, seeds)
        levels: tuple[Synchronous, ...] = ("full", "normal")
        for synchronous in levels:
            for end in _crash_everywhere(crashes, synchronous, size):
                numbers[f"{synchronous} crashes"] += 1
                numbers[f"{synchronous} acknowledged"] += end.acknowledged
                numbers[f"{synchronous} lost"] += end.lost or 0
        # A disk that lies about its syncs must be found out, or nothing above proves anything.
        numbers["control crashes"] = _crash_until_lost(crashes)
    return Figure(
        f"synchronous=full: {numbers['full crashes']} crashes, {numbers['full acknowledged']}"
        f" acknowledged writes, {numbers['full lost']} lost. synchronous=normal:"
        f" {numbers['normal crashes']} crashes, {numbers['normal acknowledged']} acknowledged,"
        f" {numbers['normal lost']} lost, always the last ones. A lying disk was found out at crash"
        f" {numbers['control crashes']}.",
        {name: float(number) for name, number in numbers.items()},
    )


def _crash_everywhere(crashes: _Crashes, synchronous: Synchronous, size: _Size) -> list[_End]:
    ends = []
    whole = crashes.run(synchronous, 1 << 30, Operation.SYNC)
    assert whole.acknowledged == size.writes, f"a run without a crash: {whole}"
    if size.syncs is None:
        # How many there are depends on how the threads meet: until one is not reached.
        for nth in itertools.count(1):
            ends.append(crashes.run(synchronous, nth, Operation.SYNC))
            if not ends[-1].fired:
                break
    else:
        some = crashes.seeds.sample(
            range(1, whole.operations), min(size.syncs, whole.operations - 1)
        )
        ends += [crashes.run(synchronous, nth, Operation.SYNC) for nth in sorted(some)]
    most = crashes.run(synchronous, 1 << 30, None).operations
    for _ in range(size.anywhere):
        ends.append(crashes.run(synchronous, crashes.seeds.randint(1, most), None))
    return ends


def _crash_until_lost(crashes: _Crashes) -> int:
    for times in range(1, _CONTROLS + 1):
        if crashes.run("full", crashes.writes // 4, Operation.SYNC, lying=True).lost != 0:
            return times
    message = f"{_CONTROLS} crashes of a lying disk lost no acknowledged write"
    raise AssertionError(message)
