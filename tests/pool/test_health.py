"""Probes: when they come, whom they ask, what follows from what they find."""

from __future__ import annotations

import json
import logging
import math
import threading
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.fake_driver import Act, Halt, Play, broken, call
from tests.pool.house import House, a_house, ask, pass_time
from tests.waiting import PATIENCE, until
from trio_sqlrepo._base.errors import DatabaseLocked, DatabaseReplaced, PoolClosed
from trio_sqlrepo._base.health import Health
from trio_sqlrepo._pool.health import check
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import Worker


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_sqlrepo")


def probes(house: House, worker: Worker) -> int:
    return house.driver_of(worker).on_probe.runs


def found(health: Health) -> dict[str, tuple[str, str | None]]:
    return {one.name: (one.state, one.detail) for one in health.connections}


def _all_probed(house: House, times: int) -> bool:
    workers = [*house.readers.workers, *house.writers.workers]
    return [probes(house, worker) for worker in workers] == [times] * len(workers)


# -- periodic --------------------------------------------------------------------------------------


async def test_idle_connections_are_probed_each_interval(mock_clock: MockClock) -> None:
    async with a_house(min_readers=2, health_check_interval=10.0) as house:
        workers = [*house.readers.workers, *house.writers.workers]
        mock_clock.jump(9.9)
        await house.at_rest()
        assert [probes(house, worker) for worker in workers] == [0, 0, 0]
        for turn in (1, 2):
            mock_clock.jump(10.0)
            await until(partial(_all_probed, house, turn))
            await house.at_rest()
        assert await house.pool.run(call("write")) == 1
        assert house.file.rows == ["write"]


async def test_without_an_interval_there_are_none(mock_clock: MockClock) -> None:
    async with a_house(health_check_interval=math.inf, max_lifetime=math.inf) as house:
        mock_clock.jump(1e9)
        await house.at_rest()
        (worker,) = house.readers.workers
        assert not probes(house, worker)


async def test_a_call_beats_a_probe_to_another_connection(mock_clock: MockClock) -> None:
    """While one reader is probed, the idle one serves."""
    async with a_house(min_readers=2, max_readers=2) as house, trio.open_nursery() as nursery:
        halt = Halt()
        for worker in house.readers.workers:
            house.driver_of(worker).on_probe = Play(Act(halt=halt), Act())
        nursery.start_soon(check, house.pool)
        await until(halt.reached.is_set)
        assert await house.pool.run(call("read", writes=False)) == 1
        halt.go.set()


# -- check -----------------------------------------------------------------------------------------


async def test_all_well() -> None:
    async with a_house(min_readers=2, max_writers=2) as house:
        health = await check(house.pool)
        assert found(health) == {
            "writer 1": ("well", None),
            "writer 2": ("well", None),
            "reader 1": ("well", None),
            "reader 2": ("well", None),
        }
        assert health.well
        assert (health.path, health.state, health.outage) == ("house.db", "open", None)
        plain = json.loads(json.dumps(health.as_dict()))
        assert plain["well"] is True
        assert plain["connections"][0]["lane"] == "writer"


async def test_who_works_is_left_alone(mock_clock: MockClock) -> None:
    settings: dict[str, Any] = {"min_readers": 3, "max_readers": 3, "reserved_readers": 1}
    async with a_house(**settings, max_writers=2) as house, trio.open_nursery() as nursery:
        halt = Halt()
        reading = ask(nursery, house, call("Notes.slow", Act(halt=halt), writes=False))
        await until(halt.reached.is_set)
        lease = await Lease.acquire(house.pool, "Transaction", writes=True)
        mock_clock.jump(2.0)
        health = await check(house.pool)
        states = sorted(one.state for one in health.connections)
        assert states == ["busy", "busy", "well", "well", "well"]
        busy = {one.detail: one.seconds for one in health.connections if one.state == "busy"}
        assert busy == {"Notes.slow": 2.0, "Transaction": 2.0}
        assert health.well
        # The spare writer has not been asked: the other one has the turn.
        assert sum(probes(house, worker) for worker in house.writers.workers) == 0
        await lease.release(lambda worker: worker.hands.driver.rollback())
        halt.go.set()
        await reading.given.wait()


