"""An interrupt that can hit only the job it was issued for.

`Driver.abort` ends whatever statement runs on the connection. So the loop may call it only while
the job it means is the current one, and the thread may run another only when the loop has done.
Every call passes here twice and almost none is cancelled; so the thread takes no lock but looks at
a flag (T the thread, L the loop):

  1. L takes the lock, sets `looking`, then reads `current`, and interrupts if that is the job.
  2. T stores `current`; then it reads `looking`, and if it is set waits for the lock.

Both store before they read, and the interpreter lets one step of one thread happen at a time: if L
has read the old job, T finds `looking` set and waits until the interrupt is through. It then finds
nothing to end, and is forgotten when the next statement starts.

The race with the claim, told in steps:

  1. T deletes the claim.                   From here L can't cancel the job outright.
  2. L sets job.cancelled.                  `cancel` finds job.worker still None: no interrupt.
  3. T sets job.worker, then `current` in `begin`, and reads job.cancelled: it sees step 2 and does
     not start.

Had T set job.worker before step 2, L sees it in `cancel`, and interrupts if the job is current, or
leaves `cancelled` for `begin` to read. Either way one of them acts.

The lock is the gate before a COMMIT. A thread that does not come back is abandoned at the
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

    __slots__ = ("_abort", "_lock", "_looking", "abandoned", "committing", "current", "in_doubt")

    def __init__(self, abort: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._abort = abort
        self.current: Job | None = None  # the thread; the loop reads it
        self._looking = False  # the loop, under the lock: it may be interrupting; the thread reads
        self.abandoned = False  # the loop, under the lock: nobody waits any more
        # The thread, under the lock at the gate; it is False again when the answer was sent.
        self.committing = False
        # The loop, when it abandons: a COMMIT was beyond the gate. It stays, whatever the thread
        # does after that, because nobody hears of it.
        self.in_doubt = False

    def begin(self, job: Job) -> bool:
        """Make it the current job, unless it was cancelled. Worker thread.

        The one before it may still be current: from here it meets no interrupt.
        """
        self.current = job
        if self._looking:
            self._wait()
        if job.cancelled:
            self.end()
            return False
        return True

    def end(self) -> None:
        """From here no interrupt comes. Worker thread."""
        self.current = None
        if self._looking:
            self._wait()

    def _wait(self) -> None:
        with self._lock:
            pass  # the loop has done

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
            self._looking = True
            try:
                if self.current is not job:
                    return False
                self._abort()
            finally:
                self._looking = False
            return True
