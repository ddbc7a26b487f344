"""An interrupt that can hit only the job it was issued for.

`Driver.abort` ends whatever statement runs on the connection. So the loop may call it only while
the job it means is the current one, and the thread may change the current job only while the
loop doesn't look: one lock per worker, held for nanoseconds.

The race with the claim, told in steps (T the thread, L the loop):

  1. T pops the claim.                      From here L can't cancel the job outright.
  2. L sets job.cancelled.                  `cancel` finds job.worker still None: no interrupt.
  3. T sets job.worker, then takes the lock in `begin` and reads job.cancelled: it sees step 2 and
     does not start.

Had T set job.worker before step 2, L sees it in `cancel`, waits for the lock and interrupts if
the job is current, or leaves the flag for `begin` to read. Either way one of them acts.

The same lock is the gate before a COMMIT. A thread that does not come back is abandoned at the
end, and its calls are told that nothing of them was kept: from then on it must not commit. If it
had passed the gate before, nobody knows, and that is what they are told.

An interrupt that comes before the statement's first step is lost; so the thread looks at
`cancelled` before every statement, and the loop repeats `cancel` until the job ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Job


@final
class Ticket:
    """Which job a worker's connection runs now."""

    __slots__ = ("_abort", "_lock", "abandoned", "committing", "current", "in_doubt")

    def __init__(self, abort: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._abort = abort
        self.current: Job | None = None  # both, under the lock; its thread may read it without
        self.abandoned = False  # the loop, under the lock: nobody waits any more
        # The thread, under the lock at the gate; it is False again when the answer was sent.
        self.committing = False
        # The loop, when it abandons: a COMMIT was beyond the gate. It stays, whatever the thread
        # does after that, because nobody hears of it.
        self.in_doubt = False

    def begin(self, job: Job) -> bool:
        """Make it the current job, unless it was cancelled. Worker thread."""
        with self._lock:
            if job.cancelled:
                return False
            self.current = job
            return True

    def end(self) -> None:
        """From here no interrupt comes. Worker thread."""
        with self._lock:
            self.current = None

    def may_commit(self) -> bool:
        """Pass the gate before a COMMIT. False: nobody waits for it, roll back. Worker thread."""
        with self._lock:
            self.committing = not self.abandoned
            return self.committing

    def abandon(self) -> None:
        """From here the gate is shut; `in_doubt` says if a COMMIT is beyond it. Loop thread."""
        with self._lock:
            self.abandoned = True
            self.in_doubt = self.in_doubt or self.committing

    def cancel(self, job: Job) -> bool:
        """Interrupt the job if it runs now; False: it does not, and will not run any more.

        Loop thread, after it set `job.cancelled`.
        """
        with self._lock:
            if self.current is not job:
                return False
            self._abort()
            return True
