"""Linearizability: single calls, judged against a sequential model.

A history is linearizable if each call can be thought of as happening at one moment between its
beginning and its end, so that each gives what the model gives there. The search is that of Wing
and Gong (1993) with the just-in-time order and the memory of Lowe (2017): answers are taken in
order, and a call is put into the order only when an answer needs it. So the first answer that no
order explains is also the end of the shortest history that is wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

import attrs

from trio_sqlrepo.testing.histories._operation import Operation, Outcome
from trio_sqlrepo.testing.histories._timeline import timeline
from trio_sqlrepo.testing.histories._verdict import Anomaly, Undecided, Verdict

S = TypeVar("S", bound=Hashable)
Step: TypeAlias = Callable[[S, Operation], tuple[S, Any] | None]
# How many answers are explained, the state, and which calls are in the order before their own
# answers are: answered ones by their place, unknown ones by numbers below zero.
Position: TypeAlias = tuple[int, S, frozenset[int]]

_MOST_STATES: Final = 3  # that an explanation names
_DRAWN_BEFORE: Final = 6  # answers before the wrong one in its timeline


def check_linearizability(
    operations: Iterable[Operation],
    step: Callable[[S, Operation], tuple[S, Any] | None],
    initial: S,
    *,
    key: Callable[[Operation], Hashable] | None = None,
    limit: int = 1_000_000,
) -> Verdict:
    """Judge single calls against a model that does one after the other.

    Failed operations must have had no effect. Unknown ones may have one at any time after they
    began, or never. Blocks; a history with few calls at a time takes microseconds for each.

    Args:
        operations: a history, or some of it.
        step: the model: `step(state, operation)` gives the next state and what the operation gives
            there, or None if it can't happen there. It must not depend on who called, or when. It
            may look at the operation's `value` (an id the database chose): None while unknown.
        initial: the state before all. States are hashable and compare by value.
        key: what an operation is about. Operations of different keys are judged apart, each with
            the initial state: much faster, and as strict.
        limit: how many positions of the search are looked at, for each key.

    Raises:
        Undecided: the limit was reached.
        TypeError: a state is not hashable.
    """
    parts: defaultdict[Hashable, list[Operation]] = defaultdict(list)
    for operation in operations:
        parts[None if key is None else key(operation)].append(operation)
    broken: list[tuple[int, Anomaly]] = []
    for name, part in parts.items():
        search = _Search(part, step, limit)
        if (wrong := search.find_wrong(initial)) is not None:
            about = "" if key is None else f"Of {name!r}: "
            broken.append((wrong.moment, search.explain(wrong, about)))
    broken.sort(key=lambda each: each[0])
    return Verdict(sum(map(len, parts.values())), tuple(anomaly for _, anomaly in broken))


@attrs.frozen
class _Wrong(Generic[S]):
    """The first answer that no order explains, and the states in which it was tried."""

    place: int  # among the answers
    moment: int
    states: list[S]


@final
class _Search(Generic[S]):
    """A search through the orders of one part of a history."""

    def __init__(self, part: list[Operation], step: Step[S], limit: int) -> None:
        self._step = step
        self._limit = limit
        self._part = part
        self._answered = sorted(
            (each for each in part if each.outcome is Outcome.RETURNED),
            key=lambda each: (each.completed, each.invoked),
        )
        # For each answer: the later answers whose calls had begun when it came.
        self._pending = _pending(self._answered)
        self._unknown = sorted(
            (each for each in part if each.outcome is Outcome.UNKNOWN), key=_invoked
        )
        self._unknown_from = [each.invoked for each in self._unknown]
        # Unknown calls of one name and arguments are the same to the model: of such, one that began
        # earlier is tried instead of a later one.
        self._likes = [(each.name, repr(each.arguments)) for each in self._unknown]

    def find_wrong(self, initial: S) -> _Wrong[S] | None:
        """Search depth first; None if some order explains every answer."""
        _expect_hashable(initial)
        start: Position[S] = (0, initial, frozenset())
        stack = [start]
        seen = {start}
        furthest = -1
        states: list[S] = []
        while stack:
            position = stack.pop()
            place, state, _ = position
            if place == len(self._answered):
                return None
            if place > furthest:
                furthest, states = place, []
            if place == furthest and state not in states and len(states) <= _MOST_STATES:
                states.append(state)
            following = [each for each in self._following(position) if each not in seen]
            seen.update(following)
            if len(seen) > self._limit:
                raise Undecided(
                    f"After {self._limit} positions it is not decided whether these"
                    f" {len(self._part)} operations are linearizable. Record fewer at a time,"
                    " give a key, or raise the limit."
                )
            stack += reversed(following)
        wrong = self._answered[furthest]
        assert wrong.completed is not None
        return _Wrong(furthest, wrong.completed, states)

    def _following(self, position: Position[S]) -> Iterator[Position[S]]:
        """The positions one step on, the likeliest first."""
        place, state, early = position
        if place in early:
            yield place + 1, state, early - {place}
            return
        for candidate in (place, *self._pending[place]):
            if candidate in early:
                continue
            call = self._answered[candidate]
            stepped = self._stepped(state, call)
            if stepped is not None and stepped[1] == call.value:
                if candidate == place:
                    yield place + 1, stepped[0], early
                else:
                    yield place, stepped[0], early | {candidate}
        answered_at = self._answered[place].completed
        assert answered_at is not None
        tried = set()
        for number in range(bisect_right(self._unknown_from, answered_at)):
            if ~number in early or self._likes[number] in tried:
                continue
            tried.add(self._likes[number])
            stepped = self._stepped(state, self._unknown[number])
            if stepped is not None and stepped[0] != state:
                yield place, stepped[0], early | {~number}

    def _stepped(self, state: S, call: Operation) -> tuple[S, Any] | None:
        stepped = self._step(state, call)
        if stepped is not None:
            _expect_hashable(stepped[0])
        return stepped

    # -- words ---------------------------------------------------------------------------------

    def explain(self, wrong: _Wrong[S], about: str) -> Anomaly:
        """Say which answer no order explains, and draw what went on around it."""
        call = self._answered[wrong.place]
        tried = [self._tried(state, call) for state in wrong.states[:_MOST_STATES]]
        if len(wrong.states) > _MOST_STATES:
            tried.append("…")
        drawn = self._around(wrong.place)
        text = (
            f"{about}no order explains the first {wrong.place + 1} of {len(self._answered)}"
            f" answers. {call.called} of task {call.task} gave {call.value!r}; after the answers"
            f" before it {' or '.join(tried)}.\n{timeline(drawn, mark=call)}"
        )
        return Anomaly("not linearizable", text, tuple(drawn))

    def _tried(self, state: S, call: Operation) -> str:
        stepped = self._step(state, call)
        if stepped is None:
            return f"the state {state!r} allows no such call"
        return f"the state {state!r} gives {stepped[1]!r}"

    def _around(self, place: int) -> list[Operation]:
        """The wrong call, those at its time, and a few before it."""
        call = self._answered[place]
        shown = set(range(max(0, place - _DRAWN_BEFORE), place + 1)) | set(self._pending[place])
        shown |= {
            number for number, each in enumerate(self._answered[:place]) if not each.precedes(call)
        }
        around = [self._answered[number] for number in shown]
        around += [each for each in self._unknown if not call.precedes(each)]
        return sorted(around, key=_invoked)


def _expect_hashable(state: object) -> None:
    try:
        hash(state)
    except TypeError as error:
        raise TypeError(
            f"A state of the model must be hashable; {type(state).__name__} is not. Use tuples,"
            " frozensets or frozen classes."
        ) from error


def _invoked(operation: Operation) -> int:
    return operation.invoked


def _pending(answered: list[Operation]) -> list[tuple[int, ...]]:
    """For each answer, in order: the later answers whose calls had begun, the oldest call first."""
    beginnings = sorted(range(len(answered)), key=lambda number: answered[number].invoked)
    begun = 0
    pending: dict[int, None] = {}
    found = []
    for place, call in enumerate(answered):
        assert call.completed is not None
        while begun < len(beginnings) and answered[beginnings[begun]].invoked <= call.completed:
            pending[beginnings[begun]] = None
            begun += 1
        del pending[place]
        found.append(tuple(pending))
    return found
