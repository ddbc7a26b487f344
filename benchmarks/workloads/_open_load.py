"""Open load: 60 % lookups and 40 % durable writes that arrive whether or not any are answered."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.measure import FAILURES, Metrics, Size, Watch, kind_of, percentiles
from benchmarks.workload import FAILED, Column

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Group, Loop, Seat

READS = 0.6
IN_FLIGHT = 10_000  # what arrives beyond is dropped
_TICK = 0.001  # seconds between two looks at the schedule
_LEAVE = -1
_PATTERN = 1000  # requests after which reads and writes repeat


class OpenLoad:
    """Requests that arrive on a schedule, and the tasks that make them.

    A task is kept for the next request once it has made one, as a server's connections are: so
    that starting tasks, which costs as much as a lookup, is no part of the measurement.
    """

    def __init__(
        self, client: Client, loop: Loop, size: Size, seconds: float, *, in_flight: int = IN_FLIGHT
    ) -> None:
        self._client = client
        self._loop = loop
        self._rate = size.rate
        self._in_flight = in_flight
        self._total = max(int(size.rate * seconds), 1)
        self._ids = size.ids(_PATTERN)
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
        elif self._seats < self._in_flight:
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
            self.counts[kind_of(error)] += 1
        else:
            self.answered[read].append(perf_counter() - self._start - number / self._rate)


async def open_load(
    client: Client, loop: Loop, size: Size, *, in_flight: int = IN_FLIGHT
) -> Metrics:
    """Make the requests of `size.seconds` at `size.rate`; what became of them."""
    warm_up = OpenLoad(client, loop, size, size.seconds / 10, in_flight=in_flight)
    await warm_up.run()
    watch = Watch()
    load = OpenLoad(client, loop, size, size.seconds, in_flight=in_flight)
    seconds = await load.run()
    answered = load.answered[True] + load.answered[False]
    return {
        **watch.read(max(len(answered), 1)),
        "rate": len(answered) / seconds,
        **percentiles(answered),
        **percentiles(load.answered[True], "reads_"),
        **percentiles(load.answered[False], "writes_"),
        "dropped": load.counts["dropped"],
        **{name: load.counts[name] for name in FAILURES},
        "acknowledged": len(warm_up.answered[False]) + len(load.answered[False]),
    }


COLUMNS = (
    Column("rate", "answered/s", 0),
    Column("p50_ms", "p50 ms", 2),
    Column("p95_ms", "p95 ms", 2),
    Column("p99_ms", "p99 ms", 2),
    Column("reads_p95_ms", "reads p95", 2),
    Column("writes_p95_ms", "writes p95", 2),
    Column("cpu_us", "CPU µs"),
    Column("dropped", "dropped", 0),
    *FAILED,
)
