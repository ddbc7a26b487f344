"""What the pool refuses: the sentence says what happened, why, and what to do."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.fake_driver import call
from tests.pool.support import Crew, lease_job
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.errors import DatabaseCorrupt, PoolOverloaded, ReentrantUse, SqlError
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._pool import refusals
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.state import Outage, running_on
from trio_sqlrepo._worker.thread import Worker


@pytest.fixture
def crew() -> Crew:
    return Crew(PoolConfig(max_readers=3, reserved_readers=1, max_writers=1, max_waiting=2))


def look(name: str = "Notes.all") -> Job:
    return call(name, writes=False)


# -- the pool is gone ------------------------------------------------------------------------------


def test_in_a_forked_child_it_says_to_open_again() -> None:
    assert "open the database again in the child" in str(refusals.forked("a.db"))


def test_a_bug_is_named_and_is_the_cause() -> None:
    bug = KeyError("x")
    error = refusals.stopped("a.db", bug)
    assert "because of a bug in trio_sqlrepo: KeyError. Please report it." in str(error)
    assert error.__cause__ is bug


def test_an_outage_is_told_by_an_error_of_what_was_found() -> None:
    found = DatabaseCorrupt("It is damaged.", code=11, extended_code=267, query="Notes.all")
    error = refusals.out_of_service("a.db", Outage(found, since=1.0), now=4.0)
    assert isinstance(error, DatabaseCorrupt)
    assert (error.code, error.extended_code, error.query) == (11, 267, None)
    assert "'a.db' is out of service since 3 s; nothing of this call was applied." in str(error)
    assert "What was found: It is damaged." in str(error)
    assert str(found) == "It is damaged."
    other = refusals.out_of_service("a.db", Outage(OSError("no descriptors"), since=1.0), now=4.0)
    assert type(other) is SqlError
    assert "no descriptors" in str(other)


def test_a_lost_only_connection_says_why() -> None:
    error = refusals.stopped("a.db", None, OSError("gone"))
    assert type(error) is SqlError
    assert str(error) == "The database 'a.db' was lost with its only connection: gone"


def test_after_the_block_it_says_what_state_the_pool_is_in() -> None:
    assert "'a.db' is draining" in str(refusals.closed("a.db", "draining"))


def test_a_call_that_the_end_of_the_block_stopped_is_named() -> None:
    error = refusals.closed_under("a.db", look())
    assert "was closed while Notes.all ran; nothing of it was kept" in str(error)


def test_a_commit_that_never_came_back_is_not_claimed_either_way() -> None:
    error = refusals.unknown(call("Notes.add"))
    assert "during the COMMIT of Notes.add: the write may or may not be on disk" in str(error)


def test_a_session_without_its_connection_is_told_that_all_is_undone() -> None:
    assert str(refusals.lost(look())).startswith("Notes.all was called on a transaction")


# -- waiting that would be wrong -------------------------------------------------------------------


async def test_no_more_wait_than_may(crew: Crew) -> None:
    lane, task = crew.readers, trio.lowlevel.current_task()
    for _ in range(2):
        refusals.check_wait(crew.pool, lane, task, look())
        lane.submit(look())
    with pytest.raises(PoolOverloaded, match=r"2 calls wait for a reader connection of 'test\.db'"):
        refusals.check_wait(crew.pool, lane, task, look())
    assert lane.overloads == 1


async def test_whoever_holds_the_writer_does_not_wait_for_it(crew: Crew) -> None:
    task = trio.lowlevel.current_task()
    crew.writers.holders[task] = 1
    with pytest.raises(ReentrantUse, match=r"Notes\.add waits for a writer .* this task holds it"):
        refusals.check_wait(crew.pool, crew.writers, task, call("Notes.add"))
    refusals.check_wait(crew.pool, crew.readers, task, look())


async def test_whoever_holds_all_leases_may_still_read_on_the_reserved_reader(crew: Crew) -> None:
    task = trio.lowlevel.current_task()
    crew.readers.holders[task] = 2
    with pytest.raises(ReentrantUse, match="Snapshot waits"):
        refusals.check_wait(crew.pool, crew.readers, task, lease_job())
    refusals.check_wait(crew.pool, crew.readers, task, look())


@pytest.mark.parametrize("readers", [1, 2])
async def test_code_on_the_only_connection_does_not_wait_for_it(readers: int) -> None:
    crew = Crew(PoolConfig(max_readers=readers, reserved_readers=1, max_writers=2))
    task = trio.lowlevel.current_task()
    for lane, alone in [(crew.writers, True), (crew.readers, readers == 1)]:
        token = running_on.set(lane)
        try:
            if alone:
                with pytest.raises(ReentrantUse, match=r"function that asks runs on it"):
                    refusals.check_wait(crew.pool, lane, task, look())
            else:
                refusals.check_wait(crew.pool, lane, task, look())
        finally:
            running_on.reset(token)


# -- waiting too long ------------------------------------------------------------------------------


def told(crew: Crew, lane: Lane) -> list[str]:
    job = look()
    job.enqueued = trio.current_time()
    return str(refusals.timeout(crew.pool, job, lane)).splitlines()


def begin(worker: Worker, label: str, *, task: trio.lowlevel.Task | None = None) -> None:
    job = look(label)
    job.enqueued, job.task = trio.current_time(), task
    assert worker.ticket.begin(job)


def lend(lane: Lane, worker: Worker, label: str) -> Job:
    lease = lease_job(label)
    lease.task, lease.enqueued = trio.lowlevel.current_task(), trio.current_time()
    lane.idle.remove(worker)
    lane.granted(worker, lease)
    return lease


async def test_with_no_connection_it_says_why_there_is_none(
    crew: Crew, autojump_clock: trio.testing.MockClock
) -> None:
    assert "no connection is open (it is being opened)." in told(crew, crew.readers)[0]
    crew.readers.degraded = "no more files"
    first, second = told(crew, crew.readers)
    assert "no connection is open (no more files)." in first
    assert "was not started" in first
    assert second == "  connections: 0 open of 3, 0 idle, 0 held; 0 calls waiting"


async def test_it_says_what_each_connection_does(
    crew: Crew, autojump_clock: trio.testing.MockClock
) -> None:
    lane, name = crew.readers, trio.lowlevel.current_task().name
    holding, working, anonymous = (crew.puppet(lane) for _ in range(3))
    assert told(crew, lane)[2:] == ["  reader 1: idle", "  reader 2: idle", "  reader 3: idle"]
    lend(lane, holding, "the report")
    for worker in (working, anonymous):
        lane.idle.remove(worker)
        lane.busy[worker] = None
    begin(working, "Notes.slow", task=trio.lowlevel.current_task())
    assert told(crew, lane)[2:] == [
        f"  reader 1: held by task {name!r} in the report for 0 s, running nothing",
        f"  reader 2: running Notes.slow for task {name!r}, sent 0 s ago",
        "  reader 3: between two calls, or waiting for a lock",
    ]
    begin(holding, "Notes.page")
    begin(anonymous, "Notes.left")
    await trio.sleep(3)
    lines = told(crew, lane)
    assert lines[0].endswith("every connection is busy. Raise max_readers, or send less at a time.")
    assert lines[2].endswith("in the report for 3 s, running Notes.page")
    assert lines[4] == "  reader 3: running Notes.left, sent 3 s ago"


async def test_leases_that_hold_all_they_may_are_the_cause(
    crew: Crew, autojump_clock: trio.testing.MockClock
) -> None:
    workers = [crew.puppet(crew.readers) for _ in range(3)]
    for worker in workers[:2]:
        lend(crew.readers, worker, "the report")
    assert (
        "open transactions, snapshots and streams hold the connections"
        in told(crew, crew.readers)[0]
    )


async def test_a_lease_on_its_way_to_the_thread_is_nobodys_yet(
    crew: Crew, autojump_clock: trio.testing.MockClock
) -> None:
    worker = crew.puppet(crew.readers)
    assert crew.readers.submit(lease_job()) is worker
    assert told(crew, crew.readers)[2] == "  reader 1: between two calls, or waiting for a lock"


async def test_the_writer_is_held_or_locked_out(
    crew: Crew, autojump_clock: trio.testing.MockClock
) -> None:
    worker = crew.puppet(crew.writers)
    assert "another process holds the lock, or a long write runs." in told(crew, crew.writers)[0]
    lend(crew.writers, worker, "the import")
    assert "Keep interactive transactions short." in told(crew, crew.writers)[0]
