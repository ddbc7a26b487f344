"""The recorder: what it takes down of tasks that end in every way, here and in other processes."""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.support import run_child
from trio_sqlrepo import (
    DatabaseReplaced,
    DiskFull,
    InternalError,
    OutcomeUnknown,
    PoolTimeout,
    UniqueViolation,
)
from trio_sqlrepo.testing.histories import (
    Append,
    History,
    Operation,
    Outcome,
    Read,
    check_serializability,
)

RETURNED, FAILED, UNKNOWN = Outcome.RETURNED, Outcome.FAILED, Outcome.UNKNOWN


def ticking() -> Callable[[], int]:
    return itertools.count().__next__


class Mine(Exception):
    pass


async def add(one: int, other: int) -> int:
    await trio.lowlevel.checkpoint()
    return one + other


async def test_a_call_is_recorded_with_what_it_gave() -> None:
    history = History(clock=ticking())

    async def work() -> None:
        assert await history.call("sum", add, 1, 2) == 3

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, name="ann")
    (operation,) = history
    assert operation == Operation(
        task="ann",
        name="sum", arguments=(1, 2), invoked=0, completed=1, value=3,
    )  # fmt: skip
    assert str(operation) == "sum(1, 2) → 3"
    assert repr(history) == "<History of 1 operations>"


ENDINGS = [
    (DiskFull("full"), FAILED),
    (UniqueViolation("twice"), FAILED),
    (PoolTimeout("late"), FAILED),
    (OutcomeUnknown("half-way"), UNKNOWN),
    (DatabaseReplaced("gone"), UNKNOWN),
    (InternalError("a bug"), UNKNOWN),
    (Mine("of the caller"), UNKNOWN),
    (KeyboardInterrupt(), UNKNOWN),
    (ExceptionGroup("two", [DiskFull("full"), PoolTimeout("late")]), FAILED),
    (ExceptionGroup("two", [DiskFull("full"), Mine("of the caller")]), UNKNOWN),
]


@pytest.mark.parametrize(("error", "outcome"), ENDINGS, ids=lambda each: type(each).__name__)
async def test_what_is_raised_says_what_became_of_it(
    error: BaseException, outcome: Outcome
) -> None:
    async def fail() -> None:
        raise error

    history = History(clock=ticking())
    with pytest.raises(type(error)) as raised:
        await history.call("fail", fail)
    assert raised.value is error
    (operation,) = history
    assert operation.outcome is outcome
    assert operation.completed == (1 if outcome is FAILED else None)
    assert operation.value is None
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    assert operation.error == text
    assert operation.answer == f"{outcome.value}: {text}"


async def test_the_caller_may_know_better() -> None:
    async def fail() -> None:
        raise Mine

    history = History(clock=ticking(), failures=(Mine,))
    with pytest.raises(Mine):
        await history.call("fail", fail)
    assert [each.outcome for each in history] == [FAILED]


@pytest.mark.parametrize(("cancelled", "outcome"), [("failed", FAILED), ("unknown", UNKNOWN)])
async def test_a_cancelled_call(cancelled: str, outcome: Outcome) -> None:
    history = History(clock=ticking(), cancelled=cancelled)  # type: ignore[arg-type]
    with trio.CancelScope() as scope:
        scope.cancel()
        await history.call("sleep", trio.sleep_forever)
    assert scope.cancelled_caught
    (operation,) = history
    assert operation.outcome is outcome
    assert str(operation.error).startswith("Cancelled")


async def test_operations_under_way_are_unknown_until_they_end() -> None:
    history = History(clock=ticking())
    with history.operation("read", "x", task="a") as recording:
        (before,) = history
        recording.value = 7
        (meanwhile,) = history
    (after,) = history
    assert before.outcome is meanwhile.outcome is UNKNOWN
    assert meanwhile.value is None
    assert (after.outcome, after.value) == (RETURNED, 7)
    assert [each.completed for each in (before, meanwhile, after)] == [None, None, 1]
    assert before.answer == "unknown"


