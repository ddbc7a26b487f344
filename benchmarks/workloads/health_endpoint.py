"""How fast is a health endpoint's query when a hundred ask at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import ALL
from benchmarks.measure import Metrics, Size, closed_loop
from benchmarks.workload import FAILED, PER_CALL, Column, Workload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.loops import Loop


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    def ask(_: int) -> Awaitable[object]:
        return client.health()

    return await closed_loop(loop, size, ask, tasks=100, latencies=True)


WORKLOAD = Workload(
    name="health_endpoint",
    question="How long do a hundred callers at once wait for a health endpoint's query?",
    contenders=ALL,
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05),
    run=run,
    columns=(
        *PER_CALL,
        Column("p50_ms", "p50 ms", 2),
        Column("p95_ms", "p95 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        *FAILED[:3],
    ),
    reads_only=True,
)
