"""The clocks: what one measurement does, and what it gives."""

from __future__ import annotations

import gc
from array import array
from collections import Counter
from functools import partial
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import attrs

from benchmarks.data import MESSAGES, random_ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.loops import Loop

Metrics = dict[str, float]

_MASK = (1 << 14) - 1  # random_ids() gives as many
_REFUSED = {"PoolOverloaded", "PoolTimeout", "PoolConnectionAcquireTimeoutError", "TimeoutError"}
FAILURES = ("refused", "lock_errors", "errors")


@attrs.frozen(kw_only=True)
class Size:
    """How much a measurement does."""

    seconds: float
    rate: int = 0  # open load: requests per second
    seed: int = 0  # the same for all contenders of a round
    tasks: int = 0  # if not 0: in place of the workload's own number
    count: int = 0  # rows of a batch, readers, what the workload counts
    rows: int = MESSAGES  # messages in the file

    @property
    def warm_up(self) -> float:
        """How long to run before the clock starts."""
        return max(self.seconds / 5, 0.02)

    def ids(self, count: int = 1 << 14) -> list[int]:
        """Ids of messages that exist."""
        return random_ids(self.seed, count, rows=self.rows)


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


class AllFailedError(Exception):
    """Not one call of a measurement succeeded."""


def kind_of(error: Exception) -> str:
    """Under what an error is counted, one of `FAILURES`."""
    name = type(error).__name__
    if "locked" in f"{name} {error}".lower() or "Busy" in name:
        return "lock_errors"
    return "refused" if name in _REFUSED else "errors"


@attrs.define
class Calls:
    """What became of the calls of one measurement."""

    answered: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)  # by `FAILURES`
    first_error: str = ""
    latencies: array[float] | None = None  # seconds; None: not wanted

    def fail(self, error: Exception) -> None:
        self.failed[kind_of(error)] += 1
        self.first_error = self.first_error or f"{type(error).__name__}: {error}"

    def metrics(self) -> Metrics:
        """How many failed, by kind; and percentiles if latencies were taken."""
        metrics: Metrics = {kind: self.failed[kind] for kind in FAILURES}
        if self.latencies:
            metrics |= percentiles(self.latencies)
        return metrics


async def closed_loop(
    loop: Loop,
    size: Size,
    call: Callable[[int], Awaitable[object]],
    *,
    tasks: int,
    latencies: bool = False,
) -> Metrics:
    """`tasks` tasks call, each as soon as its last call has returned.

    "acknowledged" counts the warm-up as well: so many writes must be in the file at the end.
    """
    tasks = size.tasks or tasks
    warm_up = await _call_for(loop, size, size.warm_up, call, tasks=tasks, calls=Calls())
    calls = Calls(latencies=array("d") if latencies else None)
    watch = Watch()
    await _call_for(loop, size, size.seconds, call, tasks=tasks, calls=calls)
    if not calls.answered:
        raise AllFailedError(f"Not one of {calls.failed.total()} calls: {calls.first_error}")
    return {
        **watch.read(calls.answered),
        **calls.metrics(),
        "acknowledged": warm_up.answered + calls.answered,
    }


async def _call_for(
    loop: Loop,
    size: Size,
    seconds: float,
    call: Callable[[int], Awaitable[object]],
    *,
    tasks: int,
    calls: Calls,
) -> Calls:
    ids = size.ids()
    until = perf_counter() + seconds
    latencies = calls.latencies

    async def user(number: int) -> None:
        index = number * 97
        answered = 0
        now = perf_counter()
        while True:  # at least once: a disk may take longer over one call than `seconds`
            started = now
            try:
                await call(ids[index & _MASK])
            except Exception as error:  # noqa: BLE001  # whatever a contender fails with is counted
                calls.fail(error)
            else:
                answered += 1
            index += 1
            now = perf_counter()
            if latencies is not None:
                latencies.append(now - started)
            if now >= until:
                break
        calls.answered += answered

    if tasks == 1:
        await user(0)
    else:
        await loop.together([partial(user, number) for number in range(tasks)])
    return calls


async def batches(
    size: Size, call: Callable[[], Awaitable[object]], per_call: int, *, warm_up: bool = True
) -> Metrics:
    """One task calls until the time is up, at least once; figures are per row, `call_ms` per call.

    Args:
        size: how long.
        call: the call, of some milliseconds at least.
        per_call: rows that one call reads or writes.
        warm_up: call once before the clock starts.
    """
    if warm_up:
        await call()
    watch = Watch()
    calls = 0
    until = perf_counter() + size.seconds
    while True:
        await call()
        calls += 1
        if perf_counter() >= until:
            break
    metrics = watch.read(calls * per_call)
    acknowledged = (calls + warm_up) * per_call
    return {**metrics, "call_ms": metrics["seconds"] / calls * 1e3, "acknowledged": acknowledged}


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
    ids = size.ids()

    def call_for(seconds: float) -> int:
        until = perf_counter() + seconds
        index = 0
        while perf_counter() < until:
            for _ in range(chunk):
                call(ids[index & _MASK])
                index += 1
        return index

    warm_up = call_for(size.warm_up)
    watch = Watch()
    calls = call_for(size.seconds)
    finish()
    return {**watch.read(calls), **Calls().metrics(), "acknowledged": warm_up + calls}


def bare_batches(size: Size, call: Callable[[], object], per_call: int) -> Metrics:
    """`batches` without an event loop."""
    call()
    watch = Watch()
    calls = 0
    until = perf_counter() + size.seconds
    while True:
        call()
        calls += 1
        if perf_counter() >= until:
            break
    metrics = watch.read(calls * per_call)
    acknowledged = (calls + 1) * per_call
    return {**metrics, "call_ms": metrics["seconds"] / calls * 1e3, "acknowledged": acknowledged}


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


def resident_mb() -> float:
    """Memory this process has in RAM now, in MB; shared pages included."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # no path to handle
        lines = [line for line in status if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) / 1024
