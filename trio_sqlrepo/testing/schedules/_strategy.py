"""Hypothesis draws schedules, and makes those that fail short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from trio_sqlrepo.testing.faults import Fault
from trio_sqlrepo.testing.schedules._program import Call, Cancelled, Deadline, Schedule, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_sqlrepo.testing.faults import At, Failure, Lane
    from trio_sqlrepo.testing.schedules._scenario import Scenario

# What can go wrong at which call. The rest would be met by nobody, or stops the whole pool.
_POSSIBLE: Final[dict[Failure, tuple[At, ...]]] = {
    "busy": ("begin",),
    "ioerr": ("run", "commit", "begin"),
    "full": ("run", "commit"),
    "corrupt": ("run", "commit"),
    "slow": ("run", "commit", "begin"),
    "death": ("run", "commit"),
}
_SECONDS: Final = (0.001, 0.01, 0.1)  # around what the pool's own watches sleep
_MOST_MOVES: Final = 30  # after which a call may be cancelled; a write takes a dozen
_LONGEST_GAP: Final = 5  # decisions between two switches
_MOST_CHOICES: Final = 4


def call(method: Callable[..., Awaitable[Any]], /, **arguments: Any) -> st.SearchStrategy[Call]:
    """A strategy of calls of a repository's method.

    Args:
        method: the method, as `Accounts.deposit`.
        arguments: for each parameter a strategy, or the one value it always has.
    """
    drawn = {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for name, value in arguments.items()
    }
    return _calls(method, drawn)


@st.composite  # and not `builds`, of which Hypothesis would print `Call(deposit, ...)`
def _calls(
    draw: st.DrawFn,
    method: Callable[..., Awaitable[Any]],
    arguments: dict[str, st.SearchStrategy[Any]],
) -> Call:
    return Call(method, **{name: draw(value) for name, value in arguments.items()})


def faults(*failures: Failure, lane: Lane | None = None, nth: int = 3) -> st.SearchStrategy[Fault]:
    """A strategy of faults: of these kinds (all but `"bug"` by default) at the calls they fit.

    Args:
        failures: what may happen, as for `Fault`.
        lane: on connections of this kind only.
        nth: the last of the calls of a kind that may meet it.
    """

    def of(failure: Failure, at: At) -> st.SearchStrategy[Fault]:
        more: dict[str, st.SearchStrategy[Any]] = {}
        if failure == "slow":
            more["seconds"] = st.sampled_from(_SECONDS)
        if at == "commit" and failure in {"ioerr", "corrupt"}:
            more["applied"] = st.booleans()
        return st.builds(
            Fault, st.just(failure), st.just(at), st.integers(1, nth), lane=st.just(lane), **more
        )

    kinds = failures or tuple(_POSSIBLE)
    return st.one_of([of(failure, at) for failure in kinds for at in _POSSIBLE[failure]])


@st.composite
def schedules(
    draw: st.DrawFn,
    scenario: Scenario,
    *,
    tasks: int = 3,
    calls: int = 3,
    cancellations: bool = True,
    faults: st.SearchStrategy[Fault] | None = None,
    most_faults: int = 1,
    switches: int = 12,
) -> Schedule:
    """A strategy of schedules.

    They shrink to few tasks, few calls, no cancellations, no faults and few switches.

    Args:
        draw: Hypothesis gives it; leave it out.
        scenario: whose operations the tasks do.
        tasks: the largest number of tasks.
        calls: the largest number of calls of a task, one after the other.
        cancellations: whether calls may be cancelled, or have deadlines.
        faults: what may go wrong, as `faults()`; None for nothing.
        most_faults: the largest number of faults.
        switches: the largest number of decisions that are not taken by their first choice.
    """
    operations: Sequence[st.SearchStrategy[Any]] = scenario.operations
    operation = st.one_of(operations)
    step: st.SearchStrategy[Step] = operation
    if cancellations:
        cancelled = st.builds(Cancelled, operation, after=st.integers(0, _MOST_MOVES))
        timed = st.builds(Deadline, operation, seconds=st.sampled_from(_SECONDS))
        step = st.one_of(operation, operation, cancelled, timed)
    program = st.lists(st.lists(step, min_size=1, max_size=calls), min_size=1, max_size=tasks)
    planned = [] if faults is None else draw(st.lists(faults, max_size=most_faults))
    gaps = st.tuples(st.integers(0, _LONGEST_GAP), st.integers(1, _MOST_CHOICES))
    taken: dict[int, int] = {}
    decision = 0
    for gap, choice in draw(st.lists(gaps, max_size=switches)):
        decision += gap
        taken[decision] = choice
        decision += 1
    return Schedule(draw(program), tuple(planned), taken)
