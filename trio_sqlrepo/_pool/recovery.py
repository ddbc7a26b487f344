"""What becomes of connections that fail, and of the whole pool when its file is in doubt.

- A connection that fails is replaced: the first time at once, then after a pause that doubles.
  Calls wait for it meanwhile.
- When `_MOST_IN_A_ROW` replacements have not helped, or as soon as the file itself is in doubt
  (damaged, or another one bears its path), the pool is FAILED: every call gets a typed error at
  once and nothing is acknowledged. All its connections are closed; one is opened again and again,
  and when it finds the file well, service returns.
- A connection in memory is the database: its loss is the end.

How a fault overtakes no acknowledgement: a thread posts the fault with the answer of the call that
met it, and the loop suspends the pool in the same step. Suspending shuts the gate before COMMIT of
all threads; a write that was beyond it and is not answered yet gets `OutcomeUnknown`.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, Protocol, final

import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseReplaced,
    InternalError,
    OutcomeUnknown,
    SqlRepoError,
)
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.thread import Worker

# Seconds before another attempt to open a connection; doubled each time, with jitter.
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 30.0
_MOST_DOUBLINGS: Final = 10  # beyond the last retry; without an end the power would overflow
# Replacements in a row that may fail before the pool is out of service.
_MOST_IN_A_ROW: Final = 3
# Seconds without a fault after which the next one is the first again, at most.
_CALM: Final = 60.0
# The same as above for the attempts to come back into service.
_FIRST_ATTEMPT: Final = 0.05
_LAST_ATTEMPT: Final = 1.0
# A look at a large file takes long: most of the time it is left alone. Times the last look.
_REST: Final = 10.0


class Threads(Protocol):
    """What the supervisor does for it."""

    def spawn(self, lane: Lane, suspicion: BaseException | None = None) -> Worker:
        """Start a worker."""
        ...

    async def open(self, lane: Lane, count: int, suspicion: BaseException | None = None) -> None:
        """Open connections and wait until they are."""
        ...

    async def end(self, lane: Lane, deadline: float) -> None:
        """End a lane's threads; abandon those that do not come back."""
        ...

    def start_soon(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task until the pool is closed; a crash in it is a bug, which stops the pool."""
        ...


@final
class Recovery:
    """Decides what follows from a connection's end. Loop thread only."""

    def __init__(self, pool: Pool, threads: Threads, *, renewable: bool) -> None:
        self._pool = pool
        self._threads = threads
        self._renewable = renewable
        self._failures: dict[Lane, int] = dict.fromkeys(pool.lanes, 0)  # to open one, in a row
        self._strikes = 0  # replacements in a row that did not help
        self._last_fault = -math.inf
        self._calm = min(pool.config.health_check_interval, _CALM)
        self._hurry = trio.Event()  # an attempt is wanted now
        self._attempted = trio.Event()  # opened after each

    def __repr__(self) -> str:
        return f"<Recovery {self._strikes} in a row, {self._pool.outage}>"

    # -- what is reported --------------------------------------------------------------------

    def opened(self, worker: Worker) -> None:
        """A connection is open."""
        lane = self._pool.lane_of(worker)
        self._failures[lane] = 0
        if lane.degraded is not None:
            logger.info("%s connections of %s can be opened again", lane.name, self._pool.name)
            lane.degraded = None
            self._fill(lane)

    def fault(self, error: BaseException) -> None:
        """A connection has met an error and will end: look whether the file is in doubt."""
        if self._renewable and _is_about_the_file(error):
            self._suspend(error)

    def ended(self, worker: Worker, error: BaseException | None) -> None:
        """A worker that had been opened has ended, by itself or given up."""
        pool = self._pool
        lane = pool.lane_of(worker)
        if error is not None and not _is_about_the_connection(error):
            pool.fail(error)
            return
        if pool.state is not State.OPEN:
            return
        if error is None:
            renewed = worker.expires_at <= trio.current_time()
            if renewed or len(lane.workers) < lane.smallest:
                lane.replaced += 1
            self._fill(lane)
            return
        if not self._renewable:
            pool.lose(error)
            return
        self.fault(error)
        if pool.state is State.OPEN:
            self._replace(worker, lane, error)

    def _replace(self, worker: Worker, lane: Lane, error: BaseException) -> None:
        logger.warning("%s of %s is replaced: %s", worker.name, self._pool.name, error)
        lane.replaced += 1
        lane.replaced_for.append((trio.current_time(), worker.name, str(error)))
        if not (_is_fault(error) and self._serves(lane)):
            self._fill(lane)
        elif self._strike(worker.opened_at):
            self._suspend(error)
        elif self._strikes > 1:
            self._degrade(lane, f"{worker.name} failed: {error}")
        else:
            self._fill(lane)

    def not_opened(self, lane: Lane, error: BaseException | None) -> None:
        """A connection that the pool wanted while it serves could not be opened."""
        if self._pool.state is not State.OPEN:
            return
        if error is not None:
            self.fault(error)
        if self._pool.state is not State.OPEN:
            return
        if not lane.workers and self._serves(lane) and error is not None and self._strike():
            self._suspend(error)
            return
        why = "" if error is None else f": {error}"
        self._degrade(lane, f"a {lane.name} connection could not be opened{why}")

    # -- one connection ------------------------------------------------------------------------

    def grow(self, lane: Lane) -> None:
        """Open one more while the pool serves: what stands in its way makes the lane degraded."""
        try:
            self._threads.spawn(lane)
        except OSError as error:  # no descriptor is left for its signal
            lane.failed += 1
            self.not_opened(lane, error)

    def _fill(self, lane: Lane) -> None:
        """Keep the smallest number of connections open."""
        while len(lane.workers) + lane.opening < lane.smallest and lane.degraded is None:
            self.grow(lane)

    def _degrade(self, lane: Lane, why: str) -> None:
        """Serve with fewer connections than are wanted, and try again later."""
        self._failures[lane] = max(self._failures[lane] + 1, self._strikes - 1)
        lane.degraded = why
        logger.warning(
            "%s serves with %d %s connections: %s",
            self._pool.name, len(lane.workers), lane.name, why,
        )  # fmt: skip
        self._threads.start_soon(self._retry, lane)

    @enable_ki_protection
    async def _retry(self, lane: Lane) -> None:
        doublings = min(self._failures[lane] - 1, _MOST_DOUBLINGS)
        await trio.sleep(_spread(min(_FIRST_RETRY * 2**doublings, _LAST_RETRY)))
        if self._pool.state is State.OPEN and len(lane.workers) + lane.opening < lane.largest:
            self.grow(lane)

    def _serves(self, lane: Lane) -> bool:
        """Whether calls depend on it: without a checkpointer all goes on."""
        return self._renewable and (lane is self._pool.readers or lane is self._pool.writers)

    def _strike(self, opened_at: float = math.inf) -> bool:
        """Count a fault; True if replacing connections has not helped often enough.

        One of a connection that was open before the last fault is the same one, seen again.
        """
        now = trio.current_time()
        if now - self._last_fault > self._calm:
            self._strikes = 0
        elif opened_at < self._last_fault:
            return False
        self._last_fault = now
        self._strikes += 1
        return self._strikes > _MOST_IN_A_ROW

    # -- the whole pool ------------------------------------------------------------------------

    def _suspend(self, error: BaseException) -> None:
        if self._pool.state is not State.OPEN:
            return
        self._pool.suspend(error)
        self._threads.start_soon(self._recover)

    @enable_ki_protection
    async def _recover(self) -> None:
        """Close all connections; open one again and again until it finds the file well."""
        pool = self._pool
        # Readers first: a writer that closes alone leaves nothing in the WAL.
        for lane in reversed(pool.lanes):
            patience = pool.config.health_check_timeout
            await self._threads.end(lane, trio.current_time() + patience)
        # Where service has come back and failed again, it comes back less soon.
        again = min(max(self._strikes - _MOST_IN_A_ROW - 1, 0), _MOST_DOUBLINGS)
        pause = min(_FIRST_ATTEMPT * 2**again, _LAST_ATTEMPT)
        while (outage := pool.outage) is not None:
            with trio.move_on_after(_spread(pause)):
                await self._hurry.wait()
            self._hurry = trio.Event()
            started = trio.current_time()
            try:
                await self._threads.open(pool.writers, 1, outage.cause)
            except (SqlRepoError, OSError, MemoryError) as error:
                outage.attempts += 1
                outage.latest = error
                took = trio.current_time() - started
                pause = max(min(2 * pause, _LAST_ATTEMPT), _REST * took)
            else:
                if pool.state is State.FAILED:  # otherwise it was closed meanwhile
                    self._resume()
            finally:
                self._attempted.set()
                self._attempted = trio.Event()

    def _resume(self) -> None:
        for lane in self._pool.lanes:
            lane.degraded = None
            self._failures[lane] = 0
        self._last_fault = trio.current_time()
        self._pool.resume()
        for lane in self._pool.lanes:
            self._fill(lane)

    async def attempt(self) -> None:
        """Have the file looked at now, if the pool is out of service, and wait until it was."""
        if self._pool.outage is not None:
            self._hurry.set()
            await self._attempted.wait()


def _spread(seconds: float) -> float:
    """Up to twice as long, so that not all processes come at once."""
    return seconds * (1 + random.random())  # noqa: S311  # no secret


def _is_about_the_connection(error: BaseException) -> bool:
    """Whether a new connection may mend it; anything else is a bug."""
    return isinstance(error, (SqlRepoError, OSError, MemoryError)) and not isinstance(
        error, InternalError
    )


def _is_about_the_file(error: BaseException) -> bool:
    """Whether no connection to this file can be trusted."""
    if isinstance(error, OutcomeUnknown):
        return error.is_damaged
    return isinstance(error, (DatabaseCorrupt, DatabaseReplaced))


def _is_fault(error: BaseException) -> bool:
    """Whether SQLite or the system has reported it; otherwise the connection came back dirty."""
    return not isinstance(error, DatabaseError) or bool(error.code)
