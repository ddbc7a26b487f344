"""Jobs that are sent before anybody waits for them: chunks of a stream, fetched ahead.

Loop thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs
import outcome
from trio.lowlevel import (
    Abort,
    checkpoint,
    current_task,
    enable_ki_protection,
    reschedule,
    wait_task_rescheduled,
)

from trio_sqlrepo._base.job import Stopped
from trio_sqlrepo._pool import refusals
from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._pool.hub import Hub


@attrs.frozen(eq=False)
class Holding:
    """A stream that is open, for whoever looks for those that are held too long."""

    label: str  # the query
    task: str  # the name of the task that entered it
    since: float  # seconds of trio's clock


@final
class Ahead:
    """The `holder` of a job that has no task: keeps the answer until somebody asks for it.

    The answer lies here and not in the job, which a thread that was given up may still touch.
    """

    __slots__ = ("_answer", "_job", "_pool", "_waiting", "name")

    def __init__(self, pool: Hub, job: Job, name: str) -> None:
        self._pool = pool
        self._job = job
        self.name = name  # of the task that sent it, for messages
        self._answer: outcome.Outcome[Any] | None = None
        self._waiting: trio.lowlevel.Task | None = None

    def __repr__(self) -> str:
        return f"<Ahead {self._job.label} {'answered' if self.is_answered else 'under way'}>"

    @property
    def is_answered(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self._answer is not None

    def answer(self, error: BaseException | None) -> None:
        """The job has ended. Cannot raise. Called once: from then on the job knows no holder."""
        job = self._job
        job.holder = None  # a circle would keep the rows until the garbage collector comes
        self._answer = outcome.Value(job.value) if error is None else outcome.Error(error)
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            reschedule(task)

    @enable_ki_protection
    async def wait(self) -> None:
        """Wait until the job has ended. A checkpoint; cancelled, it may be waited for again."""
        if self._answer is None:
            self._waiting = current_task()
            await wait_task_rescheduled(self._abort)
        else:
            await checkpoint()

    def result(self) -> Any:
        """Give the value of the job, which has ended, or raise its error. To be asked once."""
        assert self._answer is not None
        if isinstance(self._answer, outcome.Error) and isinstance(self._answer.error, Stopped):
            raise refusals.closed_under(self._pool.name, self._job)
        return self._answer.unwrap()

    def _abort(self, _raise_cancel: Callable[[], Any]) -> Abort:
        self._waiting = None
        return Abort.SUCCEEDED

    def stop(self) -> None:
        """End the job, if it has not ended. Whoever waits for it is woken."""
        pool = self._pool
        if self._answer is not None or pool.state is State.FORKED:
            return
        if pool.withdraw(self._job, None):
            self.answer(Stopped(self._job.label))
        else:
            pool.interrupt(self._job)
