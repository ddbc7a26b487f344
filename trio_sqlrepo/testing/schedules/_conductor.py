"""Who goes on next: the tasks of a program, the threads of the pool, or the clock.

The loop and the threads take turns, one at a time. Three questions are asked on the way, each a
*decision*; a schedule's `switches` say which of them are not answered by the first choice:

1. Several tasks of the program can run: which goes first? First choice: the oldest.
2. A task of the program is about to run: does a thread go on before it? First choice: none.
3. All tasks wait: which thread goes on? First choice: the one that ran last, until it waits. The
   loop, if a thread has something to tell it; any other thread; the clock, which may strike a
   deadline that is near while threads are still at work.

If nothing can run, time passes to the next deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio
from trio.lowlevel import Abort, current_task, wait_task_rescheduled

from trio_sqlrepo.testing.schedules._baton import SteppedSignal, SteppedThread, this_thread
from trio_sqlrepo.testing.schedules._clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_sqlrepo._worker.thread import Message, Worker

# How late a thread may be by the clock though it could go on. Seconds.
_LATE: Final = 0.1
# How long the program may wait for nothing but the clock before it is said to be stuck. Seconds.
_STUCK: Final = 900.0
# The same after the run has failed and was cancelled: longer than the pool waits for a thread.
_STUCK_AGAIN: Final = 30.0

_LOOP: Final = "loop"
_CLOCK: Final = "clock"


class StuckError(AssertionError):
    """The tasks of a schedule wait for each other, or for what never comes."""


@attrs.define(eq=False)
class _Alarm:
    due: int  # at which move
    ring: Callable[[], None]


@final
class Conductor(trio.abc.Instrument):
    """Steps the threads between the steps of the loop. Loop thread only, save `pause`."""

    def __init__(self, switches: Mapping[int, int]) -> None:
        self.clock = VirtualClock()
        self.moves = 0  # steps of threads and of the program's tasks while it runs
        self.decisions = 0
        self.armed = False  # the program runs: decisions are asked
        # The index of the program's task that this one is, or belongs to.
        self.index_of: Callable[[trio.lowlevel.Task | None], int | None] = lambda _: None
        self.main: trio.lowlevel.Task | None = None  # the run's own
        self.failure: BaseException | None = None  # a program that is stuck, a thread that hangs
        self.on_failure: Callable[[], None] = lambda: None  # cancels all there is
        self.describe: Callable[[], str] = str  # what the program does
        self._switches = switches
        self._threads: list[SteppedThread] = []
        self._hosts: dict[SteppedThread, trio.lowlevel.Task] = {}
        self._current: SteppedThread | None = None
        self._news = False  # a thread has told the loop something since it last looked
        self._alarms: list[_Alarm] = []
        self._alive_at = 0.0  # when the program last did something

    def __repr__(self) -> str:
        return f"<Conductor {self.moves} moves, {self.decisions} decisions, {self._threads}>"

    # -- the threads ---------------------------------------------------------------------------

    def equip(self, worker: Worker) -> None:
        """Give a worker a signal, a clock and a way to report that this can steer."""
        worker.signal = SteppedSignal()  # type: ignore[assignment]  # all that a worker uses of one
        worker.clock = self.clock.current_time
        post = worker._post

        def post_between_stops(message: Message) -> None:
            self.pause()
            post(message)
            self._news = True
            self.pause()

        worker._post = post_between_stops

    async def run_thread(self, main: Any, **_: object) -> None:
        """Run a worker's thread to its end, as `trio.to_thread.run_sync` does."""
        await trio.lowlevel.checkpoint()
        thread = SteppedThread(main.__self__)
        self._threads.append(thread)
        self._hosts[thread] = current_task()

        def abandon(_: object) -> Abort:
            del self._hosts[thread]
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abandon)

    def pause(self) -> None:
        """Stop here, if the program runs. A thread's."""
        thread = this_thread()
        if thread is not None and self.armed:
            thread.stop()

    def wait_until(self, due: float, ready: Callable[[], bool] = bool) -> None:
        """Stop until the clock shows `due`, or `ready` says so. A thread's."""
        thread = this_thread()
        assert thread is not None, "only a thread waits here"
        thread.stop(lambda: self.clock.now >= due or ready(), due)

    def _step(self, thread: SteppedThread) -> None:
        self._current = thread
        try:
            thread.step()
        except TimeoutError:
            self._threads.remove(thread)  # its host is left to be abandoned
            raise
        self._count_move()
        if thread.done:
            self._threads.remove(thread)
            host = self._hosts.pop(thread, None)
            if host is not None:
                trio.lowlevel.reschedule(host)
                self._news = True

    def unwind(self) -> None:
        """End the threads that nobody waits for any more."""
        for thread in self._threads:
            thread.unwind()
        self._threads.clear()

    # -- the loop --------------------------------------------------------------------------------

    def arrange(self, batch: list[trio.lowlevel.Task]) -> None:
        """Order the tasks of one pass of the loop. They come sorted by age, the last runs first."""
        ours = [place for place, task in enumerate(batch) if self.index_of(task) is not None]
        rest = [batch[place] for place in ours]
        for place in ours:
            batch[place] = rest.pop(self._choose(len(rest)))
        batch.reverse()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Let threads go on before a task of the program does, if the schedule says so."""
        ours = self.index_of(task) is not None
        if ours or task is self.main:
            self._alive_at = self.clock.now
        if not (self.armed and ours):
            return
        try:
            while runnable := self._runnable():
                choice = self._choose(1 + len(runnable))
                if not choice:
                    break
                self._step(runnable[choice - 1])
                self._ring()
            self._count_move()
            self._ring()
        except BaseException as error:  # noqa: BLE001  # trio would only log it
            self._fail(error)

    def before_io_wait(self, timeout: float) -> None:
        """Let threads go on, or time pass, where the loop would block."""
        if timeout == 0:
            return
        try:
            while not (self._ring() or self._go_on()):
                pass
        except BaseException as error:  # noqa: BLE001  # as above
            self._fail(error)
        self._news = False
        # Whatever the descriptors say, the loop comes round. Its run may be over by now.
        with suppress(trio.RunFinishedError):
            trio.lowlevel.current_trio_token().run_sync_soon(_nothing, idempotent=True)

    def _go_on(self) -> bool:
        """Do what comes next where all tasks wait; True: let the loop come round."""
        choices: list[SteppedThread | str] = [*self._runnable()]
        first: list[SteppedThread | str] = [_LOOP] if self._news else []
        if self._current in choices:
            choices.remove(self._current)
            first.insert(0, self._current)
        choices = first + choices
        if not choices:
            return self._pass_time()
        if self.armed and self._next_deadline() - self.clock.now <= _LATE:
            choices.append(_CLOCK)
        choice = choices[self._choose(len(choices))]
        if isinstance(choice, SteppedThread):
            self._step(choice)
            return False
        if choice == _CLOCK:
            self.clock.jump_to(self._next_deadline())
        return True

    def _pass_time(self) -> bool:
        """Nothing can run: move the clock to what is due next."""
        deadline = self._next_deadline()
        due = min([thread.due for thread in self._threads], default=float("inf"))
        following = min(deadline, due)
        patience = _STUCK if self.failure is None else _STUCK_AGAIN
        if following > self._alive_at + patience:
            raise StuckError(
                "The schedule is stuck: nothing can run, and for a quarter of an hour of its clock"
                f" nothing of it has.{self.describe()}"
            )
        self.clock.jump_to(following)
        return deadline <= due

    def _next_deadline(self) -> float:
        return self.clock.now + trio.lowlevel.current_statistics().seconds_to_next_deadline

    def _fail(self, error: BaseException) -> None:
        """End the run. An instrument may not raise: trio would go on without it."""
        self.armed = False
        self._alive_at = self.clock.now
        if self.failure is None:
            self.failure = error
            self.on_failure()
        else:  # it could not be cancelled
            self.clock.broken = error

    # -- decisions -------------------------------------------------------------------------------

    def _runnable(self) -> list[SteppedThread]:
        return [thread for thread in self._threads if thread.ready()]

    def _choose(self, choices: int) -> int:
        if choices < 2 or not self.armed:  # noqa: PLR2004  # one choice is no decision
            return 0
        number = self.decisions
        self.decisions += 1
        return self._switches.get(number, 0) % choices

    # -- what happens at a move --------------------------------------------------------------------

    def after_moves(self, moves: int, ring: Callable[[], None]) -> None:
        """Call `ring` on the loop thread when so many moves have been made from now."""
        self._alarms.append(_Alarm(self.moves + moves, ring))

    def _count_move(self) -> None:
        if self.armed:
            self.moves += 1

    def _ring(self) -> bool:
        """Ring what is due; whether something was."""
        due = [alarm for alarm in self._alarms if alarm.due <= self.moves]
        for alarm in due:
            self._alarms.remove(alarm)
            alarm.ring()
        return bool(due)


def _nothing() -> None:
    """What the loop is woken with."""
