"""Goals are judged by the median of ratios within a round."""

from __future__ import annotations

import pytest

from benchmarks.goals import Limit, Ratio, Spread
from benchmarks.measure import percentiles

ROUNDS = {
    "ours": [{"us": 10.0}, {"us": 20.0}, {"us": 30.0}],
    "peer": [{"us": 30.0}, {"us": 40.0}, {"us": 75.0}],
}


def test_a_ratio_is_taken_within_each_round() -> None:
    verdict = Ratio(of="peer", to="ours", at_least=2.5).judge(ROUNDS)
    assert verdict.value == Spread(median=2.5, least=2.0, most=3.0)
    assert verdict.met is True


@pytest.mark.parametrize(("bound", "met"), [(2.5, True), (2.6, False)])
def test_at_least(bound: float, met: bool) -> None:
    assert Ratio(of="peer", to="ours", at_least=bound).judge(ROUNDS).met is met


@pytest.mark.parametrize(("bound", "met"), [(2.5, True), (2.4, False)])
def test_at_most(bound: float, met: bool) -> None:
    assert Ratio(of="peer", to="ours", at_most=bound).judge(ROUNDS).met is met


def test_a_round_in_which_one_failed_does_not_count() -> None:
    verdict = Ratio(of="peer", to="ours", at_least=2).judge({**ROUNDS, "ours": [None, {"us": 4.0}]})
    assert verdict.value == Spread(median=10.0, least=10.0, most=10.0)


def test_without_figures_nothing_is_judged() -> None:
    verdict = Ratio(of="absent", to="ours", at_least=2).judge(ROUNDS)
    assert verdict.value is None
    assert verdict.met is None


def test_a_limit_takes_the_median() -> None:
    limit = Limit(of="ours", metric="us", title="time", at_most=20)
    assert limit.judge(ROUNDS).met is True


def test_a_limit_of_the_worst_takes_the_largest() -> None:
    limit = Limit(of="ours", metric="us", title="time", at_most=20, worst=True)
    assert limit.judge(ROUNDS).met is False


def test_percentiles_are_in_milliseconds() -> None:
    metrics = percentiles([n / 1000 for n in range(101)], "reads_")
    assert metrics == {
        "reads_p50_ms": 50.0,
        "reads_p95_ms": 95.0,
        "reads_p99_ms": 99.0,
        "reads_worst_ms": 100.0,
    }
