"""`stats()`: counters of threads and loop put together into frozen records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_sqlrepo._base.stats import LaneStats, StatementStats, Stats
from trio_sqlrepo._pool.warnings import total_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_sqlrepo._base.job import Statement
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool

_NOTHING = LaneStats(
    size=0, idle=0, leased=0, waiting=0, created=0, replaced=0, failed=0, acquisitions=0,
    timeouts=0, overloads=0, busy_seconds=0.0, degraded=None,
)  # fmt: skip


def describe_pool(pool: Pool, statements: Sequence[Statement]) -> Stats:
    """This moment's counters. Loop thread only."""
    total = total_of(pool)
    total.make_room(len(statements))
    return Stats(
        path=pool.name,
        state=pool.state.value,
        outage=pool.outage_text,
        readers=_NOTHING if pool.readers is pool.writers else _describe_lane(pool.readers),
        writers=_describe_lane(pool.writers),
        commits=total.commits,
        writes=total.writes,
        statements={
            statement.name: StatementStats(
                calls=record.calls,
                errors=record.errors,
                rows=record.rows,
                total_seconds=record.total_seconds,
                max_seconds=record.max_seconds,
                precompiled=all(
                    worker.has_compiled(statement)
                    for worker in (pool.writers if statement.writes else pool.readers).workers
                ),
            )
            for statement, record in zip(statements, total.statements, strict=True)
        },
        warnings=pool.observer.warnings(),
    )


def _describe_lane(lane: Lane) -> LaneStats:
    workers, held = lane.workers, lane.held.values()
    return LaneStats(
        size=len(workers),
        idle=len(lane.idle),
        # A lease that is cancelled before its thread claims it leaves an empty place until then.
        leased=sum(lease.holder is not None or lease.task is not None for lease in held),
        waiting=lane.waiting,
        created=lane.created,
        replaced=lane.replaced,
        failed=lane.failed,
        acquisitions=lane.claimed + (0 if lane.serial else lane.leases_granted),
        timeouts=lane.timeouts,
        overloads=lane.overloads,
        busy_seconds=lane.gone.busy_seconds + sum(worker.tally.busy_seconds for worker in workers),
        degraded=lane.degraded,
    )
