"""Kinds of goals, and what a run says of them. The goals themselves are in `goals.py`."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Metrics

    Rounds = Mapping[str, Sequence[Metrics | None]]


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

    def judge(self, rounds: Rounds) -> Verdict: ...


@attrs.frozen(kw_only=True)
class Ratio:
    """`of`'s figure divided by `to`'s, round by round; the median counts."""

    of: str
    to: str
    metric: str = "us"
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, rounds: Rounds) -> Verdict:
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
    """A figure itself: the median of the rounds, or with `worst` the one furthest off."""

    of: str
    metric: str
    title: str
    at_most: float | None = None
    at_least: float | None = None
    worst: bool = False

    def judge(self, rounds: Rounds) -> Verdict:
        value = Spread.of(_figures(rounds, self.of, self.metric))
        if self.at_most is not None:
            bound = f"≤ {self.at_most:g}" if self.at_most else "none"
            counts = None if value is None else value.most if self.worst else value.median
            met = None if counts is None else counts <= self.at_most
        else:
            assert self.at_least is not None, "a goal has a bound"
            bound = f"≥ {self.at_least:g}"
            counts = None if value is None else value.least if self.worst else value.median
            met = None if counts is None else counts >= self.at_least
        return Verdict(f"{self.of}: {self.title} {bound}", value, met)


@attrs.frozen(kw_only=True)
class BestPeer:
    """`of`'s figure divided by the largest of all peers' in that round; more is better."""

    of: str
    peers: tuple[str, ...]
    metric: str
    title: str
    at_least: float

    def judge(self, rounds: Rounds) -> Verdict:
        found = []
        for number, own in enumerate(rounds.get(self.of, ())):
            others = [
                metrics[self.metric]
                for peer in self.peers
                for metrics in rounds.get(peer, ())[number : number + 1]
                if metrics is not None and metrics.get(self.metric)
            ]
            if own is not None and others:
                found.append(own[self.metric] / max(others))
        value = Spread.of(found)
        met = None if value is None else value.median >= self.at_least
        return Verdict(f"{self.of}: {self.title} ≥ {self.at_least:g} × the best peer's", value, met)


@attrs.frozen(kw_only=True)
class Flat:
    """A cost curve: no point costs more than `at_most` times the first, by the median."""

    points: tuple[str, ...]
    title: str
    metric: str = "us"
    at_most: float

    def judge(self, rounds: Rounds) -> Verdict:
        first, *others = self.points
        spreads = [Spread.of(ratios(rounds, point, first, self.metric)) for point in others]
        there = [spread for spread in spreads if spread is not None]
        value = max(there, key=lambda spread: spread.median) if there else None
        met = None if value is None or len(there) < len(others) else value.median <= self.at_most
        return Verdict(f"{self.title}: each ≤ {self.at_most:g} × the cost at {first}", value, met)


@attrs.frozen(kw_only=True)
class PerPiece:
    """What each further piece adds to a figure, from one contender to another, in each round."""

    low: str
    high: str
    pieces: int  # by which they differ
    metric: str
    title: str
    at_most: float

    def judge(self, rounds: Rounds) -> Verdict:
        pairs = zip(rounds.get(self.low, ()), rounds.get(self.high, ()), strict=False)
        value = Spread.of([
            (high[self.metric] - low[self.metric]) / self.pieces
            for low, high in pairs
            if low is not None and high is not None
        ])  # fmt: skip
        met = None if value is None else value.median <= self.at_most
        return Verdict(f"{self.title} ≤ {self.at_most:g}", value, met)


def _figures(rounds: Rounds, of: str, metric: str) -> list[float]:
    return [m[metric] for m in rounds.get(of, ()) if m is not None and metric in m]


def ratios(rounds: Rounds, of: str, to: str, metric: str) -> list[float]:
    """`of` / `to` of each round in which both have the figure, and it is not 0."""
    pairs = zip(rounds.get(of, ()), rounds.get(to, ()), strict=False)
    return [a[metric] / b[metric] for a, b in pairs if a and b and metric in a and b.get(metric)]
