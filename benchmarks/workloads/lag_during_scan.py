"""How late is the event loop while a scan of one second runs?"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import ALL
from benchmarks.measure import Metrics, Size
from benchmarks.workload import Workload
from benchmarks.workloads._lag import lag_during
from benchmarks.workloads.lag_while_fetching import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.loops import Loop

_TRIES = 4


async def width_of_scan(client: Client, seconds: float) -> int:
    """How wide a scan takes so long here, by the fastest of some: the others were disturbed."""
    short = min(seconds, 0.1)
    width, fastest = 10, 0.0
    for _ in range(_TRIES):
        started = perf_counter()
        await client.scan(width)
        fastest = max(fastest, width / (perf_counter() - started))
        width = max(int(short * fastest), 1)
    return max(int(seconds * fastest), 1)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    width = await width_of_scan(client, min(size.seconds, 1.0))

    def scan() -> Awaitable[object]:
        return client.scan(width)

    return await lag_during(loop, size, scan)


WORKLOAD = Workload(
    name="lag_during_scan",
    question="How late is the loop while a scan of 1 s runs?",
    contenders=ALL,
    size=Size(seconds=3.0),
    quick=Size(seconds=0.1),
    run=run,
    rounds=3,
    columns=COLUMNS,
    compare="lag_p99_ms",
    reads_only=True,
    expected=7,
)
