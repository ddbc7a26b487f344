"""Runs contenders in turn, each in a process of its own on a fresh copy of the file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.measure import Metrics, Size
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Contender

_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE = 120.0  # seconds a child may take beyond what it was told to


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
class Failure(Exception):
    """A child did not answer. A result like any other: the rest of the run goes on."""

    reason: str


def run_rounds(
    workload: Workload, size: Size, rounds: int, template: Path, progress: Callable[[str], None]
) -> Results:
    """Measure every contender `rounds` times, in turn."""
    there = [contender for contender in workload.contenders if contender.is_installed]
    results = Results(
        workload=workload,
        rounds={contender.name: [] for contender in there},
        settings={},
        versions={},
        failures={},
        missing=[c.name for c in workload.contenders if not c.is_installed],
    )
    for number in range(rounds):
        for contender in there:
            progress(f"{workload.name}: round {number + 1} of {rounds}, {contender.name}")
            metrics = None
            try:
                answer = _measure(workload, contender, attrs.evolve(size, seed=number), template)
            except Failure as failure:
                results.failures[contender.name] = failure.reason
            else:
                metrics = answer["metrics"]
                results.settings[contender.name] = answer["settings"]
                results.versions |= answer["versions"]
            results.rounds[contender.name].append(metrics)
    return results


def _measure(workload: Workload, contender: Contender, size: Size, template: Path) -> Any:
    path = template.with_name("measured.db")
    shutil.copyfile(template, path)
    try:
        child = subprocess.run(
            [
                sys.executable, "-m", "benchmarks.child",
                workload.name, contender.name, path, json.dumps(attrs.asdict(size)),
            ],
            capture_output=True,
            encoding="utf-8",
            cwd=_ROOT,
            timeout=size.seconds * 2 + _PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"no answer after {expired.timeout:.0f} s") from expired
    finally:
        for left in path.parent.glob("measured.db*"):
            left.unlink()
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise Failure(last[0])
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise Failure(answer["error"])
    return answer
