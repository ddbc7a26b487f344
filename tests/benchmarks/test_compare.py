"""What has changed is told from what is noise."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.compare import NO_DIFFERENCE, TOO_FEW, Change, compare, mann_whitney, print_changes
from benchmarks.contenders import Contender
from benchmarks.figures import FORMAT, Run, UnreadableError
from benchmarks.measure import Metrics
from benchmarks.workload import Workload
from tests.benchmarks.made_up import VERSIONS, made_up_run

LOOKUP = ("one_task_lookup",)
figures = st.lists(st.floats(1, 1000), min_size=1, max_size=5)


def changes(old: Run, new: Run) -> dict[str, Change]:
    return {change.contender: change for change in compare(old, new)}


def scaled(factor: float, only: str | None = None) -> Run:
    """The usual run, with one contender's figures (or all) multiplied."""

    def change(_: Workload, contender: Contender, metrics: Metrics) -> Metrics:
        if only not in {None, contender.name}:
            return metrics
        return {name: figure * factor for name, figure in metrics.items()}

    return made_up_run(names=LOOKUP, change=change)


@given(figures, figures)
def test_p_is_a_probability_and_the_same_both_ways(a: list[float], b: list[float]) -> None:
    p = mann_whitney(a, b)
    assert 0 < p <= 1
    assert mann_whitney(b, a) == pytest.approx(p)


@given(figures)
def test_figures_do_not_differ_from_themselves(a: list[float]) -> None:
    assert mann_whitney(a, a) == pytest.approx(1)


@given(figures, figures, st.floats(0.01, 100))
def test_p_asks_for_the_order_alone(a: list[float], b: list[float], unit: float) -> None:
    alike = len({*a, *b}) == len({figure * unit for figure in [*a, *b]})
    if alike:  # rounding may make two figures one
        scaled_p = mann_whitney([x * unit for x in a], [x * unit for x in b])
        assert scaled_p == pytest.approx(mann_whitney(a, b))


@given(st.lists(st.integers(0, 6), min_size=2, max_size=6), st.data())
def test_p_counts_all_ways_to_deal(pooled: list[int], data: st.DataObject) -> None:
    """By the definition: over every order of the pooled figures, wins of the first hand."""
    size = data.draw(st.integers(1, len(pooled) - 1))

    def one_sided(dealt: tuple[int, ...]) -> float:
        a, b = dealt[:size], dealt[size:]
        wins = sum((x > y) + (x == y) / 2 for x in a for y in b)
        return abs(wins - len(a) * len(b) / 2)

    seen = one_sided(tuple(pooled))
    deals = [one_sided(deal) >= seen for deal in permutations(pooled)]
    expected = sum(deals) / len(deals)
    assert mann_whitney(pooled[:size], pooled[size:]) == pytest.approx(expected)


def test_many_rounds_use_the_normal_approximation() -> None:
    a = [float(n) for n in range(15)]
    assert mann_whitney(a, [x + 0.5 for x in a]) == pytest.approx(0.8, abs=0.1)
    assert mann_whitney(a, [x + 100 for x in a]) < 1e-5
    assert mann_whitney([1.0] * 15, [1.0] * 15) == 1


def test_the_same_run_shows_no_difference() -> None:
    run = made_up_run()
    assert {change.verdict for change in compare(run, run)} <= {NO_DIFFERENCE}


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "better"), (2.0, "worse")])
def test_what_changed_alone_is_told(factor: float, verdict: str) -> None:
    found = changes(scaled(1), scaled(factor, "trio_sqlrepo"))
    own = found.pop("trio_sqlrepo")
    assert own.verdict == verdict
    assert own.percent == pytest.approx((factor - 1) * 100)
    assert own.machine_percent == pytest.approx(0)
    assert {change.verdict for change in found.values()} == {NO_DIFFERENCE}


def test_a_slower_machine_is_no_slower_library() -> None:
    found = changes(scaled(1), scaled(1.5))
    assert {change.verdict for change in found.values()} == {NO_DIFFERENCE}
    assert found["trio_sqlrepo"].machine_percent == pytest.approx(50)
    assert found["trio_sqlrepo"].percent == pytest.approx(0)


def test_peers_that_changed_tell_nothing_of_the_machine() -> None:
    new = made_up_run(names=LOOKUP, versions=dict.fromkeys(VERSIONS, "2"))
    assert changes(made_up_run(names=LOOKUP), new)["trio_sqlrepo"].machine_percent is None


def test_a_difference_not_worth_a_word_gets_none() -> None:
    # 2 % in each of five rounds that lie closer together than that: certain, and too small.
    def close(_: Workload, contender: Contender, metrics: Metrics) -> Metrics:
        return {name: 10 + figure / 1e4 for name, figure in metrics.items()}

    def closer(workload: Workload, contender: Contender, metrics: Metrics) -> Metrics:
        factor = 1.02 if contender.name == "trio_sqlrepo" else 1
        return {k: v * factor for k, v in close(workload, contender, metrics).items()}

    old, new = made_up_run(names=LOOKUP, change=close), made_up_run(names=LOOKUP, change=closer)
    own = changes(old, new)["trio_sqlrepo"]
    assert own.p < 0.05
    assert own.verdict == NO_DIFFERENCE


def test_three_rounds_are_too_few() -> None:
    old = made_up_run(names=LOOKUP, rounds=3)
    assert changes(old, made_up_run(names=LOOKUP, rounds=3))["trio_sqlrepo"].verdict == TOO_FEW


def test_more_requests_are_better() -> None:
    def double(_: Workload, contender: Contender, metrics: Metrics) -> Metrics:
        own = contender.name == "trio_sqlrepo"
        return {**metrics, "rate": metrics["rate"] * (2 if own else 1)}

    names = ("highest_rate",)
    found = changes(made_up_run(names=names), made_up_run(names=names, change=double))
    assert found["trio_sqlrepo"].verdict == "better"


def test_what_is_in_one_run_alone_is_not_compared() -> None:
    assert compare(made_up_run(names=LOOKUP), made_up_run(names=("chat",))) == []


def test_the_table_names_what_changed() -> None:
    console = Console(width=200, record=True, quiet=True)
    console.quiet = False
    with console.capture() as captured:
        print_changes(console, compare(scaled(1), scaled(2, "trio_sqlrepo")))
    (line,) = [line for line in captured.get().splitlines() if " trio_sqlrepo " in line]
    assert line.split()[:3] == ["one_task_lookup", "trio_sqlrepo", "us"]
    assert "+100.0 %" in line
    assert line.split()[-1] == "worse"


def test_a_stored_run_is_read_back(tmp_path: Path) -> None:
    run = made_up_run(rounds=2)
    run.save(tmp_path / "kept" / "run.json")
    assert Run.load(tmp_path / "kept" / "run.json") == run


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "machine": 3}'])
def test_what_is_no_run_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableError, match="holds no results of this suite"):
        Run.load(path)


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(f'{{"format": {FORMAT + 1}}}', encoding="utf-8")
    with pytest.raises(UnreadableError, match=f"has the format {FORMAT + 1}; this suite reads"):
        Run.load(path)
