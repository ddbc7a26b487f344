"""The lane's decisions alone, in any order: workers without threads, which do as they are told.

`test_lane_interleavings` runs the threads' own code step by step; here only the loop's decisions
run, and what is promised of them is looked at after each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_driver import FakeDriver, FakeFile, call
from tests.pool.support import lease_job
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._worker.thread import NEVER, Worker

LARGEST = 3


def no_driver(_: Worker) -> FakeDriver:
    return FakeDriver(FakeFile())


class Stage:
    """A lane, its workers, and everything that can happen to them."""

    def __init__(self, name: str) -> None:
        self.lane = Lane(name, smallest=0, largest=LARGEST, reserved=name == "reader")
        self.numbers = itertools.count(1)
        self.fresh: set[Worker] = set()  # opened and not rested yet: nobody has woken these
        self.woken: Worker | None = None  # by the last thing that happened
        self.pick: Callable[[int], int] = lambda _: 0  # one of so many

    def happen(self, what: str, pick: int) -> None:
        self.pick = lambda count: pick % count
        self.woken = None
        getattr(self, what)()
        self.check()

    def one(self, workers: list[Worker]) -> Worker | None:
        return workers[self.pick(len(workers))] if workers else None

    # -- what the loop does --------------------------------------------------------------------

    def submit(self) -> None:
        self._submit(call("call", writes=self.lane.serial))

    def lease(self) -> None:
        self._submit(lease_job(writes=self.lane.serial))

    def _submit(self, job: Job) -> None:
        job.sequence, job.task = next(self.numbers), object()
        self.woken = self.lane.submit(job)

    def withdraw(self) -> None:
        mailed = [job for worker in self.lane.workers for job in worker.mailbox]
        living = [job for job in [*self.lane.waiters(), *mailed] if job.claim]
        if living:
            job = living[self.pick(len(living))]
            del job.claim
            job.cancelled = True
            self.lane.withdraw(job)

    def dismiss(self) -> None:
        worker = self.one([each for each in self.lane.workers if not each.leaving])
        if worker is not None:
            self.lane.dismiss(worker)

    def release(self) -> None:
        worker = self.one([each for each, job in self.lane.held.items() if job.holder is not None])
        if worker is not None:
            self.woken = self.lane.released(worker)

    # -- what the threads do, as the loop hears of it ------------------------------------------

    def open(self) -> None:
        if self.lane.can_grow:
            worker = Worker(f"{self.lane.name}", no_driver, self.lane, lambda _: None)
            self.lane.opening += 1
            self.lane.opened(worker)
            self.fresh.add(worker)

    def wake(self) -> None:
        """A worker that is awake takes the next call, or the lease it was given."""
        worker = self.one([*self.lane.busy, *(each for each in self.lane.held if each.mailbox)])
        if worker is not None and worker.mailbox:
            self._take(worker, worker.mailbox.popleft())
        elif worker is not None and self.lane.queue and not worker.leaving:
            job = self.lane.queue.popleft()
            worker.tally.claimed += bool(job.claim)
            self._take(worker, job)

    def _take(self, worker: Worker, job: Job) -> None:
        if job.claim:
            del job.claim
            if job.kind is Kind.LEASE:
                self.lane.granted(worker, job)

    def refuse(self) -> None:
        """A lease that was handed over could not begin."""
        worker = self.one([each for each in self.lane.held if each.mailbox])
        if worker is not None:
            self.woken = self.lane.refused(worker, worker.mailbox.popleft())

    def enter_slow_job(self) -> None:
        worker = self.one(list(self.lane.busy))
        if worker is not None and not self.lane.serial:
            worker.slow = True
            if self.lane.queue:
                self.woken = self.lane.help()

    def rest(self) -> None:
        """A worker has found nothing; meanwhile more may have come."""
        dead = [
            each for each, job in self.lane.held.items()
            if job.holder is None and not job.claim
        ]  # fmt: skip
        worker = self.one([*self.lane.busy, *dead])
        if worker is not None:
            worker.slow = False
            worker.mailbox.clear()
            self.fresh.discard(worker)
            self.woken = self.lane.rested(worker)

    def lose(self) -> None:
        worker = self.one(self.lane.workers)
        if worker is not None:
            self.fresh.discard(worker)
            self.woken = self.lane.lost(worker)

    # -- what is promised ----------------------------------------------------------------------

    def check(self) -> None:
        lane = self.lane
        places = [*lane.idle, *lane.busy, *lane.held]
        assert sorted(map(id, places)) == sorted(map(id, lane.workers))  # each in exactly one
        assert self.woken not in lane.idle
        assert not any(worker.leaving for worker in lane.idle)
        living = [job for job in lane.queue if job.claim]
        assert lane.waiting == len(living) + len(lane.leases)
        granted = [job.holder for job in lane.held.values() if job.holder is not None]
        assert sorted(map(id, lane.holders)) == sorted(map(id, granted))
        if lane.serial:
            self.check_writers(living)
        else:
            self.check_readers(living)

    def check_writers(self, living: list[Job]) -> None:
        lane = self.lane
        awake = {*lane.busy, *lane.held}
        called = [each for each in awake if each not in self.fresh and not each.leaving]
        assert len(called) <= 1
        if self.woken is not None and not self.woken.leaving:
            assert awake == {self.woken}
        assert awake or not (living and lane.idle)

    def check_readers(self, living: list[Job]) -> None:
        lane = self.lane
        if living and lane.idle:  # then one is awake that takes them at once
            assert any(not worker.slow for worker in lane.busy)
        may_lend = len(lane.held) < lane.lease_limit
        assert len(lane.held) <= lane.lease_limit < LARGEST
        assert not (lane.leases and lane.idle and may_lend)
        due = lane.leases and may_lend
        assert lane.lease_sequence == (lane.leases[0].sequence if due else NEVER)


events = st.sampled_from(
    [
        "open", "submit", "lease", "withdraw", "wake", "rest", "enter_slow_job", "release",
        "refuse", "dismiss", "lose",
    ]
)  # fmt: skip


@pytest.mark.parametrize("name", ["reader", "writer"])
@given(happened=st.lists(st.tuples(events, st.integers(0, 5)), min_size=20, max_size=60))
def test_whatever_happens_nothing_waits_for_the_idle_and_one_writer_works(
    name: str, happened: list[tuple[str, int]]
) -> None:
    stage = Stage(name)
    for _ in range(LARGEST):
        stage.happen("open", 0)
        stage.happen("rest", 0)
    for what, pick in happened:
        stage.happen(what, pick)
