"""`PRAGMA optimize` in quiet hours: the query planner's statistics, kept fresh.

https://sqlite.org/lang_analyze.html#periodically_run_pragma_optimize_
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.hands import Hands

logger: Final = logging.getLogger("trio_sqlrepo")

# At most so often. Seconds.
_EVERY: Final = 3600.0
# How long a write may wait for it before it is given up. Seconds.
_YIELD: Final = 0.02


async def optimize_when_idle(pool: Pool) -> None:
    """Do it once after writes, when none was committed for `health_check_interval`."""
    interval = pool.config.health_check_interval
    optimized = seen = _commits(pool)
    due = -math.inf
    while True:
        await trio.sleep(interval)
        commits = _commits(pool)
        quiet, seen = commits == seen, commits
        if not quiet or commits == optimized or trio.current_time() < due:
            continue
        if _is_idle(pool) and pool.state is State.OPEN:
            due = trio.current_time() + _EVERY
            if await _optimize(pool):
                optimized = commits


def _is_idle(pool: Pool) -> bool:
    """Whether no call is under way; health checks, which come at the same time, do not count."""
    calls = any(job.kind is not Kind.PROBE for job in pool.outstanding)
    return not calls and not any(lane.held for lane in pool.lanes)


def _commits(pool: Pool) -> int:
    lane = pool.writers
    return lane.gone.commits + sum(worker.tally.commits for worker in lane.workers)


async def _optimize(pool: Pool) -> bool:
    """Optimize, unless somebody needs the writer. Whether it was done."""
    job = Job(Kind.UPKEEP, "PRAGMA optimize", writes=True, work=_work)
    done = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_make_way, pool, job, nursery.cancel_scope)
        try:
            await run_on(pool, pool.writers, job)
        except SqlRepoError as error:  # it is of no use to any call
            logger.debug("PRAGMA optimize of %s was given up: %s", pool.name, error)
        else:
            done = True
        nursery.cancel_scope.cancel()
    return done


@enable_ki_protection
async def _make_way(pool: Pool, job: Job, scope: trio.CancelScope) -> None:
    """Interrupt it once a write waits behind it, or the pool ends."""
    while pool.state is State.OPEN:
        if any(other is not job for other in pool.writers.waiters()):
            break
        await trio.sleep(_YIELD)
    scope.cancel()


def _work(hands: Hands) -> None:
    hands.driver.optimize()