async def test_a_failing_probe_replaces_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with a_house() as house:
        (worker,) = house.readers.workers
        house.driver_of(worker).on_probe = Play(Act(raises=broken()))
        health = await check(house.pool)
        assert found(health)["reader 1"] == ("failed", "The disk is on fire.")
        assert not health.well
        await until(lambda: worker.buried and house.readers.idle)
        assert found(await check(house.pool))["reader 2"] == ("well", None)
        assert "reader 1 of house.db is replaced: The disk is on fire." in caplog.text


async def test_a_probe_that_meets_a_lock_says_so_and_keeps_the_connection() -> None:
    async with a_house() as house:
        (worker,) = house.readers.workers
        house.driver_of(worker).on_probe = Play(Act(raises=DatabaseLocked("locked")), Act())
        assert found(await check(house.pool))["reader 1"] == ("failed", "locked")
        assert found(await check(house.pool))["reader 1"] == ("well", None)


async def test_a_probe_that_finds_another_file_puts_the_pool_out_of_service(
    mock_clock: MockClock,
) -> None:
    async with a_house(health_check_interval=5.0) as house:
        (worker,) = house.writers.workers
        house.driver_of(worker).on_probe = Play(Act(raises=DatabaseReplaced("another file")))
        house.file.open_errors += [DatabaseReplaced("another file") for _ in range(3)]
        mock_clock.jump(5.0)
        await until(lambda: house.pool.state is State.FAILED)
        health = await check(house.pool)  # it has the file looked at
        assert health.state == "failed"
        assert "another file" in str(health.outage)
        assert not health.well
        await pass_time(mock_clock, 0.01, lambda: house.pool.state is State.OPEN)
        assert (await check(house.pool)).well


async def test_a_probe_that_is_slow_is_interrupted_and_its_connection_replaced(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_house(health_check_timeout=2.0) as house, trio.open_nursery() as nursery:
        (worker,) = house.readers.workers
        halt = Halt()
        house.driver_of(worker).on_probe = Play(Act(halt=halt))
        reports: list[Health] = []

        async def look() -> None:
            reports.append(await check(house.pool))

        nursery.start_soon(look)
        await until(halt.reached.is_set)
        mock_clock.jump(2.0)
        await until(lambda: reports)
        assert found(reports[0])["reader 1"] == ("stuck", "it did not answer within 2 s")
        await until(lambda: worker.buried and house.readers.idle)
        assert not house.supervisor._adrift  # it came back when it was interrupted
        assert "reader 1 of house.db is replaced: its health check took 2 s" in caplog.text


async def test_a_probe_that_never_comes_back_costs_its_thread(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    reached, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        reached.set()
        assert let_go.wait(PATIENCE)

    async with a_house(health_check_timeout=2.0) as house, trio.open_nursery() as nursery:
        (worker,) = house.writers.workers
        house.driver_of(worker).on_probe = Play(Act(during=hang))
        reports: list[Health] = []

        async def look() -> None:
            reports.append(await check(house.pool))

        nursery.start_soon(look)
        await until(reached.is_set)
        await pass_time(mock_clock, 0.01, lambda: reports)
        assert found(reports[0])["writer 1"][0] == "stuck"
        assert "writer 1 of house.db is given up" in caplog.text
        # It held no lock: writes go on.
        assert await house.pool.run(call("write")) == 1
        let_go.set()
        await until(lambda: not house.supervisor._adrift)


async def test_it_is_refused_once_closed() -> None:
    async with a_house() as house:
        pass
    with pytest.raises(PoolClosed):
        await check(house.pool)


async def test_it_is_a_checkpoint() -> None:
    async with a_house() as house:
        with trio.CancelScope() as scope:
            scope.cancel()
            await check(house.pool)
        assert scope.cancelled_caught
        await house.at_rest()
