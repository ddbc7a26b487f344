"""A lane: an inbox, the workers that drain it, and the decisions between them.

Pure decisions: no await, no I/O, loop thread only. Methods that decide whom to wake return the
workers; the caller wakes them. In trio, no await means atomic.

Guarantees:

- Calls are taken in the order they came; so are leases among themselves. Where one connection
  serves both, the older goes first.
- While a reader is idle no call waits behind a slow one (see `_worker.thread`).
- Leases never take the last `reserved` connections.
- `waiting` is exact: it is what was submitted, less what threads have claimed, less what the
  loop has cancelled; each counter has one writer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._worker.record import Tally
from trio_sqlrepo._worker.thread import NEVER, Worker

if TYPE_CHECKING:
    import trio

_LEASE: Final = Kind.LEASE
_REMEMBERED: Final = 100  # replacements


@final
class Lane:
    """Connections of one kind and the calls that wait for them.

    Loop thread only, save `queue` (threads pop from it), `lease_sequence`, `checkpoint_at`,
    `urgent` and `watched` (threads read them).
    """

    def __init__(self, name: str, *, smallest: int, largest: int, reserved: int) -> None:
        self.serial = name == "writer"  # one connection serves all in turn
        self.name = name  # "reader", "writer", "checkpointer", as messages call its connections
        self.smallest = smallest
        self.largest = largest
        # Whoever runs on the connection would wait for itself.
        self.sole = self.serial or largest == 1
        # How many leases may be served at once. The writer serves them in the order of its queue.
        self.lease_limit = largest - reserved if largest > 1 else largest
        self.queue: deque[Job] = deque()
        self.lease_sequence = NEVER
        self.checkpoint_at = NEVER  # the WAL governor's, for the writer
        self.watched = False  # `_pool.live`'s, for the writer: commits are to be told
        self.urgent: Job | None = None  # its job in the queue, to be served first

        self.workers: list[Worker] = []  # each is in exactly one of the next three
        self.idle: list[Worker] = []  # a stack: the warmest serves, the others may shrink
        self.busy: dict[Worker, None] = {}  # woken, or opened and not rested yet
        self.held: dict[Worker, Job] = {}  # lent: the lease was handed over, and not released
        self.opening = 0  # connections being opened
        self.leases: deque[Job] = deque()  # waiting; readers only
        self.holders: dict[trio.lowlevel.Task, int] = {}  # leases each task holds

        self.submitted = 0
        self.cancelled = 0  # of the queue's jobs, by the loop
        self.leases_granted = 0
        self.dead = 0  # cancelled since the last compaction
        self.created = self.replaced = self.failed = 0
        # Those replaced because of an error or dirt, newest last: when, which, why.
        self.replaced_for: deque[tuple[float, str, str]] = deque(maxlen=_REMEMBERED)
        self.timeouts = self.overloads = 0
        self.degraded: str | None = None
        # Writers that were given up inside a transaction and have not ended: in what, since when.
        self.stuck: dict[Worker, tuple[str, float]] = {}
        self.gone = Tally()  # what workers did that have ended

    def __repr__(self) -> str:
        return (
            f"<Lane {self.name} size={len(self.workers)} idle={len(self.idle)}"
            f" leased={len(self.held)} waiting={self.waiting}>"
        )

    # -- what is -----------------------------------------------------------------------------

    @property
    def claimed(self) -> int:
        """Calls that threads have taken off the queue."""
        return self.gone.claimed + sum(worker.tally.claimed for worker in self.workers)

    @property
    def waiting(self) -> int:
        """Live calls that wait for a connection."""
        return self.submitted - self.cancelled - self.claimed + len(self.leases)

    def waiters(self) -> list[Job]:
        """Those that wait, dead ones included. A copy: threads pop meanwhile."""
        return [*self.queue.copy(), *self.leases]

    def is_full(self, most: int) -> bool:
        """Whether `most` live calls wait. Cheap while the queue is short."""
        return len(self.queue) + len(self.leases) >= most and self.waiting >= most

    def blocked_by(self, task: trio.lowlevel.Task, *, lease: bool) -> bool:
        """Whether the task would wait for what only it can release."""
        mine = self.holders.get(task, 0)
        if self.serial:
            return mine > 0
        return mine >= (self.lease_limit if lease else self.largest)

    @property
    def can_grow(self) -> bool:
        """Whether one more connection may be opened on demand."""
        return len(self.workers) + self.opening < self.largest and self.degraded is None

    # -- submitting --------------------------------------------------------------------------

    def submit(self, job: Job) -> Worker | None:
        """Queue a job; whom to wake for it."""
        if job.kind is _LEASE and not self.serial:
            self.leases.append(job)
            return self._grant()
        self.submitted += 1
        self.queue.append(job)
        # Only now look at `slow`: the thread sets it and then looks at the queue.
        if not self.idle or (self.serial and (self.busy or self.held)):
            return None
        for worker in self.busy:
            if not worker.slow:
                return None
        return self._rouse()

    def withdraw(self, job: Job) -> None:
        """Note that the loop has cancelled a waiting job, whose claim it holds."""
        if job.kind is _LEASE and not self.serial:
            if job in self.leases:  # otherwise it lies dead in a mailbox; see `rested`
                self.leases.remove(job)
                self._mark()
            return
        self.cancelled += 1
        self.dead += 1
        if self.dead * 2 > len(self.queue):
            self._compact()

    def _compact(self) -> None:
        """Drop cancelled jobs from the queue.

        A thread that still pops from the old one claims what it takes, so nothing runs twice.
        """
        self.queue = deque(job for job in self.queue.copy() if job.claim)
        self.dead = 0

    # -- workers -----------------------------------------------------------------------------

    def opened(self, worker: Worker) -> None:
        """Its connection is open; it will rest, or work, by itself."""
        self.opening -= 1
        self.created += 1
        self.workers.append(worker)
        self.busy[worker] = None

    def rested(self, worker: Worker) -> Worker | None:
        """The worker found no work and blocks; whom to wake."""
        if worker.leaving:  # it was told while its message was on the way
            return worker
        # A lent worker never rests: its lease died before its thread claimed it.
        if self.held:
            self.held.pop(worker, None)
        self.busy.pop(worker, None)
        self.idle.append(worker)
        if self.leases and (granted := self._grant()) is not None:
            return granted
        if self.queue and not (self.serial and (self.busy or self.held)):
            return self._rouse()
        return None

    def reserve(self, worker: Worker) -> bool:
        """Take an idle worker for a health check, unless it is not idle or another has the turn."""
        if worker not in self.idle or (self.serial and (self.busy or self.held)):
            return False
        self.idle.remove(worker)
        self.busy[worker] = None
        return True

    def dismiss(self, worker: Worker) -> None:
        """Give it no more work; it ends once it has been woken or its job is done."""
        worker.leaving = True
        if worker in self.idle:
            self.idle.remove(worker)
            self.busy[worker] = None

    def help(self) -> Worker | None:
        """Work waits and no cheap worker takes it: an idle one to wake."""
        return self._rouse() if self.idle and not self.serial else None

    def granted(self, worker: Worker, lease: Job) -> None:
        """Its thread has claimed the lease, whose task gets it now."""
        lease.holder = lease.task
        self.holders[lease.holder] = self.holders.get(lease.holder, 0) + 1
        self.busy.pop(worker, None)
        self.held[worker] = lease
        self.leases_granted += 1

    def refused(self, worker: Worker, lease: Job) -> Worker | None:
        """Its thread has claimed the lease and could not begin it; whom to wake."""
        if self.held.get(worker) is not lease:
            return None
        return self.released(worker)

    def released(self, worker: Worker) -> Worker | None:
        """A lease has ended; whom to wake."""
        self._forget(self.held.pop(worker))
        self.busy[worker] = None
        return self._grant()

    def lost(self, worker: Worker) -> Worker | None:
        """The worker has ended; whom to wake in its place."""
        self.workers.remove(worker)
        self.busy.pop(worker, None)
        if worker in self.idle:
            self.idle.remove(worker)
        lease = self.held.pop(worker, None)
        if lease is not None:
            self._forget(lease)
        self.gone.add(worker.tally)
        if (granted := self._grant()) is not None:
            return granted
        if self.queue and self.idle and not (self.serial and (self.busy or self.held)):
            return self._rouse()
        return None

    # -- how it does that --------------------------------------------------------------------

    def _rouse(self) -> Worker:
        worker = self.idle.pop()
        self.busy[worker] = None
        return worker

    def _grant(self) -> Worker | None:
        """Hand the oldest waiting lease to an idle worker, if it may be served now."""
        granted = None
        if self.leases and self.idle and len(self.held) < self.lease_limit:
            granted = self.idle.pop()
            self.held[granted] = lease = self.leases.popleft()
            granted.mailbox.append(lease)
        self._mark()
        return granted

    def _mark(self) -> None:
        """Tell the threads whether a lease waits for one of them to rest."""
        due = self.leases and len(self.held) < self.lease_limit
        self.lease_sequence = self.leases[0].sequence if due else NEVER

    def _forget(self, lease: Job) -> None:
        if lease.holder is None:
            return  # it died before it was granted
        self.holders[lease.holder] -= 1
        if not self.holders[lease.holder]:
            del self.holders[lease.holder]
