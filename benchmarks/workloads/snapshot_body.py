"""What does a lookup cost among a thousand in one `@snapshot` body?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import AIOSQLITE, APSW, BARE, BARE_MAPPED, OURS
from benchmarks.data import random_ids
from benchmarks.goals import Ratio
from benchmarks.measure import Metrics, Size, bare_loop, closed_loop
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop

LOOKUPS = 1000


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    ids = random_ids(size.seed)[:LOOKUPS]

    def look_up(_: int) -> Awaitable[object]:
        return client.lookups(ids)

    metrics = await closed_loop(loop, size, look_up, tasks=1)
    for name in ("us", "cpu_us"):
        metrics[name] /= LOOKUPS
    metrics["calls"] *= LOOKUPS
    return metrics


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_loop(size, bare.lookup)


WORKLOAD = Workload(
    name="snapshot_body",
    question="What does a lookup cost among 1000 in one @snapshot body? (peers: 1000 awaits)",
    contenders=(OURS, APSW, AIOSQLITE, BARE_MAPPED, BARE),
    goals=(
        Ratio(of=APSW.name, to=OURS.name, at_least=12.0),
        Ratio(of=OURS.name, to=BARE_MAPPED.name, at_most=2.0),
    ),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=run,
    run_bare=run_bare,
    one_core=True,
)
