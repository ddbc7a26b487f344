"""Which readers, cache and group size suit this load? The scenario of docs/performance.md.

A message board of 50 MB. Requests arrive, 60 % lookups and 40 % durable posts, whether or not
earlier ones were answered; and five times a second somebody opens a report that reads every
message. Each contender differs from the defaults in one setting.
"""

from __future__ import annotations

from array import array
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import PEERS, SETTINGS
from benchmarks.data import file_of
from benchmarks.measure import FAILURES, Metrics, Size, Watch, percentiles, resident_mb
from benchmarks.workload import FAILED, Column, Workload, own_choice
from benchmarks.workloads._open_load import OpenLoad

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Group, Loop

_EVERY = 0.2  # seconds between two reports


class Reports:
    """Reports that arrive on a schedule."""

    def __init__(self, client: Client, loop: Loop, seconds: float) -> None:
        self._client = client
        self._loop = loop
        self._seconds = seconds
        self.taken = array("d")

    async def run(self) -> None:
        await self._loop.group(self._arrive)

    async def _arrive(self, group: Group) -> None:
        until = perf_counter() + self._seconds
        while True:
            group.start(self._report)
            await self._loop.sleep(min(_EVERY, self._seconds))
            if perf_counter() >= until:
                break

    async def _report(self) -> None:
        started = perf_counter()
        await self._client.read_all()
        self.taken.append(perf_counter() - started)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    await OpenLoad(client, loop, size, size.warm_up).run()
    watch = Watch()
    load = OpenLoad(client, loop, size, size.seconds)
    reports = Reports(client, loop, size.seconds)

    async def make_requests() -> None:
        await load.run()

    await loop.together([make_requests, reports.run])
    answered = len(load.answered[True]) + len(load.answered[False])
    return {
        **watch.read(answered),
        **percentiles(load.answered[True], "reads_"),
        **percentiles(load.answered[False], "writes_"),
        **percentiles(reports.taken, "report_"),
        "rss_mb": resident_mb(),
        **{kind: load.counts[kind] for kind in FAILURES},
    }


WORKLOAD = Workload(
    name="choosing_settings",
    question="Which readers, cache and group size suit 1000 requests/s beside 5 reports/s?",
    contenders=SETTINGS,
    size=Size(seconds=5.0, rate=1_000),
    quick=Size(seconds=0.2, rate=1_000),
    run=run,
    rounds=3,
    columns=(
        Column("reads_p50_ms", "lookup p50 ms", 2),
        Column("reads_p99_ms", "lookup p99 ms", 1),
        Column("writes_p50_ms", "post p50 ms", 2),
        Column("writes_p99_ms", "post p99 ms", 1),
        Column("report_p50_ms", "report p50 ms", 1),
        Column("rss_mb", "RSS MB", 0),
        *FAILED[:3],
    ),
    compare="reads_p99_ms",
    file=file_of(50),
    not_run=own_choice(*PEERS),
)
