"""The table at the end, and whether all went well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs
from rich.table import Table
from rich.text import Text

from trio_sqlrepo import DatabaseLocked, Stats
from trio_sqlrepo.cli.demo.meter import KINDS, Latencies, Meter
from trio_sqlrepo.cli.demo.plan import Plan
from trio_sqlrepo.cli.demo.view import PERCENTILES, milliseconds, percentiles
from trio_sqlrepo.cli.demo.witness import Findings

if TYPE_CHECKING:
    from rich.console import Console

_LOCKED: Final = DatabaseLocked.__name__


@attrs.frozen(kw_only=True)
class Outcome:
    """A demo that has ended.

    Attributes:
        elapsed: seconds that the load lasted.
        meters: by operation.
        posted, pruned: rows that the database has acknowledged.
        stats: the pool's, when the load had ended.
        findings: what a child process found in the file, or why it could not say.
    """

    plan: Plan
    elapsed: float
    meters: Sequence[Meter]
    posted: int
    pruned: int
    stats: Stats
    findings: Findings | str

    @property
    def errors(self) -> Counter[str]:
        """All errors, by type."""
        return sum((meter.errors for meter in self.meters), Counter())

    @property
    def is_well(self) -> bool:
        """Whether there was no error, and the file holds what was acknowledged."""
        return not self.errors and all(fact.good for fact in _findings(self))


@attrs.frozen
class _Fact:
    name: str
    text: str
    good: bool = True


def print_report(console: Console, outcome: Outcome) -> None:
    """Print the table and the facts below it."""
    console.print()
    console.print(_table(outcome))
    console.print(_facts(outcome))


def _table(outcome: Outcome) -> Table:
    digits = 1 if outcome.elapsed >= 1 else 2
    table = Table(
        title=f"{outcome.plan.crowd} for {outcome.elapsed:.{digits}f} s",
        title_justify="left",
        title_style="bold",
        header_style="bold",
    )
    table.add_column("operation", no_wrap=True)
    for heading in ("calls", "per second", *(f"p{p} ms" for p in PERCENTILES), "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    for meter in outcome.meters:
        _add(table, outcome, meter.name, [meter])
    table.add_section()
    for kind in KINDS:
        chosen = [meter for meter in outcome.meters if meter.kind == kind]
        _add(table, outcome, f"all {kind}s", chosen, style="bold")
    return table


def _add(
    table: Table, outcome: Outcome, name: str, meters: Sequence[Meter], style: str = ""
) -> None:
    latencies = Latencies.together(meter.latencies for meter in meters)
    errors = sum(meter.errors.total() for meter in meters)
    table.add_row(
        name,
        f"{latencies.count:,}",
        f"{latencies.count / outcome.elapsed:,.0f}",
        *map(milliseconds, percentiles(latencies)),
        Text(f"{errors:,}", style="bold red" if errors else ""),
        style=style,
    )


def _facts(outcome: Outcome) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for fact in (*_pool(outcome), *_findings(outcome)):
        grid.add_row(fact.name, Text(fact.text, style="green" if fact.good else "bold red"))
    return grid


def _pool(outcome: Outcome) -> Iterator[_Fact]:
    stats, errors = outcome.stats, outcome.errors
    yield _Fact("lock errors", f"{errors[_LOCKED]:,}", good=not errors[_LOCKED])
    for name, count in errors.most_common():
        if name != _LOCKED:
            yield _Fact(name, f"{count:,}", good=False)
    yield _Fact(
        "writes per commit",
        f"{stats.writes_per_commit:.1f} ({stats.writes:,} writes in {stats.commits:,} commits)",
    )
    replaced = stats.readers.replaced + stats.writers.replaced
    yield _Fact(
        "connections",
        f"{stats.readers.size} reading, {stats.writers.size} writing, {replaced} replaced",
    )


def _findings(outcome: Outcome) -> Iterator[_Fact]:
    found = outcome.findings
    if isinstance(found, str):
        yield _Fact("PRAGMA integrity_check", f"not done: {found}", good=False)
        return
    left = outcome.posted - outcome.pruned
    account = (
        f"{outcome.posted:,} posted, {outcome.pruned:,} pruned, {found.messages:,} in the file"
    )
    yield _Fact(
        "messages",
        account if found.messages == left else f"{account}, not {left:,}",
        good=found.messages == left,
    )
    yield _Fact(
        "rooms",
        f"{found.wrong_rooms} have lost count of their threads"
        if found.wrong_rooms
        else "all know how many threads they have",
        good=not found.wrong_rooms,
    )
    yield _Fact(
        "PRAGMA integrity_check",
        f"{found.integrity} (SQLite {found.sqlite}, in a child process)",
        good=found.integrity == "ok",
    )
