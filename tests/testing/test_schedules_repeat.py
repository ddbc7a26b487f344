"""The same schedule takes the same course each time: that is what makes a failure one to keep."""

from __future__ import annotations

import logging
import random

import attrs
import pytest
import trio
from hypothesis import given, settings

from tests.testing.bank import BANK, Accounts, Deposit, Look, ReadAndWrite
from trio_sqlrepo import Database
from trio_sqlrepo.testing.faults import Fault
from trio_sqlrepo.testing.schedules import (
    Call,
    Cancelled,
    Deadline,
    Schedule,
    faults,
    run_schedule,
    schedules,
)
from trio_sqlrepo.testing.schedules._clock import steered_trio


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


# All there is: calls, bodies, blocks, cancellations, deadlines, a lost thread, a slow statement.
BUSY = Schedule(
    tasks=[
        [Call(Accounts.add, id=1, amount=1), Deposit(5), Look()],
        [Cancelled(Deposit(3), after=11), Call(Accounts.transfer, source=1, target=2, amount=3)],
        [Deadline(Look(), seconds=0.01), Cancelled(Call(Accounts.add, id=2, amount=4), after=5)],
        [Look(), Call(Accounts.total), Deposit(9)],
    ],
    faults=[
        Fault("slow", at="run", nth=4, seconds=0.05),
        Fault("death", at="run", nth=9),
        Fault("ioerr", at="commit", nth=2, applied=True),
    ],
    switches={1: 1, 4: 2, 7: 3, 12: 1, 13: 2, 20: 1, 31: 2, 38: 1, 47: 3},
)


def test_a_busy_schedule_runs_twenty_times_alike() -> None:
    first = run_schedule(BANK, BUSY)
    assert len(first.fired) == 3
    assert len({event.connection for event in first.events}) > 3
    for _ in range(19):
        again = run_schedule(BANK, BUSY)
        assert again.events == first.events
        assert again.seconds == first.seconds
        assert [(done.task, done.ending, done.ended) for done in again.calls] == [
            (done.task, done.ending, done.ended) for done in first.calls
        ]


@settings(max_examples=25)
@given(schedules(BANK, faults=faults(), most_faults=2))
def test_any_schedule_runs_alike(schedule: Schedule) -> None:
    assert run_schedule(BANK, schedule).events == run_schedule(BANK, schedule).events


@attrs.frozen
class Roll:
    async def run(self, database: Database) -> tuple[float, float]:
        # What the pool's jitter comes from, and what it learns of its own speed.
        cost = database.stats().statements["Accounts.total"].total_seconds
        return random.random(), cost


def test_neither_chance_nor_the_machine_has_a_part_in_it() -> None:
    schedule = Schedule(
        [[Call(Accounts.total), Call(Accounts.total), Roll()]],
        [Fault("slow", at="run", seconds=0.25)],
    )
    first = run_schedule(BANK, schedule).calls[-1].value
    random.random()  # another program's
    assert run_schedule(BANK, schedule).calls[-1].value == first
    assert first[1] == 0.25


def test_a_run_leaves_no_trace_in_what_others_use() -> None:
    scheduler = trio._core._run
    before = scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING, random.getstate()
    run_schedule(BANK, Schedule([[ReadAndWrite(1)], [Look()]]))
    assert before == (
        scheduler._r,
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING,
        random.getstate(),
    )


def test_a_trio_that_cannot_be_steered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("trio._core._run._r")
    with (
        pytest.raises(RuntimeError, match="has no deterministic scheduling"),
        steered_trio(list.reverse),
    ):
        pass
