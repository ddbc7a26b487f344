"""The report: a table per workload, in colour on a terminal, plain elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures, verdict_line

if TYPE_CHECKING:
    from benchmarks.judge import Verdict
    from benchmarks.machine import Machine

_PLAIN_WIDTH = 180


class Report:
    """Prints as results come in."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=_PLAIN_WIDTH, color_system=None)

    def head(self, machine: Machine) -> None:
        self.console.print(
            f"{machine.processor}, {machine.cores} cores, {machine.memory_gb:.0f} GB,"
            f" {machine.system}, load {machine.load:.2f}, Python {machine.python}\nfiles in"
            f" {machine.directory} ({machine.file_system}), an fsync takes {machine.fsync_us:.0f}"
            " µs"
        )
        if not machine.syncs:
            self.console.print(
                "This file system keeps files in memory: durable writes cost nothing here, and"
                " their figures mean nothing. Choose another place with --dir.",
                style="bold red",
            )

    def add(self, figures: Figures) -> None:
        """Print one workload."""
        print_ = self.console.print
        print_(f"\n{figures.name}: {figures.question}", style="bold", markup=False)
        print_(table_of(figures, terminal=self.console.is_terminal))
        for name in figures.missing:
            print_(f"  {name}: not installed")
        for name, reason in figures.failures.items():
            print_(f"  {name} failed: {reason}", style="red", markup=False)
        for loss in figures.losses():
            print_(f"  {loss}", style="red", markup=False)
        for line in not_run_lines(figures):
            print_(f"  not run: {line}", style="dim", markup=False)
        for verdict in figures.goals:
            self._verdict(verdict)
        different = {str(settings) for settings in figures.settings.values()}
        if len(different) > 1:
            print_(f"  settings differ: {figures.settings}", style="yellow", markup=False)

    def foot(self, workloads: list[Figures], versions: dict[str, str]) -> None:
        self.console.print()
        for figures in workloads[:1]:
            settings = next(iter(figures.settings.values()), {})
            self.console.print(
                "settings of all: " + ", ".join(f"{k} {v}" for k, v in settings.items())
            )
        self.console.print(", ".join(f"{name} {versions[name]}" for name in versions))
        judged = [goal.met for figures in workloads for goal in figures.goals]
        self.console.print(
            f"goals: {judged.count(True)} met, {judged.count(False)} missed,"
            f" {judged.count(None)} not measured"
        )

    def _verdict(self, verdict: Verdict) -> None:
        word, line = verdict_line(verdict)
        style = {True: "green", False: "bold red", None: "yellow"}[verdict.met]
        self.console.print(f"  goal {word}: {line}", style=style, markup=False)


def not_run_lines(figures: Figures) -> list[str]:
    """Who takes no part and why; those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in figures.not_run.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def table_of(figures: Figures, *, terminal: bool) -> Table:
    """Lay out one workload."""
    cores = "one core" if figures.one_core else "all cores"
    rounds = max(map(len, figures.rounds.values()), default=0)
    table = Table(
        caption=f"{cores}; medians of {rounds} rounds, ratios with the smallest and the largest",
        caption_justify="left",
        box=box.SIMPLE if terminal else None,
    )
    first, *others = figures.header()
    table.add_column(first, no_wrap=True)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    for row in figures.rows():
        own = terminal and row[0] == figures.reference
        table.add_row(*row, style="bold" if own else None)
    return table
