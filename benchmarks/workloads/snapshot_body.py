"""What does a lookup cost among a thousand in one `@snapshot` body?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import BARE, BARE_MAPPED, OURS, PEERS
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop

LOOKUPS = 1000


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    count = size.count or LOOKUPS
    ids = size.ids()[:count]

    def look_up(_: int) -> Awaitable[object]:
        return client.lookups(ids)

    metrics = await closed_loop(loop, size, look_up, tasks=1)
    for name in ("us", "cpu_us"):
        metrics[name] /= count
    metrics["calls"] *= count
    return metrics


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, bare.lookup)


WORKLOAD = Workload(
    name="snapshot_body",
    question="What does a lookup cost among 1000 in one @snapshot body? (peers: 1000 awaits)",
    contenders=(OURS, *PEERS, BARE_MAPPED, BARE),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05, count=100),
    run=run,
    run_bare=run_bare,
    one_core=True,
    reads_only=True,
)
