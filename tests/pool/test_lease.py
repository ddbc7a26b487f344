"""A lease: the handle on a worker that is lent, dead after its release."""

from __future__ import annotations

import pytest

from tests.fake_driver import call
from tests.pool.support import open_crew
from trio_sqlrepo._base.errors import SessionEnded
from trio_sqlrepo._pool.lease import Lease, LeaseState
from trio_sqlrepo._worker.thread import Worker


def roll_back(worker: Worker) -> None:
    worker.hands.driver.rollback()


async def test_it_runs_jobs_on_one_connection_until_it_is_released() -> None:
    async with open_crew(max_readers=2) as crew:
        lease = await Lease.acquire(crew.pool, "snapshot", writes=False)
        assert lease.state is LeaseState.OPEN
        assert await lease.run(call("a", writes=False)) == 1
        assert await lease.run(call("b", writes=False)) == 1
        driver = lease._worker.hands.driver
        assert driver in crew.file.drivers
        assert driver.log == ["BEGIN", "a", "b"]
        await lease.release(roll_back)
        assert not driver.in_transaction
        assert crew.readers.held == {}


async def test_after_its_release_it_refuses_and_names_what_came_too_late() -> None:
    async with open_crew() as crew:
        async with crew.lease("snapshot") as lease:
            pass
        with pytest.raises(SessionEnded, match="late was called on a snapshot that has ended"):
            await lease.run(call("late", writes=False))


async def test_while_it_ends_it_takes_no_more_jobs() -> None:
    async with open_crew() as crew:
        lease = await Lease.acquire(crew.pool, "snapshot", writes=False)
        seen: list[LeaseState] = []

        def ending(worker: Worker) -> None:
            seen.append(lease.state)
            roll_back(worker)

        await lease.release(ending)
        assert (seen, lease.state) == ([LeaseState.ENDING], LeaseState.ENDED)


async def test_an_ending_that_fails_ends_it_too() -> None:
    def ending(worker: Worker) -> None:
        roll_back(worker)
        raise ValueError("no")

    async with open_crew() as crew:
        lease = await Lease.acquire(crew.pool, "transaction", writes=True)
        with pytest.raises(ValueError, match="no"):
            await lease.release(ending)
        assert lease.state is LeaseState.ENDED
        assert crew.writers.held == {}


async def test_repr_says_whose_it_is_and_how_it_stands() -> None:
    async with open_crew() as crew:
        async with crew.lease("snapshot") as lease:
            name = lease._worker.name
            assert repr(lease) == f"<Lease of {name} for snapshot, open>"
        assert repr(lease) == f"<Lease of {name} for snapshot, ended>"
