"""A further attempt to open a connection that is not wanted any more."""

import trio
from trio.testing import MockClock

from tests.pool.house import a_house, pass_time


async def test_a_retry_that_finds_the_lane_full_opens_nothing(mock_clock: MockClock) -> None:
    async with a_house(max_readers=1) as house, trio.open_nursery() as nursery:
        lane = house.readers
        house.supervisor.recovery._failures[lane] = 1
        ended = trio.Event()

        async def retry() -> None:
            await house.supervisor.recovery._retry(lane)
            ended.set()

        nursery.start_soon(retry)
        await pass_time(mock_clock, 0.1, ended.is_set)
        assert (lane.created, lane.opening) == (1, 0)
