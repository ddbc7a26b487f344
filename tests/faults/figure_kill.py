"""Acknowledged writes survive `kill -9`."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.faults.figure import Figure
from tests.faults.zygote import PATIENCE, Zygote
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = "what was acknowledged survives kill -9, and the next open works"

_TASKS: Final = 12
_LONGEST: Final = 0.06  # seconds until the kill
_IN_OPENING: Final = 0.25  # of the children are killed that long after the fork, ready or not
_CYCLES_PER_FILE: Final = 40


def run(seed: int, *, full: bool) -> Figure:
    """Kill a process that writes from many tasks, again and again on the same file."""
    rng = random.Random(seed)
    cycles = 1000 if full else 8
    acknowledged = bodies_found = in_opening = 0
    with Zygote() as zygote, ChildReader() as reader, tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "unset")
        expected: set[str] = set()
        for cycle in range(cycles):
            if cycle % _CYCLES_PER_FILE == 0:
                path = Path(directory, f"{cycle}.db")
                expected = set()
            working = cycle == 0 or rng.random() > _IN_OPENING
            told = _kill_one(zygote, path, cycle, rng, working=working)
            in_opening += told is None
            expected |= told or set()
            acknowledged += len(told or ())
            zygote.run("open_once", str(path), f"opened/{cycle}")
            expected.add(f"opened/{cycle}")
            found = {body for (body,) in reader.read(path, "SELECT body FROM note")}
            lost = expected - found
            assert not lost, f"cycle {cycle}: {len(lost)} acknowledged lost, as {sorted(lost)[:3]}"
            _check_whole(found, cycle)
            assert reader.read(path, "PRAGMA integrity_check") == [("ok",)], f"cycle {cycle}"
            bodies_found = len(found)
    assert acknowledged, "no cycle got as far as one write"
    return Figure(
        f"{cycles} cycles of kill -9 ({in_opening} before the first write): {acknowledged} rows"
        " acknowledged, 0 lost, no transaction by halves, integrity ok, the next open worked",
        {"cycles": cycles, "acknowledged": acknowledged, "lost": 0, "last_file": bodies_found},
    )


def _kill_one(
    zygote: Zygote, path: Path, cycle: int, rng: random.Random, *, working: bool
) -> set[str] | None:
    """What it was told of before it was killed; None if it had not opened yet."""
    zygote.start("write_until_killed", str(path), f"{cycle}", _TASKS)
    if working:
        zygote.hear_until(time.monotonic() + PATIENCE, stop=lambda: len(zygote.lines) > 1)
    zygote.hear_until(time.monotonic() + rng.uniform(0, _LONGEST))
    zygote.send(signal.SIGKILL)
    assert zygote.wait() == -signal.SIGKILL, "the child ended before it was killed"
    if "open" not in zygote.lines:
        return None
    words = [line.split()[1:] for line in zygote.lines if line.startswith("acknowledged")]
    return {body for bodies in words for body in bodies}


def _check_whole(found: set[str], cycle: int) -> None:
    """Of what one transaction wrote all is there or nothing."""
    for body in found:
        parts = body.split("/")
        if len(parts) < 3 or not parts[2].isdecimal():
            continue
        first = "/".join(parts[:3])
        rest = {0: ["pair"], 1: ["0", "1", "2"], 2: ["pair"], 3: []}[int(parts[2]) % 4]
        missing = {first, *(f"{first}/{part}" for part in rest)} - found
        assert not missing, f"cycle {cycle}: of one transaction {sorted(missing)} is missing"
