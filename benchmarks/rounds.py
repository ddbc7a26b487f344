"""Runs contenders in turn, each in a process of its own on a fresh copy of the file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.audit import lost
from benchmarks.data import FileKind, make_file
from benchmarks.measure import Metrics, Size
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.contenders import Contender

_LARGE = 50_000_000  # bytes
_ROOT = Path(__file__).resolve().parent.parent


@attrs.define
class Results:
    """All rounds of one workload."""

    workload: Workload
    rounds: dict[str, list[Metrics | None]]
    settings: dict[str, dict[str, Any]]
    versions: dict[str, str]
    failures: dict[str, str]  # by contender: the last error
    missing: list[str]  # contenders that are not installed


@attrs.frozen
class Failure(Exception):  # a result like any other: the rest of the run goes on
    """A child did not answer."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@attrs.frozen(kw_only=True)
class Plan:
    """How a run is made: what is measured for how long, and how often."""

    directory: Path  # where the files lie
    quick: bool = False
    rounds: int | None = None  # None: as the workload says
    most_rows: int | None = None  # in a file; None: as the workload says
    few: bool = False  # one contender beside the first, another for each workload

    def rounds_of(self, workload: Workload) -> int:
        return self.rounds or (1 if self.quick else workload.rounds)

    def size_of(self, workload: Workload) -> Size:
        return workload.quick if self.quick else workload.size

    def template(self, kind: FileKind) -> Path:
        """Find the file of this kind, made when it is first asked for."""
        path = self.directory / f"{kind.rows}-{kind.padding}-{int(kind.room_index)}.db"
        if not path.exists():
            half = path.with_suffix(".half")
            make_file(half, kind)
            half.rename(path)
        return path

    def tidy(self) -> None:
        """Delete large files that other workloads hardly need."""
        for path in self.directory.glob("*.db"):
            if path.stat().st_size > _LARGE:
                path.unlink()

    def steps(self, workload: Workload) -> int:
        """How many measurements the workload takes."""
        return self.rounds_of(workload) * len(self.contenders_of(workload))

    def contenders_of(self, workload: Workload) -> list[Contender]:
        """Who is measured: whoever is installed."""
        there = installed(workload)
        if not self.few:
            return there
        others = there[1:]
        chosen = NAMES.index(workload.name) % len(others) if others else 0
        return there[:1] + others[chosen : chosen + 1]


def installed(workload: Workload) -> list[Contender]:
    return [contender for contender in workload.contenders if contender.is_installed]


def run_rounds(
    workload: Workload, plan: Plan, tell: Callable[[str], None] = lambda _: None
) -> Results:
    """Measure every contender, in turn, for several rounds.

    Args:
        workload: the question.
        plan: how long, how often, and where.
        tell: is called at the beginning of each measurement, with what it is.
    """
    there = plan.contenders_of(workload)
    results = Results(
        workload=workload,
        rounds={contender.name: [] for contender in there},
        settings={},
        versions={},
        failures={},
        missing=[c.name for c in workload.contenders if not c.is_installed],
    )
    rounds = plan.rounds_of(workload)
    for number, contender in _turns(there, rounds):
        tell(f"{workload.name}: round {number + 1} of {rounds}, {contender.name}")
        metrics = None
        try:
            answer = measure(workload, contender, plan, seed=number)
        except Failure as failure:
            results.failures[contender.name] = failure.reason
        else:
            metrics = answer["metrics"]
            results.settings[contender.name] = answer["settings"]
            results.versions |= answer["versions"]
        results.rounds[contender.name].append(metrics)
    return results


def _turns(contenders: list[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """A B C, then B C A: nobody always follows the same."""
    for number in range(rounds):
        first = number % len(contenders) if contenders else 0
        for contender in contenders[first:] + contenders[:first]:
            yield number, contender


def measure(workload: Workload, contender: Contender, plan: Plan, *, seed: int) -> Any:
    """Have a child make one measurement; look at the file it leaves.

    Raises:
        Failure: it gave no figures.
    """
    kind = workload.file_for(contender, plan.most_rows)
    path = template = plan.template(kind)
    if not workload.reads_only:
        path = plan.directory / "measured.db"
        shutil.copyfile(template, path)
    size = workload.size_for(contender, attrs.evolve(plan.size_of(workload), seed=seed), kind)
    try:
        answer = _answer_of_child(workload, contender, path, size)
        metrics = answer["metrics"]
        if "acknowledged" in metrics and not workload.reads_only:
            metrics["lost"] = lost(path, kind.rows, metrics["acknowledged"])
        return answer
    finally:
        for left in plan.directory.glob("measured.db*"):
            left.unlink()


def _answer_of_child(workload: Workload, contender: Contender, path: Path, size: Size) -> Any:
    try:
        child = subprocess.run(
            [
                sys.executable, "-m", "benchmarks.child",
                workload.name, contender.name, path, json.dumps(attrs.asdict(size)),
            ],
            capture_output=True,
            encoding="utf-8",
            cwd=_ROOT,
            timeout=size.seconds * 2 + workload.patience,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"no answer after {expired.timeout:.0f} s") from expired
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise Failure(last[0])
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise Failure(answer["error"])
    return answer
