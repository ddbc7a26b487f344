"""What does each of 100 000 rows cost that one call writes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import ALL, BARE
from benchmarks.measure import Metrics, Size, bare_batches, batches
from benchmarks.workload import FAILED, Column, Workload

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop


async def run(client: Client, _loop: Loop, size: Size) -> Metrics:
    def post_all() -> Awaitable[object]:
        return client.insert_all(size.count)

    return await batches(size, post_all, size.count)


def run_bare(bare: Bare, size: Size) -> Metrics:
    return bare_batches(size, lambda: bare.insert_all(size.count), size.count)


WORKLOAD = Workload(
    name="post_all",
    question="What does each of 100 000 rows cost in one batch? (ours from attrs objects)",
    contenders=(*ALL, BARE),
    size=Size(seconds=1.0, count=100_000),
    quick=Size(seconds=0.05, count=5_000),
    run=run,
    run_bare=run_bare,
    rounds=3,
    columns=(Column("call_ms", "ms per call"), Column("us", "µs per row", 2), FAILED[-1]),
    expected=2.5,
)
