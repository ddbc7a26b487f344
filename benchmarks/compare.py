"""What has changed between two runs, and whether that is more than noise.

Of each workload and contender one figure is compared: the one whose ratios the report shows. A
machine is not as fast today as it was when the old run was made. So if peers took part, whose
versions are the same in both runs, the change of the peers' median is taken to be the machine's,
and every contender's figures are freed of it.

**The verdict** is an exact Mann–Whitney test, two-sided, on the figures of the rounds: of all ways
to deal the rounds of both runs into two hands, how many are at least as one-sided as what was
seen? It asks nothing of how figures are distributed (latencies have long tails), one round that
was disturbed cannot decide it, and with so few rounds as these the exact count is cheap. A
bootstrap of three to seven figures would take their spread for narrower than it is. A difference
counts from p ≤ 0.05 on, and only if it is 3 % or more: a smaller one is not worth a word, however
certain. Fewer than four rounds on either side cannot reach that p (3 against 3: 0.1): then the
verdict is that there are too few rounds. With a hundred rows some five get a verdict by chance.
"""

from __future__ import annotations

from itertools import combinations
from math import comb, erfc, sqrt
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from benchmarks.figures import Figures, Run

ALPHA: Final = 0.05
WORTH_A_WORD: Final = 0.03
_MOST_DEALS: Final = 200_000  # beyond it the normal approximation is good enough
_PEERS: Final = 2  # so many are needed to tell the machine's change

NO_DIFFERENCE, TOO_FEW = "no difference seen", "too few rounds"


@attrs.frozen
class Change:
    """How one figure of one contender has changed."""

    workload: str
    contender: str
    metric: str
    old: float
    new: float
    percent: float  # of the figure, freed of the machine's change
    machine_percent: float | None  # None: too few peers to tell
    p: float
    verdict: str  # better, worse, NO_DIFFERENCE or TOO_FEW


def compare(old: Run, new: Run) -> list[Change]:
    """Give the changes of what is in both runs, in the order of the new one."""
    found: list[Change] = []
    for figures in new.workloads:
        before = old.find(figures.name)
        if before is not None and before.compare == figures.compare:
            found.extend(_changes(before, figures, _same_versions(old, new)))
    return found


def _same_versions(old: Run, new: Run) -> set[str]:
    """Peers whose packages did not change; the limit is SQLite's own and counts as a peer."""
    return {name for name, version in new.versions.items() if old.versions.get(name) == version}


_PACKAGES: Final = {"apsw.aio": "apsw", "SQLAlchemy": "sqlalchemy", "trio.to_thread": "apsw"}


def _changes(old: Figures, new: Figures, same: set[str]) -> Iterable[Change]:
    metric = new.compare
    pairs = {
        name: (old.of_contender(name, metric), new.of_contender(name, metric))
        for name in new.rounds
    }
    pairs = {name: (a, b) for name, (a, b) in pairs.items() if a and b and min(*a, *b) > 0}
    steady = [
        median(b) / median(a)
        for name, (a, b) in pairs.items()
        if _PACKAGES.get(name, name) in same or (name.startswith("bare") and "apsw" in same)
    ]
    machine = median(steady) if len(steady) >= _PEERS else None
    for name, (a, b) in pairs.items():
        freed = [figure / (machine or 1) for figure in b]
        ratio = median(freed) / median(a)
        p = mann_whitney(a, freed)
        yield Change(
            workload=new.name,
            contender=name,
            metric=metric,
            old=median(a),
            new=median(b),
            percent=(ratio - 1) * 100,
            machine_percent=None if machine is None else (machine - 1) * 100,
            p=p,
            verdict=_verdict(a, freed, p, better=ratio > 1 if new.more_is_better else ratio < 1),
        )


def _verdict(old: Sequence[float], new: Sequence[float], p: float, *, better: bool) -> str:
    if 2 / comb(len(old) + len(new), len(old)) > ALPHA:
        return TOO_FEW
    if p > ALPHA or abs(median(new) / median(old) - 1) < WORTH_A_WORD:
        return NO_DIFFERENCE
    return "better" if better else "worse"


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Give the two-sided p of `a` and `b` being alike.

    Exact, by counting all deals, ties included; beyond 200 000 deals the normal approximation.
    """
    ranks = _ranks([*a, *b])
    mean = len(a) * (len(a) + len(b) + 1) / 2
    seen = abs(sum(ranks[: len(a)]) - mean)
    if comb(len(ranks), len(a)) > _MOST_DEALS:
        deviation = sqrt(len(a) * len(b) * _variance(ranks) / (len(ranks) - 1))
        return erfc(max(seen - 0.5, 0) / deviation / sqrt(2)) if deviation else 1.0
    tolerance = 1e-9  # ranks of ties are halves: sums of them are not always exact
    deals = [abs(sum(hand) - mean) >= seen - tolerance for hand in combinations(ranks, len(a))]
    return sum(deals) / len(deals)


def _ranks(figures: Sequence[float]) -> list[float]:
    """Ranks from 1; equal figures share the mean of theirs."""
    ordered = sorted(figures)
    return [
        (ordered.index(figure) + 1 + len(ordered) - ordered[::-1].index(figure)) / 2
        for figure in figures
    ]


def _variance(ranks: Sequence[float]) -> float:
    mean = sum(ranks) / len(ranks)
    return sum((rank - mean) ** 2 for rank in ranks) / len(ranks)


def print_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print a table of them."""
    table = Table(
        title="what has changed", title_justify="left", caption_justify="left", box=None,
        caption="change: freed of the machine's, where peers tell it; p: exact Mann–Whitney",
    )  # fmt: skip
    for title in ("workload", "contender", "figure"):
        table.add_column(title, no_wrap=True)
    for title in ("old", "new", "machine", "change", "p"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for change in changes:
        machine = change.machine_percent
        table.add_row(
            change.workload, change.contender, change.metric,
            f"{change.old:,.2f}", f"{change.new:,.2f}",
            "–" if machine is None else f"{machine:+.1f} %", f"{change.percent:+.1f} %",
            f"{change.p:.3f}", change.verdict,
            style={"better": "green", "worse": "bold red"}.get(change.verdict),
        )  # fmt: skip
    console.print(table)
