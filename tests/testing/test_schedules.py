"""A schedule runs what it says, in its order, and tells what happened."""

from __future__ import annotations

import logging
import math
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import run_child
from tests.testing import bank
from tests.testing.bank import BANK, START, Accounts, Deposit, Look, ReadAndWrite, Wait
from trio_sqlrepo import Database, PoolConfig, SqlRepoError
from trio_sqlrepo.testing.faults import Fault
from trio_sqlrepo.testing.schedules import (
    Call,
    Cancelled,
    Deadline,
    Ending,
    Run,
    Scenario,
    Schedule,
    StuckError,
    faults,
    run_schedule,
    schedules,
)

FREE = attrs.evolve(BANK, check=None)  # nothing has to hold
NAMES = {**vars(bank), "Cancelled": Cancelled, "Deadline": Deadline, "Call": Call, "Fault": Fault}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


def endings(run: Run) -> list[tuple[int, Ending]]:
    return sorted((done.task, done.ending) for done in run.calls)


def texts(run: Run) -> list[str]:
    return [event.text for event in run.events]


# -- what is run ---------------------------------------------------------------------------------


def test_each_task_does_its_calls_in_order() -> None:
    schedule = Schedule(
        [
            [Call(Accounts.add, id=1, amount=3), Call(Accounts.balance, id=1)],
            [Deposit(4), Look()],
        ]
    )
    run = run_schedule(BANK, schedule)
    first, second = ([done for done in run.calls if done.task == task] for task in (0, 1))
    assert [done.value for done in first] in ([1, START + 3], [1, START + 7])
    assert [done.value for done in second] in (
        [None, (START + 4, 2 * START + 4)],
        [None, (START + 7, 2 * START + 7)],
    )
    assert all(done.acknowledged for done in run.calls)
    assert run.schedule is schedule


def test_the_timeline_tells_who_did_what() -> None:
    schedule = Schedule([[Call(Accounts.add, id=1, amount=3)], [Call(Accounts.total)]])
    run = run_schedule(BANK, schedule)
    assert run.timeline().splitlines() == [
        "task 0                              task 1                    connections",
        "------                              ------                    -----------",
        "Call(Accounts.add, id=1, amount=3)",
        "                                    Call(Accounts.total)",
        "                                                              writer 1: BEGIN IMMEDIATE",
        "writer 1: Accounts.add",
        "writer 1: COMMIT",
        "returns 1",
        "                                    reader 1: Accounts.total",
        "                                    returns 203",
    ]


def test_a_switch_changes_the_order_and_nothing_else() -> None:
    tasks = [[Call(Accounts.add, id=1, amount=3)], [Call(Accounts.total)]]
    straight = run_schedule(BANK, Schedule(tasks))
    switched = [run_schedule(BANK, Schedule(tasks, switches={n: 1})) for n in range(4)]
    assert any(run.events != straight.events for run in switched)
    assert len({run.timeline() for run in switched}) > 1
    for run in switched:
        assert endings(run) == endings(straight)


def test_a_group_that_commits_together_is_seen_in_each_column() -> None:
    add = Call(Accounts.add, id=1, amount=3)
    run = run_schedule(BANK, Schedule([[add], [add]]))
    assert [event.tasks for event in run.events if event.text == "COMMIT"] == [(0, 1)]


def test_the_work_of_a_child_task_is_its_parents() -> None:
    @attrs.frozen
    class Both:
        async def run(self, database: Database) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Accounts(database).balance, 1)
                nursery.start_soon(Accounts(database).balance, 2)

    run = run_schedule(FREE, Schedule([[Both()]]))
    assert [event.tasks for event in run.events if event.text == "Accounts.balance"] == [(0,)] * 2


def test_long_texts_are_cut_in_the_timeline() -> None:
    run = run_schedule(FREE, Schedule([[Call(Accounts.add, id=1, amount=10**15)]]))
    assert "Call(Accounts.add, id=1, amount=1000000…" in run.timeline()


# -- cancellations and deadlines -----------------------------------------------------------------


def test_a_call_is_cancelled_after_so_many_moves() -> None:
    found = set()
    for after in range(24):  # the last ones come when it has ended
        run = run_schedule(BANK, Schedule([[Cancelled(Deposit(5), after), Look()]]))
        done = run.calls[0]
        found.add(done.ending)
        assert (done.cancelled_at is None) == ("is cancelled" not in texts(run))
    assert found == {Ending.CANCELLED, Ending.RETURNED}


def test_a_call_that_is_cancelled_at_its_start_does_nothing() -> None:
    run = run_schedule(BANK, Schedule([[Cancelled(Deposit(5), after=0)]]))
    assert endings(run) == [(0, Ending.CANCELLED)]
    assert texts(run) == ["Deposit(amount=5)", "is cancelled", "raises Cancelled"]
    assert run.calls[0].cancelled_at == run.calls[0].ended_at == 0.0


