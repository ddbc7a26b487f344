"""Cancel a call at a chosen moment, chosen by counting and never by a clock.

A task's life is a row of steps with checkpoints between them. `When` says on which side of the
n-th checkpoint the cancellation comes, or that it comes out of the middle of a running statement:
there the SQL function `tick` calls back.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any, final

import attrs
import trio
from trio.lowlevel import add_instrument, current_task, current_trio_token, remove_instrument


class When(enum.Enum):
    """On which side of the n-th checkpoint, or in SQL."""

    BLOCKED = "blocked"  # the task has just suspended
    RESUMED = "resumed"  # the task has its answer and is about to run
    TICKING = "ticking"  # its statement runs, in the n-th call of the SQL function `tick`


@final
class Ticker:
    """Behind the SQL function `tick(x)`, which gives x back. Any thread."""

    def __init__(self) -> None:
        self.on_tick: Callable[[], None] | None = None

    def __call__(self, value: Any) -> Any:
        if self.on_tick is not None:
            self.on_tick()
        return value


@final
@attrs.define(eq=False)
class _Stepper(trio.abc.Instrument):
    """Cancels `scope` around the n-th step of `task`."""

    when: When
    at: int
    scope: trio.CancelScope
    task: trio.lowlevel.Task | None = None
    steps: int = 0
    fired: bool = False

    def fire(self) -> None:
        self.fired = True
        self.scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and self.when is When.RESUMED and self.steps == self.at:
            self.fire()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self.task:
            return
        self.steps += 1
        if self.when is When.BLOCKED and self.steps == self.at:
            self.fire()

    def tick(self, token: trio.lowlevel.TrioToken) -> None:
        """Worker thread: cancel, and go on only when that is done."""
        self.steps += 1
        if self.steps == self.at:
            trio.from_thread.run_sync(self.fire, trio_token=token)


@attrs.frozen
class Attempt:
    """What came of a call that was to be cancelled."""

    fired: bool  # the call got as far as the chosen moment
    cancelled: bool  # it raised Cancelled; otherwise it returned
    steps: int  # how far it got


async def attempt(
    call: Callable[[], Awaitable[object]], ticker: Ticker, when: When, at: int
) -> Attempt:
    """Run the call in a task of its own and cancel it at the moment. 0: before it starts.

    Whatever it raises but `Cancelled` comes out of here, in the nursery's group.
    """
    scope = trio.CancelScope()
    stepper = _Stepper(when, at, scope)
    returned = False

    async def run() -> None:
        nonlocal returned
        if when is When.TICKING:
            token = current_trio_token()
            ticker.on_tick = lambda: stepper.tick(token)
        else:
            stepper.task = current_task()
        if at == 0:
            stepper.fire()
        with scope:
            await call()
            returned = True
        stepper.task = None  # its end is no checkpoint of the call

    add_instrument(stepper)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
    finally:
        ticker.on_tick = None
        remove_instrument(stepper)
    assert returned != scope.cancelled_caught
    return Attempt(stepper.fired, scope.cancelled_caught, stepper.steps)
