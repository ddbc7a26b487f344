"""What deserves a look: `stats().warnings`, and a line in the log for each when it appears.

Nothing here is on the way of a call. A task takes a sample of the counters every few seconds, so
that what lasts can be told from what is so for a moment; all else is looked up when asked for.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final, final

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.job import Kind
from trio_sqlrepo._base.warnings import (
    DegradedSize,
    FewIdleReaders,
    HighErrorRate,
    LongStream,
    PoolWarning,
    ReplacedConnections,
    SlowOperation,
    WalOverLimit,
)
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.record import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._pool.hub import Hub
    from trio_sqlrepo._pool.pool import Pool

logger: Final = logging.getLogger("trio_sqlrepo")

_SAMPLES: Final = 12  # in a window
# One error is no rate: of the first ten calls it would be ten times what is allowed.
_FEWEST_ERRORS: Final = 2


@attrs.frozen
class _Sample:
    """The counters of one moment."""

    time: float
    free: int  # readers idle, or not opened yet
    operations: int
    errors: int
    errors_of: tuple[int, ...]  # by the statement's number
    longest_of: tuple[float, ...]  # likewise: seconds of the longest call


@final
class Observer:
    """What has been seen of a pool lately. Loop thread only."""

    def __init__(self, pool: Hub) -> None:
        self._pool = pool
        # The first one is as old as the window, or the first of all; the others are younger.
        self._samples: deque[_Sample] = deque()
        # Operations that were slow within the window: how long each took at most, and seen when.
        self._slow: dict[str, tuple[float, float]] = {}
        self._longest: dict[str, float] = {}  # of each query, when it was last looked at
        self._reported: frozenset[tuple[str, str]] = frozenset()

    def __repr__(self) -> str:
        return f"<Observer of {self._pool.name!r}, {len(self._samples)} samples>"

    # -- looking -----------------------------------------------------------------------------

    def look(self) -> None:
        """Take a sample, and log what has appeared since the last."""
        pool = self._pool
        if pool.state is not State.OPEN:
            return
        sample = self._sample()
        found = {(each.kind, each.subject): each for each in self._judge(sample)}
        for key, warning in found.items():
            if key not in self._reported:
                logger.warning("%s: %s", pool.name, warning.message)
        self._reported = frozenset(found)
        samples = self._samples
        samples.append(sample)
        while len(samples) > 1 and samples[1].time <= sample.time - pool.config.warning_window:
            samples.popleft()

    def warnings(self) -> tuple[PoolWarning, ...]:
        """What deserves a look now. A pool that takes no calls says why by its state."""
        return tuple(self._judge(self._sample())) if self._pool.state is State.OPEN else ()

    def _sample(self) -> _Sample:
        pool = self._pool
        records = total_of(pool).statements
        refused = sum(lane.timeouts + lane.overloads for lane in pool.lanes)
        errors = sum(record.errors for record in records) + refused
        # A thread that has counted an error may not have counted the call yet.
        operations = max(errors, sum(record.calls for record in records) + refused)
        readers = pool.readers
        return _Sample(
            time=pool.now(),
            free=len(readers.idle) + readers.largest - len(readers.workers),
            operations=operations,
            errors=errors,
            errors_of=tuple(record.errors for record in records),
            longest_of=tuple(record.max_seconds for record in records),
        )

    # -- judging -----------------------------------------------------------------------------

    def _judge(self, sample: _Sample) -> Iterator[PoolWarning]:
        yield from self._degraded()
        yield from self._few_idle(sample)
        yield from self._many_errors(sample)
        yield from self._slow_operations(sample)
        yield from self._long_streams(sample.time)
        yield from self._long_wal(sample.time)
        yield from self._replaced(sample.time)

    def _degraded(self) -> Iterator[PoolWarning]:
        for lane in self._pool.lanes:
            if lane.degraded is not None:
                yield DegradedSize(
                    connections=lane.name,
                    size=len(lane.workers),
                    most=lane.largest,
                    reason=lane.degraded,
                )

    def _few_idle(self, sample: _Sample) -> Iterator[PoolWarning]:
        config, readers = self._pool.config, self._pool.readers
        if readers.serial or not self._samples:
            return
        since = self._samples[0].time
        least = config.warning_idle_share * readers.largest
        if sample.time - since >= config.warning_window and all(
            each.free < least for each in (*self._samples, sample)
        ):
            yield FewIdleReaders(
                idle=sample.free,
                readers=readers.largest,
                share=config.warning_idle_share,
                seconds=sample.time - since,
            )

    def _many_errors(self, sample: _Sample) -> Iterator[PoolWarning]:
        config = self._pool.config
        if not self._samples:
            return
        first = self._samples[0]
        errors = sample.errors - first.errors
        operations = sample.operations - first.operations
        if errors < _FEWEST_ERRORS or errors <= config.warning_error_share * operations:
            return
        before = first.errors_of + (0,) * len(sample.errors_of)
        counts = zip(self._pool.statements, sample.errors_of, before, strict=False)
        most, query = max(
            ((now - then, statement.name) for statement, now, then in counts), default=(0, "")
        )
        yield HighErrorRate(
            errors=errors,
            operations=operations,
            seconds=sample.time - first.time,
            query=query if most else None,
        )

    def _slow_operations(self, sample: _Sample) -> Iterator[PoolWarning]:
        now, limit = sample.time, self._pool.config.connection_timeout
        running = self._running(now, limit)
        for operation, seconds in (*self._ended(sample, limit), *running.items()):
            longest, _ = self._slow.get(operation, (0.0, 0.0))
            self._slow[operation] = max(longest, seconds), now
        for operation, (seconds, seen) in list(self._slow.items()):
            if seen <= now - self._pool.config.warning_window:
                del self._slow[operation]
                continue
            yield SlowOperation(
                operation=operation,
                seconds=running.get(operation, seconds),
                running=operation in running,
                limit=limit,
            )

    def _running(self, now: float, limit: float) -> dict[str, float]:
        """What threads work on for longer than the limit: since when it was called."""
        found: dict[str, float] = {}
        for job in self._pool.outstanding:
            if job.kind is Kind.BACKUP:
                continue  # as long as its file is large; what it keeps in the WAL is told
            if job.worker is not None and now - job.enqueued > limit:
                found[job.label] = max(found.get(job.label, 0.0), now - job.enqueued)
        return found

    def _ended(self, sample: _Sample, limit: float) -> Iterator[tuple[str, float]]:
        """Queries that have taken longer than the limit and than ever before, since last asked."""
        for statement, longest in zip(self._pool.statements, sample.longest_of, strict=False):
            if longest > max(limit, self._longest.get(statement.name, 0.0)):
                self._longest[statement.name] = longest
                yield statement.name, longest

    def _long_streams(self, now: float) -> Iterator[PoolWarning]:
        limit = self._pool.config.warning_stream_age
        for stream in sorted(self._pool.streams, key=lambda each: each.since):
            if now - stream.since > limit:
                yield LongStream(
                    query=stream.label, task=stream.task, seconds=now - stream.since, limit=limit
                )

    def _long_wal(self, now: float) -> Iterator[PoolWarning]:
        wal = self._pool.wal
        if wal.size_bytes <= wal.limit_bytes or wal.blocked_by is None:
            return
        yield WalOverLimit(
            size_bytes=wal.size_bytes,
            limit_bytes=wal.limit_bytes,
            blocked_by=wal.blocked_by,
            seconds=None if wal.blocked_since is None else now - wal.blocked_since,
        )

    def _replaced(self, now: float) -> Iterator[PoolWarning]:
        horizon = now - self._pool.config.warning_window
        lately = sorted(
            each for lane in self._pool.lanes for each in lane.replaced_for if each[0] > horizon
        )
        if lately:
            _, connection, reason = lately[-1]
            yield ReplacedConnections(count=len(lately), connection=connection, reason=reason)


def total_of(pool: Hub) -> Tally:
    """What all workers have done, those that have gone too."""
    total = Tally()
    total.make_room(len(pool.statements))
    for lane in pool.lanes:
        total.add(lane.gone)
        for worker in lane.workers:
            total.add(worker.tally)
    return total


@enable_ki_protection
async def watch_warnings(pool: Pool) -> None:
    """Look every so often."""
    while True:
        pool.observer.look()
        await trio.sleep(pool.config.warning_window / _SAMPLES)
