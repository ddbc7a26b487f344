"""Does it hold 25 000 requests a second, of which 40 % are durable writes?"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import AIOSQLITE, APSW, OURS, TO_THREAD
from benchmarks.data import random_ids
from benchmarks.goals import Limit
from benchmarks.measure import Metrics, Size, Watch, percentiles
from benchmarks.workload import Column, Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Group, Loop, Seat

READS = 0.6
IN_FLIGHT = 10_000  # what arrives beyond is dropped
_TICK = 0.001  # seconds between two looks at the schedule
_LEAVE = -1
_PATTERN = 1000  # requests after which reads and writes repeat
_REFUSED = {"PoolOverloaded", "PoolTimeout"}


class OpenLoad:
    """Requests that arrive on a schedule, and the tasks that make them.

    A task is kept for the next request once it has made one, as a server's connections are: so
    that starting tasks, which costs as much as a lookup, is no part of the measurement.
    """

    def __init__(self, client: Client, loop: Loop, size: Size, seconds: float) -> None:
        self._client = client
        self._loop = loop
        self._rate = size.rate
        self._total = max(int(size.rate * seconds), 1)
        self._ids = random_ids(size.seed, _PATTERN)
        chosen = random.Random(size.seed)
        self._reads = [n < _PATTERN * READS for n in range(_PATTERN)]
        chosen.shuffle(self._reads)
        self._idle: list[Seat] = []
        self._seats = 0
        self._start = 0.0
        self.answered = {True: array("d"), False: array("d")}  # seconds, by whether it was a read
        self.counts: Counter[str] = Counter()

    async def run(self) -> float:
        """Make all requests; give the seconds until the last was answered."""
        self._start = perf_counter()
        await self._loop.group(self._arrive)
        return perf_counter() - self._start

    async def _arrive(self, group: Group) -> None:
        arrived = 0
        while arrived < self._total:
            due = min(int((perf_counter() - self._start) * self._rate) + 1, self._total)
            for number in range(arrived, due):
                self._admit(number, group)
            arrived = due
            await self._loop.sleep(_TICK)
        while len(self._idle) < self._seats:
            await self._loop.sleep(_TICK)
        for seat in self._idle:
            seat.give(_LEAVE)

    def _admit(self, number: int, group: Group) -> None:
        if self._idle:
            self._idle.pop().give(number)
        elif self._seats < IN_FLIGHT:
            self._seats += 1
            group.start(self._sit, number)
        else:
            self.counts["dropped"] += 1

    async def _sit(self, number: int) -> None:
        seat = self._loop.seat()
        while number != _LEAVE:
            await self._request(number)
            self._idle.append(seat)
            number = await seat.wait()

    async def _request(self, number: int) -> None:
        read = self._reads[number % _PATTERN]
        id = self._ids[number % _PATTERN]
        try:
            await (self._client.lookup(id) if read else self._client.insert(id))
        except Exception as error:  # noqa: BLE001  # whatever a contender fails with is counted
            self.counts[_kind(error)] += 1
        else:
            self.answered[read].append(perf_counter() - self._start - number / self._rate)


def _kind(error: Exception) -> str:
    name = type(error).__name__
    if "locked" in f"{name} {error}".lower() or "Busy" in name:
        return "lock_errors"
    return "refused" if name in _REFUSED else "errors"


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    await OpenLoad(client, loop, size, size.seconds / 10).run()
    watch = Watch()
    load = OpenLoad(client, loop, size, size.seconds)
    seconds = await load.run()
    answered = load.answered[True] + load.answered[False]
    return {
        **watch.read(max(len(answered), 1)),
        "rate": len(answered) / seconds,
        **percentiles(answered),
        **percentiles(load.answered[True], "reads_"),
        **percentiles(load.answered[False], "writes_"),
        **{name: load.counts[name] for name in ("dropped", "refused", "lock_errors", "errors")},
    }


WORKLOAD = Workload(
    name="open_load",
    question="Does it hold 25 000 requests a second, 60 % reads and 40 % durable writes?",
    contenders=(OURS, APSW, AIOSQLITE, TO_THREAD),
    goals=(
        Limit(of=OURS.name, metric="p95_ms", title="p95 in ms", at_most=5.0),
        Limit(of=OURS.name, metric="dropped", title="dropped", at_most=0, worst=True),
        Limit(of=OURS.name, metric="refused", title="refused", at_most=0, worst=True),
        Limit(of=OURS.name, metric="lock_errors", title="lock errors", at_most=0, worst=True),
        Limit(of=OURS.name, metric="errors", title="other errors", at_most=0, worst=True),
    ),
    size=Size(seconds=8.0, rate=25_000),
    quick=Size(seconds=0.1, rate=2_000),
    run=run,
    rounds=3,
    columns=(
        Column("rate", "answered/s", 0),
        Column("p50_ms", "p50 ms", 2),
        Column("p95_ms", "p95 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("reads_p95_ms", "reads p95", 2),
        Column("writes_p95_ms", "writes p95", 2),
        Column("cpu_us", "CPU µs"),
        Column("dropped", "dropped", 0),
        Column("refused", "refused", 0),
        Column("lock_errors", "lock errors", 0),
        Column("errors", "errors", 0),
    ),
    compare="p95_ms",
)
