"""One worker: an inbox loop on a thread that is pinned for life and owns one connection.

Messages go up in batches through one outbox per pool: `(worker, finished jobs, event)`. What
the loop knows of a worker it knows from these alone.

No wake-up is lost:

  1. The thread finds mailbox and inbox empty and posts RESTING with the number of wake-ups it has
     seen, then blocks in its signal.
  2. The loop calls a worker idle only when it processes RESTING, and only if it has sent no
     further wake-up meanwhile; it then looks at the inbox. What was submitted between the thread's
     look and the loop's is found there, and the worker is woken.

Nor is a job stuck behind a slow one while a reader is idle:

  1. The thread sets `slow`, then looks at the inbox; if work waits it posts HELP.
  2. A submitter appends to the inbox, then reads `slow` of the busy workers.

Whatever the order, one of the two sees the other's write.
"""

from __future__ import annotations

import enum
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from trio_sqlrepo._base.driver import Driver, Interrupted, Verdict
from trio_sqlrepo._base.errors import SqlError, SqlRepoError, TransactionAborted
from trio_sqlrepo._base.footprint import Footprint
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.record import Tally
from trio_sqlrepo._worker.signal import Signal
from trio_sqlrepo._worker.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Statement

# A job whose mean is above this is slow: results in hand go back before it starts. Seconds.
SLOW = 0.0002
# Results of cheap jobs go back at least this often. Seconds.
FLUSH_EVERY = 0.001

# What comes of an interrupt: a function with the raw connection may swallow it, not the latter.
_INTERRUPTED = Interrupted, TransactionAborted

NEVER = 1 << 62  # later than any sequence number


class Event(enum.Enum):
    """What a message says beside the finished jobs it brings."""

    NEWS = "news"  # nothing more
    OPENED = "opened"  # the connection is there and the loop runs
    RESTING = "resting"  # found no work, blocks
    HELP = "help"  # enters a slow job while work waits: wake another
    WAL = "wal"  # the WAL is due for a checkpoint; or here is who can do it
    ENDED = "ended"  # the connection is closed, the thread ends; `error` says why


class Message(NamedTuple):
    """From a thread to the loop."""

    worker: Worker
    jobs: list[Job]
    event: Event
    wakes: int  # RESTING: how many wake-ups the thread has seen
    error: BaseException | None = None  # why the connection must be replaced, or its thread ended
    changes: Footprint | None = None  # committed since the last one, if anybody watches


class Inbox(Protocol):
    """What a thread sees of its lane. The loop writes it; any thread reads."""

    queue: deque[Job]  # replaced as a whole when compacted: look it up each time
    # The oldest lease that waits and may be served: a thread takes nothing younger off the queue
    # but rests, so that the loop can give it the lease.
    lease_sequence: int
    # A turn that leaves so many frames in the WAL is told to the loop. NEVER while it knows.
    checkpoint_at: int
    # One of the queue that the writer serves before all others.
    urgent: Job | None
    watched: bool  # whether commits are to be told (see `_pool.live`)


