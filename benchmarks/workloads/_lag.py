"""How late the event loop is while something else is under way.

A task wants to run every millisecond. What it is late by counts for each millisecond that passed
meanwhile: a loop that stands still for 100 ms was late 100 times, not once.
"""

from __future__ import annotations

from array import array
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.measure import Metrics, Size, Watch, percentiles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.loops import Loop

_EVERY = 0.001  # seconds


class Lag:
    """Watches a loop until told to stop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._stopped = False
        self.late = array("d")  # seconds

    async def watch(self) -> None:
        due = perf_counter() + _EVERY
        while not self._stopped:
            await self._loop.sleep(max(due - perf_counter(), 0))
            now = perf_counter()
            while due <= now:
                self.late.append(now - due)
                due += _EVERY

    def stop(self) -> None:
        self._stopped = True


async def lag_during(
    loop: Loop, size: Size, call: Callable[[], Awaitable[object]], *, times: int = 0
) -> Metrics:
    """Call again and again, and watch the loop meanwhile.

    Args:
        loop: the loop to watch.
        size: how long to go on.
        call: what is under way.
        times: if not 0: how often to call, whatever the time.
    """
    await call()
    idle = await _watched(loop, lambda: loop.sleep(min(size.seconds, 0.3)))
    calls = 0

    async def work() -> None:
        nonlocal calls
        until = perf_counter() + size.seconds
        while True:
            await call()
            calls += 1
            if calls >= times if times else perf_counter() >= until:
                break

    watch = Watch()
    busy = await _watched(loop, work)
    metrics = watch.read(calls)
    return {
        **metrics,
        "call_ms": metrics["seconds"] / calls * 1e3,
        **percentiles(busy, "lag_"),
        **percentiles(idle, "idle_lag_"),
    }


async def _watched(loop: Loop, body: Callable[[], Awaitable[object]]) -> array[float]:
    lag = Lag(loop)

    async def run_body() -> None:
        await body()
        lag.stop()

    await loop.together([lag.watch, run_body])
    return lag.late