async def test_tasks_of_one_name_are_told_apart() -> None:
    history = History("p/", clock=ticking())

    async def work() -> None:
        for _ in range(2):
            await history.call("sum", add, 1, 1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work)
    names = [each.task for each in history]
    assert sorted(names) == ["p/work", "p/work", "p/work 2", "p/work 2", "p/work 3", "p/work 3"]


def test_a_thread_outside_of_trio_is_a_task() -> None:
    history = History(clock=ticking())

    def work() -> None:
        with history.operation("work"):
            pass

    thread = threading.Thread(target=work, name="by hand")
    thread.start()
    thread.join()
    assert [each.task for each in history] == ["by hand"]


def test_events_of_one_history_have_an_order_whatever_the_clock_says() -> None:
    history = History(clock=lambda: 5)
    for _ in range(2):
        with history.operation("work"):
            pass
    assert [(each.invoked, each.completed) for each in history] == [(5, 6), (7, 8)]


def test_operations_come_in_the_order_of_their_beginnings() -> None:
    history = History(clock=ticking())
    with history.operation("outer"), history.operation("inner"):
        pass
    other = [Operation(task="b", name="between", invoked=0, completed=1)]
    merged = History.merged(other, history)
    assert [each.name for each in merged] == ["outer", "between", "inner"] or [
        each.name for each in merged
    ] == ["between", "outer", "inner"]
    assert len(merged) == 3
    outer, inner = history
    assert not outer.precedes(inner)
    assert not inner.precedes(outer)


# -- transactions ----------------------------------------------------------------------------------


async def test_a_transaction_is_recorded_step_by_step() -> None:
    history = History(clock=ticking())
    with history.transaction(task="a") as t:
        t.append("x", 1)
        t.read("x", [1])
    (operation,) = history
    assert operation.name == "transaction"
    assert operation.value == [("append", "x", 1), ("read", "x", [1])]


def test_a_planned_transaction_says_what_it_ran() -> None:
    history = History(clock=ticking())
    with history.transaction(Append("x", 1), Read("x"), task="a") as t:
        (begun,) = history
        t.ran([Append("x", 1), Read("x", (1,))])
    with history.transaction(Append("x", 2), task="a"):
        pass
    ran, single = history
    assert begun.arguments == (("append", "x", 1), ("read", "x", None))
    assert ran.value == [("append", "x", 1), ("read", "x", [1])]
    assert single.value == [("append", "x", 2)]


def test_a_failed_transaction_keeps_what_it_had_in_mind() -> None:
    history = History(clock=ticking(), failures=(Mine,))
    with pytest.raises(Mine), history.transaction(Append("x", 1), task="a") as t:
        t.append("y", 2)
        raise Mine
    with history.transaction(task="a") as t:
        t.read("y", [2])
    failed, _ = history
    assert (failed.value, failed.outcome) == (None, FAILED)
    assert failed.arguments == (("append", "x", 1), ("append", "y", 2))
    (anomaly,) = check_serializability(history).anomalies
    assert anomaly.kind == "G1a"


# -- lines -----------------------------------------------------------------------------------------


def recorded(sink: io.StringIO) -> History:
    history = History("p/", sink=sink, clock=ticking())
    with history.operation("put", "x", [1, {"a": None}], task="a") as recording:
        recording.value = {"id": 7}
    with pytest.raises(DiskFull), history.operation("put", "y", task="b"):
        raise DiskFull("full")
    with pytest.raises(OutcomeUnknown), history.transaction(Append("z", 1), task="a") as t:
        t.append("z", 2)
        raise OutcomeUnknown("half-way")
    return history


