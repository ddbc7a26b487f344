"""Strictly serializable: list-append by three processes, with cancels and a `kill -9`.

Each process has a pool of its own on the one file. Single calls, `@transaction` and `@snapshot`
bodies, `db.transaction()` and `db.snapshot()` blocks and undone savepoints append to lists and read
them; some are cancelled, some raise, and one process is killed and another takes its place. The
histories are merged by the machine's monotonic clock, and the file is read by a child at the end.

Strict serializability is what the guarantees 1 to 5 come to: one write transaction at a time, reads
of one committed state that is fixed within the call, and every later read, of any task of any
process, sees a write that has returned; what was cancelled has left nothing.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import attrs

from tests.faults.figure import Figure
from tests.faults.isolation_load import MOST_VALUES, Settings
from tests.support import CHILD_TIMEOUT, ROOT, read_in_child
from tests.testing.lists import ALL
from trio_sqlrepo.testing.histories import History, Outcome, Verdict, check_serializability

PROMISE: Final = "three processes on one file are strictly serializable, cancels and kills included"

PROCESSES: Final = 3
AT_THE_END: Final = f"SELECT '', integrity_check FROM pragma_integrity_check UNION ALL {ALL}"
FOR_EVER: Final = 3600.0  # seconds


@attrs.frozen
class Judged:
    """A round: what was recorded, and what the checker says."""

    history: History
    verdict: Verdict


def run(seed: int, *, full: bool) -> Figure:
    rounds, seconds = (20, 30.0) if full else (1, 1.2)
    count: Counter[str] = Counter()
    for number in range(rounds):
        judged = run_round(seed + number, seconds)
        assert judged.verdict.holds, f"seed {seed + number}: {judged.verdict.explanation}"
        found = counted(judged.history)
        for name in ("transactions", "cancelled", "read from others"):
            assert found[name], f"seed {seed + number}: no {name}, so nothing was put to the test"
        count += found
    return Figure(
        f"{count['transactions']} transactions of {PROCESSES} processes in {rounds} rounds of"
        f" {seconds:.0f} s, {count['cancelled']} cancelled, {count['failed']} otherwise undone,"
        f" {count['unknown']} cut off by {rounds} kill -9; {count['read from others']} reads saw"
        " another process's append; 0 anomalies",
        {**count, "rounds": rounds, "anomalies": 0},
    )


def run_round(seed: int, seconds: float, driver: str = "") -> Judged:
    """Have processes work on a new file; kill one; judge what they did."""
    rng = random.Random(seed)
    began = time.monotonic_ns()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        path = Path(directory, "test.db")
        logs: list[Path] = []

        def start(seconds: float) -> subprocess.Popen[str]:
            number = len(logs)
            logs.append(Path(directory, f"{number}.jsonl"))
            settings = Settings(
                path=str(path), log=str(logs[-1]), number=number, seed=rng.randrange(1 << 32),
                began=began, seconds=seconds, driver=driver,
            )  # fmt: skip
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.isolation_load",
                 json.dumps(attrs.asdict(settings))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=ROOT, encoding="utf-8",
            )  # fmt: skip
            stack.callback(end, child)
            return child

        # One of them would work for ever; it is killed, and another takes its place.
        children = [start(seconds) for _ in range(PROCESSES - 1)]
        victim = start(FOR_EVER)
        children.append(victim)
        for child in children:
            await_ready(child)
        for child in children:
            go(child)
        survives = seconds * rng.uniform(0.3, 0.6)
        with suppress(subprocess.TimeoutExpired):
            victim.wait(survives)
        victim.kill()
        children.append(start(seconds - survives))
        await_ready(children[-1])
        go(children[-1])
        for child in children:
            _, errors = child.communicate(timeout=seconds + CHILD_TIMEOUT)
            expected = -signal.SIGKILL if child is victim else 0
            assert child.returncode == expected, f"process ended with {child.returncode}: {errors}"
        (_, integrity), *lists = read_in_child(path, AT_THE_END)
        assert integrity == "ok", integrity
        final = {key: json.loads(items) for key, items in lists}
        history = History.merged(*map(read_log, logs))
    return Judged(history, check_serializability(history, level="strict", final_state=final))


def await_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        raise AssertionError(f"a process did not begin: {child.communicate()[1]}")


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def end(child: subprocess.Popen[str]) -> None:
    """See that it is gone, also if the round was broken off."""
    if child.poll() is None:
        child.kill()
    child.communicate()


def read_log(log: Path) -> History:
    with log.open(encoding="utf-8") as lines:
        return History.from_lines(lines)


def counted(history: History) -> Counter[str]:
    """How much was put to the test."""
    count: Counter[str] = Counter()
    for each in history:
        count["transactions"] += 1
        if each.outcome is Outcome.UNKNOWN:
            count["unknown"] += 1
        elif each.outcome is Outcome.FAILED:
            count["cancelled" if (each.error or "").startswith("Cancelled") else "failed"] += 1
        else:
            mine = int(each.task.split("/")[0])
            for kind, _, values in each.value:
                if kind == "read":
                    count["reads"] += 1
                    others = any(value // MOST_VALUES != mine for value in values)
                    count["read from others"] += others
                else:
                    count["appends"] += 1
    return count
