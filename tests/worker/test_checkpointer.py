"""Upkeep on the checkpointer's thread, and in the writer's turns; when the WAL is reported."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_driver import Act, FakeFile, Play, broken, call, working
from tests.worker.support import Desk, writer_desk
from trio_sqlrepo._base.driver import Checkpoint, CheckpointMode
from trio_sqlrepo._base.errors import DatabaseLocked, DiskFull, SqlError
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._worker.checkpointer import Checkpointer
from trio_sqlrepo._worker.thread import NEVER, Event


def upkeep(name: str = "checkpoint", *, truncate: bool = False) -> Job:
    mode = CheckpointMode.TRUNCATE if truncate else CheckpointMode.PASSIVE

    def work(hands: Any) -> Checkpoint:
        return hands.driver.checkpoint(mode, patience=0.05)  # type: ignore[no-any-return]

    return Job(Kind.UPKEEP, name, writes=truncate, work=work)


@pytest.fixture
def desk() -> Desk:
    return Desk(FakeFile(), Checkpointer)


def hand_over(desk: Desk, *jobs: Job) -> None:
    desk.worker.mailbox.extend(jobs)
    desk.run_dry()


def settled(desk: Desk) -> list[Job]:
    return desk.worker._take_finished()


# -- the checkpointer ------------------------------------------------------------------------------


def test_it_says_once_that_it_is_there(desk: Desk) -> None:
    hand_over(desk)
    hand_over(desk, upkeep())
    assert desk.events == [Event.WAL]


def test_it_does_what_lies_in_its_mailbox(desk: Desk) -> None:
    desk.file.wal_frames = 7
    first, second = upkeep("first"), upkeep("second")
    hand_over(desk, first, second)
    assert settled(desk) == [first, second]
    assert first.value == Checkpoint(False, 7, 7)
    assert desk.driver.log == []  # no transaction
    assert desk.worker.tally.claimed == 0  # these waited in no queue


def test_it_leaves_the_queue_alone(desk: Desk) -> None:
    desk.run_dry(call("not mine"))
    assert len(desk.inbox.queue) == 1


def test_a_cancelled_job_is_not_done(desk: Desk) -> None:
    gone, stays = upkeep("gone"), upkeep("stays")
    desk.cancel(gone)
    hand_over(desk, gone, stays)
    assert settled(desk) == [stays]
    assert desk.file.checkpoint_log == ["PASSIVE"]


@pytest.mark.parametrize(
    ("error", "retires"),
    [(broken(), True), (DiskFull("full", code=13), False), (DatabaseLocked("busy"), False)],
)
def test_an_error_is_the_jobs_and_may_end_the_connection(
    desk: Desk, error: SqlError, retires: bool
) -> None:
    desk.file.checkpoints.append(Play(Act(raises=error)))
    job = upkeep()
    hand_over(desk, job)
    assert settled(desk) == [job]
    assert job.error is error
    assert (desk.retired is not None) is retires


def test_a_connection_left_dirty_is_replaced(desk: Desk) -> None:
    desk.driver.dirty = "something was left"
    hand_over(desk, upkeep())
    assert isinstance(desk.retired, SqlError)


# -- upkeep in the writer's turn -------------------------------------------------------------------


def test_upkeep_is_a_turn_of_its_own_without_a_transaction() -> None:
    desk = writer_desk()
    desk.run_dry(call("a"), upkeep(truncate=True), call("b"))
    assert desk.driver.log == [
        "BEGIN IMMEDIATE", "a", "COMMIT", "BEGIN IMMEDIATE", "b", "COMMIT",
    ]  # fmt: skip
    assert desk.file.checkpoint_log == ["TRUNCATE 0.05"]
    assert desk.told == ["a", "checkpoint", "b"]
    assert desk.worker.tally.commits == 2


def test_upkeep_cancelled_in_the_queue_is_not_done() -> None:
    desk = writer_desk()
    job = upkeep(truncate=True)
    desk.send(job)

    def peek() -> Job:
        desk.cancel(job)  # between the look and the claim
        return job

    desk.worker._peek = peek  # type: ignore[method-assign]
    desk.worker._turn()
    assert desk.file.checkpoint_log == desk.told == []


def test_what_is_urgent_goes_before_all_that_wait() -> None:
    desk = writer_desk()
    job = upkeep(truncate=True)
    desk.send(call("a"), call("b"), job)
    desk.inbox.urgent = job
    desk.run_dry(call("c"))
    assert desk.told == ["checkpoint", "a", "b", "c"]
    assert desk.file.checkpoint_log == ["TRUNCATE 0.05"]
    assert desk.worker.tally.claimed == 4
    assert not desk.inbox.queue


def test_what_is_urgent_ends_the_group_that_is_open() -> None:
    desk = writer_desk()
    job = upkeep(truncate=True)

    def hurry() -> None:
        desk.inbox.urgent = job

    desk.send(call("a", Act(during=hurry)), call("b"), job)
    desk.run_dry()
    assert desk.told == ["a", "checkpoint", "b"]


def test_what_is_urgent_and_cancelled_holds_nobody_up() -> None:
    desk = writer_desk()
    job = upkeep(truncate=True)
    desk.send(job, call("a"))
    desk.inbox.urgent = job
    desk.cancel(job)
    desk.run_dry()
    assert desk.told == ["a"]


def test_an_error_of_begin_is_not_the_end_of_what_is_urgent() -> None:
    """The lock is lost to the next in line; the call behind it tries again."""
    desk = writer_desk()
    job = upkeep(truncate=True)
    desk.driver.begin_errors.append(SqlError("no"))
    begin = desk.driver.begin_write

    def hurry() -> None:
        desk.inbox.urgent = job
        begin()

    desk.driver.begin_write = hurry  # type: ignore[method-assign]
    desk.send(call("a"), job)
    desk.run_dry()
    assert desk.told == ["checkpoint", "a"]
    assert isinstance(job.error, SqlError)
    assert desk.file.rows == ["a"]


# -- when the WAL is due ---------------------------------------------------------------------------


def function(name: str) -> Job:
    return working(Kind.FUNCTION, name, lambda hands: hands.driver.run_script(name))


def vacuum() -> Job:
    def work(hands: Any) -> None:
        hands.driver.wal_frames = 100

    return Job(Kind.ADHOC, "VACUUM", writes=True, parameters=("VACUUM",), work=work)


def transaction() -> Job:
    return Job(Kind.LEASE, "Transaction", writes=True)


@pytest.mark.parametrize("make", [lambda: call("a"), lambda: function("a"), vacuum])
@pytest.mark.parametrize("at", [100, 101])
def test_a_turn_that_leaves_so_many_frames_is_told(make: Any, at: int) -> None:
    file = FakeFile()
    file.frames_per_commit = 100
    desk = writer_desk(file)
    desk.inbox.checkpoint_at = at
    job = make()
    desk.turn(job)
    # With the answer, so it costs no message of its own.
    assert desk.events == ([Event.WAL] if at == 100 else [])  # else it will rest, and tell then
    assert desk.told == [job.label]


def test_a_transaction_that_leaves_so_many_frames_is_told() -> None:
    file = FakeFile()
    file.frames_per_commit = 100
    desk = writer_desk(file)
    desk.inbox.checkpoint_at = 100
    release = working(Kind.RELEASE, "Transaction", lambda worker: worker.commit(), writes=False)
    desk.worker.mailbox.append(release)
    desk.turn(transaction())
    assert desk.events == [Event.NEWS, Event.WAL]
    assert desk.messages[-1].jobs == [release]


def test_nothing_is_told_while_the_loop_knows() -> None:
    file = FakeFile()
    file.frames_per_commit = 1 << 40
    desk = writer_desk(file)
    assert desk.inbox.checkpoint_at == NEVER
    desk.run_dry(call("a"))
    assert desk.told == ["a"]
    assert desk.events == []
