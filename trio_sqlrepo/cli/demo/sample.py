"""What the last second of the load was like: taken on the loop, drawn elsewhere."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal, final

import attrs

from trio_sqlrepo import Stats
from trio_sqlrepo.cli.demo.meter import Kind, Latencies, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WINDOW: Final = 1.0  # seconds that rates and percentiles look back


@attrs.frozen(kw_only=True)
class Line:
    """One kind of operation. Rates and latencies are of the last second."""

    name: str
    kind: Kind
    calls: int  # since the start
    errors: int  # since the start
    rate: float
    latencies: Latencies


@attrs.frozen(kw_only=True)
class Sample:
    """A moment of the demo. Times are seconds, rates are per second.

    Attributes:
        elapsed: since the load began.
        lines: by operation.
        stats: the pool's own.
        commit_rate: transactions committed.
        writes_per_commit: how many writes shared one, of the last second.
        busy: by lane, the share of their time that its connections worked, from 0 to 1.
    """

    elapsed: float
    lines: tuple[Line, ...]
    stats: Stats
    commit_rate: float
    writes_per_commit: float
    busy: dict[Kind, float]

    def rate(self, kind: Kind) -> float:
        """Operations of one kind, together."""
        return sum(line.rate for line in self.lines if line.kind == kind)

    def latencies(self, kind: Kind) -> Latencies:
        """Latencies of one kind, together."""
        return Latencies.together(line.latencies for line in self.lines if line.kind == kind)

    @property
    def errors(self) -> int:
        """All errors since the start."""
        return sum(line.errors for line in self.lines)


@attrs.frozen
class _Reading:
    elapsed: float
    counts: tuple[Latencies, ...]
    stats: Stats


@final
class Sampler:
    """Reads the meters again and again and tells what has changed."""

    def __init__(
        self,
        meters: Sequence[Meter],
        stats: Callable[[], Stats],
        clock: Callable[[], float],
    ) -> None:
        self._meters = meters
        self._stats = stats
        self._clock = clock
        self._start = clock()
        # The first is the newest that is a whole window old.
        self._readings = deque([self._read()])

    def sample(self) -> Sample:
        """Compare now with about a second ago."""
        now = self._read()
        self._readings.append(now)
        while len(self._readings) > 2 and now.elapsed - self._readings[1].elapsed >= _WINDOW:
            self._readings.popleft()
        before = self._readings[0]
        # No clock is so fine that it could not stand still between two readings.
        elapsed = max(now.elapsed - before.elapsed, 1e-9)
        commits = now.stats.commits - before.stats.commits
        writes = now.stats.writes - before.stats.writes
        return Sample(
            elapsed=now.elapsed,
            lines=tuple(
                Line(
                    name=meter.name,
                    kind=meter.kind,
                    calls=new.count,
                    errors=meter.errors.total(),
                    rate=(new.count - old.count) / elapsed,
                    latencies=new.since(old),
                )
                for meter, new, old in zip(self._meters, now.counts, before.counts, strict=True)
            ),
            stats=now.stats,
            commit_rate=commits / elapsed,
            writes_per_commit=writes / commits if commits else 0.0,
            busy={"read": _busy(now, before, "readers"), "write": _busy(now, before, "writers")},
        )

    def _read(self) -> _Reading:
        counts = tuple(meter.latencies.copy() for meter in self._meters)
        return _Reading(self._clock() - self._start, counts, self._stats())


def _busy(now: _Reading, before: _Reading, lane: Literal["readers", "writers"]) -> float:
    new, old = getattr(now.stats, lane), getattr(before.stats, lane)
    time = max((now.elapsed - before.elapsed) * new.size, 1e-9)
    return float(min((new.busy_seconds - old.busy_seconds) / time, 1.0))
