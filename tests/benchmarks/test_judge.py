"""Goals are judged by the median of ratios within a round."""

from __future__ import annotations

import pytest

from benchmarks.goals import GOALS
from benchmarks.judge import BestPeer, Flat, Limit, PerPiece, Ratio, Spread
from benchmarks.measure import Metrics, percentiles
from benchmarks.workloads import NAMES, find

ROUNDS: dict[str, list[Metrics | None]] = {
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


def test_a_limit_from_below_takes_the_median_or_the_smallest() -> None:
    assert Limit(of="ours", metric="us", title="t", at_least=20).judge(ROUNDS).met is True
    worst = Limit(of="ours", metric="us", title="t", at_least=20, worst=True)
    assert worst.judge(ROUNDS).met is False


def test_the_best_peer_is_the_best_of_each_round() -> None:
    rounds: dict[str, list[Metrics | None]] = {
        "ours": [{"rate": 60.0}, {"rate": 60.0}],
        "a": [{"rate": 20.0}, {"rate": 5.0}],
        "b": [{"rate": 10.0}, {"rate": 30.0}],
    }
    goal = BestPeer(of="ours", peers=("a", "b", "absent"), metric="rate", title="r", at_least=2.5)
    verdict = goal.judge(rounds)
    assert verdict.value == Spread(median=2.5, least=2.0, most=3.0)
    assert verdict.met is True


def test_a_peer_that_sustains_nothing_is_no_best_peer() -> None:
    rounds: dict[str, list[Metrics | None]] = {"ours": [{"rate": 60.0}], "a": [{"rate": 0.0}]}
    goal = BestPeer(of="ours", peers=("a",), metric="rate", title="r", at_least=2)
    assert goal.judge(rounds).met is None


@pytest.mark.parametrize(("bound", "met"), [(1.25, True), (1.24, False)])
def test_a_curve_is_judged_by_its_worst_point(bound: float, met: bool) -> None:
    curve: dict[str, list[Metrics | None]] = {
        "1": [{"us": 8.0}], "4": [{"us": 10.0}], "16": [{"us": 6.0}],
    }  # fmt: skip
    goal = Flat(points=("1", "4", "16"), title="readers", at_most=bound)
    assert goal.judge(curve).met is met


def test_a_curve_with_a_point_missing_is_not_judged() -> None:
    curve: dict[str, list[Metrics | None]] = {"1": [{"us": 8.0}], "4": [{"us": 8.0}]}
    assert Flat(points=("1", "4", "16"), title="readers", at_most=2).judge(curve).met is None


@pytest.mark.parametrize(("bound", "met"), [(2.0, True), (1.9, False)])
def test_what_a_further_piece_adds(bound: float, met: bool) -> None:
    rounds: dict[str, list[Metrics | None]] = {"few": [{"mb": 30.0}], "many": [{"mb": 50.0}]}
    goal = PerPiece(low="few", high="many", pieces=10, metric="mb", title="MB", at_most=bound)
    assert goal.judge(rounds).met is met


def test_every_goal_belongs_to_a_workload_and_names_its_contenders() -> None:
    assert GOALS.keys() <= set(NAMES)
    for name in GOALS:
        workload = find(name)
        there = {contender.name for contender in workload.contenders}
        for goal in workload.goals:
            assert isinstance(goal, Ratio | Limit | BestPeer | Flat | PerPiece)
            named = {
                Ratio: lambda g: {g.of, g.to},
                Limit: lambda g: {g.of},
                BestPeer: lambda g: {g.of, *g.peers},
                Flat: lambda g: set(g.points),
                PerPiece: lambda g: {g.low, g.high},
            }[type(goal)](goal)
            assert named <= there, name
