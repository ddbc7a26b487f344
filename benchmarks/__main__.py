"""`python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.compare import compare, print_changes
from benchmarks.data import MESSAGES
from benchmarks.figures import Figures, Run, UnfitError, UnreadableError
from benchmarks.machine import Machine
from benchmarks.progress import progress_bar
from benchmarks.report import Report
from benchmarks.rounds import Plan, installed, run_rounds
from benchmarks.workloads import NAMES, find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workload import Workload

RESULTS: Final = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for. 1: a contender failed; a goal that is missed is no failure."""
    options = _parse(arguments)
    try:
        return _run(options)
    except (UnreadableError, UnfitError) as error:
        print(error, file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    report = Report()
    begun = Run.load(options.resume) if options.resume else None
    old = Run.load(options.compare) if options.compare else None
    done = {figures.name for figures in begun.workloads} if begun else set()
    names = [name for name in NAMES if name in (options.only or NAMES)]
    workloads = [find(name) for name in names if name not in {*(options.skip or ()), *done}]
    if options.list:
        _list(report, workloads)
        return 0
    started = datetime.now(UTC)
    target = _target(options, started)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.dir) as directory:
        plan = Plan(
            directory=Path(directory),
            quick=options.quick,
            rounds=options.rounds,
            most_rows=MESSAGES if options.quick else None,
            few=options.quick and not options.only,
        )
        machine = Machine.look(Path(directory))
        report.head(machine)
        run = Run(
            machine=machine.facts(),
            versions={},
            workloads=[],
            quick=options.quick,
            date=f"{started:%Y-%m-%d %H:%M}",
        )
        if begun is not None:
            begun.check_joins(run)
            run = begun
        with progress_bar(report.console, sum(map(plan.steps, workloads))) as tell:
            failed = False
            for workload in workloads:
                results = run_rounds(workload, plan, tell)
                run.learn(results.versions)
                figures = Figures.of(results)
                report.add(figures)
                run.workloads.append(figures)
                failed = failed or bool(results.failures)
                if target is not None:  # after each: a run of hours may be broken off
                    run.save(target)
                plan.tidy()
        report.foot(run.workloads, run.versions)
    if old is not None:
        print_changes(report.console, compare(old, run))
    return int(failed)


def _target(options: argparse.Namespace, started: datetime) -> Path | None:
    """Where the figures go. Those of a quick run mean little and are kept only on demand."""
    if options.resume:
        resumed: Path = options.resume
        return resumed
    if options.json or options.quick:
        asked: Path | None = options.json
        return asked
    return RESULTS / f"{started:%Y-%m-%d-%H%M}.json"


def _list(report: Report, workloads: list[Workload]) -> None:
    """Print what there is and how long it takes, about."""
    total = 0.0
    for workload in workloads:
        each = (workload.expected or workload.size.seconds * 1.3) + _START
        seconds = each * workload.rounds * len(installed(workload))
        total += seconds
        report.console.print(
            f"{workload.name:30} {seconds / 60:5.1f} min  {workload.question}", markup=False
        )
    report.console.print(f"{'all':30} {total / 60:5.1f} min")


_START: Final = 0.8  # seconds a child takes to start and to open


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="How fast trio_sqlrepo is, beside its peers. `pydoc benchmarks` tells how it"
        " is measured.",
    )
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="one short round of each workload, two contenders in each: whether it runs",
    )
    add(
        "--only", action="append", type=_workload, metavar="NAME",
        help="this workload alone; may be given again",
    )  # fmt: skip
    add(
        "--skip", action="append", type=_workload, metavar="NAME",
        help="all but this workload; may be given again",
    )  # fmt: skip
    add("--rounds", type=_positive, help="how often each contender has its turn")
    add("--json", type=Path, metavar="FILE", help="write all figures here, not to results/")
    add("--resume", type=Path, metavar="FILE", help="measure what that run has no figures of yet")
    add("--compare", type=Path, metavar="OLD.json", help="what has changed since that run")
    add("--dir", type=Path, help="where the databases lie while they are measured")
    add("--list", action="store_true", help="name the workloads and how long each takes")
    return parser.parse_args(arguments)


def _workload(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(
            f"there is no workload {text!r}. There are: {', '.join(NAMES)}."
        )
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds; give 1 or more.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
