"""Several processes write to one file."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.faults.figure import Figure
from tests.faults.zygote import PATIENCE, Zygote
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = "processes that write to one file share it: none is refused, none is starved"

_BUSY_TIMEOUT: Final = 5.0  # seconds
_HOUR: Final = 3600.0


def run(seed: int, *, full: bool) -> Figure:
    """Have processes write one durable write after the other, all at once."""
    processes, writes = (8, 10_000) if full else (3, 100)
    del seed  # the system's scheduler throws the dice
    with tempfile.TemporaryDirectory() as directory, ChildReader() as reader:
        path = Path(directory, "shared.db")
        times = _write_together(Path(directory), path, processes, writes)
        assert reader.read(path, "SELECT box, count(*) FROM note GROUP BY box ORDER BY box") == [
            *((str(number), writes) for number in range(processes)),
            ("opened", 2),
        ]
        assert reader.read(path, "PRAGMA integrity_check") == [("ok",)]
    # Who is done no longer competes: compare how far each was when the first was done.
    started = max(moments[0] for moments in times)
    over = min(moments[-1] for moments in times)
    done = [sum(started <= moment <= over for moment in moments) for moments in times]
    share = min(done) * processes / max(sum(done), 1)
    longest = max(after - before for moments in times for before, after in pairwise(moments))
    seconds = max(moments[-1] for moments in times) - started
    if full:  # a small run is over before it has begun everywhere
        assert share >= 0.5, f"the slowest wrote {share:.2f} of the mean: {done}"
    return Figure(
        f"{processes} processes x {writes} durable writes: 0 refused within {_BUSY_TIMEOUT:g} s,"
        f" {processes * writes / seconds:.0f} writes/s, longest wait {longest:.2f} s, the slowest"
        f" did {share:.2f} of the mean",
        {"busy": 0, "share": share, "longest_wait": longest, "seconds": seconds},
    )


def _write_together(directory: Path, path: Path, processes: int, writes: int) -> list[list[float]]:
    """When each write of each process was acknowledged, on one clock."""
    with ExitStack() as stack:
        starter = stack.enter_context(Zygote())
        zygotes = [stack.enter_context(Zygote()) for _ in range(processes)]
        starter.run("open_once", str(path), "first")
        for number, zygote in enumerate(zygotes):
            errors = directory / f"{number}.err"
            arguments = str(path), str(number), writes, _BUSY_TIMEOUT
            zygote.start("write_so_many", *arguments, errors=errors)
        for zygote in zygotes:
            zygote.hear_until(time.monotonic() + PATIENCE, stop=lambda z=zygote: z.lines)
            assert zygote.lines == ["open"]
        starter.run("open_once", str(path), "go")
        # What they tell in the end is more than a pipe holds.
        with ThreadPoolExecutor(processes) as listeners:
            codes = list(listeners.map(partial(Zygote.wait, patience=_HOUR), zygotes))
        for number, code in enumerate(codes):
            said = (directory / f"{number}.err").read_text(encoding="utf-8")
            assert code == 0, f"process {number} ended with {code}: {said}"
        return [
            [float(moment) for moment in zygote.lines[-1].removeprefix("times ").split()]
            for zygote in zygotes
        ]