def test_a_deadline_passes_by_the_clock_of_the_schedule() -> None:
    run = run_schedule(BANK, Schedule([[Deadline(Wait(10.0), 2.5), Wait(1.0)]]))
    assert [done.ending for done in run.calls] == [Ending.CANCELLED, Ending.RETURNED]
    assert [done.ended_at for done in run.calls] == [2.5, 3.5]
    assert [done.cancelled_at for done in run.calls] == [2.5, None]
    assert run.seconds >= 3.5


def test_a_switch_lets_a_deadline_strike_while_a_thread_is_at_work() -> None:
    timed = Schedule([[Deadline(Deposit(5), 0.01)]])
    assert endings(run_schedule(BANK, timed)) == [(0, Ending.RETURNED)]
    late = [run_schedule(BANK, attrs.evolve(timed, switches={n: 1})) for n in range(6)]
    assert [(0, Ending.CANCELLED)] in map(endings, late)


# -- what is expected and what is not --------------------------------------------------------------


class Refused(Exception):
    pass


@attrs.frozen
class Refuse:
    async def run(self, database: Database) -> None:
        raise Refused


def test_an_expected_error_is_an_ending() -> None:
    scenario = attrs.evolve(BANK, expects=(Refused,))
    run = run_schedule(scenario, Schedule([[Refuse(), Call(Accounts.total)]]))
    assert [done.ending for done in run.calls] == [Ending.RAISED, Ending.RETURNED]
    assert isinstance(run.calls[0].error, Refused)
    assert not run.calls[0].acknowledged


def test_any_other_error_fails_the_run_with_its_story() -> None:
    with pytest.raises(Refused) as caught:
        run_schedule(BANK, Schedule([[Refuse()], [Deposit(3)]], switches={2: 1}))
    (note,) = caught.value.__notes__
    assert "task 0" in note
    assert "raises Refused" in note
    assert "    Schedule(\n        tasks=[\n            [Refuse()],\n" in note
    assert "        switches={2: 1},\n" in note


def test_where_there_are_faults_errors_of_the_library_are_expected() -> None:
    scenario = attrs.evolve(BANK, expects=())
    schedule = Schedule([[Call(Accounts.add, id=1, amount=1)]], [Fault("busy", at="begin")])
    run = run_schedule(scenario, schedule)
    assert endings(run) == [(0, Ending.RAISED)]
    assert [fired.fault for fired in run.fired] == list(schedule.faults)
    with pytest.raises(SqlRepoError):
        run_schedule(scenario, Schedule([[Call(Accounts.balance, id=77)]]))


def test_faults_and_cancellations_end_with_the_tasks() -> None:
    schedule = Schedule(
        [[Cancelled(Call(Accounts.total), after=100)]],
        [Fault("full", at="run", times=math.inf), Fault("busy", at="begin", nth=2, times=9)],
    )
    assert endings(run_schedule(BANK, schedule)) == [(0, Ending.RAISED)]  # the check met none


def test_a_commit_is_the_affair_of_those_who_wrote_since_its_begin() -> None:
    add = Call(Accounts.add, id=1, amount=3)
    run = run_schedule(BANK, Schedule([[add], [Wait(1.0), add], [Wait(2.0), Deposit(1)]]))
    assert [event.tasks for event in run.events if event.text == "COMMIT"] == [(0,), (1,), (2,)]


def test_a_check_that_fails_fails_the_run() -> None:
    async def check(database: Database, run: Run) -> None:
        assert await Accounts(database).total() < run.calls[0].value

    with pytest.raises(AssertionError) as caught:
        run_schedule(attrs.evolve(BANK, check=check), Schedule([[Call(Accounts.total)]]))
    assert "To repeat it:" in caught.value.__notes__[0]


def test_a_connection_that_is_kept_fails_the_run() -> None:
    kept = []

    @attrs.frozen
    class Keep:
        async def run(self, database: Database) -> None:
            kept.append(database.snapshot())
            await kept[0].__aenter__()

    with pytest.raises(AssertionError, match="1 connections are still leased"):
        run_schedule(FREE, Schedule([[Keep()]]))


def test_a_call_of_another_repository_is_refused() -> None:
    scenario = Scenario(repositories=[], migrations=[bank.SCHEMA])
    with pytest.raises(TypeError, match="add its class"):
        run_schedule(scenario, Schedule([[Call(Accounts.total)]]))


def test_a_scenario_needs_neither_prepare_nor_check() -> None:
    scenario = Scenario(repositories=[Accounts], migrations=[bank.SCHEMA])
    assert endings(run_schedule(scenario, Schedule([[Wait(0.0)]]))) == [(0, Ending.RETURNED)]


# -- what does not end -----------------------------------------------------------------------------


