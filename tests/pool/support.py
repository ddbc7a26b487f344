"""A pool on an engine in memory: real threads, or puppets whose threads are the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.fake_driver import FakeDriver, FakeFile, call
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.supervisor import Supervisor
from trio_sqlrepo._worker.commit import Writer
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import Event, Message, Worker


def make_lanes(config: PoolConfig) -> tuple[Lane, Lane]:
    writers = Lane("writer", smallest=config.max_writers, largest=config.max_writers, reserved=0)
    readers = Lane(
        "reader",
        smallest=min(config.min_readers, config.max_readers),
        largest=config.max_readers,
        reserved=config.reserved_readers,
    )
    return writers, readers


class Crew:
    """A pool and what a test wants to see or to do of it."""

    def __init__(self, config: PoolConfig, file: FakeFile | None = None) -> None:
        self.file = file or FakeFile()
        self.config = config
        self.writers, self.readers = make_lanes(config)
        self.pool = Pool("test.db", config, self.readers, self.writers)
        self.pool.explain_outside = RuntimeError
        self.pool.on_opened = lambda worker: None
        self.pool.on_ended = lambda worker, error: None
        self.faults: list[BaseException] = []
        self.returned: list[Worker] = []
        self.pool.on_fault = self.faults.append
        self.pool.on_returned = self.returned.append
        self.before_open: Callable[[Worker], object] = lambda worker: None
        self.supervisor: Supervisor

    def make_worker(self, lane: Lane, name: str) -> Worker:
        if lane is self.readers:
            return Reader(name, self._open, lane, self.pool.post)
        return Writer(
            name, self._open, lane, self.pool.post, group_commit=self.config.group_commit
        )  # fmt: skip

    def _open(self, worker: Worker) -> FakeDriver:
        self.before_open(worker)
        driver = FakeDriver(self.file)
        worker.adopt(driver)
        worker.tally.make_room(1)
        return driver

    # -- calls ---------------------------------------------------------------------------------

    async def write(self, name: str, *acts: Any) -> Any:
        return await self.pool.run(call(name, *acts))

    async def read(self, name: str, *acts: Any) -> Any:
        return await self.pool.run(call(name, *acts, writes=False))

    @asynccontextmanager
    async def lease(self, label: str = "Snapshot", *, writes: bool = False) -> AsyncIterator[Lease]:
        lease = await Lease.acquire(self.pool, label, writes=writes)
        try:
            yield lease
        finally:
            if self.pool.state.value in {"open", "draining"}:
                await lease.release(lambda worker: worker.hands.driver.rollback())

    # -- puppets -------------------------------------------------------------------------------

    def puppet(self, lane: Lane) -> Worker:
        """A worker without a thread, open and at rest."""
        worker = self.make_worker(lane, f"{lane.name} {len(lane.workers) + 1}")
        driver = self._open(worker)
        driver.give_up = worker._give_up
        worker.hands = Hands(driver, worker.ticket, worker.tally)
        worker.was_opened = True
        worker.expires_at = float("inf")
        lane.opening += 1
        self.say(worker, Event.OPENED)
        self.say(worker, Event.RESTING)
        return worker

    def say(
        self, worker: Worker, event: Event, *jobs: Job, error: BaseException | None = None
    ) -> None:
        """Have the loop hear a message of this worker."""
        message = Message(worker, list(jobs), event, worker.wakes, error)
        self.pool._outbox.append(message)
        self.pool.hear()


@asynccontextmanager
async def open_crew(
    *, file: FakeFile | None = None, renewable: bool = True, **settings: Any
) -> AsyncIterator[Crew]:
    """A pool with its supervisor and its threads, as `open_database` makes one."""
    crew = Crew(PoolConfig(**settings), file)
    pool = crew.pool
    async with trio.open_nursery() as nursery:
        crew.supervisor = Supervisor(pool, nursery, crew.make_worker, renewable=renewable)
        crew.supervisor.start()
        try:
            await crew.supervisor.open(crew.writers, 1)
            await crew.supervisor.open(crew.writers, crew.writers.smallest - 1)
            await crew.supervisor.open(crew.readers, crew.readers.smallest)
            yield crew
        finally:
            await crew.supervisor.close()
        if pool.failure is not None:
            raise pool.failure


def lease_job(label: str = "Snapshot", *, writes: bool = False) -> Job:
    return Job(Kind.LEASE, label, writes=writes)
