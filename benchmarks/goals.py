"""Goals, and what a run says of them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Metrics


@attrs.frozen
class Spread:
    """The middle, the smallest and the largest of some figures."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread | None:
        """None without figures."""
        return cls(median(figures), min(figures), max(figures)) if figures else None


@attrs.frozen
class Verdict:
    """One goal after a run."""

    goal: str
    value: Spread | None
    met: bool | None  # None: nothing to judge by


class Goal(Protocol):
    """What a workload is held to."""

    def judge(self, rounds: Mapping[str, Sequence[Metrics | None]]) -> Verdict: ...


@attrs.frozen(kw_only=True)
class Ratio:
    """`of`'s figure divided by `to`'s, round by round; the median counts."""

    of: str
    to: str
    metric: str = "us"
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, rounds: Mapping[str, Sequence[Metrics | None]]) -> Verdict:
        value = Spread.of(ratios(rounds, self.of, self.to, self.metric))
        if self.at_least is not None:
            text = f"{self.to} ≥ {self.at_least:g} × as fast as {self.of}"
            met = None if value is None else value.median >= self.at_least
        else:
            assert self.at_most is not None, "a goal has a bound"
            text = f"{self.of} ≤ {self.at_most:g} × the time of {self.to}"
            met = None if value is None else value.median <= self.at_most
        return Verdict(text, value, met)


@attrs.frozen(kw_only=True)
class Limit:
    """A figure itself: the median of the rounds, or with `worst` the largest of them."""

    of: str
    metric: str
    title: str
    at_most: float
    worst: bool = False

    def judge(self, rounds: Mapping[str, Sequence[Metrics | None]]) -> Verdict:
        value = Spread.of([m[self.metric] for m in rounds.get(self.of, ()) if m is not None])
        met = None
        if value is not None:
            met = (value.most if self.worst else value.median) <= self.at_most
        bound = f"≤ {self.at_most:g}" if self.at_most else "none"
        return Verdict(f"{self.of}: {self.title} {bound}", value, met)


def ratios(
    rounds: Mapping[str, Sequence[Metrics | None]], of: str, to: str, metric: str
) -> list[float]:
    """`of` / `to` of each round in which both have the figure."""
    pairs = zip(rounds.get(of, ()), rounds.get(to, ()), strict=False)
    return [a[metric] / b[metric] for a, b in pairs if a and b and metric in a and metric in b]
