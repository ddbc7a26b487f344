"""Every interleaving of calls, leases, cancellations and threads, as far as Hypothesis finds them.

Whatever comes between what: nothing waits while a worker that could serve it is idle, a slow job
holds up nobody but itself, and in the end every call has been answered once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_driver import Act, FakeFile, broken, call
from tests.pool.stepping import SteppedLane, Stepper, start_stepped
from tests.pool.support import Crew
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._pool import hub
from trio_sqlrepo._worker.thread import SLOW, Message, Worker


@attrs.frozen
class Task:
    """Who waits for a job."""

    job: Job


class World:
    """A lane with stepped workers, and the loop that Hypothesis plays."""

    def __init__(self, data: st.DataObject, *, serial: bool) -> None:
        self.data = data
        self.file = FakeFile()
        self.crew = Crew(PoolConfig(max_readers=0 if serial else 3, max_writers=2), self.file)
        kind = "writer" if serial else "reader"
        self.lane = SteppedLane(kind, smallest=0, largest=3, reserved=1)
        self.pool = self.crew.pool
        self.pool.lanes = (self.lane,)
        self.answered: list[Job] = []
        self.sent: list[Job] = []
        self.workers: list[Worker] = []
        self.enders: dict[Worker, Job] = {}  # RELEASE jobs under way
        self.outbox = self.pool._outbox

    def told(self, task: Task, _: object) -> None:
        """In place of trio's `reschedule`: a task learns how its job has ended."""
        self.answered.append(task.job)

    # -- what the loop may do ------------------------------------------------------------------

    def open_one(self) -> None:
        if len(self.workers) < 3:
            worker = start_stepped(self.lane, self.file, self.outbox.append, f"{len(self.workers)}")
            self.lane.opening += 1
            self.workers.append(worker)

    def _send(self, job: Job) -> None:
        job.task = Task(job)
        job.sequence = self.pool.sequence = self.pool.sequence + 1
        self.sent.append(job)
        self.pool.outstanding.add(job)
        worker = self.lane.submit(job)
        if worker is not None:
            worker.wake()

    def send_cheap(self) -> None:
        self._send(call(f"cheap {len(self.sent)}", writes=self.lane.serial))

    def send_slow(self) -> None:
        job = call(f"slow {len(self.sent)}", writes=self.lane.serial)
        assert job.statement is not None
        job.statement.cost = SLOW * 100
        self._send(job)

    def send_spoiling(self) -> None:
        act = Act(raises=broken())
        self._send(call(f"spoiling {len(self.sent)}", act, writes=self.lane.serial))

    def send_lease(self) -> None:
        self._send(Job(Kind.LEASE, f"lease {len(self.sent)}", writes=self.lane.serial))

    def cancel(self) -> None:
        waiting = [job for job in self.sent if job in self.pool.outstanding]
        waiting = [job for job in waiting if job.kind is not Kind.RELEASE]
        if waiting:
            job = self.data.draw(st.sampled_from(waiting))
            if self.pool.withdraw(job, self.lane):
                self.answered.append(job)
            else:
                self.pool.interrupt(job)

    def release(self) -> None:
        held = [
            worker
            for worker, lease in self.lane.held.items()
            if lease.holder is not None and worker not in self.enders
        ]
        if held:
            self._release(self.data.draw(st.sampled_from(held)))

    def _release(self, worker: Worker) -> None:
        job = Job(
            Kind.RELEASE, "release", writes=False, work=lambda held: held.hands.driver.rollback()
        )
        self.enders[worker] = job
        job.task = Task(job)
        self.sent.append(job)
        self.pool.outstanding.add(job)
        worker.mailbox.append(job)
        worker.wake()

    def dismiss(self) -> None:
        if self.lane.workers:
            worker = self.data.draw(st.sampled_from(self.lane.workers))
            if not worker.leaving:
                idle = worker in self.lane.idle
                self.lane.dismiss(worker)
                if idle:
                    worker.wake()

    def hear_one(self) -> None:
        if self.outbox:
            message: Message = self.outbox.popleft()
            self.pool._hear(message)
            for job in message.jobs:
                if job.kind is Kind.RELEASE:
                    self.enders.pop(message.worker, None)

    def step(self) -> None:
        runnable = [worker for worker in self.workers if can_run(worker)]
        if runnable:
            worker = self.data.draw(st.sampled_from(runnable))
            for _ in range(self.data.draw(st.integers(1, 8))):
                if can_run(worker):
                    stepper_of(worker).step()

    def run_one(self) -> None:
        """Step a thread until it blocks."""
        runnable = [worker for worker in self.workers if can_run(worker)]
        if runnable:
            worker = self.data.draw(st.sampled_from(runnable))
            while can_run(worker):
                stepper_of(worker).step()

    def hear_all(self) -> None:
        while self.outbox:
            self.hear_one()

    # -- until nothing moves -------------------------------------------------------------------

    def settle(self, *, finish: bool) -> None:
        """Run everything there is to run; `finish`: slow jobs too."""
        moved = True
        rounds = 0
        while moved:
            rounds += 1
            assert rounds < 10_000, "the threads and the loop wake each other for ever"
            moved = bool(self.outbox)
            self.hear_all()
            for worker in self.workers:
                if can_run(worker) and (finish or "job slow" not in stepper_of(worker).where):
                    stepper_of(worker).step()
                    moved = True

    def check_nobody_waits_for_the_idle(self) -> None:
        lane = self.lane
        living = [job for job in lane._queue if job.claim]
        if lane.serial:
            assert not (living and lane.idle and not lane.busy and not lane.held), lane
        else:
            assert not (living and lane.idle), lane
            assert not (lane.leases and lane.idle and len(lane.held) < lane.lease_limit), lane
        assert lane.waiting == len(living) + len(lane.leases)


