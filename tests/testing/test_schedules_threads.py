"""Threads under a baton: one at a time, and none is left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

from tests.testing.bank import BANK, SCHEMA, Accounts, Deposit, Look, Opening, Wait, fill
from trio_sqlrepo import Database, PoolClosed, Repository, SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.testing.faults import Faults
from trio_sqlrepo.testing.schedules import Call, Cancelled, Scenario, Schedule, _watch, run_schedule
from trio_sqlrepo.testing.schedules._baton import SteppedThread, Unwound, this_thread
from trio_sqlrepo.testing.schedules._conductor import Conductor


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


@attrs.define
class Worker:
    """As much of a worker as a stepped thread knows."""

    main: Callable[[], object]
    name: str = "worker 1"


def a_thread(main: Callable[[], object]) -> SteppedThread:
    return SteppedThread(Worker(main))  # type: ignore[arg-type]


def stop(*args: Any) -> None:
    thread = this_thread()
    assert thread is not None
    thread.stop(*args)


def test_a_thread_goes_as_far_as_it_is_stepped() -> None:
    done = []

    def main() -> None:
        done.append("first")
        stop(lambda: False, 7.0)
        done.append("second")

    thread = a_thread(main)
    assert repr(thread) == "<SteppedThread worker 1 can go on>"
    assert done == []
    thread.step()
    assert done == ["first"]
    assert (thread.ready(), thread.due) == (False, 7.0)
    assert repr(thread) == "<SteppedThread worker 1 waits>"
    thread.step()
    assert done == ["first", "second"]
    assert repr(thread) == "<SteppedThread worker 1 ended>"
    assert this_thread() is None


def test_a_thread_is_ended_where_it_stands() -> None:
    ends = []

    def main() -> None:
        for _ in range(2):  # what it does on its way out does not stop again
            try:
                stop()
            except Unwound:
                ends.append("unwound")

    thread = a_thread(main)
    thread.step()
    thread.unwind()
    assert thread.done
    assert ends == ["unwound"] * 2
    fresh = a_thread(main)
    fresh.unwind()
    assert fresh.done
    assert len(ends) == 2


def test_no_thread_is_left_by_a_run() -> None:
    before = threading.active_count()
    run_schedule(BANK, Schedule([[Deposit(1)], [Look()]]))
    assert threading.active_count() == before


def test_a_thread_that_is_given_up_is_ended_with_the_run() -> None:
    before = threading.active_count()
    refused = []

    @attrs.frozen
    class Leave:
        async def run(self, database: Database) -> None:
            trio.lowlevel.spawn_system_task(forgetful, database)

    async def forgetful(database: Database) -> None:
        with pytest.raises(PoolClosed) as caught:
            await database.read(lambda _: stop(lambda: False))
        refused.append(caught.value)

    run_schedule(BANK, Schedule([[Leave(), Wait(1.0)]]))
    assert len(refused) == 1
    assert threading.active_count() == before


def test_a_thread_that_was_given_up_may_end_by_itself() -> None:
    conductor = Conductor({})
    thread = a_thread(lambda: None)
    conductor._threads.append(thread)
    conductor._step(thread)  # it has no host that waits for it
    assert conductor._threads == []


# -- locks -----------------------------------------------------------------------------------------


@attrs.frozen
class HoldLock:
    """What another process would do: hold the write lock."""

    seconds: float

    async def run(self, database: Database) -> None:
        other = open_driver(database._pool.name, SQLiteConfig(), Role.WRITER)
        try:
            other.begin_write()
            await trio.sleep(self.seconds)
            other.rollback()
        finally:
            other.close()


def test_a_wait_for_a_lock_lets_the_others_go_on() -> None:
    schedule = Schedule([[HoldLock(0.02)], [Call(Accounts.add, id=1, amount=1)], [Look()]])
    run = run_schedule(BANK, schedule)
    assert all(done.acknowledged for done in run.calls)
    (write,) = [done for done in run.calls if done.task == 1]
    assert write.ended_at >= 0.02
    assert run_schedule(BANK, schedule).events == run.events


def test_a_wait_for_a_lock_ends_with_its_call() -> None:
    schedule = Schedule([[HoldLock(1.0)], [Cancelled(Call(Accounts.add, id=1, amount=1), after=8)]])
    run = run_schedule(BANK, schedule)
    (write,) = [done for done in run.calls if done.task == 1]
    assert not write.acknowledged
    assert write.ended_at < 0.1


def test_opening_waits_for_a_lock_by_the_clock_of_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def open_locked(*args: Any, give_up: Callable[[], bool], **more: Any) -> Any:
        thread = this_thread()
        assert thread is not None
        asked.append(give_up())
        return open_driver(*args, give_up=give_up, **more)

    monkeypatch.setattr(_watch, "open_driver", open_locked)
    run = run_schedule(BANK, Schedule([[Look()]]))
    assert asked == [False] * 3  # migrator, writer, reader
    assert run.seconds >= 0.003


# -- the rest --------------------------------------------------------------------------------------


class Ledger(Repository):
    """Another repository, before the one that is called."""


@attrs.frozen
class AddMany:
    """A batch, whose chunks ask whether to go on."""

    async def run(self, database: Database) -> None:
        await Accounts(database).open_all([Opening(id=n, balance=0) for n in range(10, 13)])


def test_batches_and_other_repositories() -> None:
    scenario = Scenario(repositories=[Ledger, Accounts], migrations=[SCHEMA], prepare=fill)
    run = run_schedule(scenario, Schedule([[AddMany(), Call(Accounts.total)]]))
    assert run.calls[1].value == 200
    assert run.seconds == 0.0
    assert "Accounts.open_all" in run.timeline()


def test_a_mistake_of_the_kit_itself_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Conductor._ring

    def broken(conductor: Conductor) -> bool:
        if conductor.armed:
            raise ZeroDivisionError
        return ring(conductor)

    monkeypatch.setattr(Conductor, "_ring", broken)
    with pytest.raises(ZeroDivisionError):
        run_schedule(BANK, Schedule([[Look()], [Look()]]))


def test_reprs_tell_the_state() -> None:
    conductor = Conductor({})
    assert repr(conductor) == "<Conductor 0 moves, 0 decisions, []>"
    assert repr(conductor.clock) == "<VirtualClock 0 s>"
    assert repr(Faults()) == "<Faults 0 fired, 0 not yet>"
