"""Workers whose threads run step by step: the test decides which goes on, and how far.

Each thread runs the real code of a worker and stops wherever another thread, or the loop, could
come between: when it looks at the inbox, when it becomes slow, inside a job, before it blocks.
One thread runs at a time. So an example of Hypothesis is one interleaving, and can be repeated.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.fake_driver import FakeDriver, FakeFile, Play
from tests.waiting import PATIENCE
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._worker.commit import Writer
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import Worker

_here = threading.local()


class Stepper:
    """One thread, and the baton that it waits for at each of its stops."""

    def __init__(self, main: Callable[[], None]) -> None:
        self.where = "start"
        self.done = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._main = main
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _here.stepper = self
        assert self._go.acquire(timeout=PATIENCE)
        self._main()
        self.done = True
        self._stopped.release()

    def step(self) -> None:
        """Let the thread go on to its next stop."""
        self._go.release()
        assert self._stopped.acquire(timeout=PATIENCE), self.where
        if self.done:
            self._thread.join(PATIENCE)

    def stop_at(self, where: str) -> None:
        self.where = where
        self._stopped.release()
        assert self._go.acquire(timeout=PATIENCE)


def stop_at(where: str) -> None:
    """A stop, if this is a stepped thread; the loop passes it."""
    stepper = getattr(_here, "stepper", None)
    if stepper is not None:
        stepper.stop_at(where)


class SteppedSignal:
    """A signal whose wait is a stop. Steps are wasted while nothing has been set."""

    def __init__(self) -> None:
        self.count = 0

    def set(self) -> None:
        self.count += 1

    def wait(self) -> int:
        stop_at("blocked")
        while not self.count:
            stop_at("blocked")
        count, self.count = self.count, 0
        return count

    def close(self) -> None:
        """There is no descriptor."""


class SteppedLane(Lane):  # type: ignore[misc]  # final for everybody else
    """A lane where every look of a thread at its inbox is a stop."""

    @property
    def queue(self) -> deque[Job]:
        stop_at("inbox")
        return self._queue

    @queue.setter
    def queue(self, queue: deque[Job]) -> None:
        self._queue = queue


class _Steps:
    """What a stepped worker adds to the real one."""

    @property
    def slow(self) -> bool:
        return self._slow

    @slow.setter
    def slow(self, slow: bool) -> None:
        stop_at("before")
        self._slow = slow
        stop_at("after")

    stepper: Stepper
    _slow = False


class SteppedReader(_Steps, Reader):  # type: ignore[misc]  # final for everybody else
    pass


class SteppedWriter(_Steps, Writer):  # type: ignore[misc]  # final for everybody else
    pass


class SteppedDriver(FakeDriver):
    """Each statement stops once; so do BEGIN IMMEDIATE and COMMIT."""

    def _perform(self, name: str, play: Play, *, writes: bool) -> Any:
        stop_at(f"job {name}")
        return super()._perform(name, play, writes=writes)

    def begin_write(self) -> None:
        super().begin_write()
        stop_at("begin")

    def commit(self) -> None:
        stop_at("commit")
        super().commit()


def start_stepped(lane: Lane, file: FakeFile, post: Callable[..., None], name: str) -> Worker:
    """A worker of this lane, its thread at its first stop."""

    def open_driver(worker: Worker) -> FakeDriver:
        driver = SteppedDriver(file)
        worker.adopt(driver)
        worker.tally.make_room(1)
        return driver

    def post_and_stop(message: Any) -> None:
        post(message)
        stop_at("posted")

    worker: Worker
    if lane.serial:
        worker = SteppedWriter(name, open_driver, lane, post_and_stop, group_commit=3)
    else:
        worker = SteppedReader(name, open_driver, lane, post_and_stop)
    worker.clock = lambda: 0.0  # what is slow is what a test says, not what a busy machine does
    worker.signal = SteppedSignal()  # type: ignore[assignment]
    worker.stepper = Stepper(worker.main)
    return worker
