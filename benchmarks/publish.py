"""Refresh the figures of the documentation from a stored run.

    python -m benchmarks.publish benchmarks/results/RUN.json

writes the tables between the marks `<!-- figures: NAME -->` and `<!-- end of figures -->` in
docs/performance.md, and the plots in docs/plots. Nobody types a figure.

A NAME is a workload's, or "machine", "goals" or "missed".
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figures, Run, UnreadableError, verdict_line
from benchmarks.report import not_run_lines
from benchmarks.workloads import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"

_MARKED = re.compile(
    r"(<!-- figures: (?P<name>\w+) -->\n)(?P<old>.*?)(<!-- end of figures -->)", re.DOTALL
)


class UnknownMarkError(Exception):
    """The document asks for what there is no table of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the document and the plots. 2: the file holds no results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.publish",
        description="Refresh the tables and plots of docs/performance.md from a stored run.",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS.json")
    parser.add_argument("--docs", type=Path, default=DOCS, help="another folder than docs/")
    options = parser.parse_args(arguments)
    try:
        run = Run.load(options.results)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return 2
    document = options.docs / "performance.md"
    text = document.read_text(encoding="utf-8")
    try:
        text = refreshed(text, run)
    except UnknownMarkError as error:
        print(error, file=sys.stderr)
        return 2
    document.write_text(text, encoding="utf-8")
    from benchmarks.plots import draw_all  # noqa: PLC0415  # tables need no matplotlib

    for name in draw_all(run, options.docs / "plots"):
        print(f"drawn: {name}")
    return 0


def refreshed(text: str, run: Run) -> str:
    """Give the document with the tables of this run; what the run lacks stays as it was.

    Raises:
        UnknownMarkError: a mark names nothing there could be figures of.
    """

    def replace(found: re.Match[str]) -> str:
        lines = _lines(found["name"], run)
        body = found["old"] if lines is None else "\n".join(["", *lines, "", ""])
        return found[1] + body + found[4]

    return _MARKED.sub(replace, text)


def _lines(name: str, run: Run) -> list[str] | None:
    special = {"machine": _machine, "goals": _goals}
    if name in special:
        return special[name](run)
    if name not in NAMES:
        raise UnknownMarkError(
            f"performance.md asks for the figures of {name!r}, which is no workload; there are"
            f" machine, goals, {', '.join(NAMES)}."
        )
    figures = run.find(name)
    return None if figures is None else _table(figures)


def _machine(run: Run) -> list[str]:
    machine = run.machine
    rounds = [len(r) for figures in run.workloads for r in figures.rounds.values()]
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    kind = "A quick run, whose figures mean little. " if run.quick else ""
    facts = (
        f"{kind}{run.date} UTC: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_gb']:.0f} GB, {machine['system']}, {machine['file_system']} where an"
        f" fsync takes {machine['fsync_us']:.0f} µs; load at the start {machine['load']:.1f};"
        f" {min(rounds, default=0)} to {max(rounds, default=0)} rounds."
    )
    return [*_wrapped(facts), "", *_wrapped(f"Versions: {versions}.")]


def _wrapped(text: str, width: int = 110) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _goals(run: Run) -> list[str]:
    lines = ["| workload | goal | measured | |", "|---|---|---|---|"]
    for figures in run.workloads:
        for verdict in figures.goals:
            word, line = verdict_line(verdict)
            goal, _, value = line.rpartition(": ")
            mark = f"**{word}**" if verdict.met is False else word
            lines.append(f"| `{figures.name}` | {goal} | {value} | {mark} |")
    return lines


def _table(figures: Figures) -> list[str]:
    header = figures.header()
    lines = ["| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
    for row in figures.rows():
        name, *cells = row
        bold = f"**{name}**" if name == figures.reference else name
        lines.append("| " + " | ".join([bold, *cells]) + " |")
    notes = [
        *(f"{name} failed: {reason}" for name, reason in figures.failures.items()),
        *figures.losses(),
        *(f"Not run: {line}" for line in not_run_lines(figures)),
    ]
    if notes:
        lines += ["", *(f"* {note}." for note in notes)]
    return lines


if __name__ == "__main__":
    sys.exit(main())