def stepper_of(worker: Worker) -> Stepper:
    return worker.stepper  # type: ignore[attr-defined, no-any-return]


def can_run(worker: Worker) -> bool:
    stepper = stepper_of(worker)
    blocked = stepper.where == "blocked" and not worker.signal.count  # type: ignore[attr-defined]
    return not (stepper.done or blocked)


@pytest.mark.parametrize("serial", [False, True], ids=["readers", "writers"])
@given(data=st.data())
def test_nothing_waits_for_an_idle_worker(serial: bool, data: st.DataObject) -> None:
    async def main() -> None:
        world = World(data, serial=serial)
        actions: list[Callable[[], Any]] = [
            world.step, world.step, world.step, world.hear_one, world.hear_one, world.hear_all,
            world.run_one, world.send_cheap, world.send_slow, world.send_lease, world.cancel,
            world.release, world.dismiss, world.open_one, world.send_spoiling,
        ]  # fmt: skip
        for _ in range(data.draw(st.integers(1, 3))):
            world.open_one()
        if data.draw(st.booleans()):
            world.settle(finish=True)
        program = st.lists(st.sampled_from(actions), min_size=1, max_size=60)
        try:
            with mock.patch.object(hub, "reschedule", world.told):
                for action in data.draw(program):
                    action()
                world.settle(finish=False)
                world.check_nobody_waits_for_the_idle()
                finish(world)
        finally:
            end(world)

    trio.run(main)


def finish(world: World) -> None:
    """Let everybody finish; then every call has been answered once, and truly."""
    lane = world.lane
    for _ in range(100):
        world.settle(finish=True)
        world.check_nobody_waits_for_the_idle()
        for worker in [each for each in lane.held if each not in world.enders]:
            world._release(worker)
        if all(worker.leaving or worker.buried for worker in lane.workers):
            world.workers = [worker for worker in world.workers if not stepper_of(worker).done]
            world.open_one()  # the supervisor's part
        if not (world.outbox or world.pool.outstanding):
            break
    assert sorted(map(id, world.answered)) == sorted(map(id, world.sent))
    assert (lane.waiting, lane.held, lane.holders) == (0, {}, {})
    if lane.serial:
        kept = [job.label for job in world.sent if job.value == 1 and job.kind is Kind.CALL]
        assert world.file.rows == kept
    for job in world.sent:
        if job.error is None:
            continue
        if isinstance(job.error, Stopped):
            assert job.cancelled, job
        else:
            assert job.label.startswith("spoiling"), job.error


def end(world: World) -> None:
    for worker in world.workers:
        worker.stop()
        for job in world.sent:
            job.cancelled = True
        while not stepper_of(worker).done:
            stepper_of(worker).step()
