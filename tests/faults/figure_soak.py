"""Half an hour of load and faults: nothing grows."""

from __future__ import annotations

import random
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.faults.figure import Figure
from tests.faults.zygote import Zygote
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = "under mixed load with faults memory grows by 5 % at most, descriptors not at all"

_MOST_GROWTH: Final = 0.05
_LATE: Final = 4  # descriptors of one connection: database, WAL, index, signal
_WARM_UP: Final = 0.2  # of all samples


def run(seed: int, *, full: bool) -> Figure:
    """Load one process, have another hold the lock now and then, and watch the first's size."""
    rng = random.Random(seed)
    seconds, every = (1800.0, 10.0) if full else (2.0, 0.25)
    with (
        Zygote() as loaded,
        Zygote() as locking,
        ChildReader() as reader,
        tempfile.TemporaryDirectory() as directory,
    ):
        path, errors = Path(directory, "soak.db"), Path(directory, "errors")
        loaded.run("open_once", str(path), "first")
        locking.start("lock_now_and_then", str(path), rng.randrange(1 << 32))
        arguments = str(path), rng.randrange(1 << 32), seconds, every
        loaded.start("be_loaded", *arguments, errors=errors)
        loaded.hear_until(time.monotonic() + 2 * seconds + 60)
        assert loaded.code == 0, errors.read_text(encoding="utf-8")
        locking.send(signal.SIGKILL)
        locking.wait()
        assert reader.read(path, "PRAGMA integrity_check") == [("ok",)]
    samples = [list(map(int, line.split()[1:])) for line in loaded.lines if "sample" in line]
    sizes, descriptors, threads, replaced = zip(*samples, strict=True)
    returned, cancelled, refused = map(int, loaded.lines[-1].split()[1:])
    warm = max(round(len(samples) * _WARM_UP), 1)
    # The middle of as many samples at either end: one alone is an accident.
    before = statistics.median(sizes[warm : 2 * warm])
    growth = statistics.median(sizes[-warm:]) / before - 1
    # In a few seconds the connection that checkpoints may be opened late.
    files, stacks = (0, 0) if full else (_LATE, 1)
    assert max(descriptors[-warm:]) <= max(descriptors[: 2 * warm]) + files, descriptors
    assert max(threads[-warm:]) <= max(threads[: 2 * warm]) + stacks, threads
    if full:  # a few seconds are all warm-up
        assert growth <= _MOST_GROWTH, f"memory grew by {growth:.1%}: {sizes}"
    return Figure(
        f"{seconds:g} s of load: {returned} calls returned, {cancelled} were cancelled, {refused}"
        f" refused, {replaced[-1]} connections replaced; memory {growth:+.1%} after warm-up"
        f" ({before / 2**20:.1f} MiB), descriptors {descriptors[0]} to {descriptors[-1]}, threads"
        f" {threads[0]} to {threads[-1]}",
        {
            "returned": returned,
            "cancelled": cancelled,
            "refused": refused,
            "replaced": replaced[-1],
            "growth": growth,
            "descriptors": descriptors[-1] - descriptors[0],
            "threads": threads[-1] - threads[0],
        },
    )
