"""The kit finds what is wrong, and makes it short: in repositories, and in the library itself.

Each mistake is planted, found by Hypothesis, and shrunk to a schedule of a few calls.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.testing import bank
from tests.testing.bank import AMOUNTS, BANK, Accounts, Deposit, Move, ReadAndWrite
from trio_sqlrepo import Database
from trio_sqlrepo.testing.faults import Fault
from trio_sqlrepo.testing.schedules import (
    Call,
    Cancelled,
    Deadline,
    Run,
    Scenario,
    Schedule,
    call,
    faults,
    run_schedule,
    schedules,
)
from trio_sqlrepo.testing.schedules._runner import run_planted


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


Runner = Callable[[Scenario, Schedule], Run]


def find(
    scenario: Scenario,
    strategy: st.SearchStrategy[Schedule],
    run: Runner = run_schedule,
) -> Schedule:
    """The shortest schedule that fails, out of the note that the failure bears."""

    # Always the same search. `explain` would run it again and again to say what does not matter.
    @settings(
        max_examples=200,
        phases=[Phase.generate, Phase.shrink],
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
    )
    @given(strategy)
    def search(schedule: Schedule) -> None:
        run(scenario, schedule)

    with pytest.raises(AssertionError) as caught:
        search()
    (note, *_) = caught.value.__notes__
    literal = re.search(r"(?ms)^    (Schedule\(.*?^    \)),$", note)
    assert literal is not None
    schedule: Schedule = eval(literal[1], {**vars(bank), **globals()})
    with pytest.raises(AssertionError):
        run(scenario, schedule)  # the literal replays it
    return schedule


def test_a_lost_update_takes_two_tasks_and_two_calls() -> None:
    operations = [call(Accounts.total), st.builds(ReadAndWrite, AMOUNTS)]
    scenario = attrs.evolve(BANK, operations=operations)
    found = find(scenario, schedules(scenario, tasks=2, calls=2))
    assert found == Schedule([[ReadAndWrite(1)], [ReadAndWrite(1)]])


def test_the_same_deposit_in_one_transaction_loses_nothing() -> None:
    scenario = attrs.evolve(BANK, operations=[call(Accounts.total), st.builds(Deposit, AMOUNTS)])

    @settings(max_examples=30)
    @given(schedules(scenario, faults=faults()))
    def search(schedule: Schedule) -> None:
        run_schedule(scenario, schedule)

    search()


@attrs.frozen
class TwoLooks:
    """The sum of two accounts, each read in a call of its own: what lies between it may miss."""

    async def run(self, database: Database) -> int:
        accounts = Accounts(database)
        return await accounts.balance(1) + await accounts.balance(2)


async def check_views(database: Database, run: Run) -> None:
    for done in run.acknowledged:
        if isinstance(done.operation, TwoLooks):
            assert done.value == 2 * bank.START, "A transfer was seen half-way."


def test_a_torn_view_takes_one_transfer() -> None:
    transfers = call(Accounts.transfer, source=1, target=2, amount=AMOUNTS)
    scenario = attrs.evolve(BANK, operations=[st.just(TwoLooks()), transfers], check=check_views)
    found = find(scenario, schedules(scenario, tasks=2, calls=2, cancellations=False, switches=4))
    transfer = Call(Accounts.transfer, source=1, target=2, amount=1)
    assert sorted(map(repr, sum(found.tasks, ()))) == [repr(transfer), repr(TwoLooks())]
    assert len(found.tasks) == 2
    assert len(found.switches) <= 3


# -- mistakes in a driver ------------------------------------------------------------------------


class Planted:
    """A driver with a mistake."""

    def __init__(self, sound: Any) -> None:
        self.__dict__["sound"] = sound

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.sound, name, value)


class AcknowledgesBeforeCommit(Planted):
    def commit(self) -> None:
        self.__dict__["owed"] = self.sound.lane == "writer"
        if not self.owed:
            self.sound.commit()

    def begin_write(self) -> None:
        if self.__dict__.pop("owed", False):
            self.sound.commit()
        self.sound.begin_write()


class KeepsWhatWasCancelled(Planted):
    def rollback(self) -> None:
        if self.sound.in_transaction and self.sound.lane == "writer":
            self.sound.commit()
        self.sound.rollback()


class IgnoresCancellation(Planted):
    def abort(self) -> None:
        pass


def planted(plant: type[Planted]) -> Runner:
    return lambda scenario, schedule: run_planted(plant, scenario, schedule)


def test_an_early_acknowledgement_takes_one_call() -> None:
    scenario = attrs.evolve(BANK, operations=BANK.operations[:3])
    found = find(scenario, schedules(scenario, tasks=2, calls=2), planted(AcknowledgesBeforeCommit))
    assert found == Schedule([[Call(Accounts.add, id=1, amount=1)]])


def test_a_rollback_that_keeps_takes_one_cancelled_call() -> None:
    scenario = attrs.evolve(BANK, operations=[call(Accounts.total), st.builds(Move, AMOUNTS)])
    short = schedules(scenario, tasks=1, calls=2, switches=4)
    found = find(scenario, short, planted(KeepsWhatWasCancelled))
    ((step,),) = found.tasks
    assert isinstance(step, (Cancelled, Deadline))
    assert step.operation == Move(1)
    assert len(found.switches) <= 2


HALF = st.just(0.5)  # seconds


async def check_promptness(database: Database, run: Run) -> None:
    for done in run.calls:
        if done.cancelled_at is not None:
            late = done.ended_at - done.cancelled_at
            assert late <= 0.1, f"{done.operation} ended {late} s after it was cancelled."


def test_an_ignored_cancellation_takes_one_slow_statement() -> None:
    operations = [call(Accounts.total), st.builds(Move, AMOUNTS)]
    scenario = attrs.evolve(BANK, operations=operations, check=check_promptness)
    slow = st.builds(
        Fault, st.just("slow"), st.just("run"), st.integers(1, 3), seconds=st.just(0.5)
    )
    strategy = schedules(scenario, tasks=2, calls=1, faults=slow)
    found = find(scenario, strategy, planted(IgnoresCancellation))
    ((step,),) = found.tasks
    assert isinstance(step, (Cancelled, Deadline))
    assert found.faults == (Fault("slow", at="run", seconds=0.5),)

    @settings(max_examples=30)
    @given(strategy)
    def search(schedule: Schedule) -> None:
        run_schedule(scenario, schedule)  # where nothing is planted, nothing is found

    search()
