"""The search finds the highest rate that is sustained."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Metrics
from benchmarks.workloads.highest_rate import P95_MS, hopeless, is_sustained, search

GOOD: Metrics = {
    "rate": 1000.0, "p95_ms": 2.0, "dropped": 0, "refused": 0, "lock_errors": 0, "errors": 0
}  # fmt: skip


def test_what_is_sustained() -> None:
    assert is_sustained(GOOD, 1000)
    assert not is_sustained(GOOD, 1100)  # too few were answered
    assert not is_sustained({**GOOD, "p95_ms": 10.1}, 1000)
    for failure in ("dropped", "refused", "lock_errors", "errors"):
        assert not is_sustained({**GOOD, failure: 1}, 1000)
    without_answers = {name: figure for name, figure in GOOD.items() if name != "p95_ms"}
    assert not is_sustained(without_answers, 1000)


@given(st.integers(10, 200_000), st.floats(0.005, 10))
def test_what_is_given_up_could_not_be_sustained(rate: int, seconds: float) -> None:
    """More than a twentieth of all has waited for 10 ms when so many are in flight."""
    total = rate * seconds
    waited = hopeless(rate, seconds) - rate * P95_MS / 1000
    assert waited > 0.05 * total


def found(limit: float, long_limit: float | None = None) -> Metrics:
    """Search where rates up to `limit` are sustained; `long_limit`: thrice as long."""

    async def probe(rate: int, times: float) -> Metrics:
        holds = rate <= (limit if times == 1 or long_limit is None else long_limit)
        return {**GOOD, "rate": float(rate), "p95_ms": 2.0 if holds else 50.0}

    async def main() -> Metrics:
        return await search(probe, 250)

    return trio.run(main)


@given(st.floats(30, 190_000))
def test_the_rate_is_found_to_four_percent(limit: float) -> None:
    rate = found(limit)["rate"]
    assert limit / 1.045 - 1 <= rate <= limit  # a rate is a whole number


@given(st.floats(2_000, 100_000), st.floats(0.5, 1))
def test_a_rate_that_does_not_last_is_not_the_answer(limit: float, part: float) -> None:
    rate = found(limit, limit * part)["rate"]
    assert limit * part * 0.92 / 1.045 <= rate <= limit * part


def test_what_sustains_nothing_has_the_rate_0() -> None:
    assert found(5)["rate"] == 0
