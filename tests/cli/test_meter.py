"""Latencies: percentiles that never flatter, in memory that does not grow."""

from __future__ import annotations

from random import Random

import pytest
import trio

from trio_sqlrepo import DatabaseLocked, NoResult
from trio_sqlrepo.cli.demo.meter import Latencies, Meter


def latencies_of(*seconds: float) -> Latencies:
    latencies = Latencies()
    for value in seconds:
        latencies.add(value)
    return latencies


def test_without_calls_there_is_no_percentile() -> None:
    assert Latencies().percentile(50) is None
    assert repr(Latencies()) == "<Latencies of 0 calls>"


def test_a_percentile_is_at_most_two_percent_too_high_and_never_too_low() -> None:
    random = Random(1)
    seconds = sorted(random.lognormvariate(-6, 2) for _ in range(10_000))
    latencies = latencies_of(*seconds)
    for percent in (1, 50, 95, 99, 99.9):
        exact = seconds[round(len(seconds) * percent / 100) - 1]
        found = latencies.percentile(percent)
        assert found is not None
        assert exact <= found <= exact * 1.0201


def test_the_first_and_the_last_percentile_are_the_fastest_and_the_slowest_call() -> None:
    latencies = latencies_of(0.001, 0.002, 0.004)
    assert latencies.percentile(0) == pytest.approx(0.001, rel=0.02)
    assert latencies.percentile(34) == pytest.approx(0.002, rel=0.02)
    assert latencies.percentile(100) == pytest.approx(0.004, rel=0.02)


def test_what_is_off_the_scale_counts_at_its_end() -> None:
    assert latencies_of(0.0).percentile(100) == pytest.approx(1e-6, rel=0.03)
    assert latencies_of(1e9).percentile(100) == pytest.approx(1e3, rel=0.05)


def test_what_was_counted_since() -> None:
    latencies = latencies_of(0.001, 0.001)
    before = latencies.copy()
    latencies.add(0.1)
    since = latencies.since(before)
    assert (latencies.count, before.count, since.count) == (3, 2, 1)
    assert since.percentile(1) == pytest.approx(0.1, rel=0.02)
    assert before.percentile(99) == pytest.approx(0.001, rel=0.02)


def test_several_together() -> None:
    together = Latencies.together([latencies_of(0.001), latencies_of(0.1, 0.1)])
    assert together.count == 3
    assert together.percentile(33) == pytest.approx(0.001, rel=0.02)
    assert together.percentile(34) == pytest.approx(0.1, rel=0.02)


async def test_a_call_is_timed_and_its_result_given() -> None:
    async def call() -> int:
        await trio.to_thread.run_sync(lambda: None)
        return 5

    meter = Meter("get", "read")
    assert await meter.measure(call()) == 5
    assert (meter.name, meter.kind, meter.latencies.count) == ("get", "read", 1)
    assert repr(meter) == "<Meter get: 1 calls, 0 errors>"


async def test_errors_are_counted_by_type_and_raised() -> None:
    async def call(error: Exception) -> None:
        raise error

    meter = Meter("get", "read")
    for error in (NoResult(), DatabaseLocked("…"), NoResult()):
        with pytest.raises(type(error)):
            await meter.measure(call(error))
    assert meter.errors == {"NoResult": 2, "DatabaseLocked": 1}
    assert meter.latencies.count == 0
    with pytest.raises(ZeroDivisionError):
        await meter.measure(call(ZeroDivisionError()))
    assert meter.errors.total() == 3


async def test_a_cancelled_call_is_neither_answered_nor_an_error() -> None:
    meter = Meter("get", "read")
    with trio.move_on_after(0):
        await meter.measure(trio.sleep_forever())
    assert (meter.latencies.count, meter.errors.total()) == (0, 0)
