"""A worker whose thread is the test's own: each turn runs when the test says so."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.fake_driver import FakeDriver, FakeFile
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._worker.commit import Writer
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import NEVER, Event, Message, Worker


class Inbox:
    """What a worker sees of a lane."""

    def __init__(self) -> None:
        self.queue: deque[Job] = deque()
        self.lease_sequence = NEVER
        self.checkpoint_at = NEVER
        self.urgent: Job | None = None
        self.watched = False


class Desk:
    """A worker, its inbox, what it has posted; and the loop's part, played by the test."""

    def __init__(self, file: FakeFile, make: Callable[..., Worker], *, woken: bool = True) -> None:
        self.file = file
        self.inbox = Inbox()
        self.messages: list[Message] = []
        self.driver: FakeDriver
        self.worker = make("worker 1", self._open, self.inbox, self.messages.append)
        self._numbers = itertools.count(1)
        self.worker.driver = self.driver = FakeDriver(file)
        self.worker.hands = Hands(
            self.driver, self.worker.ticket, self.worker.tally, self.worker.clock
        )
        self.driver.give_up = self.worker._give_up
        self.worker.tally.make_room(1)
        if woken:
            self.worker._wakes_seen = 1

    def _open(self, worker: Worker) -> FakeDriver:
        self.driver = FakeDriver(self.file)
        worker.adopt(self.driver)
        worker.tally.make_room(1)
        return self.driver

    def send(self, *jobs: Job) -> None:
        """Put jobs into the inbox."""
        for job in jobs:
            job.sequence = next(self._numbers)
            self.inbox.queue.append(job)

    def turn(self, *jobs: Job) -> None:
        """Put jobs into the inbox and have the worker take one turn."""
        self.send(*jobs)
        assert self.worker._turn()

    def run_dry(self, *jobs: Job) -> None:
        """Have it work until it finds nothing more, or its connection must go."""
        self.send(*jobs)
        while not self.worker._retire and self.worker._turn():
            pass

    def cancel(self, job: Job) -> None:
        """What the loop does when the task of a job is cancelled."""
        try:
            del job.claim
        except AttributeError:
            job.cancelled = True
            if job.worker is not None:
                job.worker.ticket.cancel(job)
        else:
            job.cancelled = True

    @property
    def told(self) -> list[str]:
        """The labels of the jobs that were answered, in order.

        What is in hand when nothing waits goes with the word that the thread rests, or ends.
        """
        sent = [job for message in self.messages for job in message.jobs]
        last = self.worker._retire is not None or self.worker._peek() is None
        return [job.label for job in (*sent, *(self.worker._finished if last else ()))]

    @property
    def events(self) -> list[Event]:
        return [message.event for message in self.messages]

    @property
    def retired(self) -> BaseException | None:
        return self.worker._retire


def writer_desk(file: FakeFile | None = None, *, group_commit: int = 128, **more: Any) -> Desk:
    def make(*arguments: Any) -> Writer:
        return Writer(*arguments, group_commit=group_commit)

    return Desk(file or FakeFile(), make, **more)


def reader_desk(file: FakeFile | None = None) -> Desk:
    return Desk(file or FakeFile(), Reader)
