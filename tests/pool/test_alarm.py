"""What a watching task sleeps on."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from trio_sqlrepo._pool.alarm import Alarm


def test_repr_says_whether_it_is_armed() -> None:
    alarm = Alarm()
    assert repr(alarm) == "<Alarm at rest>"
    alarm.arm()
    assert repr(alarm) == "<Alarm armed>"
    alarm.disarm()
    assert repr(alarm) == "<Alarm at rest>"


async def test_a_watching_task_sleeps_until_it_is_armed() -> None:
    alarm = Alarm()
    woken: list[bool] = []

    async def watch() -> None:
        await alarm.wait()
        woken.append(alarm.armed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        assert woken == []
        alarm.arm()
        alarm.arm()  # a second time changes nothing
    assert woken == [True]
    await alarm.wait()  # armed already


async def test_disarmed_it_lets_nobody_through() -> None:
    alarm = Alarm()
    alarm.arm()
    alarm.disarm()
    assert not alarm.armed
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.wait)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
