"""How long does a lookup wait beside a scan that takes 100 ms?

A lookup arrives every millisecond, in a task of its own, whatever became of the one before. So
one that is stuck behind a scan does not keep the next from being counted. Its latency counts from
its first step: the loop's timer alone is late by up to a millisecond.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import ALL
from benchmarks.measure import Metrics, Size, Watch, percentiles
from benchmarks.workload import Column, Workload
from benchmarks.workloads.lag_during_scan import width_of_scan

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Group, Loop

_EVERY = 0.001  # seconds between two lookups
_SCAN = 0.1  # seconds


class BesideScan:
    """Scans one after the other, and lookups beside them."""

    def __init__(self, client: Client, loop: Loop, size: Size, width: int) -> None:
        self._client = client
        self._loop = loop
        self._ids = size.ids()
        self._width = width
        self._until = 0.0
        self.lookups: list[float] = []
        self.scans: list[float] = []

    async def run(self, seconds: float) -> None:
        self._until = perf_counter() + seconds
        await self._loop.group(self._arrive)

    async def _arrive(self, group: Group) -> None:
        group.start(self._scan)
        arrived = 0
        while True:  # at least once each: a machine may be slower than `seconds` are long
            group.start(self._look_up, self._ids[arrived % len(self._ids)])
            arrived += 1
            await self._loop.sleep(_EVERY)
            if perf_counter() >= self._until:
                break

    async def _scan(self) -> None:
        while True:
            started = perf_counter()
            await self._client.scan(self._width)
            self.scans.append(perf_counter() - started)
            if perf_counter() >= self._until:
                break

    async def _look_up(self, id: int) -> None:
        started = perf_counter()
        await self._client.lookup(id)
        self.lookups.append(perf_counter() - started)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    width = await width_of_scan(client, min(size.seconds, _SCAN))
    await BesideScan(client, loop, size, width).run(size.warm_up)
    watch = Watch()
    measured = BesideScan(client, loop, size, width)
    await measured.run(size.seconds)
    return {
        **watch.read(len(measured.lookups)),
        **percentiles(measured.lookups),
        "scans": len(measured.scans),
        "scan_ms": sum(measured.scans) / len(measured.scans) * 1e3,
    }


WORKLOAD = Workload(
    name="beside_a_scan",
    question="How long does a lookup wait beside a scan that takes 100 ms?",
    contenders=ALL,
    size=Size(seconds=4.0),
    quick=Size(seconds=0.2),
    run=run,
    rounds=3,
    columns=(
        Column("p50_ms", "p50 ms", 2),
        Column("p95_ms", "p95 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("worst_ms", "worst ms", 2),
        Column("calls", "lookups", 0),
        Column("scans", "scans", 0),
        Column("scan_ms", "scan ms"),
    ),
    compare="p99_ms",
    reads_only=True,
)
