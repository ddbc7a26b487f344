"""Threads that run one at a time: each goes on only when the loop steps it, to its next stop.

While one of them runs the loop's thread waits for it, so all that any of them touches is touched by
one thread at a time, and what happens is decided by the order of the steps alone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._worker.thread import Worker

# Seconds that a step may take: a statement, or a function of the user's.
PATIENCE: Final = 60.0

_here: Final = threading.local()


class Unwound(BaseException):
    """Ends a thread that will not be stepped again. Never leaves this kit."""


def always() -> bool:
    """Tell that a thread can go on now."""
    return True


def this_thread() -> SteppedThread | None:
    """The stepped thread that runs this, None on the loop's."""
    thread: SteppedThread | None = getattr(_here, "thread", None)
    return thread


@final
class SteppedThread:
    """A worker's thread and its place. The loop's thread steps it; `stop` is its own."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.name = worker.name
        self.ready: Callable[[], bool] = always  # whether it can go on; asked by the loop
        self.due = float("inf")  # when it is ready by itself, by the schedule's clock
        self.done = False
        self.members: list[int] = []  # tasks whose work the open transaction holds
        self._unwinding = False
        # Locks as signals: taken by who waits, released by who wakes it.
        self._go = threading.Lock()
        self._stopped = threading.Lock()
        self._go.acquire()
        self._stopped.acquire()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "ended" if self.done else "can go on" if self.ready() else "waits"
        return f"<SteppedThread {self.name} {state}>"

    def _run(self) -> None:
        _here.thread = self
        self._go.acquire()
        if not self._unwinding:
            self.worker.main()  # lets no exception out
        self.done = True
        self._stopped.release()

    # -- the loop's thread -----------------------------------------------------------------------

    def step(self) -> None:
        """Let it go on to its next stop, or to its end.

        Raises:
            TimeoutError: it came to neither.
        """
        self._go.release()
        if not self._stopped.acquire(timeout=PATIENCE):
            raise TimeoutError(
                f"The thread of {self.name} did not come to a stop in {PATIENCE:g} s:"
                f" {self.worker!r}. A statement or function of it does not end."
            )
        if self.done:
            self._thread.join()

    def unwind(self) -> None:
        """End it wherever it stands."""
        self._unwinding = True
        while not self.done:
            self.step()

    # -- its own thread --------------------------------------------------------------------------

    def stop(self, ready: Callable[[], bool] = always, due: float = float("inf")) -> None:
        """Wait until it is stepped.

        Args:
            ready: whether it makes sense to step it.
            due: when it is ready by itself, in seconds of the schedule's clock.
        """
        if not self._unwinding:
            self.ready = ready
            self.due = due
            self._stopped.release()
            self._go.acquire()
            self.ready = always
            self.due = float("inf")
        if self._unwinding:
            raise Unwound


@final
class SteppedSignal:
    """A worker's signal whose wait is a stop."""

    def __init__(self) -> None:
        self._count = 0

    def set(self) -> None:
        """Count one. The loop's thread."""
        self._count += 1

    def wait(self) -> int:
        """Stop until set; give the count since the last wait. The worker's thread."""
        thread = this_thread()
        assert thread is not None, "only a worker waits for its signal"
        thread.stop(lambda: self._count > 0)
        count, self._count = self._count, 0
        return count

    def close(self) -> None:
        """There is no descriptor."""
