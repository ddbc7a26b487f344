"""The serializability checker: against brute force, against planted mistakes, in words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sqlrepo.testing.histories import (
    Append,
    Operation,
    Outcome,
    Read,
    check_serializability,
)
from trio_sqlrepo.testing.histories._transactions import as_data

Level = Literal["serializable", "session", "strict"]
Steps = Sequence[Append | Read]
LEVELS: tuple[Level, ...] = ("serializable", "session", "strict")


def did(
    invoked: int,
    completed: int,
    *steps: Append | Read,
    task: str = "a",
    outcome: Outcome = Outcome.RETURNED,
) -> Operation:
    """A transaction of these steps; one that did not return only had them in mind."""
    data = [as_data(step) for step in steps]
    returned = outcome is Outcome.RETURNED
    return Operation(
        task=task,
        name="transaction",
        arguments=() if returned else tuple(data),
        invoked=invoked,
        completed=None if outcome is Outcome.UNKNOWN else completed,
        outcome=outcome,
        value=data if returned else None,
    )


def steps_of(operation: Operation) -> list[Append | Read]:
    data = operation.value if operation.outcome is Outcome.RETURNED else operation.arguments
    return [Append(key, more) if kind == "append" else Read(key, more) for kind, key, more in data]


# -- tiny histories: as brute force says ---------------------------------------------------------


def serial_by_brute_force(
    history: list[Operation], level: Level, final: dict[Any, list[Any]] | None
) -> bool:
    """Try every order of every choice of the unknown ones."""
    known = [each for each in history if each.outcome is Outcome.RETURNED]
    unknown = [each for each in history if each.outcome is Outcome.UNKNOWN]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *happened]):
                if keeps_order(order, level) and lists_allow(order, final):
                    return True
    return False


def keeps_order(order: tuple[Operation, ...], level: Level) -> bool:
    return not any(
        later.precedes(each) and (level == "strict" or each.task == later.task)
        for each, later in itertools.combinations(order, 2)
        if level != "serializable"
    )


def lists_allow(order: tuple[Operation, ...], final: dict[Any, list[Any]] | None) -> bool:
    lists: dict[Any, list[Any]] = {}
    for each in order:
        for step in steps_of(each):
            items = lists.setdefault(step.key, [])
            if isinstance(step, Append):
                items.append(step.value)
            elif each.outcome is Outcome.RETURNED and list(step.values or ()) != items:
                return False
    return final is None or all(
        final.get(key, []) == lists.get(key, []) for key in {*final, *lists}
    )


@st.composite
def tiny(draw: st.DrawFn) -> list[Operation]:
    """A few transactions that read whatever comes: much of it is possible, more is not.

    Values are numbers in one row, so that a read may also show what nobody appended.
    """
    history = []
    values = itertools.count(1)
    for number in range(draw(st.integers(1, 4))):
        steps: list[Append | Read] = []
        for _ in range(draw(st.integers(1, 3))):
            key = draw(st.sampled_from("xy"))
            if draw(st.booleans()):
                steps.append(Append(key, next(values)))
            else:
                seen = st.lists(st.integers(1, 6), max_size=3, unique=True)
                steps.append(Read(key, draw(st.just([]) | seen)))
        outcome = draw(st.sampled_from([Outcome.RETURNED] * 4 + [Outcome.UNKNOWN, Outcome.FAILED]))
        invoked = draw(st.integers(0, 9))
        completed = invoked + draw(st.integers(0, 4))
        history.append(did(invoked, completed, *steps, task=f"t{number % 2}", outcome=outcome))
    return history


@st.composite
def plausible(draw: st.DrawFn) -> tuple[list[Operation], dict[Any, list[Any]]]:
    """A few transactions that read prefixes of one order of all appends to a list.

    With this few of them are absurd, and what decides are the cycles.
    """
    drafts: list[list[tuple[str, int | None]]] = []
    values = itertools.count(1)
    for _ in range(draw(st.integers(1, 5))):
        kinds = draw(st.lists(st.tuples(st.sampled_from("xy"), st.booleans()), max_size=3))
        drafts.append([(key, next(values) if appends else None) for key, appends in kinds])
    outcomes = [
        draw(st.sampled_from([Outcome.RETURNED] * 5 + [Outcome.UNKNOWN, Outcome.FAILED]))
        for _ in drafts
    ]
    order: dict[Any, list[Any]] = {}
    for key in "xy":
        appended = [
            value
            for draft, outcome in zip(drafts, outcomes, strict=True)
            for where, value in draft
            if where == key and value is not None and outcome is not Outcome.FAILED
        ]
        whole = list(draw(st.permutations(appended)))
        order[key] = whole if draw(st.booleans()) else appended
    history = []
    for number, (draft, outcome) in enumerate(zip(drafts, outcomes, strict=True)):
        steps: list[Append | Read] = []
        for key, value in draft:
            if value is None:
                cut = draw(st.integers(0, len(order[key])))
                steps.append(Read(key, order[key][:cut]))
            else:
                steps.append(Append(key, value))
        invoked = draw(st.integers(0, 9))
        completed = invoked + draw(st.integers(0, 6))
        history.append(did(invoked, completed, *steps, task=f"t{number % 2}", outcome=outcome))
    return history, order


@given(tiny(), st.sampled_from(LEVELS))
def test_it_agrees_with_brute_force(history: list[Operation], level: Level) -> None:
    verdict = check_serializability(history, level=level)
    assert verdict.judged == len(history)
    assert verdict.holds is serial_by_brute_force(history, level, None), verdict.explanation


@given(plausible(), st.sampled_from(LEVELS), st.booleans())
def test_it_agrees_with_brute_force_on_plausible_reads(
    drawn: tuple[list[Operation], dict[Any, list[Any]]], level: Level, knows_end: bool
) -> None:
    history, final = drawn
    verdict = check_serializability(history, level=level, final_state=final if knows_end else None)
    expected = serial_by_brute_force(history, level, final if knows_end else None)
    assert verdict.holds is expected, verdict.explanation


# -- long histories: legal ones, and such with one mistake --------------------------------------


@st.composite
def legal(draw: st.DrawFn) -> tuple[list[Operation], dict[Any, list[Any]]]:
    """Done one after the other at the moments 10, 20, 30 …; each spans a time around its moment.

    What is unknown has happened or not; what has failed has not.
    """
    lists: dict[Any, list[Any]] = {key: [] for key in "xyz"}
    values = itertools.count()
    history = []
    for number in range(1, draw(st.integers(2, 30))):
        fate = draw(st.sampled_from(["returned"] * 6 + ["failed", "happened", "not happened"]))
        before = {key: list(items) for key, items in lists.items()}
        steps: list[Append | Read] = []
        for key in draw(st.lists(st.sampled_from("xyz"), max_size=4)):
            if draw(st.booleans()):
                lists[key].append(next(values))
                steps.append(Append(key, lists[key][-1]))
            else:
                steps.append(Read(key, lists[key]))
        if fate in {"failed", "not happened"}:
            lists = before
        invoked = 10 * number - draw(st.integers(0, 35))
        completed = 10 * number + draw(st.integers(0, 35))
        outcome = Outcome(fate) if fate in {"failed", "returned"} else Outcome.UNKNOWN
        history.append(did(invoked, completed, *steps, task=f"t{number}", outcome=outcome))
    return history, lists


@given(legal(), st.booleans(), st.randoms(use_true_random=False))
def test_a_legal_history_is_accepted(
    drawn: tuple[list[Operation], dict[Any, list[Any]]], knows_end: bool, random: Any
) -> None:
    history, lists = drawn
    random.shuffle(history)
    check_serializability(history, final_state=lists if knows_end else None).require()


def observer(lists: dict[Any, list[Any]], **more: Any) -> Operation:
    return did(1000, 1001, *(Read(key, items) for key, items in lists.items()), **more)


@given(legal(), st.data())
def test_a_mistake_is_found(
    drawn: tuple[list[Operation], dict[Any, list[Any]]], data: st.DataObject
) -> None:
    """One last transaction reads all lists, and one of them wrongly."""
    history, lists = drawn
    lists["x"] += ["first", "second"]
    history.append(did(900, 901, Append("x", "first"), Append("x", "second")))
    check_serializability([*history, observer(lists)]).require()
    x = lists["x"]
    wrong = data.draw(
        st.sampled_from(
            [
                x[:-1],  # not all of the last transaction
                x[:-2],  # stale
                [*x[:-2], x[-1], x[-2]],
                [*x, x[0]],
                [*x, "unwritten"],
                [*x[:-2], "second"],
            ]
        )
    )
    assert not check_serializability([*history, observer({**lists, "x": wrong})]).holds
    assert not check_serializability(history, final_state={**lists, "x": wrong}).holds


# -- each anomaly ----------------------------------------------------------------------------------

X1, X2, Y1, Y2 = Append("x", 1), Append("x", 2), Append("y", 1), Append("y", 2)


def x(*values: int) -> Read:
    return Read("x", values)


def y(*values: int) -> Read:
    return Read("y", values)


def together(*transactions: Steps) -> list[Operation]:
    """All at the same time, each by a task of its own."""
    return [did(0, 9, *steps, task=f"t{n}") for n, steps in enumerate(transactions, 1)]


FAILED, UNKNOWN = Outcome.FAILED, Outcome.UNKNOWN

ANOMALIES: list[tuple[str, list[Operation], str]] = [
    (
        "G1a",
        [did(0, 1, X1, outcome=FAILED), did(2, 3, x(1))],
        "T2 (task a) read 'x' as [1]; 1 was appended by T1 (task a), which failed",
    ),
    (
        "G1b",
        together([X1, X2], [x(1)], [x(1, 2)]),
        "T2 (task t2) read 'x' as [1], a state inside of T1 (task t1), which went on to append 2.",
    ),
    (
        "internal",
        together([X1, x()]),
        "T1 (task t1) read 'x' as [], which does not end with the [1] it had appended itself.",
    ),
    (
        "internal",
        together([X1], [x(), Y1, x(1)]),
        "T2 (task t2) read 'x' as [1], where it had read [] before and appended nothing itself.",
    ),
    (
        "internal",
        together([X1], [x(1), X2, x(2)]),
        "T2 (task t2) read 'x' as [2], where it had read [1] before and appended [2] itself.",
    ),
    (
        "internal",
        together([x(1), X1]),
        "T1 (task t1) read 'x' as [1], and appended 1 itself later.",
    ),
    (
        "duplicate",
        together([X1], [x(1, 1)]),
        "T2 (task t2) read 'x' as [1, 1], with 1 more than once.",
    ),
    ("unwritten", together([x(7)]), "T1 (task t1) read 'x' as [7]; nobody appended 7."),
    (
        "incompatible order",
        together([X1], [X2], [x(1, 2)], [x(2)]),
        "can't have been both: there is 2 at place 0 of one, 1 of the other.",
    ),
    (
        "reordered",
        together([X1, X2], [x(2, 1)]),
        "T2 (task t2) read 'x' as [2, 1]; T1 (task t1) appended [1, 2] in this order.",
    ),
    (
        "G0",
        together([X1, Y1], [X2, Y2], [x(1, 2)], [y(2, 1)]),
        "T1 (task t1) appended 1 to 'x' before T2 (task t2) appended 2;",
    ),
    (
        "G1c",
        together([X1, y(1)], [Y1, x(1)]),
        "T1 (task t1) appended 1 to 'x', which T2 (task t2) saw when it read [1];",
    ),
    (
        "G-single",
        together([X1, Y1], [x(1), y()]),
        "T2 (task t2) read 'y' as [], without the 1 that T1 (task t1) appended.",
    ),
    (
        "G2",
        together([x(), Y1], [y(), X1]),
        "T1 (task t1) read 'x' as [], without the 1 that T2 (task t2) appended;",
    ),
    (
        "G-single-session",
        [did(0, 1, X1), did(2, 3, x())],
        "T1 (task a) was over before T2 of the same task began;",
    ),
    (
        "G-single-realtime",
        [did(0, 1, X1), did(2, 3, x(), task="b")],
        "T1 (task a) was over before T2 (task b) began;",
    ),
    (
        "G0-realtime",
        [did(0, 1, X1), did(2, 3, X2, task="b"), did(0, 9, x(2, 1), task="c")],
        "T3 (task b) appended 2 to 'x' before T1 (task a) appended 1.",
    ),
    (
        "G0-session",  # nobody else saw either, but it did not see the first one's
        [did(0, 1, X1), did(2, 3, X2, x(2))],
        "T2 (task a) appended 2 to 'x' before T1 (task a) appended 1.",
    ),
    (
        "G1c-realtime",
        [did(0, 1, x(1), Y1), did(2, 3, X1, task="b")],
        "T2 (task b) appended 1 to 'x', which T1 (task a) saw when it read [1].",
    ),
    (
        "G-single",  # of an unknown one a part was seen, so all of it has happened
        [did(0, 1, X1, Y1, outcome=UNKNOWN), did(2, 3, x(1), y())],
        "T1 (task a) did append('x', 1), append('y', 1) (unknown)",
    ),
]


@pytest.mark.parametrize(("kind", "history", "words"), ANOMALIES)
def test_an_anomaly_has_its_name_and_words(kind: str, history: list[Operation], words: str) -> None:
    verdict = check_serializability(history)
    found = [each for each in verdict.anomalies if each.kind == kind]
    assert found, verdict.explanation
    assert any(words in each.text for each in found), verdict.explanation
    assert all(each.operations for each in found)


def test_the_final_state_tells_of_lost_and_torn_transactions() -> None:
    history = [did(0, 1, X1), did(2, 3, Y1, Y2, outcome=UNKNOWN)]
    check_serializability(history, final_state={"x": [1]}).require()
    check_serializability(history, final_state={"x": [1], "y": [1, 2]}).require()
    verdict = check_serializability(history, final_state={"y": [1], "z": [5]})
    assert [each.kind for each in verdict.anomalies] == [
        "G1b", "unwritten", "lost append", "torn transaction"
    ]  # fmt: skip
    whose = "appended to 'x' is not in the final state."
    _, unwritten, lost, torn = [each.text for each in verdict.anomalies]
    assert unwritten == "the final state of 'z' is [5]; nobody appended 5."
    assert lost == f"T1 (task a) was acknowledged, and the 1 it {whose}"
    assert torn == f"T2 (task a) left a part of what it did: the 2 it {whose.replace('x', 'y', 1)}"
    assert [len(each.operations) for each in verdict.anomalies] == [1, 0, 1, 1]


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_asks_for_no_more_than_its_order(level: Level) -> None:
    own = [did(0, 1, X1), did(2, 3, x())]
    others = [did(0, 1, X1), did(2, 3, x(), task="b")]
    assert check_serializability(own, level=level).holds is (level == "serializable")
    assert check_serializability(others, level=level).holds is (level != "strict")


def test_two_ends_of_one_moment_tell_no_order() -> None:
    check_serializability([did(0, 2, X1), did(2, 3, x())]).require()
    check_serializability([did(0, 1, X1, outcome=UNKNOWN), did(2, 3, x())]).require()


def test_appends_that_nobody_saw_come_after_what_was_seen() -> None:
    history = [did(0, 1, X1), did(2, 3, X2), did(4, 5, x(1))]
    verdict = check_serializability(history)
    assert [each.kind for each in verdict.anomalies] == ["G-single-session"]
    assert "without the 2 that T2 (task a) appended" in verdict.explanation


# -- which cycle is told ---------------------------------------------------------------------------


def ring(count: int) -> list[Operation]:
    """Each reads a list without what the next one appends: the shortest cycle is all of them."""
    all_steps: list[Steps] = [[Read(n, []), Append((n + 1) % count, 1)] for n in range(count)]
    return together(*all_steps)


def test_a_long_cycle_is_told_whole() -> None:
    (anomaly,) = check_serializability(ring(6)).anomalies
    assert anomaly.kind == "G2"
    assert anomaly.text.startswith("T1 → T6 → T5 → T4 → T3 → T2 → T1, each of which")
    assert len(anomaly.operations) == 6


def test_of_two_cycles_the_shorter_one_is_told() -> None:
    """Transaction 1 of the ring also lacks what transaction 3 has appended."""
    history = ring(6)
    history[0] = did(0, 9, *steps_of(history[0]), Read("short", []), task="t1")
    history[2] = did(0, 9, *steps_of(history[2]), Append("short", 1), task="t3")
    (anomaly,) = check_serializability(history).anomalies
    assert anomaly.text.startswith("T1 → T3 → T2 → T1,"), anomaly.text


def test_cycles_that_are_not_tied_are_told_apart() -> None:
    history = [
        *together([X1, Y1], [x(1), y()]),
        did(20, 21, Append("z", 1)),
        did(22, 23, Read("z", [])),
    ]
    verdict = check_serializability(history)
    assert sorted(each.kind for each in verdict.anomalies) == ["G-single", "G-single-session"]


def test_a_stale_read_is_one_step_of_time_however_long_ago() -> None:
    between = [did(10 * n, 10 * n + 5, Append("y", n), task=f"t{n % 3}") for n in range(2, 500)]
    verdict = check_serializability([
        did(0, 1, X1), *between, did(9000, 9001, x(), y(*range(2, 500)), task="z")
    ])  # fmt: skip
    (anomaly,) = verdict.anomalies
    assert anomaly.text.startswith("T1 → T500 → T1, each")
    assert "read('y') → [492 values, 494, 495, 496, 497, 498, 499]" in anomaly.text


def test_of_incompatible_orders_no_cycle_is_made() -> None:
    verdict = check_serializability(together([X1], [X2], [x(1, 2)], [x(2)]))
    assert [each.kind for each in verdict.anomalies] == ["incompatible order"]


def test_a_step_of_time_is_short_however_much_was_done_meanwhile() -> None:
    """Two ways from the first to the last: over many others' ends, or over more transactions."""
    way = [
        did(2, 400, Append("q", 1), task="a"),
        did(0, 400, Read("q", [1]), Append("r", 1), task="b"),
        did(0, 400, Read("r", [1]), Append("s", 1), task="c"),
    ]
    others = [did(10 * n, 10 * n + 1, task="o") for n in range(1, 21)]
    first, late = did(0, 1, X1, task="f"), did(300, 301, Y1, task="m")
    last = did(0, 400, Read("s", [1]), x(), task="l")
    sees_both = did(0, 400, Read("s", [1]), y(1), x(), task="l2")
    (anomaly,) = check_serializability([first, *way, *others, late, last, sees_both]).anomalies
    assert anomaly.kind == "G-single-realtime"
    assert {each.task for each in anomaly.operations} == {"f", "m", "l2"}
    (anomaly,) = check_serializability([first, *way, *others, last]).anomalies
    assert {each.task for each in anomaly.operations} == {"f", "a", "b", "c", "l"}