class Worker:
    """A task, its pinned thread and its connection. Subclasses say what a turn is."""

    def __init__(
        self,
        name: str,
        open_driver: Callable[[Worker], Driver],
        inbox: Inbox,
        post: Callable[[Message], None],
    ) -> None:
        self.name = name
        self._open_driver = open_driver
        self.inbox = inbox
        self._post = post
        self.signal = Signal(blocking=True)
        self.clock: Callable[[], float] = perf_counter  # what the thread measures its work by
        self.mailbox: deque[Job] = deque()  # the loop appends, the thread pops
        self.tally = Tally()
        self.driver: Driver | None = None  # worker thread; `abort` through the ticket
        self.ticket = Ticket(self._abort)
        self.slow = False  # the thread sets it, the loop reads it
        self.leaving = False  # the loop sets it: finish the current job, then end
        self.stopping = False  # the loop sets it: end now, statements are being interrupted
        self._wakes_seen = 0  # worker thread
        self._finished: list[Job] = []  # worker thread: results in hand
        self._flushed = 0.0  # worker thread: when the last message went, by the clock
        self._changes: Footprint | None = None  # worker thread: committed, to be told
        self._retire: BaseException | None = None  # worker thread: why the connection must go

        # Loop thread only, kept here for the lane and the supervisor.
        self.wakes = 0  # wake-ups sent
        self.was_opened = False
        self.buried = False  # its lane is done with it: what it still says nobody hears
        self.opened_at = 0.0
        self.idle_since = 0.0
        # Why it looks at the file before it serves. Set before its thread starts.
        self.suspicion: BaseException | None = None
        self.expires_at = 0.0

    def __repr__(self) -> str:
        current = self.ticket.current
        doing = "idle" if current is None else f"running {current.label}"
        return f"<{type(self).__name__} {self.name} {doing}>"

    # -- loop thread -----------------------------------------------------------------------

    def wake(self) -> None:
        """Have the thread look at its mailbox and the inbox. Loop thread."""
        self.wakes += 1
        self.signal.set()

    def has_compiled(self, statement: Statement) -> bool:
        """Whether its connection will run the query without compiling it."""
        return self.driver is not None and self.driver.is_precompiled(statement)

    def stop(self) -> None:
        """Have the thread end now. Loop thread; repeated until it has."""
        self.stopping = True
        if not self.was_opened:
            self._abort()  # a migration, or the wait for a lock; there is no job to hit
        self.wake()

    def _abort(self) -> None:
        if self.driver is not None:
            self.driver.abort()

    # -- worker thread ---------------------------------------------------------------------

    def adopt(self, driver: Driver) -> None:
        """Own a connection from the moment it is there, so that opening can be interrupted."""
        driver.give_up = lambda: self.stopping
        self.driver = driver

    def main(self) -> None:
        """The thread's whole life. Lets no exception out: its last message carries it."""
        error: BaseException | None = None
        try:
            driver = self._open_driver(self)
            driver.give_up = self._give_up
            driver.watching = lambda: self.inbox.watched
            self.hands = Hands(driver, self.ticket, self.tally, self.clock)
            self._send(Event.OPENED)
            # A lease in the mailbox was handed over before the worker was told to leave.
            while not (self.stopping or self._retire or (self.leaving and not self.mailbox)):
                if not self._turn():
                    self._rest()
            if self._finished:
                self._send(Event.NEWS)  # closing may take its time
            error = self._retire
        except BaseException as crash:  # noqa: BLE001  # reported: the pool fails with it
            error = crash
        finally:
            try:
                if self.driver is not None:
                    self.adopt(self.driver)  # if closing waits, it is for no call
                    self.driver.close()
            except BaseException as crash:  # noqa: BLE001  # as above
                error = error or crash
            self._post(Message(self, self._take_finished(), Event.ENDED, self._wakes_seen, error))

    def _turn(self) -> bool:
        """Do some work; False if there is none."""
        raise NotImplementedError

    def _send(self, event: Event) -> None:
        self._flushed = self.clock()
        jobs, changes, self._changes = self._take_finished(), self._changes, None
        self._post(Message(self, jobs, event, self._wakes_seen, self._retire, changes))
        self.ticket.committing = False  # whatever was committed has been told

    def _take_finished(self) -> list[Job]:
        finished, self._finished = self._finished, []
        return finished

    def _rest(self) -> None:
        self._send(Event.RESTING)
        self._wakes_seen += self.signal.wait()

    def _peek(self) -> Job | None:
        """The next live job of the inbox, left where it is. The writer's only: it alone pops."""
        urgent = self.inbox.urgent
        if urgent is not None and urgent.claim:
            return urgent
        while True:
            queue = self.inbox.queue
            try:
                job = queue[0]
                if job.claim:
                    return job
                queue.popleft()  # cancelled, timed out, or served out of turn
            except IndexError:
                return None

    def _claim(self, job: Job) -> bool:
        """Take it from the loop, which could have cancelled it. Exactly one wins."""
        try:
            del job.claim
        except AttributeError:
            return False
        job.worker = self
        return True

    def _take(self, job: Job) -> bool:
        """Claim a job that stood in the inbox."""
        try:
            del job.claim
        except AttributeError:
            return False
        job.worker = self
        self.tally.claimed += 1
        return True

    def _give_up(self) -> bool:
        """The driver asks while it waits for a lock, and between chunks."""
        current = self.ticket.current
        return self.stopping if current is None else current.cancelled

    def _perform(self, job: Job) -> Any:
        """Run what the job says. Whatever it raises is the call's."""
        if job.kind is Kind.CALL:
            return self.hands.call(job.statement, job.parameters)  # type: ignore[arg-type]
        if job.kind is Kind.BATCH:
            return self.hands.call_many(job.statement, job.parameters)  # type: ignore[arg-type]
        return job.work(self.hands)  # type: ignore[misc]  # every other kind has one

    def _run(self, job: Job) -> None:
        """Run a claimed job to a value or an error, under its ticket."""
        if not self.ticket.begin(job):
            job.error = Stopped(job.label)
            return
        try:
            job.value = self._perform(job)
        except BaseException as error:  # noqa: BLE001  # it is the caller's, and goes there
            job.value = None
            job.error = error
        finally:
            self.ticket.end()

    def _judge(self, error: BaseException | None) -> None:
        """Note whether the connection must be replaced after this error."""
        if isinstance(error, (SqlRepoError, MemoryError)) and not isinstance(error, Interrupted):
            verdict = self._driver.verdict(error)
            if verdict in {Verdict.RETIRE, Verdict.UNKNOWN}:
                self._retire = error

    @property
    def _driver(self) -> Driver:
        return self.hands.driver

    def _settle(self, job: Job) -> None:
        """Put a finished job among the results, an interrupt translated. Last touch of it here."""
        if job.cancelled and isinstance(job.error, _INTERRUPTED):
            job.error = Stopped(job.label)
        self._finished.append(job)

    def _finish(self, job: Job) -> None:
        """End a job that had a transaction of its own, or could not begin it."""
        self._judge(job.error)
        self._check_in()
        self._settle(job)

    def _check_in(self) -> bool:
        """After a job that could leave something behind: reuse only what is proven clean."""
        driver = self._driver
        driver.rollback()
        clean = driver.is_clean()
        if not clean and self._retire is None:
            self._retire = SqlError(
                "A connection came back with an open statement, a temporary table, something"
                " attached or changed settings; it is replaced."
            )
        return clean

    def _read(self, job: Job) -> None:
        """Run a claimed job that reads inside one read transaction: one view for all of it."""
        if self._begin_read(job):
            self._run(job)
        self._judge(job.error)
        self._check_in()

    def _serve_mail(self) -> None:
        """Run what was sent to this worker alone: a health check."""
        job = self.mailbox.popleft()
        if self._claim(job):
            self._read(job)
            self._settle(job)

    def _begin_read(self, job: Job) -> bool:
        """Open a read transaction for a claimed job, whose cancellation ends the wait for it."""
        if not self.ticket.begin(job):
            job.error = Stopped(job.label)
            return False
        try:
            self._driver.begin_read()
        except BaseException as error:  # noqa: BLE001  # the caller's
            job.error = error
        finally:
            self.ticket.end()
        return job.error is None

    def _lend(self, lease: Job) -> None:
        """Open a read transaction and keep it for the lease's holder."""
        if self._begin_read(lease):
            self._serve_lease(lease)
            return
        self._finish(lease)

    def commit(self) -> None:
        """COMMIT what a lease has done. The writer's."""
        raise NotImplementedError

    # -- leases ----------------------------------------------------------------------------

    def _serve_lease(self, lease: Job) -> None:
        """Run what comes to the mailbox until the lease is released. Its transaction is open.

        Worker thread. The lease was claimed; its task waits for the grant.
        """
        lease.value = self
        self._finished.append(lease)
        self._send(Event.NEWS)
        while not self.stopping:
            try:
                job = self.mailbox.popleft()
            except IndexError:
                self._wakes_seen += self.signal.wait()
                continue
            if not self._claim(job):
                continue
            started = self.clock()
            self._obey(job)
            self.tally.busy_seconds += self.clock() - started
            released = job.kind is Kind.RELEASE
            if released:
                # Before the answer: whoever gets it finds the connection checked in.
                self._check_in()
            self._settle(job)
            if released:
                return
            self._send(Event.NEWS)
        self._check_in()

    def _obey(self, job: Job) -> None:
        """Run one command of a lease. A vanished transaction is the end of it."""
        if job.kind is Kind.RELEASE:  # without a ticket: a COMMIT is not interrupted
            try:
                job.value = job.work(self)  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001  # the caller's
                job.error = error
        elif not self._driver.in_transaction:
            job.error = TransactionAborted(ABORTED)
        else:
            self._run(job)
        self._judge(job.error)


ABORTED = (
    "SQLite has ended this transaction (an interrupted write, a full disk, ON CONFLICT ROLLBACK"
    " or RAISE(ROLLBACK)); all it did is undone. Leave the block and start again."
)
