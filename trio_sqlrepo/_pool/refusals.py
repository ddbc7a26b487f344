"""What the pool refuses, in sentences. Loop thread only."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import trio

from trio_sqlrepo._base.errors import (
    DatabaseError,
    DatabaseLocked,
    ForkedProcess,
    InternalError,
    OutcomeUnknown,
    PoolClosed,
    PoolOverloaded,
    PoolTimeout,
    ReentrantUse,
    SessionEnded,
    SqlError,
    SqlRepoError,
)
from trio_sqlrepo._base.job import Kind
from trio_sqlrepo._pool.state import running_on

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._pool.state import Outage
    from trio_sqlrepo._worker.thread import Worker


def forked(name: str) -> ForkedProcess:
    """The pool was opened by another process."""
    return ForkedProcess(
        f"The database {name!r} was opened by the process that forked this one. A connection must"
        " not be used on both sides of a fork: open the database again in the child."
    )


def out_of_service(name: str, outage: Outage, now: float) -> SqlRepoError:
    """The file is in doubt: an error of the class and codes of what was found."""
    cause = outage.cause
    found = cause if isinstance(cause, DatabaseError) else SqlError(str(cause))
    refused = copy.copy(found)
    refused.query = None
    refused.args = (
        (
            f"The database {name!r} is out of service since {now - outage.since:.3g} s; nothing of"
            f" this call was applied. What was found: {cause} It is looked at again and again, and"
            " serves as soon as the file is well."
        ),
    )
    return refused


def stopped(
    name: str, failure: BaseException | None, loss: BaseException | None = None
) -> SqlRepoError:
    """A bug has stopped the pool, or its database in memory is lost."""
    if loss is not None:
        return SqlError(f"The database {name!r} was lost with its only connection: {loss}")
    error = InternalError(
        f"The pool of {name!r} has stopped because of a bug in trio_sqlrepo:"
        f" {type(failure).__name__}. Please report it."
    )
    error.__cause__ = failure
    return error


def closed(name: str, state: str) -> PoolClosed:
    """The block has ended."""
    return PoolClosed(
        f"The database {name!r} is {state}: its open_database block has ended or is ending."
        " Use it inside the block."
    )


def closed_under(name: str, job: Job) -> PoolClosed:
    """The block ended while the call ran."""
    return PoolClosed(
        f"The database {name!r} was closed while {job.label} ran; nothing of it was kept. End"
        " the tasks that use a database before its block ends."
    )


def unknown(job: Job) -> OutcomeUnknown:
    """A thread did not come back from a COMMIT."""
    return OutcomeUnknown(
        f"The connection was given up during the COMMIT of {job.label}: the write may or may not"
        " be on disk, or come to light yet. Write it again only by a unique key."
    )


def if_in_doubt(job: Job) -> OutcomeUnknown | None:
    """What a claimed write is told whose thread is past the gate before its COMMIT."""
    if job.worker is None or job.views:
        return None
    ticket = job.worker.ticket
    return unknown(job) if ticket.committing or ticket.in_doubt else None


def given_up(worker: Worker, label: str, seconds: float) -> SqlError:
    """What calls are told that a thread had taken which does not come back."""
    return SqlError(
        f"The connection {worker.name} was given up: {label} does not come back {seconds:.3g} s"
        " after it was interrupted. Nothing of this call was or will be applied; call again."
    )


def stuck(pool: Pool, lane: Lane) -> DatabaseLocked:
    """A write finds the lock held by a thread of this pool that does not come back."""
    now = trio.current_time()
    who = " and ".join(
        f"{worker.name} is stuck in {label} for {now - since:.3g} s"
        for worker, (label, since) in lane.stuck.items()
    )
    return DatabaseLocked(
        f"{who}, inside a write transaction of {pool.name!r}: it was interrupted and does not come"
        " back, so nothing can be written. This call was not applied. Writes go on when it ends;"
        " a function that blocks for so long must not be called from SQL or a body."
    )


def lost(job: Job) -> SessionEnded:
    """A transaction's or snapshot's connection is gone."""
    return SessionEnded(
        f"{job.label} was called on a transaction, snapshot or stream whose connection was lost;"
        " all it did is undone. Leave the block and start again."
    )


def check_wait(pool: Pool, lane: Lane, task: trio.lowlevel.Task, job: Job) -> None:
    """Raise if too many wait already, or if the task would wait for what only it can free."""
    if lane.is_full(pool.config.max_waiting):
        lane.overloads += 1
        raise _overloaded(pool.name, lane, pool.config.max_waiting)
    if lane.stuck and job.writes:
        raise stuck(pool, lane)
    if lane.holders and lane.blocked_by(task, lease=job.kind is Kind.LEASE):
        raise _holds_it(job, lane)
    if lane.sole and running_on.get() is lane:
        raise _runs_on_it(job, lane)


def _overloaded(name: str, lane: Lane, most: int) -> PoolOverloaded:
    return PoolOverloaded(
        f"{most} calls wait for a {lane.name} connection of {name!r} already"
        " (PoolConfig.max_waiting); this one was not queued. Send less at a time, or try again"
        " later."
    )


def _holds_it(job: Job, lane: Lane) -> ReentrantUse:
    return ReentrantUse(
        f"{job.label} waits for a {lane.name} connection, but this task holds it in an open"
        " transaction, snapshot or stream: it would wait for ever. Use what is open (tx, snap)"
        " instead of the Database."
    )


def _runs_on_it(job: Job, lane: Lane) -> ReentrantUse:
    return ReentrantUse(
        f"{job.label} waits for a {lane.name} connection, but the body or function that asks runs"
        " on it: it would wait for ever. Use self.session, or the connection it was given."
    )


def timeout(pool: Pool, job: Job, lane: Lane) -> PoolTimeout:
    """A call waited too long: each connection, who holds it, for how long, and the cause."""
    now = trio.current_time()
    limit = pool.config.connection_timeout
    lines = [
        (
            f"{job.label} waited {now - job.enqueued:.3g} s for a {lane.name} connection of"
            f" {pool.name!r} (PoolConfig.connection_timeout is {limit:.3g} s) and was not"
            f" started: {_cause(lane)}"
        ),
        (
            f"  connections: {len(lane.workers)} open of {lane.largest}, {len(lane.idle)} idle,"
            f" {len(lane.held)} held; {lane.waiting} calls waiting"
        ),
    ]
    lines += [f"  {worker.name}: {_doing(worker, lane, now)}" for worker in lane.workers]
    return PoolTimeout("\n".join(lines))


def _cause(lane: Lane) -> str:
    if not lane.workers:
        reason = lane.degraded or "it is being opened"
        return f"no connection is open ({reason})."
    if lane.serial:
        if lane.held:
            return "a transaction is held open. Keep interactive transactions short."
        return "another process holds the lock, or a long write runs."
    if len(lane.held) >= lane.lease_limit:
        return "open transactions, snapshots and streams hold the connections that they may take."
    return "every connection is busy. Raise max_readers, or send less at a time."


def _doing(worker: Worker, lane: Lane, now: float) -> str:
    current = worker.ticket.current
    lease = lane.held.get(worker)
    if lease is not None and lease.holder is not None:
        running = f", running {current.label}" if current is not None else ", running nothing"
        since = now - lease.enqueued
        return f"held by task {lease.holder.name!r} in {lease.label} for {since:.3g} s{running}"
    if current is not None:
        task = current.task
        who = f" for task {task.name!r}" if task is not None else ""
        return f"running {current.label}{who}, sent {now - current.enqueued:.3g} s ago"
    return "idle" if worker in lane.idle else "between two calls, or waiting for a lock"
