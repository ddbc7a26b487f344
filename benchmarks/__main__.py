"""`python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data import make_file
from benchmarks.machine import Machine
from benchmarks.report import Report
from benchmarks.rounds import run_rounds
from benchmarks.workloads import NAMES, find

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for. 1: a contender failed; a goal that is missed is no failure."""
    options = _parse(arguments)
    failed = False
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.dir) as directory:
        template = Path(directory) / "template.db"
        make_file(template)
        report = Report(Machine.look(Path(directory)))
        report.head()
        for name in NAMES:
            if options.only and name not in options.only:
                continue
            workload = find(name)
            size = workload.quick if options.quick else workload.size
            rounds = options.rounds or (1 if options.quick else workload.rounds)
            results = run_rounds(workload, size, rounds, template, _progress)
            _progress("")
            report.add(results)
            failed = failed or bool(results.failures)
        report.foot()
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(), indent=1), encoding="utf-8")
    return int(failed)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="How fast trio_sqlrepo is, beside its peers. `pydoc benchmarks` tells how it"
        " is measured.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round of each: whether it runs"
    )
    parser.add_argument(
        "--only", action="append", choices=NAMES, help="this workload alone; may be given again"
    )
    parser.add_argument("--rounds", type=_positive, help="how often each contender has its turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--dir", type=Path, help="where the databases lie while they are measured")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _progress(what: str) -> None:
    """Say on one line of the terminal what is under way."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
