"""The life of a worker on a real thread: what it posts, what wakes it, what ends it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tests.fake_driver import (
    Act,
    FakeDriver,
    FakeFile,
    Halt,
    Play,
    broken,
    call,
    statement,
    working,
)
from tests.waiting import PATIENCE
from tests.worker.support import Inbox, reader_desk, writer_desk
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import OpenError, SqlError, TransactionAborted
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker.reader import Reader
from trio_sqlrepo._worker.thread import Event, Message, Worker


class Running:
    """A reader on a thread of its own; the test is its loop."""

    def __init__(self, open_driver: Callable[[Worker], FakeDriver] | None = None) -> None:
        self.inbox = Inbox()
        self.posted: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.file = FakeFile()
        self.worker = Reader(
            "reader 1", open_driver or self._open, self.inbox, self.posted.put
        )  # fmt: skip
        self.thread = threading.Thread(target=self.worker.main)
        self.numbers = 0

    def _open(self, worker: Worker) -> FakeDriver:
        self.driver = FakeDriver(self.file)
        worker.adopt(self.driver)
        worker.tally.make_room(1)
        return self.driver

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        if self.worker.ticket.current is not None:
            self.cancel(self.worker.ticket.current)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def hear(self) -> Message:
        return self.posted.get(timeout=PATIENCE)

    def hear_all(self, *expected: Event) -> None:
        assert tuple(self.hear().event for _ in expected) == expected

    def send(self, job: Job) -> None:
        self.numbers += 1
        job.sequence = self.numbers
        self.inbox.queue.append(job)
        self.worker.wake()

    def cancel(self, job: Job) -> None:
        job.cancelled = True
        self.worker.ticket.cancel(job)


@pytest.fixture
def running() -> Iterator[Running]:
    with Running() as running:
        running.hear_all(Event.OPENED, Event.RESTING)
        yield running


# -- resting and waking ----------------------------------------------------------------------------


def test_it_says_how_many_wake_ups_it_has_seen(running: Running) -> None:
    for expected in (1, 2):
        running.worker.wake()
        message = running.hear()
        assert (message.event, message.wakes) == (Event.RESTING, expected)
        assert running.worker.wakes == expected


def test_wake_ups_that_come_while_it_works_are_not_lost(running: Running) -> None:
    halt = Halt()
    running.send(call("slow", Act(halt=halt), writes=False))
    halt.wait_reached()
    running.worker.wake()
    running.worker.wake()
    halt.go.set()
    seen = running.hear()
    while seen.wakes < 3:
        assert seen.event is Event.RESTING
        seen = running.hear()
    assert seen.wakes == running.worker.wakes == 3


def test_the_message_that_brings_the_result_reports_it_idle(running: Running) -> None:
    job = call("a", writes=False, rows=True)
    running.send(job)
    message = running.hear()
    assert (message.event, message.jobs) == (Event.RESTING, [job])
    assert job.worker is running.worker
    assert "idle" in repr(running.worker)


def test_repr_says_what_it_runs(running: Running) -> None:
    halt = Halt()
    running.send(call("Notes.get", Act(halt=halt), writes=False))
    halt.wait_reached()
    assert repr(running.worker) == "<Reader reader 1 running Notes.get>"
    halt.go.set()


# -- ends ------------------------------------------------------------------------------------------


def test_leaving_it_ends_when_woken(running: Running) -> None:
    running.worker.leaving = True
    running.worker.wake()
    message = running.hear()
    assert (message.event, message.error, message.jobs) == (Event.ENDED, None, [])
    running.thread.join(PATIENCE)
    assert running.driver.closed


def test_leaving_it_finishes_what_it_does(running: Running) -> None:
    halt = Halt()
    job = call("a", Act(halt=halt), writes=False)
    running.send(job)
    halt.wait_reached()
    running.worker.leaving = True
    halt.go.set()
    message = running.hear()
    assert (message.event, message.jobs) == (Event.NEWS, [job])  # before it closes: that takes time
    assert job.error is None
    assert running.hear().event is Event.ENDED


def test_leaving_it_still_serves_the_lease_it_was_given_before(running: Running) -> None:
    lease = Job(Kind.LEASE, "Snapshot", writes=False)
    running.worker.mailbox.append(lease)
    running.worker.leaving = True
    running.worker.wake()
    assert running.hear().jobs == [lease]
    assert lease.value is running.worker
    end = release()
    running.worker.mailbox.append(end)
    running.worker.wake()
    assert running.hear().jobs == [end]
    assert running.hear().event is Event.ENDED


def test_an_error_that_spoils_the_connection_ends_it(running: Running) -> None:
    job = call("a", Act(raises=broken()), writes=False)
    running.send(job)
    message = running.hear()
    assert (message.event, message.error, message.jobs) == (Event.NEWS, job.error, [job])
    message = running.hear()
    assert (message.event, message.error, message.jobs) == (Event.ENDED, job.error, [])
    assert running.driver.closed


def test_a_crash_is_its_last_message(running: Running) -> None:
    crash = AttributeError("a bug")

    def crashing() -> bool:
        raise crash

    running.driver.is_clean = crashing  # type: ignore[method-assign]
    job = working(Kind.BODY, "body", lambda hands: None, writes=False)
    running.send(job)
    message = running.hear()
    assert (message.event, message.error) == (Event.ENDED, crash)
    assert running.driver.closed


@pytest.mark.parametrize("before", [None, broken()])
def test_a_crash_while_closing_is_told_unless_there_was_a_reason(
    running: Running, before: SqlError | None
) -> None:
    running.driver.close_error = crash = AttributeError("a bug")
    if before is None:
        running.worker.leaving = True
        running.worker.wake()
    else:
        running.send(call("a", Act(raises=before), writes=False))
    assert running.hear().error is (before or crash)


def test_one_that_could_not_be_opened_says_why() -> None:
    error = OpenError("no such directory")

    def open_driver(_: Worker) -> FakeDriver:
        raise error

    with Running(open_driver) as running:
        message = running.hear()
        assert (message.event, message.error) == (Event.ENDED, error)
    assert not running.worker.has_compiled(statement("s"))


def test_stopping_ends_the_wait_for_a_lock_while_it_is_opened() -> None:
    opening = threading.Event()

    def open_driver(worker: Worker) -> FakeDriver:
        driver = FakeDriver(file)
        worker.adopt(driver)
        opening.set()
        driver.begin_write()
        raise AssertionError

    file = FakeFile()
    file.locked = True
    with Running(open_driver) as running:
        assert opening.wait(PATIENCE)
        running.worker.stop()
        assert isinstance(running.hear().error, Interrupted)
        assert file.open_connections == 0


def test_stopping_interrupts_a_migration() -> None:
    halt, opened = Halt(), threading.Event()

    def open_driver(worker: Worker) -> FakeDriver:
        driver = FakeDriver(file)
        worker.adopt(driver)
        opened.set()
        driver.execute("SELECT", [Play(Act(halt=halt))])
        raise AssertionError

    file = FakeFile()
    with Running(open_driver) as running:
        halt.wait_reached()
        running.worker.stop()
        assert isinstance(running.hear().error, Interrupted)


def test_stopping_before_there_is_a_connection() -> None:
    go = threading.Event()

    def open_driver(worker: Worker) -> FakeDriver:
        assert go.wait(PATIENCE)
        driver = FakeDriver(FakeFile())
        worker.adopt(driver)
        return driver

    with Running(open_driver) as running:
        running.worker.stop()
        go.set()
        running.hear_all(Event.OPENED, Event.ENDED)


def test_stopping_an_open_one_interrupts_nothing_by_itself(running: Running) -> None:
    """Its calls are interrupted through their tickets, each for itself."""
    running.worker.was_opened = True
    halt = Halt()
    job = call("a", Act(halt=halt), writes=False)
    running.send(job)
    halt.wait_reached()
    running.worker.stop()
    assert running.driver.aborts == 0
    running.cancel(job)
    message = running.hear()
    assert (message.event, message.jobs) == (Event.NEWS, [job])  # at once
    assert isinstance(job.error, Stopped)
    assert running.hear().event is Event.ENDED


def test_has_compiled(running: Running) -> None:
    query = statement("s")
    assert not running.worker.has_compiled(query)
    running.driver.prepare([query])
    assert running.worker.has_compiled(query)


def test_every_kind_of_worker_says_what_a_turn_is() -> None:
    worker = Worker("worker", lambda _: FakeDriver(FakeFile()), Inbox(), lambda _: None)
    with pytest.raises(NotImplementedError):
        worker._turn()
    with pytest.raises(NotImplementedError):
        worker.commit()


# -- giving up -------------------------------------------------------------------------------------


def test_a_wait_is_given_up_when_its_job_is_cancelled_or_the_worker_stops() -> None:
    desk = reader_desk()
    assert not desk.driver.give_up()
    job = call("a", writes=False)
    desk.worker.ticket.begin(job)
    assert not desk.driver.give_up()
    desk.worker.stopping = True  # that alone does not end a job; its cancellation does
    assert not desk.driver.give_up()
    job.cancelled = True
    assert desk.driver.give_up()
    desk.worker.ticket.end()
    assert desk.driver.give_up()


def test_a_reader_that_waits_to_begin_pops_nothing_off_the_inbox() -> None:
    """Other readers pop too: two that clear away the dead could take a living job along."""
    desk = reader_desk()
    dead = call("dead", writes=False)
    desk.send(dead)
    desk.cancel(dead)
    assert not desk.driver.give_up()
    assert list(desk.inbox.queue) == [dead]


# -- leases ----------------------------------------------------------------------------------------


def release(ending: Callable[[Worker], Any] = lambda worker: worker.hands.driver.rollback()) -> Job:
    return Job(Kind.RELEASE, "Snapshot", writes=False, work=ending)


def looking(label: str, act: Act | None = None) -> Job:
    play = Play(act or Act())
    return working(
        Kind.ADHOC, label, lambda hands: hands.driver._perform(label, play, writes=False),
        writes=False,
    )  # fmt: skip


@pytest.fixture
def lent(running: Running) -> Running:
    lease = Job(Kind.LEASE, "Snapshot", writes=False)
    running.worker.mailbox.append(lease)
    running.worker.wake()
    message = running.hear()
    assert (message.event, message.jobs) == (Event.NEWS, [lease])
    assert lease.value is running.worker
    return running


def command(lent: Running, job: Job) -> Message:
    lent.worker.mailbox.append(job)
    lent.worker.wake()
    return lent.hear()


def test_a_lease_is_served_until_it_is_released(lent: Running) -> None:
    assert lent.driver.in_transaction
    for label in "ab":
        job = looking(label)
        assert command(lent, job).jobs == [job]
        assert job.value == 1
    assert lent.driver.log == ["BEGIN", "a", "b"]
    end = release()
    message = command(lent, end)
    assert (message.event, message.jobs) == (Event.RESTING, [end])
    assert not lent.driver.in_transaction
    assert lent.worker.tally.busy_seconds > 0


def test_a_lent_connection_is_checked_in_before_its_holder_hears(lent: Running) -> None:
    """Whatever the ending does or forgets."""
    end = release(lambda _: None)
    command(lent, end)
    assert lent.driver.log[-1] == "ROLLBACK"
    assert end.error is None


def test_a_lent_connection_that_comes_back_dirty_is_replaced(lent: Running) -> None:
    lent.driver.dirty = "something attached"
    end = release()
    assert command(lent, end).jobs == [end]
    message = lent.hear()
    assert message.event is Event.ENDED
    assert "replaced" in str(message.error)


def test_an_ending_that_fails_is_its_own_error(lent: Running) -> None:
    def ending(_: Worker) -> None:
        raise broken()

    end = release(ending)
    message = command(lent, end)
    assert end.error is message.error
    assert lent.hear().event is Event.ENDED


def test_a_command_cancelled_before_its_claim_is_passed_over(lent: Running) -> None:
    job = looking("a")
    del job.claim
    lent.worker.mailbox.append(job)
    lent.worker.wake()
    after = looking("b")
    assert command(lent, after).jobs == [after]
    assert "a" not in lent.driver.log


def test_a_command_is_interrupted_alone(lent: Running) -> None:
    halt = Halt()
    job = looking("a", Act(halt=halt))
    lent.worker.mailbox.append(job)
    lent.worker.wake()
    halt.wait_reached()
    lent.cancel(job)
    assert lent.hear().jobs == [job]
    assert isinstance(job.error, Stopped)
    after = looking("b")
    command(lent, after)
    assert after.error is None


def test_after_its_transaction_vanished_a_lease_does_nothing_more(lent: Running) -> None:
    lent.driver._forget()
    job = looking("a")
    command(lent, job)
    assert isinstance(job.error, TransactionAborted)
    assert "a" not in lent.driver.log


def test_stopping_ends_a_lease(lent: Running) -> None:
    lent.worker.stop()
    message = lent.hear()
    assert (message.event, message.jobs) == (Event.ENDED, [])
    assert lent.driver.log == ["BEGIN", "ROLLBACK"]


@pytest.mark.parametrize("error", [SqlError("busy recovering"), broken()])
def test_a_lease_that_can_not_begin_is_told_why(running: Running, error: SqlError) -> None:
    running.driver.begin_errors.append(error)
    lease = Job(Kind.LEASE, "Snapshot", writes=False)
    running.worker.mailbox.append(lease)
    running.worker.wake()
    message = running.hear()
    assert message.jobs == [lease]
    assert lease.error is error
    if error.code:  # it costs the connection
        assert message.event is Event.NEWS
        message = running.hear()
        assert (message.event, message.error) == (Event.ENDED, error)
    else:
        assert message.event is Event.RESTING


def test_a_lease_cancelled_while_it_waits_to_begin_gives_up(running: Running) -> None:
    running.file.locked = True
    lease = Job(Kind.LEASE, "Snapshot", writes=False)
    running.worker.mailbox.append(lease)
    running.worker.wake()
    assert running.file.waiting.wait(PATIENCE)
    running.cancel(lease)
    assert running.hear().jobs == [lease]
    assert isinstance(lease.error, Stopped)


def test_a_lease_cancelled_between_claim_and_start_does_not_begin() -> None:
    desk = reader_desk()
    lease = Job(Kind.LEASE, "Snapshot", writes=False)
    lease.cancelled = True
    desk.worker.mailbox.append(lease)
    assert desk.worker._turn()
    assert isinstance(lease.error, Stopped)
    assert desk.driver.log == []


# -- results ---------------------------------------------------------------------------------------


def test_whatever_a_job_raises_goes_to_its_caller() -> None:
    desk = writer_desk()

    def work(_: Any) -> None:
        raise SystemExit(3)

    job = working(Kind.FUNCTION, "fn", work)
    desk.turn(job)
    assert isinstance(job.error, SystemExit)
    assert desk.worker.ticket.current is None


def test_a_result_is_dropped_with_its_error() -> None:
    desk = writer_desk()
    job = call("a", Act(raises=ValueError()), writes=False)
    job.value = "from an earlier run"
    desk.worker._run(job)
    assert (job.value, type(job.error)) == (None, ValueError)


def test_an_interrupt_of_a_job_that_was_not_cancelled_is_not_hidden() -> None:
    desk = reader_desk()
    job = call("a", Act(raises=Interrupted("a bug")), writes=False)
    desk.turn(job)
    assert isinstance(job.error, Interrupted)
    assert desk.retired is None
