"""`PRAGMA optimize`: after writes, in a quiet hour, in nobody's way. Trio's mock clock."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fake_driver import Act, Halt, Play, call
from tests.pool.house import House, a_house
from tests.waiting import until
from trio_sqlrepo._base.errors import DatabaseLocked
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._pool.wal import Governor

QUIET = 60.0  # health_check_interval's default
HOUR = 3600.0


@asynccontextmanager
async def governed(**settings: Any) -> AsyncIterator[House]:
    async with a_house(
        governor=Governor("house.db", 1 << 26), max_lifetime=1e9, **settings
    ) as house:
        yield house


async def rounds(clock: MockClock, house: House, count: int = 1) -> int:
    """Let so many intervals pass; how often it was optimized until now."""
    for _ in range(count):
        await wait_all_tasks_blocked()
        clock.jump(QUIET)
        await wait_all_tasks_blocked()
        await until(lambda: not house.pool.outstanding)
        await wait_all_tasks_blocked()
    return house.file.optimizing.runs


async def test_once_after_writes_when_it_has_become_quiet(mock_clock: MockClock) -> None:
    async with governed() as house:
        assert await rounds(mock_clock, house, 5) == 0  # nothing was written
        await house.pool.run(call("write"))
        assert await rounds(mock_clock, house) == 0  # a moment ago
        assert await rounds(mock_clock, house) == 1
        assert await rounds(mock_clock, house, 70) == 1  # nothing since
        await house.at_rest()  # a probe may still be under way


async def test_at_most_once_an_hour(mock_clock: MockClock) -> None:
    async with governed() as house:
        await house.pool.run(call("write"))
        assert await rounds(mock_clock, house, 2) == 1
        began = trio.current_time()
        await house.pool.run(call("write"))
        while await rounds(mock_clock, house) == 1:
            pass
        assert HOUR <= trio.current_time() - began <= HOUR + 2 * QUIET


async def test_not_while_a_session_holds_a_connection(mock_clock: MockClock) -> None:
    async with governed() as house:
        await house.pool.run(call("write"))
        lease = await Lease.acquire(house.pool, "Snapshot", writes=False)
        assert await rounds(mock_clock, house, 5) == 0
        await lease.release(lambda worker: worker.hands.driver.rollback())
        assert await rounds(mock_clock, house) == 1


async def test_a_lock_of_another_process_is_not_waited_for(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="trio_sqlrepo")
    async with governed() as house:
        house.file.optimizing = Play(Act(raises=DatabaseLocked("locked")), Act())
        await house.pool.run(call("write"))
        assert await rounds(mock_clock, house, 2) == 1
        (record,) = [record for record in caplog.records if "optimize" in record.message]
        assert record.levelno == logging.DEBUG
        assert await rounds(mock_clock, house, 58) == 1
        assert await rounds(mock_clock, house, 3) == 2  # what was written has not been seen to
        assert house.writers.replaced == 0


async def test_a_write_interrupts_it(mock_clock: MockClock) -> None:
    async with governed() as house:
        halt = Halt()
        house.file.optimizing = Play(Act(halt=halt), Act())
        await house.pool.run(call("write"))
        await wait_all_tasks_blocked()
        for _ in range(2):
            mock_clock.jump(QUIET)
            await wait_all_tasks_blocked()
        await trio.to_thread.run_sync(halt.wait_reached)
        mock_clock.jump(0.03)
        await wait_all_tasks_blocked()
        assert house.pool.outstanding  # nobody waits for the writer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.pool.run, call("next"))
            await until(lambda: house.writers.waiting)
            mock_clock.jump(0.03)
        assert house.file.rows == ["write", "next"]
        assert await rounds(mock_clock, house, 65) == 2


async def test_closing_does_not_wait_for_it(mock_clock: MockClock) -> None:
    halt = Halt()
    async with trio.open_nursery() as nursery:
        async with governed(drain_timeout=20.0) as house:
            house.file.optimizing = Play(Act(halt=halt))
            await house.pool.run(call("write"))
            await wait_all_tasks_blocked()
            for _ in range(2):
                mock_clock.jump(QUIET)
                await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(halt.wait_reached)
            began = trio.current_time()
            nursery.start_soon(ticking, mock_clock)
        took = trio.current_time() - began
        nursery.cancel_scope.cancel()
    assert took < 20.0


async def ticking(clock: MockClock) -> None:
    """Time passes while the pool closes."""
    while True:
        await trio.lowlevel.checkpoint()
        clock.jump(0.001)