def test_time_and_lists_make_a_cycle_together() -> None:
    """Two steps of time with a dependency between them, so that no two transactions suffice."""
    history = [
        did(0, 1, X1, task="a"),
        did(2, 9, Y1, task="b"),
        did(3, 4, y(1), task="c"),
        did(5, 6, Append("z", 1), task="d"),
        did(2, 9, Read("z", [1]), x(), task="e"),
    ]
    (anomaly,) = check_serializability(history).anomalies
    assert anomaly.kind == "G-single-realtime"
    assert anomaly.text.startswith("T1 → T3 → T1,"), anomaly.text
    overlapping = [attrs.evolve(each, invoked=0) if each.task == "e" else each for each in history]
    (anomaly,) = check_serializability(overlapping).anomalies
    assert anomaly.text.startswith("T1 → T5 → T2 → T1,"), anomaly.text


def test_thousands_of_transactions_are_judged() -> None:
    lists: dict[Any, list[Any]] = {}
    history = []
    for n in range(5000):
        items = lists.setdefault(n // 50, [])
        seen = Read(n // 50, items)
        items.append(n)
        history.append(did(10 * n - 20, 10 * n + 20, seen, Append(n // 50, n), task=f"t{n % 5}"))
    verdict = check_serializability(history, final_state=lists)
    verdict.require()
    assert verdict.judged == 5000
    assert verdict.explanation == "5000 operations, no anomaly."


def test_an_explanation_ends_somewhere() -> None:
    verdict = check_serializability(together(*([x(n)] for n in range(12))))
    unwritten = sum(each.kind == "unwritten" for each in verdict.anomalies)
    assert unwritten == 12
    text = verdict.explanation
    assert text.count("nobody appended") == 10
    assert text.endswith(f"… and {len(verdict.anomalies) - 10} more.")


# -- what it refuses -------------------------------------------------------------------------------


def test_a_value_goes_to_a_key_once() -> None:
    history = [did(0, 1, X1, outcome=FAILED), did(2, 3, Y1, X1)]
    with pytest.raises(ValueError, match=r"append\('x', 1\) stands in T1 .* and in T2"):
        check_serializability(history)


@pytest.mark.parametrize("step", [["append", "x"], ["read", "x", 1], ["append", None, 1], "x"])
def test_a_transaction_holds_steps(step: Any) -> None:
    history = [Operation(task="a", name="transaction", invoked=0, completed=1, value=[step])]
    with pytest.raises(ValueError, match="which is no step of one"):
        check_serializability(history)


def test_other_operations_are_left_out() -> None:
    others = [Operation(task="a", name="read", invoked=0, completed=1, value=3)]
    assert check_serializability(others).judged == 0


def test_a_read_whose_answer_was_not_recorded_is_not_judged() -> None:
    history = [did(0, 1, X1), did(2, 3, Read("x")), did(4, 5, x(1))]
    assert check_serializability(history).judged == 3
    check_serializability(history).require()
