"""Readers that overlap without end, writers that never rest: how large the WAL becomes."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from tests.faults.figure import Figure
from tests.support import read_in_child
from trio_sqlrepo import Database, Repository, SQLiteConfig, open_database, query
from trio_sqlrepo._base.driver import CheckpointMode
from trio_sqlrepo._sqlite import wal

PROMISE = "the WAL stays below wal_size_limit under readers that overlap"

BODY = 3000  # bytes, most of a page
MIB = 1 << 20


class Notes(Repository):
    @query("INSERT INTO note (body) VALUES (randomblob(:size))")
    async def add(self, size: int) -> None: ...

    @query("SELECT count(*) FROM (SELECT body FROM note LIMIT :most)")
    async def scan(self, most: int) -> int: ...

    @query("SELECT max(id) FROM note")
    async def newest(self) -> int | None: ...


class Load:
    """What writes and reads, and what it has seen."""

    def __init__(self, db: Database, path: Path, writes: int, rng: random.Random) -> None:
        self.db = db
        self.file = Path(f"{path}-wal")
        self.left = writes
        self.rng = rng
        self.largest = 0
        self.slowest = 0.0

    async def write(self) -> None:
        notes = Notes(self.db)
        while self.left:
            self.left -= 1
            began = time.perf_counter()
            await notes.add(BODY)
            self.slowest = max(self.slowest, time.perf_counter() - began)
            self.largest = max(self.largest, self.file.stat().st_size)

    async def hold_snapshots(self) -> None:
        """The next one begins before the last one ends."""
        last = AsyncExitStack()
        try:
            while True:
                following = AsyncExitStack()
                snapshot = await following.enter_async_context(self.db.snapshot())
                last, ended = following, last
                await ended.aclose()
                await Notes(snapshot).newest()
                await trio.sleep(self.rng.uniform(0.0, 0.02))
        finally:
            await last.aclose()

    async def scan(self) -> None:
        while True:
            await Notes(self.db).scan(500)


@contextmanager
def counting() -> Iterator[dict[str, float]]:
    """Count the checkpoints of this process, and the longest that held the write turn."""
    counts = dict.fromkeys((*(mode.value for mode in CheckpointMode), "blocked"), 0.0)
    counts |= dict.fromkeys((f"longest_{mode.value}_ms" for mode in CheckpointMode), 0.0)
    checkpoint = wal.checkpoint

    def counted(link: Any, mode: CheckpointMode, *, patience: float) -> Any:
        began = time.perf_counter()
        found = checkpoint(link, mode, patience=patience)
        took = (time.perf_counter() - began) * 1000
        counts[mode.value] += 1
        counts["blocked"] += found.busy and mode is CheckpointMode.TRUNCATE
        name = f"longest_{mode.value}_ms"
        counts[name] = max(counts[name], took)
        return found

    wal.checkpoint = counted
    try:
        yield counts
    finally:
        wal.checkpoint = checkpoint


async def _load(path: Path, limit: int, writers: int, writes: int, rng: random.Random) -> Load:
    async with open_database(
        path,
        repositories=[Notes],
        migrations=["CREATE TABLE note (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"],
        sqlite=SQLiteConfig(wal_size_limit=limit),
    ) as db:
        load = Load(db, path, writes, rng)
        async with trio.open_nursery() as readers:
            readers.start_soon(load.hold_snapshots)
            readers.start_soon(load.scan)
            async with trio.open_nursery() as nursery:
                for _ in range(writers):
                    nursery.start_soon(load.write)
            readers.cancel_scope.cancel()
        return load


def run(seed: int, *, full: bool) -> Figure:
    rng = random.Random(seed)
    limit = 64 * MIB if full else 8 * MIB
    writers, writes = (50, 400_000) if full else (8, 6_000)
    with tempfile.TemporaryDirectory() as folder, counting() as counts:
        path = Path(folder) / "wal.db"
        load = trio.run(_load, path, limit, writers, writes, rng)
        found = read_in_child(path, "SELECT count(*) FROM note")[0][0]
    assert found == writes, f"{writes} writes were acknowledged, {found} are in the file"
    written = writes * 4096
    assert load.largest <= limit, (
        f"the WAL grew to {load.largest / MIB:.1f} MiB, its limit is {limit / MIB:.0f} MiB"
    )
    assert counts["truncate"], "it was never near its limit: nothing was put to the test"
    return Figure(
        f"{written / MIB:.0f} MiB written by {writers} tasks beside readers that overlap: largest"
        f" WAL {load.largest / MIB:.1f} of {limit / MIB:.0f} MiB; slowest write"
        f" {load.slowest * 1000:.0f} ms; {counts['passive']:.0f} PASSIVE,"
        f" {counts['restart']:.0f} RESTART (longest {counts['longest_restart_ms']:.0f} ms),"
        f" {counts['truncate']:.0f} TRUNCATE ({counts['blocked']:.0f} blocked, longest"
        f" {counts['longest_truncate_ms']:.0f} ms)",
        {
            "largest_bytes": load.largest,
            "limit_bytes": limit,
            "slowest_write_ms": load.slowest * 1000,
            **counts,
        },
    )
