"""Probes: idle connections read a page and compare their files, each on its own thread.

A connection at work is not probed: its calls are the proof. A probe takes its worker off the idle
list and goes to that worker's own queue, so no call waits for one while another connection is idle.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import TYPE_CHECKING

import trio
from trio_util import periodic

from trio_sqlrepo._base.health import ConnectionHealth, Health
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from trio_sqlrepo._base.health import ConnectionState
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.thread import Worker


async def watch_health(pool: Pool) -> None:
    """Probe the idle connections every `health_check_interval`."""
    interval = pool.config.health_check_interval
    if interval == math.inf:
        return
    await trio.sleep(interval)
    async with aclosing(periodic(interval)) as rounds:
        async for _ in rounds:
            await _probe_all(pool)


async def check(pool: Pool) -> Health:
    """Probe all idle connections now, one after the other, and tell of all."""
    await trio.lowlevel.checkpoint()
    if pool.state in {State.CLOSED, State.FORKED, State.STOPPED}:
        raise pool.refusal()
    with trio.move_on_after(pool.config.health_check_timeout):
        await pool.attempt()
    connections = await _probe_all(pool)
    return Health(
        path=pool.name,
        state=pool.state.value,
        outage=pool.outage_text,
        connections=connections,
    )


async def _probe_all(pool: Pool) -> tuple[ConnectionHealth, ...]:
    """Probe one connection after the other, so that the others serve meanwhile."""
    found: list[ConnectionHealth] = []
    for lane in pool.lanes:
        found += [
            await _look_at(pool, lane, worker)
            for worker in list(lane.workers)
            if worker in lane.workers  # otherwise it has ended since
        ]
    return tuple(found)


async def _look_at(pool: Pool, lane: Lane, worker: Worker) -> ConnectionHealth:
    def told(state: ConnectionState, since: float, detail: str | None) -> ConnectionHealth:
        return ConnectionHealth(
            name=worker.name,
            lane=lane.name,
            state=state,
            seconds=max(trio.current_time() - since, 0.0),
            detail=detail,
        )

    now = trio.current_time()
    timeout = pool.config.health_check_timeout
    if pool.state is not State.OPEN or not lane.reserve(worker):
        if worker in lane.idle:  # another writer has the turn
            return told("well", now, None)
        lease = lane.held.get(worker)
        job = worker.ticket.current if lease is None else lease
        since = job.enqueued if job is not None else now
        return told("busy", since, job.label if job is not None else "between two calls")
    job = Job(Kind.PROBE, f"the health check of {worker.name}", writes=False, work=_probe)
    try:
        with trio.move_on_after(timeout) as patience:
            await pool.probe(worker, job)
    except Exception as error:  # noqa: BLE001  # told; its worker has judged it
        return told("failed", now, str(error))
    if patience.cancelled_caught:
        # It came back after it was interrupted, or was given up.
        if not worker.buried:
            logger.warning(
                "%s of %s is replaced: its health check took %.3g s",
                worker.name, pool.name, timeout,
            )  # fmt: skip
            lane.dismiss(worker)
            worker.wake()
        return told("stuck", now, f"it did not answer within {timeout:.3g} s")
    return told("well", now, None)


def _probe(hands: Hands) -> None:
    hands.driver.probe()
