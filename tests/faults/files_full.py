"""A disk that is full, again and again, while tasks write: `python -m tests.faults.files_full`.

The disk is a small tmpfs. The program runs in a mount namespace of its own (`unshare`), so that
the tmpfs ends with it, whatever happens. Where mounting is not permitted, `FaultyDisk` says "full"
in its place, and the figure says so.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import apsw
import attrs
import trio

from tests.faults.ledger import ROWS, SCHEMA, Entries, Ledger, Row
from tests.faults.recovery import Recovery
from tests.support import ROOT
from trio_sqlrepo import Database, DiskFull, PoolConfig, SQLiteConfig, open_database
from trio_sqlrepo.testing.disk import FaultyDisk, Operation

_TASKS: Final = 4
_GUARD: Final = 60.0  # seconds; a session that takes so long hangs
_SIZE: Final = 8 << 20  # bytes of the tmpfs
_PER_SESSION: Final = 5  # at most so many times one pool meets a full disk
_BLOCK: Final = 4096  # bytes
_TIMEOUT: Final = 600.0  # seconds; of the whole program
_MOUNT: Final = ("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs")
# A namespace with a tmpfs in it: as root, or as a user who may be root in there.
_NAMESPACES: Final = (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount"))


@attrs.define
class _Ledger(Ledger):
    """Its bodies may be of several lengths: what a write had when it was made, it keeps."""

    sizes: dict[int, int] = attrs.field(factory=dict)

    def body(self, number: int) -> str:
        return f"{number}:".ljust(self.sizes.setdefault(number, self.size), "x")


@attrs.frozen
class SmallDisk:
    """A tmpfs, filled by a file that belongs to nobody."""

    root: Path
    vfs: str | None = None

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    def fill(self, spare: int) -> None:
        """Leave so many bytes of room, about."""
        block = bytes(_BLOCK)
        with self._ballast.open("ab", buffering=0) as ballast:
            while shutil.disk_usage(self.root).free > spare:
                try:
                    ballast.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@attrs.frozen
class SaidToBeFull:
    """A directory on a disk that has room; SQLite's writes are told that it has none."""

    root: Path
    faults: FaultyDisk

    @property
    def vfs(self) -> str | None:
        return self.faults.name

    def fill(self, spare: int) -> None:
        del spare
        self.faults.arm(Operation.WRITE, 1, code=apsw.SQLITE_FULL, sticky=True)

    def free(self) -> None:
        self.faults.mend()


