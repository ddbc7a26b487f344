"""What threads report, and what becomes of the calls of a worker or a pool that is gone."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

from tests.fake_driver import broken, call
from tests.pool.support import Crew, lease_job
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.errors import (
    InternalError,
    OutcomeUnknown,
    PoolClosed,
    SqlError,
)
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import Event, Message, Worker


@pytest.fixture
def crew() -> Crew:
    return Crew(PoolConfig(max_readers=3, max_writers=2))


class Asking:
    """Tasks that wait for jobs, and how each call ended."""

    def __init__(self, crew: Crew, nursery: trio.Nursery) -> None:
        self.crew = crew
        self.nursery = nursery
        self.ended: dict[Job, Any] = {}

    async def send(self, *jobs: Job) -> None:
        for job in jobs:
            self.nursery.start_soon(self._ask, job)
        await until(lambda: all(job in self.crew.pool.outstanding for job in jobs))

    async def _ask(self, job: Job) -> None:
        try:
            self.ended[job] = await self.crew.pool.run(job)
        except Exception as error:
            self.ended[job] = error

    async def end(self) -> None:
        await until(lambda: not self.crew.pool.outstanding)
        await trio.testing.wait_all_tasks_blocked()


def claim(worker: Worker, job: Job) -> None:
    """What a thread does when it takes a job."""
    for place in (worker.mailbox, worker.inbox.queue):
        if job in place:
            place.remove(job)
    del job.claim
    job.worker = worker
    worker.tally.claimed += 1


# -- messages --------------------------------------------------------------------------------------


async def test_one_message_answers_many_calls(crew: Crew) -> None:
    worker = crew.puppet(crew.readers)
    jobs = [call(name, writes=False) for name in "abc"]
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        for job in jobs:
            await asking.send(job)
        for job in jobs:
            claim(worker, job)
            job.value = job.label
        crew.say(worker, Event.RESTING, *jobs)
        await asking.end()
        # The first waits alone and hears for itself: nobody dispatches here, so it was told.
        assert {job.label: result for job, result in asking.ended.items()} == {
            "a": "a", "b": "b", "c": "c",
        }  # fmt: skip
    assert worker in crew.readers.idle


async def test_a_rest_that_crossed_a_wake_up_is_no_rest(crew: Crew) -> None:
    worker = crew.puppet(crew.readers)
    crew.readers.idle.clear()
    crew.readers.busy[worker] = None
    seen = worker.wakes
    worker.wake()
    message = crew.pool._outbox
    message.append(Message(worker, [], Event.RESTING, seen))
    crew.pool.hear()
    assert worker in crew.readers.busy
    crew.say(worker, Event.RESTING)
    assert worker in crew.readers.idle


async def test_a_rest_tells_since_when_it_is_idle(crew: Crew, mock_clock: Any) -> None:
    worker = crew.puppet(crew.readers)
    mock_clock.jump(5)
    crew.say(worker, Event.RESTING)
    assert worker.idle_since == trio.current_time()


async def test_a_second_answer_is_nothing(crew: Crew) -> None:
    worker = crew.puppet(crew.writers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        job = call("a")
        await asking.send(job)
        claim(worker, job)
        job.value = 1
        crew.say(worker, Event.NEWS, job)
        crew.say(worker, Event.NEWS, job)
        await asking.end()
    assert asking.ended == {job: 1}


async def test_help_wakes_an_idle_reader_or_has_one_opened(crew: Crew) -> None:
    busy, idle = crew.puppet(crew.readers), crew.puppet(crew.readers)
    crew.readers.idle.remove(busy)
    crew.readers.busy[busy] = None
    wakes = idle.wakes
    crew.say(busy, Event.HELP)
    assert idle.wakes == wakes + 1
    assert not crew.pool.stalls.armed
    crew.say(busy, Event.HELP)
    assert crew.pool.stalls.armed


async def test_a_lease_is_held_from_its_grant_on(crew: Crew, mock_clock: Any) -> None:
    worker = crew.puppet(crew.readers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        lease = lease_job()
        await asking.send(lease)
        assert list(worker.mailbox) == [lease]
        mock_clock.jump(7)
        claim(worker, lease)
        lease.value = worker
        crew.say(worker, Event.NEWS, lease)
        assert crew.readers.held == {worker: lease}
        assert lease.enqueued == trio.current_time()  # it does not count that it waited
        assert crew.readers.holders == {lease.holder: 1}
        end = Job(Kind.RELEASE, "Snapshot", writes=False)
        crew.say(worker, Event.RESTING, end)
        assert crew.readers.held == {}
        assert crew.readers.idle == [worker]


async def test_a_refused_lease_is_an_error_and_the_next_is_served(crew: Crew) -> None:
    worker, other = crew.puppet(crew.readers), crew.puppet(crew.readers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        leases = [lease_job(), lease_job(), lease_job()]
        for lease in leases:
            await asking.send(lease)
        assert crew.readers.held == {other: leases[0], worker: leases[1]}
        leases[0].error = error = SqlError("cannot begin")
        claim(other, leases[0])
        wakes = other.wakes
        crew.say(other, Event.RESTING, leases[0])
        assert other.wakes > wakes
        assert list(other.mailbox) == [leases[2]]
        await until(lambda: asking.ended)
        assert asking.ended == {leases[0]: error}
        nursery.cancel_scope.cancel()


# -- workers that are gone -------------------------------------------------------------------------


async def test_what_a_dead_worker_had_claimed_ends_with_its_reason(crew: Crew) -> None:
    worker = crew.puppet(crew.writers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        claimed, waiting = call("claimed"), call("waiting")
        await asking.send(claimed)
        await asking.send(waiting)
        claim(worker, claimed)
        crew.say(worker, Event.ENDED, error=broken())
        await until(lambda: claimed in asking.ended)
        assert isinstance(asking.ended[claimed], SqlError)
        assert waiting in crew.pool.outstanding
        assert crew.writers.workers == []
        assert worker.buried
        nursery.cancel_scope.cancel()


async def test_what_was_sent_to_a_dead_worker_is_answered_too(crew: Crew) -> None:
    worker = crew.puppet(crew.readers)
    crew.readers.idle.clear()
    crew.readers.held[worker] = lease_job()
    ended: list[Exception] = []

    async def command(job: Job) -> None:
        try:
            await crew.pool.command(worker, job)
        except Exception as error:
            ended.append(error)

    async with trio.open_nursery() as nursery:
        jobs = [call(name, writes=False) for name in "ab"]
        for job in jobs:
            nursery.start_soon(command, job)
        await until(lambda: len(worker.mailbox) == 2)
        dead = call("cancelled", writes=False)
        del dead.claim
        worker.mailbox.append(dead)
        crew.say(worker, Event.ENDED)
    assert [type(error) for error in ended] == [PoolClosed, PoolClosed]
    assert all("was closed while" in str(error) for error in ended)
    assert not worker.mailbox
    assert not crew.pool.outstanding


@pytest.mark.parametrize("error", [None, broken(), AttributeError("a crash")])
async def test_a_worker_gone_during_a_commit_leaves_its_calls_in_doubt(
    crew: Crew, error: BaseException | None
) -> None:
    worker = crew.puppet(crew.writers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        job = call("Notes.put")
        await asking.send(job)
        claim(worker, job)
        assert worker.ticket.may_commit()
        crew.say(worker, Event.ENDED, error=error)
        await asking.end()
    assert isinstance(asking.ended[job], OutcomeUnknown)
    assert "the COMMIT of Notes.put" in str(asking.ended[job])


async def test_an_abandoned_worker_is_not_heard_any_more(crew: Crew) -> None:
    """It comes back after all while the others are still being ended."""
    worker = crew.puppet(crew.readers)
    crew.readers.idle.clear()
    crew.readers.held[worker] = lease_job()
    crew.pool.bury(worker, None)
    end = Job(Kind.RELEASE, "Snapshot", writes=False)
    lease = lease_job()
    for event in (Event.NEWS, Event.RESTING, Event.ENDED):
        crew.say(worker, event, lease, end, error=AttributeError("too late"))
    assert (crew.readers.workers, crew.readers.idle, crew.readers.held) == ([], [], {})
    assert crew.pool.state is State.OPEN
    assert crew.returned == [worker]


async def test_calls_that_a_dead_worker_was_woken_for_are_looked_after(crew: Crew) -> None:
    """Nobody is idle, and who submitted them did not have the stall watch look."""
    worker = crew.puppet(crew.readers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        await asking.send(call("a", writes=False))
        assert not crew.pool.stalls.armed
        crew.say(worker, Event.ENDED)
        assert crew.pool.stalls.armed
        nursery.cancel_scope.cancel()


async def test_a_dead_worker_with_nothing_to_do_alarms_nobody(crew: Crew) -> None:
    crew.say(crew.puppet(crew.readers), Event.ENDED)
    assert not crew.pool.stalls.armed


# -- the end of a pool -----------------------------------------------------------------------------


async def ask_in_every_state(crew: Crew, asking: Asking) -> dict[str, Job]:
    """A read that waits alone, one that waits, one that runs, one whose commit is due."""
    worker = crew.puppet(crew.writers)
    jobs = {
        "lone": call("lone", writes=False),
        "waiting": call("waiting", writes=False),
        "running": call("running"),
    }
    for job in jobs.values():
        await asking.send(job)
    claim(worker, jobs["running"])
    return jobs


async def test_a_crash_answers_everybody_and_nothing_is_committed_after_it(
    crew: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    crash = AttributeError("a bug")
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        jobs = await ask_in_every_state(crew, asking)
        crew.pool.fail(crash)
        crew.pool.fail(LookupError("and another"))
        await asking.end()
    assert [type(asking.ended[job]) for job in jobs.values()] == [InternalError] * 3
    assert all(asking.ended[job].__cause__ is crash for job in jobs.values())
    assert crew.pool.failure is crash
    assert not any(job.claim for job in jobs.values())  # no thread takes one any more
    assert not crew.writers.workers[0].ticket.may_commit()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    with pytest.raises(InternalError):
        await crew.read("a")


async def test_a_lost_database_answers_everybody(crew: Crew) -> None:
    loss, kind = broken("The page is torn."), SqlError
    text = "lost with its only connection: The page is torn"
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        jobs = await ask_in_every_state(crew, asking)
        crew.pool.lose(loss)
        crew.pool.lose(SqlError("and again"))
        await asking.end()
    for job in jobs.values():
        with pytest.raises(kind, match=text):
            raise asking.ended[job]
    assert len({id(error) for error in asking.ended.values()}) == 3
    assert crew.pool.failure is None  # no bug: the block does not raise it
    with pytest.raises(kind, match=text):
        await crew.read("a")


async def test_a_forked_child_stays_one(crew: Crew) -> None:
    crew.pool.state = State.FORKED
    crew.pool.fail(AttributeError())
    crew.pool.lose(SqlError("x"))
    assert crew.pool.state is State.FORKED


# -- draining --------------------------------------------------------------------------------------


async def test_quiet_means_no_call_and_no_session(crew: Crew) -> None:
    worker = crew.puppet(crew.readers)
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        lease, job = lease_job(), call("a")
        await asking.send(lease)
        await asking.send(job)
        quiet = trio.Event()

        async def wait_quiet() -> None:
            await crew.pool.wait_quiet()
            quiet.set()

        crew.pool.state = State.DRAINING
        nursery.start_soon(wait_quiet)
        writer = crew.puppet(crew.writers)
        claim(writer, job)
        crew.say(writer, Event.RESTING, job)
        await trio.testing.wait_all_tasks_blocked()
        assert not quiet.is_set()
        claim(worker, lease)
        crew.say(worker, Event.NEWS, lease)
        await trio.testing.wait_all_tasks_blocked()
        assert not quiet.is_set()  # its session is open
        crew.say(worker, Event.RESTING, Job(Kind.RELEASE, "Snapshot", writes=False))
        with trio.fail_after(PATIENCE):
            await quiet.wait()


async def test_the_last_call_that_is_cancelled_makes_it_quiet(crew: Crew) -> None:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(crew.write, "a")
                await until(lambda: crew.pool.outstanding)
                crew.pool.state = State.DRAINING
                nursery.start_soon(crew.pool.wait_quiet)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()


async def test_what_waits_is_refused_at_the_end(crew: Crew) -> None:
    async with trio.open_nursery() as nursery:
        asking = Asking(crew, nursery)
        jobs = call("lone", writes=False), call("read", writes=False), lease_job(), call("write")
        for job in jobs:
            await asking.send(job)
        crew.pool.state = State.CLOSED
        crew.pool.refuse_waiting()
        await asking.end()
    assert [type(asking.ended[job]) for job in jobs] == [PoolClosed] * 4
    assert (crew.readers.waiting, crew.writers.waiting) == (0, 0)


async def test_what_a_thread_has_claimed_is_not_refused(crew: Crew) -> None:
    job = call("a")
    del job.claim
    assert not crew.pool.withdraw_with(job, crew.writers, PoolClosed("x"))
    assert job.error is None


async def test_what_nobody_waits_for_is_refused_without_a_word(crew: Crew) -> None:
    job = call("a")
    crew.writers.submit(job)
    assert crew.pool.withdraw_with(job, crew.writers, PoolClosed("x"))


def test_closing_the_signals_spares_one_that_a_task_waits_on(crew: Crew) -> None:
    crew.pool._lone = call("a")
    crew.pool.close_signals()
    assert crew.pool._signal.fileno() == -1
    assert crew.pool._lone_signal.fileno() >= 0
    crew.pool._lone = None
    crew.pool.close_signals()
    assert crew.pool._lone_signal.fileno() == -1


def test_repr_tells_the_state_of_the_pool(crew: Crew) -> None:
    assert repr(crew.pool) == (
        "<Pool 'test.db' open <Lane writer size=0 idle=0 leased=0 waiting=0>"
        " <Lane reader size=0 idle=0 leased=0 waiting=0>>"
    )


async def test_a_job_that_its_thread_has_just_claimed_is_told_by_its_flag_alone(crew: Crew) -> None:
    """Between its claim and the moment when it says which worker has it: see `_worker.ticket`."""
    job = call("a")
    del job.claim
    crew.pool.interrupt(job)
    assert job.cancelled
    assert crew.pool.interrupting == {job}
    assert crew.pool.interrupts.armed


async def test_who_waits_for_quiet_hears_that_the_last_call_is_dropped(crew: Crew) -> None:
    first, last = call("a"), call("b")
    crew.pool.outstanding |= {first, last}
    crew.pool.state = State.DRAINING
    crew.pool.drop(first)
    assert not crew.pool._quiet.armed
    crew.pool.drop(last)
    assert crew.pool._quiet.armed
