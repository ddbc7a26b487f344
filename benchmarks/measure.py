"""The clocks: what one measurement does, and what it gives."""

from __future__ import annotations

import gc
from collections import Counter
from functools import partial
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import attrs

from benchmarks.data import random_ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.loops import Loop

Metrics = dict[str, float]

_MASK = (1 << 14) - 1  # random_ids() gives as many


@attrs.frozen(kw_only=True)
class Size:
    """How much a measurement does."""

    seconds: float
    rate: int = 0  # open load: requests per second
    seed: int = 0  # the same for all contenders of a round

    @property
    def warm_up(self) -> float:
        """How long to run before the clock starts."""
        return max(self.seconds / 5, 0.02)


class Watch:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        gc.collect()
        self._wall = perf_counter()
        self._cpu = process_time()

    def read(self, calls: int) -> Metrics:
        wall, cpu = perf_counter() - self._wall, process_time() - self._cpu
        return {
            "calls": calls,
            "seconds": wall,
            "us": wall / calls * 1e6,
            "cpu_us": cpu / calls * 1e6,
        }


async def closed_loop(
    loop: Loop, size: Size, call: Callable[[int], Awaitable[object]], *, tasks: int
) -> Metrics:
    """`tasks` tasks call, each as soon as its last call has returned."""
    await _call_for(loop, size.warm_up, call, tasks, size.seed)
    watch = Watch()
    return watch.read(await _call_for(loop, size.seconds, call, tasks, size.seed))


async def _call_for(
    loop: Loop, seconds: float, call: Callable[[int], Awaitable[object]], tasks: int, seed: int
) -> int:
    ids = random_ids(seed)
    counts: Counter[int] = Counter()
    until = perf_counter() + seconds

    async def user(number: int) -> None:
        index = first = number * 97
        while True:  # at least once: a disk may take longer over one call than `seconds`
            await call(ids[index & _MASK])
            index += 1
            if perf_counter() >= until:
                break
        counts[number] = index - first

    if tasks == 1:
        await user(0)
    else:
        await loop.together([partial(user, number) for number in range(tasks)])
    return counts.total()


def bare_loop(
    size: Size,
    call: Callable[[int], object],
    *,
    chunk: int = 100,
    finish: Callable[[], object] = lambda: None,
) -> Metrics:
    """The same without anybody to wait for; looks at the clock after every `chunk` calls.

    `finish` is part of the measurement.
    """
    ids = random_ids(size.seed)

    def call_for(seconds: float) -> int:
        until = perf_counter() + seconds
        index = 0
        while perf_counter() < until:
            for _ in range(chunk):
                call(ids[index & _MASK])
                index += 1
        return index

    call_for(size.warm_up)
    watch = Watch()
    calls = call_for(size.seconds)
    finish()
    return watch.read(calls)


def percentiles(latencies: Sequence[float], prefix: str = "") -> Metrics:
    """p50, p95, p99 and the worst, in milliseconds."""
    ordered = sorted(latencies)
    if not ordered:
        return {}
    last = len(ordered) - 1
    metrics = {
        f"{prefix}p{percent}_ms": ordered[round(last * percent / 100)] * 1e3
        for percent in (50, 95, 99)
    }
    metrics[f"{prefix}worst_ms"] = ordered[-1] * 1e3
    return metrics
