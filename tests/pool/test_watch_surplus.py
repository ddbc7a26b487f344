"""Idle readers beyond the smallest number are closed, and not one more."""

import math
from types import SimpleNamespace
from typing import Any, cast

from trio.testing import MockClock

from trio_sqlrepo._base.config import PoolConfig
from trio_sqlrepo._base.driver import Driver
from trio_sqlrepo._pool import watch
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._worker.reader import Reader


def never_opened(worker: object) -> Driver:
    raise AssertionError(worker)


async def test_one_that_is_leaving_is_no_surplus(mock_clock: MockClock) -> None:
    lane = Lane("reader", smallest=1, largest=2, reserved=0)
    posted: list[Any] = []
    workers = [Reader(f"reader {n}", never_opened, lane, posted.append) for n in (1, 2)]
    for worker in workers:
        lane.opening += 1
        lane.opened(worker)
        lane.rested(worker)
        worker.expires_at = math.inf
    mock_clock.jump(11.0)
    pool = cast("Pool", SimpleNamespace(config=PoolConfig(max_idle=10.0), lanes=[lane]))
    watch._retire_old(pool)
    watch._retire_old(pool)  # before the thread of the first has ended
    assert [worker.leaving for worker in workers].count(True) == 1