@attrs.define
class _Session:
    """One pool that meets a full disk several times. Loop thread only."""

    disk: SmallDisk | SaidToBeFull
    rng: random.Random
    path: Path
    ledger: _Ledger = attrs.field(factory=_Ledger)
    numbers: Counter[str] = attrs.field(factory=Counter)
    refused: int = 0  # in this fill-up
    read: int = 0

    async def main(self, times: int) -> None:
        sqlite = SQLiteConfig(
            synchronous=self.rng.choice(["full", "normal"]),
            wal_size_limit=self.rng.choice([64 << 10, 256 << 10, 64 << 20]),
            vfs=self.disk.vfs,
        )
        config = PoolConfig(min_readers=2, max_readers=2, group_commit=self.rng.choice([1, 8, 128]))
        with trio.fail_after(_GUARD):
            async with open_database(
                self.path, repositories=[Entries], migrations=SCHEMA, sqlite=sqlite, pool=config
            ) as db:
                async with trio.open_nursery() as load:
                    for task in range(_TASKS):
                        load.start_soon(self.work, db, task)
                    for _ in range(times):
                        await self.fill_up(db)
                    load.cancel_scope.cancel()
                stats = db.stats()
                kept = stats.readers.created, stats.writers.created
                assert kept == (2, 1), f"connections were opened anew: {stats}"

    async def fill_up(self, db: Database) -> None:
        """Full, then not: writes are refused meanwhile, and then succeed again by themselves."""
        await self.pass_writes(self.rng.randint(1, 20))
        by_writes = self.rng.random() < 0.4
        # The last of the room goes to the ballast, or to the writes themselves.
        self.disk.fill(_BLOCK * self.rng.randint(4, 60) if by_writes else 0)
        self.ledger.size = self.rng.choice([100, 2000, 20_000])
        self.refused = self.read = 0
        while self.refused < 5 or self.read < 5:
            assert db.stats().state == "open", db.stats()
            await trio.sleep(0.0005)
        self.ledger.size = 100
        self.disk.free()
        await self.pass_writes(8)
        assert await Entries(db).count() > 0
        self.numbers["fillups"] += 1

    async def work(self, db: Database, task: int) -> None:
        turn = task
        while True:
            turn += 1
            if turn % 4 == 3:
                assert await self.ledger.read(db), f"a read failed: {self.ledger.errors[-1]}"
                self.read += 1
            elif not await self.ledger.write(db):
                error = self.ledger.errors[-1]
                assert type(error) is DiskFull, f"a write met {error!r}"
                self.numbers["refused"] += 1
                self.refused += 1
                await trio.sleep(0.001)  # a caller who tries again gives the loop some rest

    def judge(self, rows: list[Row]) -> None:
        self.ledger.verify(rows)
        lost = self.ledger.lost(rows)
        assert not lost, f"writes {sorted(lost)} were acknowledged and are gone"
        assert not self.ledger.unknown, f"writes {sorted(self.ledger.unknown)} are unknown"

    async def pass_writes(self, count: int) -> None:
        most = len(self.ledger.acknowledged) + count
        while len(self.ledger.acknowledged) < most:
            await trio.sleep(0.0005)


def _run_on(disk: SmallDisk | SaidToBeFull, seed: int, count: int) -> Counter[str]:
    rng = random.Random(f"fill-ups {seed}")
    numbers: Counter[str] = Counter()
    with Recovery() as recovery:
        for turn in range(-(-count // _PER_SESSION)):
            times = min(_PER_SESSION, count - turn * _PER_SESSION)
            path = disk.root / f"{turn}.db"
            session = _Session(disk, random.Random(rng.random()), path)
            try:
                trio.run(session.main, times)
                session.judge(recovery.rows(path, ROWS))
            except BaseException as error:
                error.add_note(f"session {turn}, seed {seed}: {session.ledger.errors[-3:]}")
                raise
            numbers += session.numbers
            numbers["acknowledged"] += len(session.ledger.acknowledged)
            for left in disk.root.glob(f"{path.name}*"):
                left.unlink()
    return numbers


def fill_disks(seed: int, count: int) -> Counter[str]:
    """Fill a disk up so many times. What was counted; `tmpfs` is 0 if none could be mounted.

    Raises:
        AssertionError: what was broken.
    """
    namespace = next(filter(_may_mount, _NAMESPACES), None)
    if namespace is None:
        with tempfile.TemporaryDirectory() as directory, FaultyDisk() as faults:
            return _run_on(SaidToBeFull(Path(directory), faults), seed, count)
    done = _run_in(namespace, sys.executable, "-m", __name__, str(seed), str(count))
    assert not done.returncode, done.stderr[-5000:]
    return Counter({**json.loads(done.stdout), "tmpfs": 1})


def _may_mount(namespace: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        try:
            return not _run_in(namespace, *_MOUNT, directory).returncode
        except FileNotFoundError:  # not on this system
            return False


def _run_in(namespace: tuple[str, ...], *command: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*namespace, *command],
        capture_output=True,
        encoding="utf-8",
        timeout=_TIMEOUT,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": search},
        check=False,
    )


def _main(seed: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*_MOUNT, directory], check=True)
        try:
            print(json.dumps(_run_on(SmallDisk(Path(directory)), seed, count)))
        finally:
            subprocess.run(["umount", directory], check=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
