"""The report: a table per workload, in colour on a terminal, plain elsewhere; and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.goals import Spread, ratios

if TYPE_CHECKING:
    from benchmarks.goals import Verdict
    from benchmarks.machine import Machine
    from benchmarks.rounds import Results

_PLAIN_WIDTH = 160


class Report:
    """Prints as results come in, and keeps them for `as_dict`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._results: list[Results] = []
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=_PLAIN_WIDTH, color_system=None)

    def head(self) -> None:
        machine = self._machine
        self.console.print(
            f"{machine.processor}, {machine.cores} cores, {machine.system}, load"
            f" {machine.load:.2f}\nfiles in {machine.directory} ({machine.file_system}), an fsync"
            f" takes {machine.fsync_us:.0f} µs"
        )
        if not machine.syncs:
            self.console.print(
                "This file system keeps files in memory: durable writes cost nothing here, and"
                " their figures mean nothing. Choose another place with --dir.",
                style="bold red",
            )

    def add(self, results: Results) -> None:
        """Print one workload."""
        self._results.append(results)
        self.console.print(
            f"\n{results.workload.name}: {results.workload.question}", style="bold", markup=False
        )
        self.console.print(_table(results, terminal=self.console.is_terminal))
        for name in results.missing:
            self.console.print(f"  {name}: not installed")
        for name, reason in results.failures.items():
            self.console.print(f"  {name} failed: {reason}", style="red", markup=False)
        for verdict in verdicts(results):
            self._print_verdict(verdict)
        different = {str(settings) for settings in results.settings.values()}
        if len(different) > 1:
            self.console.print(f"  settings differ: {results.settings}", style="red", markup=False)

    def foot(self) -> None:
        self.console.print()
        for results in self._results[:1]:
            settings = next(iter(results.settings.values()), {})
            self.console.print(
                "settings of all: " + ", ".join(f"{k} {v}" for k, v in settings.items())
            )
        versions = self._versions()
        self.console.print(", ".join(f"{name} {versions[name]}" for name in versions))

    def as_dict(self) -> dict[str, Any]:
        return {
            "machine": attrs.asdict(self._machine),
            "versions": self._versions(),
            "workloads": [_as_dict(results) for results in self._results],
        }

    def _versions(self) -> dict[str, str]:
        return {k: v for results in self._results for k, v in results.versions.items()}

    def _print_verdict(self, verdict: Verdict) -> None:
        value = "no figure" if verdict.value is None else _spread(verdict.value, 2)
        word, style = {
            True: ("met", "green"),
            False: ("MISSED", "bold red"),
            None: ("not measured", "yellow"),
        }[verdict.met]
        self.console.print(f"  goal {word}: {verdict.goal}: {value}", style=style, markup=False)


def verdicts(results: Results) -> list[Verdict]:
    """Judge every goal of the workload."""
    return [goal.judge(results.rounds) for goal in results.workload.goals]


def _table(results: Results, *, terminal: bool) -> Table:
    workload = results.workload
    cores = "one core" if workload.one_core else "all cores"
    table = Table(
        caption=f"{cores}; medians of {len(next(iter(results.rounds.values())))} rounds, ratios"
        " with the smallest and the largest",
        caption_justify="left",
        box=box.SIMPLE if terminal else None,
    )
    table.add_column("contender", no_wrap=True)
    for column in workload.columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    first = workload.contenders[0].name
    compared_figure = workload.compare.removesuffix("_ms")
    table.add_column(f"{compared_figure} ÷ {first}'s", justify="right", no_wrap=True)
    for name, rounds in results.rounds.items():
        done = [metrics for metrics in rounds if metrics is not None]
        cells = []
        for column in workload.columns:
            spread = Spread.of([m[column.metric] for m in done if column.metric in m])
            cells.append("–" if spread is None else f"{spread.median:,.{column.digits}f}")
        compared = Spread.of(ratios(results.rounds, name, first, workload.compare))
        cells.append("" if compared is None or name == first else _spread(compared, 2))
        table.add_row(name, *cells, style="bold" if terminal and name == first else None)
    return table


def _spread(spread: Spread, digits: int) -> str:
    if spread.least == spread.most:
        return f"{spread.median:,.{digits}f}"
    return f"{spread.median:,.{digits}f} ({spread.least:,.{digits}f}–{spread.most:,.{digits}f})"


def _as_dict(results: Results) -> dict[str, Any]:
    workload = results.workload
    return {
        "name": workload.name,
        "question": workload.question,
        "one_core": workload.one_core,
        "compared": workload.compare,
        "rounds": results.rounds,
        "settings": results.settings,
        "failures": results.failures,
        "missing": results.missing,
        "goals": [attrs.asdict(verdict) for verdict in verdicts(results)],
    }
