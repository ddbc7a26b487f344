"""The turn of a reader: one job at a time off the shared inbox, results back in batches.

Cheap calls that wait together share one view of the database: each read outside a transaction
locks and unlocks the WAL, two system calls that cost twice what the lookup itself does. A call
may share a view that was fixed after it was submitted: whatever was acknowledged before its
submission is in it. So a view serves the calls that stood in the inbox when it was opened, and
ends before any result is sent: a thread that rests, lends itself or runs a slow call holds none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from trio_sqlrepo._base.job import Kind, Stopped
from trio_sqlrepo._worker.thread import FLUSH_EVERY, SLOW, Event, Worker

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Job, Statement

_CALL: Final = Kind.CALL
# More than so many calls must wait behind one before a view saves what it costs, 7 µs.
_SHARED_BY: Final = 3


@final
class Reader(Worker):
    """Reads only.

    Cheap jobs are answered together, so that one wake-up serves many tasks. A reader never hoards:
    what it hasn't claimed any other may take.
    """

    # The newest call that the open view may serve; no view is open while it is negative.
    _viewed = -1

    def _open_view(self, job: Job) -> bool:
        """Open a view for a claimed call and those behind it. False: the call has its error."""
        try:
            newest = self.inbox.queue[-1].sequence
        except IndexError:
            return True  # another reader took them
        if not self._begin_read(job):
            self._finish(job)
            return False
        self._viewed = newest
        return True

    def _end_view(self) -> None:
        self._viewed = -1
        self._check_in()

    def _turn(self) -> bool:
        if self.mailbox:
            lease = self.mailbox.popleft()
            if not self._claim(lease):
                # It was cancelled on its way. Rest, though calls may wait: until then the loop
                # believes that this worker is lent, and lends one less.
                return False
            self._serve(lease)
            return True
        inbox = self.inbox
        queue = inbox.queue
        job: Job | None = None
        try:
            # A lease older than the oldest call is served first; the loop hands it over.
            if queue and queue[0].sequence <= inbox.lease_sequence:
                job = queue.popleft()
        except IndexError:
            pass  # another reader was faster
        if job is None:
            if self._viewed >= 0:
                self._end_view()
            return False
        try:
            del job.claim
        except AttributeError:
            return True  # cancelled, or timed out
        job.worker = self
        self.tally.claimed += 1
        statement = job.statement
        if statement is not None and job.kind is _CALL and statement.cost < SLOW:
            self._answer_cheap(job, statement)
        else:
            self._serve(job)
        return True

    def _answer_cheap(self, job: Job, statement: Statement) -> None:
        if job.sequence > self._viewed:
            if self._viewed >= 0:
                self._end_view()
            # A few do with the view that SQLite opens for one statement.
            if len(self.inbox.queue) > _SHARED_BY and not self._open_view(job):
                return
        hands, ticket = self.hands, self.ticket
        # As `_run`, without a step that could be spared: most calls pass here.
        if ticket.begin(job):
            try:
                job.value = hands.call(statement, job.parameters)
            except BaseException as error:  # noqa: BLE001  # it is the caller's, and goes there
                job.error = error
            ticket.end()
            self.tally.busy_seconds += hands.seconds
        else:
            job.error = Stopped(job.label)
        if job.error is None:
            self._finished.append(job)
        else:
            if self._viewed >= 0:
                self._end_view()
            self._judge(job.error)
            self._settle(job)
            if job.cancelled:
                self._send(Event.NEWS)  # the next one may be slow, and it was promised a prompt end
                return
        if hands.ended - self._flushed > FLUSH_EVERY and self.inbox.queue:
            if self._viewed >= 0:
                self._end_view()
            self._send(Event.NEWS)  # with an empty inbox `_rest` sends the results at once

    def _serve(self, job: Job) -> None:
        """Run a job that is slow, or may be."""
        if self._viewed >= 0:
            self._end_view()
        # The order matters: see the module `thread`, "Nor is a job stuck".
        self.slow = True
        if self.inbox.queue:
            self._send(Event.HELP)
        elif self._finished:
            self._send(Event.NEWS)
        started = self.clock()
        if job.kind is Kind.LEASE:
            self._lend(job)
        else:
            if job.kind is _CALL:
                self._run(job)
                self._judge(job.error)
            else:
                self._read(job)
            self._settle(job)
            self.tally.busy_seconds += self.clock() - started
        self.slow = False
        if self.inbox.queue:
            self._send(Event.NEWS)
