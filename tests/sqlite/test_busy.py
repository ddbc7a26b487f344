"""The wait for locks of other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sqlite.support import Holder
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role, Verdict
from trio_sqlrepo._base.errors import DatabaseLocked
from trio_sqlrepo._sqlite import busy
from trio_sqlrepo._sqlite.busy import BusyHandler, never

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

LONG = SQLiteConfig(busy_timeout=600.0)


class Clock:
    """Stands for the time module: time passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(busy, "time", clock)
    return clock


def test_it_waits_in_equal_pauses_until_the_timeout(clock: Clock) -> None:
    handler = BusyHandler(0.005)
    calls = 0
    while handler(calls):
        calls += 1
    assert set(clock.pauses) == {0.001}
    assert calls == 5
    assert not handler.gave_up


def test_each_wait_has_the_whole_timeout(clock: Clock) -> None:
    handler = BusyHandler(0.002)
    assert [handler(calls) for calls in range(3)] == [True, True, False]
    assert [handler(calls) for calls in range(3)] == [True, True, False]


def test_a_timeout_of_zero_waits_not_at_all(clock: Clock) -> None:
    assert not BusyHandler(0.0)(0)
    assert clock.pauses == []


def test_it_asks_before_each_pause_and_remembers_that_it_was_given_up(clock: Clock) -> None:
    answers = [False, False, True, False]
    handler = BusyHandler(600.0, lambda: answers.pop(0))
    assert [handler(calls) for calls in range(3)] == [True, True, False]
    assert handler.gave_up
    assert handler(0)
    assert not handler.gave_up


def test_nobody_gives_up_by_default() -> None:
    assert never() is False


def test_a_lock_held_too_long_is_database_locked(writer: SqliteDriver, db_path: Path) -> None:
    with Holder(db_path), pytest.raises(DatabaseLocked, match="Another process") as caught:
        writer.begin_write()
    assert writer.verdict(caught.value) is Verdict.BUSY
    assert writer.is_clean()
    writer.begin_write()
    writer.rollback()


def test_a_wait_that_is_given_up_ends_as_interrupted(opened: Opener, db_path: Path) -> None:
    driver = opened(Role.WRITER, LONG)
    asked = 0

    def give_up() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    driver.give_up = give_up
    with Holder(db_path), pytest.raises(Interrupted):
        driver.begin_write()
    assert asked == 3
    assert driver.is_clean()


def test_a_given_up_wait_does_not_colour_the_next_one(opened: Opener, db_path: Path) -> None:
    driver = opened(Role.WRITER, SQLiteConfig(busy_timeout=0.0))
    with Holder(db_path):
        driver.give_up = lambda: True
        with pytest.raises(Interrupted):
            driver.begin_write()
        driver.give_up = never
        with pytest.raises(DatabaseLocked):
            driver.begin_write()


def test_a_wait_ends_when_the_lock_is_free(opened: Opener, db_path: Path) -> None:
    driver = opened(Role.WRITER, LONG)
    with Holder(db_path) as holder:

        def give_up() -> bool:
            holder.let_go()
            return False

        driver.give_up = give_up
        driver.begin_write()
        driver.commit()
