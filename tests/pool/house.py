"""A pool over scripted connections, with real threads, opened and closed as `_opening` does."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import MockClock

from tests.fake_driver import FakeDriver, FakeFile
from tests.waiting import until
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.live import LiveQueries
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.supervisor import Supervisor
from trio_sqlrepo._pool.wal import Governor
from trio_sqlrepo._worker.checkpointer import Checkpointer
from trio_sqlrepo._worker.commit import Writer
from trio_sqlrepo._worker.live import LiveReader
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import Worker


class House:
    """The pool, its parts, and what its connections see."""

    def __init__(
        self,
        file: FakeFile,
        governor: Governor | None,
        live: LiveQueries | None = None,
        **settings: Any,
    ) -> None:
        self.file = file
        # The clock may run fast while threads work: whoever tests what a thread is given says so.
        defaults = {"drain_timeout": 0.0, "health_check_timeout": math.inf}
        self.config = config = PoolConfig(**{**defaults, **settings})
        self.writers = Lane(
            "writer", smallest=config.max_writers, largest=config.max_writers, reserved=0
        )
        self.readers = Lane(
            "reader",
            smallest=config.min_readers,
            largest=config.max_readers,
            reserved=config.reserved_readers,
        )
        self.governor = governor
        self.pool = Pool("house.db", config, self.readers, self.writers, governor, live=live)
        self.supervisor: Supervisor
        self.before_open: Callable[[Worker], object] = id  # on the thread that opens
        self.suspicions: list[BaseException | None] = []  # of each connection opened
        self.make_errors: list[BaseException] = []  # the next attempts to make a worker meet these

    def make_worker(self, lane: Lane, name: str) -> Worker:
        if self.make_errors:
            raise self.make_errors.pop(0)
        if lane is self.readers:
            return Reader(name, self.open_driver, lane, self.pool.post)
        if lane is self.pool.live.lane:
            return LiveReader(name, self.open_driver, lane, self.pool.post)
        if lane is not self.writers:
            return Checkpointer(name, self.open_driver, lane, self.pool.post)
        return Writer(name, self.open_driver, lane, self.pool.post, group_commit=8)

    def open_driver(self, worker: Worker) -> FakeDriver:
        self.before_open(worker)
        driver = FakeDriver(self.file)
        self.suspicions.append(worker.suspicion)
        worker.adopt(driver)
        worker.tally.make_room(1)
        return driver

    @property
    def live_lane(self) -> Lane:
        assert self.pool.live.lane is not None
        return self.pool.live.lane

    def driver_of(self, worker: Worker) -> FakeDriver:
        assert isinstance(worker.driver, FakeDriver)
        return worker.driver

    async def at_rest(self) -> None:
        """Wait until every open connection is idle."""
        await until(
            lambda: all(
                len(lane.idle) == len(lane.workers) and not lane.opening for lane in self.pool.lanes
            )
        )


@asynccontextmanager
async def a_house(
    file: FakeFile | None = None,
    *,
    renewable: bool = True,
    governor: Governor | None = None,
    live: LiveQueries | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """Open one; leaving closes it and raises the bug that made it fail, if there was one."""
    house = House(file or FakeFile(), governor, live, **settings)
    pool = house.pool
    async with trio.open_nursery() as nursery:
        house.supervisor = Supervisor(pool, nursery, house.make_worker, renewable=renewable)
        house.supervisor.start()
        try:
            await house.supervisor.open(house.writers, house.writers.smallest)
            await house.supervisor.open(house.readers, house.readers.smallest)
            await house.at_rest()
            yield house
        finally:
            nursery.start_soon(house.supervisor.close)
    if pool.failure is not None:
        raise pool.failure


async def pass_time(clock: MockClock, step: float, condition: Callable[[], object]) -> None:
    """Let time pass in steps until the condition holds."""

    def pause() -> bool:
        clock.jump(step)
        return bool(condition())

    await until(lambda: condition() or pause())


class Answer:
    """What became of a call that a task of its own made."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.given = trio.Event()
        self.scope = trio.CancelScope()

    async def take(self, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            with self.scope:
                self.value = await ask()
        except Exception as error:  # the test looks at it
            self.error = error
        self.given.set()


def ask(nursery: trio.Nursery, house: House, job: Job) -> Answer:
    """Make a call in a task of its own."""
    answer = Answer()
    nursery.start_soon(answer.take, lambda: house.pool.run(job))
    return answer
