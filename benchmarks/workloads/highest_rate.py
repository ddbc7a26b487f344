"""How many requests a second does it sustain with a p95 of 10 ms?

Probes of open load: the rate is doubled until it is not sustained (or halved until it is), then
halved in between (in ratio) until known to 4 %. The rate found must then hold three times as long;
if it does not, 7 % are taken off until it does.

A probe drops what arrives once so many are in flight that more than one in twenty of all its
requests must miss those 10 ms: it has failed by then, and some need minutes to recover from 10 000.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from benchmarks.contenders import ALL
from benchmarks.measure import FAILURES, Metrics, Size
from benchmarks.workload import FAILED, Column, Workload
from benchmarks.workloads._open_load import IN_FLIGHT, open_load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.contenders import Client
    from benchmarks.loops import Loop

P95_MS = 10.0
_FIRST = 250  # requests a second
_LEAST = 10  # what does not sustain these has the rate 0
_PRECISION = 1.04
_ANSWERED = 0.97  # of the rate: the last ones' latency counts as time
_FAR_TOO_MUCH = 200_000


def is_sustained(metrics: Metrics, rate: int) -> bool:
    """Whether all was answered, in time and without an error."""
    failed = metrics["dropped"] + sum(metrics[kind] for kind in FAILURES)
    return (
        not failed
        and metrics.get("p95_ms", P95_MS * 2) <= P95_MS
        and metrics["rate"] >= rate * _ANSWERED
    )


def hopeless(rate: int, seconds: float) -> float:
    """How many in flight tell that p95 is missed: 10 ms of the rate wait no longer than that."""
    return rate * (P95_MS / 1000 + 0.05 * seconds) + 1


async def search(
    probe: Callable[[int, float], Awaitable[Metrics]], first: int, most: int = _FAR_TOO_MUCH
) -> Metrics:
    """Give what the highest sustained rate measured; "rate" is 0 if there is none.

    Args:
        probe: makes requests at a rate, for so many times the usual while.
        first: the rate to begin with.
        most: no higher rate is asked for than twice this.
    """
    low, high, found = await _bracket(probe, first, most)
    while low and high / low > _PRECISION and high - low > 1:
        middle = round((low * high) ** 0.5)
        metrics = await probe(middle, 1.0)
        if is_sustained(metrics, middle):
            low, found = middle, metrics
        else:
            high = middle
    while low >= _LEAST:
        metrics = await probe(low, 3.0)
        if is_sustained(metrics, low):
            return {**metrics, "rate": low}
        low = int(low * 0.93)
    return {**found, "rate": 0}


async def _bracket(
    probe: Callable[[int, float], Awaitable[Metrics]], first: int, most: int
) -> tuple[int, int, Metrics]:
    """Give a rate that is sustained (0: there is none), a higher one that is not, and figures."""
    rate = first
    metrics = await probe(rate, 1.0)
    if is_sustained(metrics, rate):
        while rate <= most:
            found, metrics = metrics, await probe(rate * 2, 1.0)
            if not is_sustained(metrics, rate * 2):
                return rate, rate * 2, found
            rate *= 2
        return rate, rate, metrics
    while rate >= 2 * _LEAST:
        rate //= 2
        metrics = await probe(rate, 1.0)
        if is_sustained(metrics, rate):
            return rate, rate * 2, metrics
    return 0, rate, metrics


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    acknowledged = 0.0

    async def probe(rate: int, times: float) -> Metrics:
        nonlocal acknowledged
        asked = attrs.evolve(size, rate=rate, seconds=size.seconds * times)
        most = min(math.ceil(hopeless(rate, asked.seconds)), IN_FLIGHT)
        metrics = await open_load(client, loop, asked, in_flight=most)
        acknowledged += metrics["acknowledged"]
        return metrics

    metrics = await search(probe, size.rate or _FIRST, size.count or _FAR_TOO_MUCH)
    return {**metrics, "acknowledged": acknowledged}


WORKLOAD = Workload(
    name="highest_rate",
    question="How many requests a second (60/40) does it sustain with a p95 of 10 ms or less?",
    contenders=ALL,
    size=Size(seconds=1.5),
    quick=Size(seconds=0.02, rate=1000),
    run=run,
    rounds=2,
    columns=(
        Column("rate", "requests/s", 0),
        Column("p50_ms", "p50 ms", 2),
        Column("p95_ms", "p95 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("cpu_us", "CPU µs"),
        FAILED[-1],
    ),
    compare="rate",
    more_is_better=True,
    patience=600.0,
    expected=30,
)
