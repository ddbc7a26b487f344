"""A process that is interrupted ends, soon and in order; a fork harms nobody."""

from __future__ import annotations

import random
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.faults.children import HELD, INSIDE
from tests.faults.figure import Figure
from tests.faults.zygote import INTERRUPTED, PATIENCE, Zygote
from tests.guarantees.test_12_fork_safe import PROGRAM
from tests.support import run_child
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = "Ctrl-C at any moment ends the process within drain_timeout + 1 s, all being whole"

_DRAIN: Final = 0.2  # seconds
# health_check_timeout, seconds: so long the block waits for a call of its own that is stuck.
_PATIENCE: Final = 0.2
_PROCESS: Final = 0.25  # seconds; what Python itself may take to end
_LONGEST: Final = 0.15  # seconds from the fork to the signal: opening, load and closing are hit
_CYCLES_PER_FILE: Final = 50
# What the library says of a thread that it had to leave behind.
_ABANDONED: Final = re.compile(
    r"(reader|writer) \d+ (of .* (its thread is abandoned|is given up: )|was given up: )"
)

# What Python says where the interrupt met the child's own code just as it started a task.
_UNBORN: Final = re.compile(
    r"RuntimeWarning: (coroutine '(_hold|_load)' was never awaited|Enable tracemalloc)"
)
# An exception in a weak reference's callback goes no further. Trio protects `__del__` alone.
_SWALLOWED: Final = re.compile(
    r"Exception ignored in: <function WeakSet.*?^KeyboardInterrupt: *\n", re.DOTALL | re.MULTILINE
)
# Where it met trio's own note of an asynchronous generator that had not begun, nobody ends that.
_NOT_BEGUN: Final = re.compile(
    r"Exception ignored in: <async_generator object open_of_parts.*?"
    r"^trio.RunFinishedError: run\(\) has exited\n",
    re.DOTALL | re.MULTILINE,
)
_ANSWER: Final = 5.0  # seconds


def run(seed: int, *, full: bool) -> Figure:
    """Interrupt processes at random moments, also with stuck threads and held connections."""
    rng = random.Random(seed)
    # tests/guarantees/test_12_fork_safe.py is the small setting of the forks.
    cycles, forks = (1000, 25) if full else (8, 0)
    config = {"drain_timeout": _DRAIN, "health_check_timeout": _PATIENCE}
    taken: dict[str, list[tuple[float, str]]] = {}  # by sort: seconds, and which it was
    with (
        Zygote() as zygote,
        ChildReader() as reader,
        tempfile.TemporaryDirectory() as directory,
    ):
        path, errors = Path(directory, "unset"), Path(directory, "errors")
        expected: set[str] = set()
        for cycle in range(cycles):
            if cycle % _CYCLES_PER_FILE == 0:
                path, expected = Path(directory, f"{cycle}.db"), set()
            # A stuck thread costs all of its second: one in eight, and as many in the block.
            sort = {3: "wedged", 7: "wedged inside"}.get(cycle % 8, "other")
            kind = rng.choice([kind for kind in HELD if _sort(kind) == sort])
            zygote.start("live", str(path), str(cycle), rng.randrange(1 << 32), config, kind,
                         errors=errors)  # fmt: skip
            zygote.hear_until(time.monotonic() + rng.uniform(0, _LONGEST))
            seconds = _interrupt(zygote, errors, f"cycle {cycle}, {kind}")
            taken.setdefault(sort, []).append((seconds, f"cycle {cycle}, {kind}"))
            for line in zygote.lines:
                expected.update(line.removeprefix("acknowledged ").split())
            zygote.run("open_once", str(path), f"opened/{cycle}")
            found = {body for (body,) in reader.read(path, "SELECT body FROM note")}
            assert expected <= found, f"cycle {cycle}: lost {sorted(expected - found)[:3]}"
            assert not any(body.endswith("never") for body in found), f"cycle {cycle}, {kind}"
            assert reader.read(path, "PRAGMA integrity_check") == [("ok",)], f"cycle {cycle}"
        for number in range(forks):
            path = Path(directory, f"fork {number}.db")
            forked = run_child("-c", PROGRAM, path, rng.choice(["at once", "normally"]))
            assert forked.returncode == 0, forked.stderr
            assert reader.read(path, "SELECT count(*) FROM note") == [(int(forked.stdout),)]
            assert reader.read(path, "PRAGMA integrity_check") == [("ok",)]
    longest = {sort: max(times)[0] for sort, times in taken.items()}
    if full:  # elsewhere the machine may have other things to do
        late = [
            f"{name}: {seconds:.2f} s, not {_bound(sort)}"
            for sort, times in taken.items()
            for seconds, name in sorted(times, reverse=True)
            if seconds > _bound(sort) + _PROCESS
        ]
        assert not late, f"all {cycles} ended well, {len(late)} of them late: {late[:20]}"
    told = f"; {forks * 8} forks under load: each refused in the child, the parents unharmed"
    told = told if forks else ""
    return Figure(
        f"{cycles} interrupts at random moments (drain_timeout {_DRAIN} s): all ended, the longest"
        f" after {longest['other']:.2f} s, with a stuck thread {longest['wedged']:.2f} s, with one"
        f" that the block waits for (health_check_timeout {_PATIENCE} s)"
        f" {longest['wedged inside']:.2f} s; no thread's traceback, every file whole" + told,
        {
            "interrupts": cycles,
            "longest": longest["other"],
            "longest_wedged": longest["wedged"],
            "longest_wedged_inside": longest["wedged inside"],
            "tracebacks": 0,
            "forks": forks * 8,
        },
    )


def _sort(kind: str) -> str:
    """What decides how long the end may take: whether a thread is stuck, and who waits for it."""
    if not kind.startswith("wedged"):
        return "other"
    return "wedged inside" if kind.endswith(INSIDE) else "wedged"


def _bound(sort: str) -> float:
    """Seconds from the interrupt to the end of the block."""
    return _DRAIN + 1 + (_PATIENCE if sort == "wedged inside" else 0)


def _interrupt(zygote: Zygote, errors: Path, name: str) -> float:
    """Interrupt the child; how long it took to end."""
    assert zygote.code is None, f"{name}: {errors.read_text(encoding='utf-8')}"
    said = ""
    # One that Python has swallowed, as it tells, never came: whoever waits presses Ctrl-C again.
    for patience in (_ANSWER, PATIENCE):
        started = time.monotonic()
        zygote.send(signal.SIGINT)
        zygote.hear_until(started + patience)
        said, swallowed = _SWALLOWED.subn("", errors.read_text(encoding="utf-8"))
        if zygote.code is not None or not swallowed:
            zygote.hear_until(started + PATIENCE)
            break
    seconds = time.monotonic() - started
    if (code := zygote.code) is None:
        zygote.send(signal.SIGUSR1)  # its stacks
        zygote.hear_until(time.monotonic() + 1)
        said = errors.read_text(encoding="utf-8")
        zygote.send(signal.SIGKILL)
        zygote.wait()
    assert code == INTERRUPTED, f"{name}: it ended with {code}: {said}"
    said = _NOT_BEGUN.sub("", said)
    expected = _ABANDONED, _UNBORN
    strange = [
        line for line in said.splitlines() if not any(known.search(line) for known in expected)
    ]
    assert not strange, f"{name}: it complained: {said}"
    return seconds
