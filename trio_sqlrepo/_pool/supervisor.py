"""The nursery's side of the pool: opens workers, replaces what dies, drains and ends them."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, final

import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.errors import DatabaseReplaced, InternalError, OpenError, SqlRepoError
from trio_sqlrepo._pool import watch
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo._pool.optimize import optimize_when_idle
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._worker.thread import Worker

# Seconds before another attempt to open a connection; doubled each time, with jitter.
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 30.0
_MOST_DOUBLINGS: Final = 10  # beyond the last retry; without an end the power would overflow
# At most so much younger than `max_lifetime` connections are renewed, so that not all are at once.
_JITTER: Final = 0.1
# How long interrupted threads may take to end, at least, before they are abandoned.
_GRACE: Final = 1.0
_REPEAT: Final = 0.02


@final
class Supervisor:
    """Owns the workers of a pool. Loop thread only.

    Guarantees: every thread it started has ended when `close` returns, or is abandoned and
    reported; a worker that ends is replaced while the pool is open.
    """

    def __init__(
        self,
        pool: Pool,
        nursery: trio.Nursery,
        make_worker: Callable[[Lane, str], Worker],
        *,
        renewable: bool,
    ) -> None:
        self._pool = pool
        self._nursery = nursery
        self._make_worker = make_worker
        # A :memory: connection is the database: it is never renewed, and its loss is the end.
        self._renewable = renewable
        # Pinned threads must not take the tokens of trio's default limiter (40 of them).
        self._limiter = trio.CapacityLimiter(math.inf)
        self._hosts: dict[Worker, trio.CancelScope] = {}
        self._first: dict[Worker, trio.Event] = {}  # opened by `open`, not by demand
        self._errors: dict[Worker, BaseException | None] = {}
        self._failures: dict[Lane, int] = dict.fromkeys(pool.lanes, 0)  # in a row
        self._numbers: dict[Lane, int] = dict.fromkeys(pool.lanes, 0)
        self._abandoned = False  # a thread did not end: what it may still touch stays
        self._services: trio.Nursery
        # Closing needs the services while all else is being cancelled.
        self._serving = trio.CancelScope(shield=True)
        self._one_ended = trio.Event()  # a new one after each thread that ends
        pool.on_opened = self._opened
        pool.on_ended = self._ended
        pool.grow = self._grow

    # -- opening -----------------------------------------------------------------------------

    async def open(self, lane: Lane, count: int) -> None:
        """Open `count` connections of a lane, together.

        Raises:
            SqlRepoError: what the first of them met; none of them is kept then.
        """
        try:
            workers = [self.spawn(lane) for _ in range(count)]
        except OSError as error:
            message = f"No descriptor is left for a {lane.name} connection: {error}."
            raise OpenError(message) from error
        for worker in workers:
            self._first[worker] = trio.Event()
        for worker in workers:
            await self._first[worker].wait()
        errors = [found for worker in workers if (found := self._errors.pop(worker, None))]
        self._first.clear()
        if errors:
            raise errors[0]

    def _grow(self, lane: Lane) -> None:
        """Start a worker while the pool serves: what stands in its way makes the lane degraded."""
        try:
            self.spawn(lane)
        except OSError as error:  # no descriptor is left for its signal
            lane.failed += 1
            self._degrade(lane, error)

    def spawn(self, lane: Lane) -> Worker:
        """Start a worker; its lane learns of it when its connection is open."""
        self._numbers[lane] += 1
        worker = self._make_worker(lane, f"{lane.name} {self._numbers[lane]}")
        lane.opening += 1
        self._hosts[worker] = scope = trio.CancelScope(shield=True)
        self._nursery.start_soon(self._host, worker, scope, name=f"trio_sqlrepo {worker.name}")
        return worker

    @enable_ki_protection
    async def _host(self, worker: Worker, scope: trio.CancelScope) -> None:
        """Hold the thread for its whole life. Cancelled only to abandon it."""
        try:
            with scope:
                await trio.to_thread.run_sync(
                    worker.main,
                    abandon_on_cancel=True,
                    limiter=self._limiter,
                    thread_name=f"trio_sqlrepo {worker.name}",
                )
        except (OSError, RuntimeError, MemoryError) as error:
            # The thread could not be started, so no message will come of it.
            self._pool.bury(worker, error)
        del self._hosts[worker]
        if not scope.cancelled_caught:
            # Its last message is heard before its signal goes, so nobody will wake it again.
            await self._guard(self._hear_last)
            worker.signal.close()
        self._one_ended.set()
        self._one_ended = trio.Event()

    @staticmethod
    async def _hear_last(pool: Pool) -> None:
        pool.hear()

    # -- what becomes of workers -------------------------------------------------------------

    def _opened(self, worker: Worker) -> None:
        lane = self._pool.lane_of(worker)
        now = trio.current_time()
        worker.was_opened = True
        worker.idle_since = now
        lifetime = self._pool.config.max_lifetime * (1 - random.random() * _JITTER)  # noqa: S311  # spread, no secret
        worker.expires_at = now + lifetime if self._renewable else math.inf
        self._failures[lane] = 0
        if lane.degraded is not None:
            logger.info("%s connections of %s can be opened again", lane.name, self._pool.name)
            lane.degraded = None
            self._fill(lane)
        if (event := self._first.get(worker)) is not None:
            event.set()

    def _ended(self, worker: Worker, error: BaseException | None) -> None:
        lane = self._pool.lane_of(worker)
        if not worker.was_opened:
            self._could_not_open(worker, lane, error)
            return
        if error is not None and not _is_about_the_connection(error):
            self._pool.fail(error)
            return
        if self._pool.state is not State.OPEN:
            return
        if isinstance(error, DatabaseReplaced) or (error is not None and not self._renewable):
            # A new connection would find another file, or an empty memory.
            self._pool.lose(error)
            return
        shrunk = error is None and len(lane.workers) >= lane.smallest
        if error is not None:
            logger.warning("%s of %s is replaced: %s", worker.name, self._pool.name, error)
        if not shrunk or worker.expires_at <= trio.current_time():
            lane.replaced += 1
        self._fill(lane)

    def _could_not_open(self, worker: Worker, lane: Lane, error: BaseException | None) -> None:
        lane.opening -= 1
        lane.failed += 1
        if (event := self._first.get(worker)) is not None:
            self._errors[worker] = error
            event.set()
            return
        if self._pool.state is not State.OPEN:
            return
        if isinstance(error, DatabaseReplaced):
            self._pool.lose(error)
            return
        self._degrade(lane, error)

    def _degrade(self, lane: Lane, error: BaseException | None) -> None:
        """Serve with fewer connections than are wanted, and try again later."""
        self._failures[lane] += 1
        lane.degraded = f"a {lane.name} connection could not be opened: {error}"
        logger.warning(
            "%s serves with %d %s connections: %s",
            self._pool.name, len(lane.workers), lane.name, error,
        )  # fmt: skip
        self._services.start_soon(self._retry, lane)

    @enable_ki_protection
    async def _retry(self, lane: Lane) -> None:
        doublings = min(self._failures[lane] - 1, _MOST_DOUBLINGS)
        delay = min(_FIRST_RETRY * 2**doublings, _LAST_RETRY)
        await trio.sleep(delay * (1 + random.random()))  # noqa: S311  # spread, no secret
        if self._pool.state is State.OPEN and len(lane.workers) + lane.opening < lane.largest:
            self._grow(lane)

    def _fill(self, lane: Lane) -> None:
        """Keep the smallest number of connections open."""
        while len(lane.workers) + lane.opening < lane.smallest and lane.degraded is None:
            self._grow(lane)

    # -- services ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the tasks that hear and watch.

        Not by `Nursery.start`: where the caller is cancelled already it would wait for the
        shielded services to end.
        """
        self._nursery.start_soon(self._serve, name="trio_sqlrepo services")

    @enable_ki_protection
    async def _serve(self) -> None:
        """Run the services until `close`."""
        watches = [watch.watch_deadlines, watch.watch_interrupts, watch.watch_ages]
        if not self._pool.readers.serial:
            watches.append(watch.watch_stalls)
        if self._pool.governor is not None:
            watches += [self._pool.governor.run, optimize_when_idle]
        with self._serving:
            async with trio.open_nursery() as self._services:
                self._services.start_soon(self._guard, Pool.dispatch)
                for service in watches:
                    self._services.start_soon(self._guard, service)
        if not self._abandoned:
            self._pool.close_signals()

    @enable_ki_protection
    async def _guard(self, service: Callable[[Pool], Awaitable[None]]) -> None:
        """A crash in a service is a bug: it fails the pool, and surfaces as itself.

        Under KI protection, or a Ctrl-C that comes just now would be such a crash.
        """
        try:
            await service(self._pool)
        except trio.Cancelled:
            raise
        except BaseException as crash:  # noqa: BLE001  # kept in the pool, raised by the block
            self._pool.fail(crash)

    # -- closing -----------------------------------------------------------------------------

    @enable_ki_protection
    async def close(self) -> None:
        """Stop admission, drain, interrupt, close connections, end threads.

        Not cancellable; bounded: `drain_timeout` for the calls under way, and for each lane as
        long again, a second at least, for its interrupted threads to end.
        """
        pool = self._pool
        with trio.CancelScope(shield=True):
            if pool.state is State.OPEN:
                pool.state = State.DRAINING
                with trio.move_on_after(pool.config.drain_timeout):
                    await pool.wait_quiet()
            if pool.state is State.DRAINING:
                pool.state = State.CLOSED
            if pool.state is State.FORKED:
                # The threads live in the parent; here are only the tasks that held them.
                self._abandoned = True
                for scope in self._hosts.values():
                    scope.cancel()
            else:
                pool.refuse_waiting()
                # Readers first: the last connection to close checkpoints the WAL and removes it.
                for lane in reversed(pool.lanes):
                    await self._end(lane)
            self._serving.cancel()

    async def _end(self, lane: Lane) -> None:
        """End a lane's threads; abandon those that do not come back."""
        pool = self._pool
        grace = max(pool.config.drain_timeout, _GRACE)
        with trio.move_on_after(grace):
            while workers := [worker for worker in self._hosts if pool.lane_of(worker) is lane]:
                for worker in workers:
                    worker.stop()
                    for job in [job for job in pool.outstanding if job.worker is worker]:
                        pool.interrupt(job)
                # Again and again: an interrupt between two statements is lost.
                with trio.move_on_after(_REPEAT):
                    await self._one_ended.wait()
        for worker in [worker for worker in self._hosts if pool.lane_of(worker) is lane]:
            logger.error(
                "%s of %s did not end within %.3g s of being interrupted (%r); its thread is"
                " abandoned", worker.name, pool.name, grace, worker,
            )  # fmt: skip
            self._abandoned = True
            worker.ticket.abandon()
            pool.hear()  # what it has told until now
            pool.bury(worker, None)
            self._hosts[worker].cancel()


def _is_about_the_connection(error: BaseException) -> bool:
    """Whether a new connection may mend it; anything else is a bug."""
    return isinstance(error, (SqlRepoError, OSError, MemoryError)) and not isinstance(
        error, InternalError
    )