def test_tasks_that_wait_for_each_other_are_stuck() -> None:
    locks = [trio.Lock(), trio.Lock()]

    @attrs.frozen
    class Grab:
        first: int

        async def run(self, database: Database) -> None:
            async with locks[self.first]:
                await Accounts(database).total()
                async with locks[1 - self.first]:
                    pass

    with pytest.raises(StuckError, match=r"task 0: Grab\(first=0\)\n  task 1: Grab\(first=1\)"):
        run_schedule(FREE, Schedule([[Grab(0)], [Grab(1)]]))


def test_a_check_that_never_ends_is_stuck() -> None:
    async def check(database: Database, run: Run) -> None:
        await trio.sleep_forever()

    with pytest.raises(StuckError, match="`prepare` or `check` waits"):
        run_schedule(attrs.evolve(BANK, check=check), Schedule([]))


DEAF = """
import threading
import attrs, trio
from tests.testing.bank import BANK
from trio_sqlrepo.testing.schedules import Schedule, _baton, run_schedule

@attrs.frozen
class Deaf:
    async def run(self, database):
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

@attrs.frozen
class Hang:
    async def run(self, database):
        _baton.PATIENCE = 0.5
        await database.read(lambda _: threading.Event().wait(60))

try:
    run_schedule(BANK, Schedule([[{}()]]))
except (AssertionError, TimeoutError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("Deaf", "StuckError The schedule is stuck"),
        ("Hang", "TimeoutError The thread of reader 1 did not come to a stop in 0.5 s"),
    ],
)
def test_what_cannot_be_cancelled_ends_the_run_all_the_same(operation: str, message: str) -> None:
    # In a child: trio leaves behind what it could not end.
    child = run_child("-c", DEAF.format(operation))
    assert child.stdout.startswith(message), child.stderr


def test_a_long_wait_alone_is_no_reason() -> None:
    run = run_schedule(BANK, Schedule([[Wait(800.0), Wait(800.0)]]))
    assert run.seconds >= 1600.0


# -- the literal -----------------------------------------------------------------------------------


@given(schedules(BANK, faults=faults(), most_faults=2))
def test_its_repr_makes_it_again(schedule: Schedule) -> None:
    assert eval(repr(schedule), NAMES | {"Schedule": Schedule}) == schedule
    literal = schedule.literal(indent="        ")
    assert eval(literal.strip(), NAMES | {"Schedule": Schedule}) == schedule


def test_what_is_left_out_has_no_place_in_the_repr() -> None:
    assert repr(Schedule([[Look()]])) == "Schedule(tasks=[[Look()]])"
    assert repr(Schedule([])) == "Schedule(tasks=[])"
    assert Schedule([], switches={3: 1, 1: 2}).switches == {1: 2, 3: 1}


def test_hypothesis_prints_the_literal() -> None:
    @settings(max_examples=200)
    @given(schedules(BANK, tasks=1, calls=1, switches=0))
    def fails(schedule: Schedule) -> None:
        assert Call(Accounts.total) not in schedule.tasks[0]

    with pytest.raises(AssertionError) as caught:
        fails()
    story = "\n".join(caught.value.__notes__)
    assert "schedule=Schedule(tasks=[[Call(Accounts.total)]])" in story


def test_calls_are_equal_by_what_they_call() -> None:
    assert Call(Accounts.balance, id=1) == Call(Accounts.balance, id=1)
    assert Call(Accounts.balance, id=1) != Call(Accounts.balance, id=2)
    assert Call(Accounts.total) != "Accounts.total"
    assert len({Call(Accounts.balance, id=[1]), Call(Accounts.balance, id=[1])}) == 1


@pytest.mark.parametrize(
    "wrong",
    [lambda: Cancelled(Look(), after=-1), lambda: Deadline(Look(), seconds=-0.1)],
)
def test_wrong_values_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be >= 0"):
        wrong()


# -- what is drawn ---------------------------------------------------------------------------------


@given(schedules(BANK, tasks=2, calls=1, cancellations=False, switches=0), st.data())
def test_the_bounds_hold(schedule: Schedule, data: st.DataObject) -> None:
    assert 1 <= len(schedule.tasks) <= 2
    assert all(len(steps) == 1 for steps in schedule.tasks)
    assert not schedule.switches
    assert not schedule.faults
    steps = [step for steps in schedule.tasks for step in steps]
    assert not any(isinstance(step, (Cancelled, Deadline)) for step in steps)
    fault = data.draw(faults("slow", "ioerr", lane="reader", nth=2))
    assert fault.failure in {"slow", "ioerr"}
    assert fault.lane == "reader"
    assert fault.nth <= 2


def test_one_connection_does_as_well() -> None:
    scenario = attrs.evolve(BANK, pool=PoolConfig(max_readers=0))
    run = run_schedule(scenario, Schedule([[ReadAndWrite(1)], [Look()]]))
    assert {event.connection for event in run.events} <= {None, "writer 1"}
