"""Threads that do not come back from an interrupt, while the pool goes on."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.fake_driver import Act, call
from tests.pool.house import a_house, ask, pass_time
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.errors import DatabaseLocked, OutcomeUnknown, SessionEnded, SqlError
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._worker import commit
from trio_sqlrepo._worker.thread import Event


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_sqlrepo")


class Wedge:
    """Where a thread hangs until the test lets it go, whatever interrupts it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self._go.wait(PATIENCE)

    def open(self) -> None:
        self._go.set()


async def test_a_reader_is_given_up_and_replaced(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    wedge = Wedge()
    async with a_house(health_check_timeout=3.0) as house, trio.open_nursery() as nursery:
        (worker,) = house.readers.workers
        answer = ask(nursery, house, call("Notes.slow", Act(during=wedge), writes=False))
        await until(wedge.reached.is_set)
        mock_clock.jump(100.0)  # however long it runs: nobody has cancelled it
        await house.pool.run(call("write"))
        assert not worker.buried
        answer.scope.cancel()
        await pass_time(mock_clock, 0.1, answer.given.is_set)
        assert answer.scope.cancelled_caught
        assert worker.buried
        assert "reader 1 of house.db is given up: Notes.slow does not come back" in caplog.text
        assert await house.pool.run(call("read", writes=False)) == 1
        (new,) = house.readers.workers
        assert new is not worker
        assert house.readers.replaced == 1
        wedge.open()
        await until(lambda: not house.supervisor._adrift)
        assert "reader 1 of house.db, which was given up, has ended" in caplog.text
        assert house.file.open_connections == 2


async def test_writes_are_refused_while_a_thread_is_stuck_with_the_lock(
    mock_clock: MockClock,
) -> None:
    wedge = Wedge()
    async with a_house(health_check_timeout=3.0) as house, trio.open_nursery() as nursery:
        job = call("Notes.put", Act(adds=("stuck",), during=wedge))
        answer = ask(nursery, house, job)
        await until(wedge.reached.is_set)
        queued = ask(nursery, house, call("queued"))
        await until(lambda: house.writers.waiting == 1)
        answer.scope.cancel()
        await pass_time(mock_clock, 0.1, answer.given.is_set)
        await queued.given.wait()
        assert answer.scope.cancelled_caught
        for _ in range(2):
            with pytest.raises(DatabaseLocked, match=r"writer 1 is stuck in Notes\.put for .* s, "):
                await house.pool.run(call("later"))
        assert isinstance(queued.error, DatabaseLocked)
        assert await house.pool.run(call("read", writes=False)) == 1
        wedge.open()
        await until(lambda: not house.writers.stuck)
        assert await house.pool.run(call("later")) == 1
        assert house.file.rows == ["later"]  # nothing of what was cancelled


async def test_others_of_its_group_learn_that_nothing_was_applied(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_OLD", math.inf)  # however long the first one takes
    wedge, first = Wedge(), Wedge()
    async with a_house(health_check_timeout=3.0) as house, trio.open_nursery() as nursery:
        before = ask(nursery, house, call("before", Act(adds=("before",), during=first)))
        await until(first.reached.is_set)
        stuck = ask(nursery, house, call("stuck", Act(during=wedge)))
        await until(lambda: house.writers.waiting == 1)
        first.open()
        await until(wedge.reached.is_set)
        stuck.scope.cancel()
        await pass_time(mock_clock, 0.1, lambda: before.given.is_set() and stuck.given.is_set())
        assert stuck.scope.cancelled_caught
        assert isinstance(before.error, SqlError)
        assert "Nothing of this call was or will be applied; call again." in str(before.error)
        wedge.open()
        await until(lambda: not house.writers.stuck)
        assert house.file.rows == []


async def test_a_commit_that_hangs_is_told_as_unknown(mock_clock: MockClock) -> None:
    wedge = Wedge()
    async with a_house(health_check_timeout=3.0) as house, trio.open_nursery() as nursery:
        (worker,) = house.writers.workers
        house.driver_of(worker).during_commit = wedge
        answer = ask(nursery, house, call("write"))
        await until(wedge.reached.is_set)
        answer.scope.cancel()
        await pass_time(mock_clock, 0.1, answer.given.is_set)
        assert isinstance(answer.error, OutcomeUnknown)
        wedge.open()
        await until(lambda: not house.writers.stuck)
        assert house.file.rows == ["write"]
        assert await house.pool.run(call("later")) == 1


async def test_an_interactive_transaction_ends_with_its_thread(mock_clock: MockClock) -> None:
    wedge = Wedge()
    async with a_house(health_check_timeout=3.0) as house, trio.open_nursery() as nursery:
        lease = await Lease.acquire(house.pool, "Transaction", writes=True)
        scope = trio.CancelScope()
        ended = trio.Event()

        async def work() -> None:
            with scope:
                await lease.run(call("Notes.put", Act(during=wedge)))
            ended.set()

        nursery.start_soon(work)
        await until(wedge.reached.is_set)
        scope.cancel()
        await pass_time(mock_clock, 0.1, ended.is_set)
        with pytest.raises(DatabaseLocked, match=r"stuck in Notes\.put in Transaction"):
            await house.pool.run(call("other"))
        with pytest.raises(SessionEnded):
            await lease.run(call("in it"))
        wedge.open()
        await until(lambda: not house.writers.stuck)


async def test_a_connection_in_memory_is_the_database(mock_clock: MockClock) -> None:
    wedge = Wedge()
    settings: dict[str, Any] = {"min_readers": 0, "max_readers": 0, "health_check_timeout": 3.0}
    async with (
        a_house(renewable=False, **settings) as house,
        trio.open_nursery() as nursery,
    ):
        answer = ask(nursery, house, call("Notes.slow", Act(during=wedge), writes=False))
        await until(wedge.reached.is_set)
        answer.scope.cancel()
        await pass_time(mock_clock, 0.1, answer.given.is_set)
        with pytest.raises(SqlError, match="lost with its only connection"):
            await house.pool.run(call("later"))
        wedge.open()
        await until(lambda: not house.supervisor._adrift)


async def test_a_thread_that_has_ended_meanwhile_is_not_given_up() -> None:
    async with a_house() as house:
        (worker,) = house.readers.workers
        worker.stop()
        # No checkpoint: what the thread tells is there, and nobody has heard it.
        give_up = time.monotonic() + PATIENCE
        while not any(told.event is Event.ENDED for told in house.pool._outbox.copy()):
            assert time.monotonic() < give_up
        house.supervisor._abandon(worker, SqlError("It does not come back."))
        assert worker.buried
        assert not house.supervisor._adrift
        await house.at_rest()
        assert not house.readers.replaced_for
