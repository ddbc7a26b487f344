"""Time and order of a run: both the schedule's, neither the machine's."""

from __future__ import annotations

import importlib
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FOREVER: Final = 86_400.0  # seconds; longer than trio ever sleeps at once


@final
class VirtualClock(trio.abc.Clock):
    """Stands still until it is moved. The loop's thread moves it, all may read it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.broken: BaseException | None = None  # what the loop is ended with

    def __repr__(self) -> str:
        return f"<VirtualClock {self.now:.6g} s>"

    def start_clock(self) -> None:
        """Nothing has to be started."""

    def current_time(self) -> float:
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        # The one place where code of ours can end a loop that can't be ended otherwise.
        if self.broken is not None:
            raise self.broken
        return 0.0 if deadline <= self.now else _FOREVER

    def jump_to(self, time: float) -> None:
        """Move on; never back."""
        self.now = max(self.now, time)


@final
class _Order(random.Random):
    """What trio orders its runnable tasks by."""

    def __init__(self, arrange: Callable[[list[Any]], None]) -> None:
        super().__init__(0)
        self._arrange = arrange

    def shuffle(self, x: Any) -> None:
        self._arrange(x)


@contextmanager
def steered_trio(arrange: Callable[[list[Any]], None]) -> Iterator[None]:
    """Have trio's scheduler ask `arrange` in which order tasks run; the last goes first.

    Uses what trio keeps for Hypothesis and pytest-trio: a switch that has the tasks of one pass of
    the loop sorted by age and then shuffled by the scheduler's own generator. Python's generator,
    which jitter comes from, is seeded meanwhile.

    Raises:
        RuntimeError: this version of trio has no such switch.
    """
    scheduler: Any = importlib.import_module("trio._core._run")
    names = "_ALLOW_DETERMINISTIC_SCHEDULING", "_r"
    before = [getattr(scheduler, name, None) for name in names]
    if None in before:
        raise RuntimeError(
            f"trio {trio.__version__} has no deterministic scheduling that"
            " trio_sqlrepo.testing.schedules knows; use trio 0.30 or a newer trio_sqlrepo."
        )
    state = random.getstate()
    random.seed(0)
    for name, value in zip(names, (True, _Order(arrange)), strict=True):
        setattr(scheduler, name, value)
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(scheduler, name, value)
        random.setstate(state)