def test_what_is_written_is_what_is_read_back() -> None:
    sink = io.StringIO()
    history = recorded(sink)
    back = list(History.from_lines(sink.getvalue().splitlines(keepends=True)))
    assert back[:2] == list(history)[:2]
    assert back[2].arguments == (["append", "z", 1], ["append", "z", 2])
    assert back[2].error == "OutcomeUnknown: half-way"
    assert check_serializability(back).judged == 1


def test_wherever_it_is_cut_off_an_operation_without_an_end_is_unknown() -> None:
    sink = io.StringIO()
    whole = list(recorded(sink))
    text = sink.getvalue()
    lines = text.splitlines(keepends=True)
    ends = list(itertools.accumulate(map(len, lines)))
    for cut in range(len(text)):
        back = list(History.from_lines(io.StringIO(text[:cut])))
        # A line without its newline is whole.
        events = [json.loads(line) for line, end in zip(lines, ends, strict=True) if end <= cut + 1]
        assert len(back) == sum("invoked" in event for event in events)
        ended = {event["id"] for event in events if "completed" in event}
        for number, (one, other) in enumerate(zip(back, whole, strict=False)):
            assert (one.task, one.name, one.invoked) == (other.task, other.name, other.invoked)
            assert one.outcome is (other.outcome if number in ended else UNKNOWN)
            assert one.value == (other.value if number in ended else None)


BEGINNING = '{"id":0,"task":"a","name":"n","arguments":[],"invoked":1}\n'


@pytest.mark.parametrize(
    "lines",
    [
        ["nonsense\n", BEGINNING],
        ["[]\n"],
        ['{"task":"a"}\n'],
        ['{"id":0,"argument":1}\n'],
        ['{"id":0,"outcome":"returned","value":1,"error":null,"completed":2}\n'],
        [BEGINNING, '{"id":0,"strange":1}\n'],
    ],
)
def test_other_lines_are_refused(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"Line \d is no event of a history"):
        History.from_lines(lines)


CHILD = """\
import os, signal, sys
from trio_sqlrepo.testing.histories import History

with open(sys.argv[1], "w") as sink:
    history = History("child/", sink=sink)
    with history.operation("put", 1, task="a") as recording:
        recording.value = 2
    with history.operation("put", 3, task="a"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_has_told_what_it_did(tmp_path: Path) -> None:
    history = History("parent/")
    log = tmp_path / "child.jsonl"
    with history.operation("wait", task="a"):
        assert run_child("-c", CHILD, log).returncode == -9
    with log.open() as lines:
        merged = list(History.merged(history, History.from_lines(lines)))
    assert [each.task for each in merged] == ["parent/a", "child/a", "child/a"]
    assert [each.outcome for each in merged] == [RETURNED, RETURNED, UNKNOWN]
    # One clock: the child's operations lie within the parent's.
    ended = merged[0].completed
    assert ended is not None
    assert all(merged[0].invoked < each.invoked < ended for each in merged[1:])


# -- operations ------------------------------------------------------------------------------------


def test_an_operation_ends_unless_it_is_unknown() -> None:
    with pytest.raises(ValueError, match="exactly the unknown ones have no end"):
        Operation(task="a", name="n", invoked=0)
    with pytest.raises(ValueError, match="exactly the unknown ones have no end"):
        Operation(task="a", name="n", invoked=0, completed=1, outcome=UNKNOWN)
    with pytest.raises(ValueError, match="ended at 1, before it began at 2"):
        Operation(task="a", name="n", invoked=2, completed=1)


@pytest.mark.parametrize(
    ("one", "other", "precedes"),
    [((0, 1), (2, 3), True), ((0, 2), (2, 3), False), ((2, 3), (0, 1), False)],
)
def test_what_was_over_before_precedes(
    one: tuple[int, int], other: tuple[int, int], precedes: bool
) -> None:
    first, second = (
        Operation(task="a", name="n", invoked=invoked, completed=completed)
        for invoked, completed in (one, other)
    )
    assert first.precedes(second) is precedes
