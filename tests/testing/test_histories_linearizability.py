"""The linearizability checker: against brute force, against planted mistakes, in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sqlrepo.testing.histories import (
    Operation,
    Outcome,
    Undecided,
    check_linearizability,
    timeline,
)


def register(n: int, operation: Operation) -> tuple[int, Any] | None:
    """A number that can be read, written, added to, and taken where it is not zero."""
    match operation.name:
        case "read":
            return n, n
        case "write":
            return operation.arguments[0], None
        case "take":
            return (0, n) if n else None
        case _:
            return n + 1, n + 1


def op(
    name: str,
    invoked: int,
    completed: int | None,
    value: Any = None,
    *arguments: int,
    task: str = "a",
    failed: bool = False,
) -> Operation:
    known = Outcome.FAILED if failed else Outcome.RETURNED
    return Operation(
        task=task, name=name, arguments=arguments, invoked=invoked, completed=completed,
        outcome=Outcome.UNKNOWN if completed is None else known, value=value,
    )  # fmt: skip


def explained_by_brute_force(answered: list[Operation], others: list[Operation]) -> bool:
    """Try every order of the answered ones and of every choice of the others."""
    for count in range(len(others) + 1):
        for happened in itertools.combinations(others, count):
            for order in itertools.permutations([*answered, *happened]):
                if keeps_time(order) and model_allows(order):
                    return True
    return False


def keeps_time(order: tuple[Operation, ...]) -> bool:
    return not any(later.precedes(each) for each, later in itertools.combinations(order, 2))


def model_allows(order: Iterable[Operation]) -> bool:
    n = 0
    for each in order:
        stepped = register(n, each)
        if stepped is None:
            return False
        n, value = stepped
        if each.outcome is Outcome.RETURNED and value != each.value:
            return False
    return True


# -- tiny histories: as brute force says ---------------------------------------------------------

SPANS = st.tuples(st.integers(0, 9), st.integers(0, 5))
OUTCOMES = st.sampled_from([Outcome.RETURNED] * 5 + [Outcome.UNKNOWN, Outcome.FAILED])


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    invoked, lasts = draw(SPANS)
    name = draw(st.sampled_from(["read", "write", "add", "take"]))
    small = st.integers(0, 3)
    outcome = draw(OUTCOMES)
    return Operation(
        task="a",
        name=name,
        arguments=(draw(small),) if name == "write" else (),
        invoked=invoked,
        completed=None if outcome is Outcome.UNKNOWN else invoked + lasts,
        outcome=outcome,
        value=None if name == "write" else draw(small),
    )


HISTORIES = st.lists(operations(), max_size=5)


def of(history: list[Operation], outcome: Outcome) -> list[Operation]:
    return [each for each in history if each.outcome is outcome]


@given(HISTORIES)
def test_it_agrees_with_brute_force(history: list[Operation]) -> None:
    verdict = check_linearizability(history, register, 0)
    answered, unknown = of(history, Outcome.RETURNED), of(history, Outcome.UNKNOWN)
    assert verdict.holds is explained_by_brute_force(answered, unknown)
    assert verdict.judged == len(history)


@given(st.lists(operations(), min_size=2, max_size=5, unique_by=lambda each: each.completed))
def test_it_blames_the_first_answer_that_is_wrong(history: list[Operation]) -> None:
    """The answers before it can be explained, if later calls may have had their effect."""
    verdict = check_linearizability(history, register, 0)
    answers = sorted(of(history, Outcome.RETURNED), key=lambda each: each.completed or 0)
    unknown = of(history, Outcome.UNKNOWN)
    for anomaly in verdict.anomalies:
        count = int(anomaly.text.split("the first ")[1].split()[0])
        assert explained_by_brute_force(answers[: count - 1], answers[count - 1 :] + unknown)
        assert not explained_by_brute_force(answers[:count], answers[count:] + unknown)
        assert answers[count - 1] in anomaly.operations


# -- long histories: legal ones, and such with one mistake --------------------------------------


FATES = ["returned"] * 6 + ["failed", "happened", "not happened"]
KNOWN = FATES[:7]


@st.composite
def legal(draw: st.DrawFn, fates: list[str] = FATES) -> list[Operation]:
    """Done one after the other at the moments 10, 20, 30 …; each spans a time around its moment.

    Some whose effect is there are said to be unknown, some without one to be unknown or failed.
    """
    n = 0
    history = []
    names = st.sampled_from(["read", "write", "add", "take"])
    for number in range(1, draw(st.integers(1, 30))):
        each = op(
            draw(names), 10 * number - draw(st.integers(0, 35)),
            10 * number + draw(st.integers(0, 35)), None, number, task=f"t{number}",
        )  # fmt: skip
        fate = draw(st.sampled_from(fates))
        stepped = register(n, each)
        if stepped is None or fate == "failed":
            outcome = Outcome.FAILED
        elif fate == "not happened":
            outcome = Outcome.UNKNOWN
        else:
            n, value = stepped
            outcome = Outcome.RETURNED if fate == "returned" else Outcome.UNKNOWN
            each = attrs.evolve(each, value=value)
        completed = None if outcome is Outcome.UNKNOWN else each.completed
        history.append(attrs.evolve(each, outcome=outcome, completed=completed))
    return history


@given(legal(), st.randoms(use_true_random=False))
def test_a_legal_history_is_accepted(history: list[Operation], random: Any) -> None:
    random.shuffle(history)
    check_linearizability(history, register, 0).require()


@given(legal(), st.data())
def test_an_answer_out_of_the_blue_is_found(history: list[Operation], data: st.DataObject) -> None:
    wrong = op("read", *data.draw(st.sampled_from([(0, 5), (0, 400), (390, 400)])), 1000)
    verdict = check_linearizability([*history, wrong], register, 0)
    assert not verdict.holds


@given(legal(KNOWN), st.integers(0, 3))
def test_a_stale_answer_is_found(history: list[Operation], late: int) -> None:
    """The number was written, and nobody else writes; a later read has not seen it."""
    write, read = op("write", 1000, 1003, None, -1), op("read", 1001 + late, 1010, 0)
    before = [op("write", 900, 901, None, 0)]
    stale = not check_linearizability([*history, *before, write, read], register, 0).holds
    assert stale is (late == 3)  # before that they are concurrent


def test_an_unknown_operation_takes_effect_at_any_time_after_it_began_or_never() -> None:
    write = op("write", 10, None, None, 5)
    before, after = op("read", 0, 9, 5), op("read", 0, 10, 5)
    assert not check_linearizability([write, before], register, 0).holds
    check_linearizability([write, after], register, 0).require()
    late = [op("read", 100 * n, 100 * n + 1, 0 if n < 4 else 5) for n in range(1, 8)]
    check_linearizability([write, *late], register, 0).require()
    check_linearizability([write, *late[:3]], register, 0).require()
    other = op("write", 10, None, None, 6)
    seen = [op("read", 20, 21, 6), op("read", 22, 23, 5)]
    check_linearizability([write, other, *seen], register, 0).require()
    twice = [*late, op("write", 900, 901, None, 0), op("read", 902, 903, 5)]
    assert not check_linearizability([write, *twice], register, 0).holds


# -- size ------------------------------------------------------------------------------------------


def counted(count: int, at_a_time: int) -> list[Operation]:
    return [
        op("add", 10 * n - 5 * at_a_time, 10 * n + 5 * at_a_time - 1, n, task=f"t{n % at_a_time}")
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("at_a_time", [1, 4, 8])
def test_thousands_of_operations_take_few_steps(at_a_time: int) -> None:
    steps = 0

    def step(n: int, operation: Operation) -> tuple[int, Any] | None:
        nonlocal steps
        steps += 1
        return register(n, operation)

    check_linearizability(counted(5000, at_a_time), step, 0).require()
    assert steps <= 5000 * 2 * at_a_time


def test_orders_that_come_to_the_same_are_searched_once() -> None:
    """Thirty pairs of reads, each in two orders, before an answer that is wrong."""
    pairs = [op("read", 10 * n, 10 * n + 5 + m, 0) for n in range(30) for m in range(2)]
    wrong = op("read", 1000, 1001, 7)
    assert not check_linearizability([*pairs, wrong], register, 0, limit=200).holds


def test_many_unknown_operations_of_one_kind_take_few_steps() -> None:
    unknown = [op("add", 0, None) for _ in range(200)]
    reads = [op("read", 10 * n, 10 * n + 5, n) for n in range(1, 200)]
    check_linearizability(unknown + reads, register, 0, limit=50_000).require()
    assert not check_linearizability(unknown[:50] + reads, register, 0, limit=50_000).holds


def test_it_gives_up_at_its_limit() -> None:
    together = [op("write", 0, 100, None, n) for n in range(10)]
    wrong = op("read", 200, 201, -1)
    with pytest.raises(Undecided, match=r"After 500 positions .* these 11 operations"):
        check_linearizability([*together, wrong], register, 0, limit=500)


# -- keys, states, words ---------------------------------------------------------------------------


def test_keys_are_judged_apart() -> None:
    history = [
        op("write", 1, 2, None, 7, task="x"),
        op("read", 3, 4, 0, task="y"),
        op("read", 5, 6, 0, task="x"),
        op("read", 3, 5, 9, task="z"),
    ]
    verdict = check_linearizability(history, register, 0, key=lambda each: each.task)
    assert verdict.judged == 4
    assert [each.text.split(":")[0] for each in verdict.anomalies] == ["Of 'z'", "Of 'x'"]


NONE: frozenset[int] = frozenset()


def test_a_model_may_look_at_what_the_database_chose() -> None:
    def ids(taken: frozenset[int], operation: Operation) -> tuple[frozenset[int], Any] | None:
        if operation.value in taken:
            return None
        return taken | {operation.value}, operation.value

    history = [op("new", 0, 1, 8), op("new", 2, 3, 5), op("new", 4, 5, 8)]
    check_linearizability(history[:2], ids, NONE).require()
    verdict = check_linearizability(history, ids, NONE)
    assert "the state frozenset({8, 5}) allows no such call" in verdict.explanation


@pytest.mark.parametrize("at", [0, 1])
def test_a_state_must_be_hashable(at: int) -> None:
    states: list[Any] = [(), []]
    with pytest.raises(TypeError, match="must be hashable; list is not"):
        check_linearizability([op("add", 0, 1)], lambda _, __: (states[1], None), states[1 - at])


def test_the_explanation_draws_what_went_on() -> None:
    history = [
        op("add", 1, 6, 1, task="ann"),
        op("read", 2, 4, 0, task="bob"),
        op("write", 3, None, None, 5, task="cy"),
        op("add", 7, 8, None, task="cy", failed=True),
        op("read", 7, 9, 0, task="bob"),
        op("read", 10, 11, 0, task="ann"),
    ]
    verdict = check_linearizability(history, register, 0)
    assert (
        verdict.explanation
        == """\
6 operations, 1 anomalies.

not linearizable: no order explains the first 3 of 4 answers. read() of task bob gave 0; after the \
answers before it the state 1 gives 1 or the state 5 gives 5.
ann      bob       cy
┬ add()
│        ┬ read()
│        │         ┬ write(5)
│        └ 0       │
└ 1                │
         ┬ read()  │
         └ 0  ◀    │
                   ┊ unknown"""
    )
    with pytest.raises(AssertionError, match="no order explains the first 3 of 4 answers"):
        verdict.require()


def test_the_explanation_names_a_few_states() -> None:
    history = [op("write", 0, 9, None, n, task=f"t{n}") for n in range(5)]
    text = check_linearizability([*history, op("read", 10, 11, 7)], register, 0).explanation
    assert text.count("the state") == 3
    assert "or …." in text


def test_a_timeline_shortens_long_calls() -> None:
    drawn = timeline([op("read", 0, 1, "x" * 100), op("fail", 2, 3, failed=True)])
    assert drawn.splitlines() == ["a", "┬ read()", f"└ '{'x' * 44}…", "┬ fail()", "└ failed"]
