"""The nursery's side of the pool: holds the threads, runs the services, drains and ends them."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, final

import trio
from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.errors import OpenError
from trio_sqlrepo._pool import health, refusals, watch
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo._pool.optimize import optimize_when_idle
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.recovery import Recovery
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._pool.warnings import watch_warnings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._worker.thread import Worker

# At most so much younger than `max_lifetime` connections are renewed, so that not all are at once.
_JITTER: Final = 0.1
# How long interrupted threads may take to end after the drain, before they are abandoned.
_GRACE: Final = 1.0
_REPEAT: Final = 0.02


@final
class Supervisor:
    """Owns the workers of a pool. Loop thread only.

    Guarantees: every thread it started has ended when `close` returns, or is abandoned and
    reported. What follows from a worker's end is `Recovery`'s to decide.
    """

    def __init__(
        self,
        pool: Pool,
        nursery: trio.Nursery,
        make_worker: Callable[[Lane, str], Worker],
        *,
        renewable: bool,
        run_thread: Callable[..., Awaitable[object]] | None = None,
    ) -> None:
        self._pool = pool
        self._nursery = nursery
        self._make_worker = make_worker
        # A :memory: connection is the database: it is never renewed, and its loss is the end.
        self._renewable = renewable
        self._run_thread = run_thread  # instead of trio.to_thread.run_sync
        # Pinned threads must not take the tokens of trio's default limiter (40 of them).
        self._limiter = trio.CapacityLimiter(math.inf)
        self._hosts: dict[Worker, trio.CancelScope] = {}
        self._first: dict[Worker, trio.Event] = {}  # opened by `open`, not by demand
        self._errors: dict[Worker, BaseException | None] = {}
        self._numbers: dict[Lane, int] = dict.fromkeys(pool.lanes, 0)
        self._adrift: set[Worker] = set()  # given up, not ended: what they may touch stays
        self._services: trio.Nursery
        # Closing needs the services while all else is being cancelled.
        self._serving = trio.CancelScope(shield=True)
        self._one_ended = trio.Event()  # a new one after each thread that ends
        self.recovery = Recovery(pool, self, renewable=renewable)
        pool.on_opened = self._opened
        pool.on_ended = self._ended
        pool.on_fault = self.recovery.fault
        pool.on_stuck = self._stuck
        pool.on_returned = self._returned
        pool.grow = self.recovery.grow
        pool.open = self.open
        pool.attempt = self.recovery.attempt

    # -- opening -----------------------------------------------------------------------------

    async def open(self, lane: Lane, count: int, suspicion: BaseException | None = None) -> None:
        """Open `count` connections of a lane, together.

        Args:
            lane: whose they will be.
            count: how many.
            suspicion: why they are to look at the file before they serve.

        Raises:
            SqlRepoError: what the first of them met; none of them is kept then.
        """
        try:
            workers = [self.spawn(lane, suspicion) for _ in range(count)]
        except OSError as error:
            message = f"No descriptor is left for a {lane.name} connection: {error}."
            raise OpenError(message) from error
        for worker in workers:
            self._first[worker] = trio.Event()
        try:
            for worker in workers:
                await self._first[worker].wait()
        finally:  # a backup's may be waited for at the same time, and cancelled
            for worker in workers:
                del self._first[worker]
        errors = [found for worker in workers if (found := self._errors.pop(worker, None))]
        if errors:
            raise errors[0]

    def spawn(self, lane: Lane, suspicion: BaseException | None = None) -> Worker:
        """Start a worker; its lane learns of it when its connection is open.

        Raises:
            OSError: no descriptor is left for its signal.
        """
        self._numbers[lane] += 1
        worker = self._make_worker(lane, f"{lane.name} {self._numbers[lane]}")
        worker.suspicion = suspicion
        lane.opening += 1
        self._hosts[worker] = scope = trio.CancelScope(shield=True)
        self._nursery.start_soon(self._host, worker, scope, name=f"trio_sqlrepo {worker.name}")
        return worker

    @enable_ki_protection
    async def _host(self, worker: Worker, scope: trio.CancelScope) -> None:
        """Hold the thread for its whole life. Cancelled only to abandon it."""
        try:
            with scope:
                run_thread = self._run_thread or trio.to_thread.run_sync
                await run_thread(
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
        now = trio.current_time()
        worker.was_opened = True
        worker.opened_at = worker.idle_since = now
        lifetime = self._pool.config.max_lifetime * (1 - random.random() * _JITTER)  # noqa: S311  # spread, no secret
        worker.expires_at = now + lifetime if self._renewable else math.inf
        self.recovery.opened(worker)
        if (event := self._first.get(worker)) is not None:
            event.set()

    def _ended(self, worker: Worker, error: BaseException | None) -> None:
        if worker.was_opened:
            self.recovery.ended(worker, error)
            return
        lane = self._pool.lane_of(worker)
        lane.opening -= 1
        lane.failed += 1
        if (event := self._first.get(worker)) is not None:
            self._errors[worker] = error
            event.set()
        else:
            self.recovery.not_opened(lane, error)

    # -- threads that do not come back -------------------------------------------------------

    def _stuck(self, worker: Worker, job: Job) -> None:
        """A thread does not come back from an interrupt: go on without it."""
        seconds = trio.current_time() - job.interrupted
        lease = self._pool.lane_of(worker).held.get(worker)
        label = job.label if lease is None else f"{job.label} in {lease.label}"
        logger.error(
            "%s of %s is given up: %s does not come back %.3g s after it was interrupted",
            worker.name, self._pool.name, label, seconds,
        )  # fmt: skip
        lane = self._pool.lane_of(worker)
        if lane.serial and (lease is not None or job.writes):
            lane.stuck[worker] = label, job.interrupted
        self._abandon(worker, refusals.given_up(worker, label, seconds))
        if lane.stuck:
            for waiting in [waiting for waiting in lane.waiters() if waiting.writes]:
                self._pool.withdraw_with(waiting, lane, refusals.stuck(self._pool, lane))

    def _abandon(self, worker: Worker, error: BaseException | None) -> None:
        """Answer its calls in its place, and let it be. It will not commit any more."""
        worker.ticket.abandon()
        self._pool.hear()  # what it has told until now
        if worker.buried:
            return  # that it has ended
        self._adrift.add(worker)
        worker.stop()  # when it comes back, it ends
        self._pool.bury(worker, error)
        self._hosts[worker].cancel()

    def _returned(self, worker: Worker) -> None:
        """A thread that was given up has ended after all."""
        self._adrift.discard(worker)
        worker.signal.close()
        logger.warning("%s of %s, which was given up, has ended", worker.name, self._pool.name)
        self._pool.lane_of(worker).stuck.pop(worker, None)
        self._pool.live.doubt()  # nobody has heard what it may have committed

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
        watches = [
            watch.watch_deadlines, watch.watch_interrupts, watch.watch_ages, health.watch_health,
            watch_warnings, self._pool.live.run, self._pool.live.ask,
        ]  # fmt: skip
        if not self._pool.readers.serial:
            watches.append(watch.watch_stalls)
        if self._pool.governor is not None:
            watches += [self._pool.governor.run, optimize_when_idle]
        with self._serving:
            async with trio.open_nursery() as self._services:
                self._services.start_soon(self._guard, Pool.dispatch)
                for service in watches:
                    self._services.start_soon(self._guard, service)
        if not (self._adrift or self._pool.state is State.FORKED):
            self._pool.close_signals()

    def start_soon(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task among the services, until the pool is closed."""

        async def run(_: Pool) -> None:
            await task(*arguments)

        self._services.start_soon(self._guard, run)

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

        Not cancellable; bounded: `drain_timeout` and a second, for the calls under way and for
        the threads to end that are interrupted then.
        """
        try:
            with trio.CancelScope(shield=True):
                await self._close()
        finally:
            # In a forked child the threads live in the parent; here are only the tasks that held
            # them. Elsewhere none is left, unless closing itself has crashed: it must not hang.
            for scope in self._hosts.values():
                scope.cancel()
            self._serving.cancel()

    async def _close(self) -> None:
        pool = self._pool
        deadline = trio.current_time() + pool.config.drain_timeout + _GRACE
        if pool.state is State.OPEN:
            pool.state = State.DRAINING
            pool.live.stop()
            with trio.move_on_after(pool.config.drain_timeout):
                await pool.wait_quiet()
        if pool.state in {State.DRAINING, State.FAILED}:
            pool.state = State.CLOSED
            pool.outage = None
            pool.live.stop()
        if pool.state is State.FORKED:
            return
        pool.refuse_waiting()
        # Readers first: the last connection to close checkpoints the WAL and removes it. One that
        # is stuck leaves the others half a second.
        for lane in reversed(pool.lanes):
            spare = 0.0 if lane is pool.lanes[0] else _GRACE / 2
            await self.end(lane, deadline - spare)

    async def end(self, lane: Lane, deadline: float) -> None:
        """End a lane's threads; abandon those that do not come back until the deadline."""
        pool = self._pool
        started = trio.current_time()
        with trio.move_on_at(deadline):
            while workers := [worker for worker in self._hosts if pool.lane_of(worker) is lane]:
                for worker in workers:
                    if worker.buried:
                        continue  # its thread has said that it ends, and needs no descriptor more
                    worker.stop()
                    if (current := worker.ticket.current) is not None:
                        current.cancelled = True  # it may have been answered already
                        worker.ticket.cancel(current)
                    for job in [job for job in pool.outstanding if job.worker is worker]:
                        pool.interrupt(job)
                # Again and again: an interrupt between two statements is lost.
                with trio.move_on_after(_REPEAT):
                    await self._one_ended.wait()
        for worker in [worker for worker in self._hosts if pool.lane_of(worker) is lane]:
            logger.error(
                "%s of %s did not end within %.3g s of being interrupted (%r); its thread is"
                " abandoned", worker.name, pool.name, trio.current_time() - started, worker,
            )  # fmt: skip
            self._abandon(worker, None)
