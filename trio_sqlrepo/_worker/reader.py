"""The turn of a reader: one job at a time off the shared inbox, results back in batches."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, final

from trio_sqlrepo._base.job import Kind, Stopped
from trio_sqlrepo._worker.thread import FLUSH_EVERY, SLOW, Event, Worker

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Job, Statement

_CALL: Final = Kind.CALL


@final
class Reader(Worker):
    """Reads only.

    Cheap jobs are answered together, so that one wake-up serves many tasks. A reader never hoards:
    what it hasn't claimed any other may take.
    """

    def _turn(self) -> bool:
        if self.mailbox:
            job = self.mailbox.popleft()
            if not self._claim(job):
                # The lease was cancelled on its way. Rest, though calls may wait: until then the
                # loop believes that this worker is lent, and lends one less.
                return False
            self._serve(job)
            return True
        inbox = self.inbox
        queue = inbox.queue
        if not queue:
            return False
        try:
            # A lease older than the oldest call is served first; the loop hands it over.
            if queue[0].sequence > inbox.lease_sequence:
                return False
            job = queue.popleft()
        except IndexError:
            return False  # another reader was faster
        if self._take(job):
            statement = job.statement
            if statement is not None and job.kind is _CALL and statement.cost < SLOW:
                self._answer_cheap(job, statement)
            else:
                self._serve(job)
        return True

    def _answer_cheap(self, job: Job, statement: Statement) -> None:
        # `_run` and `_settle` in one, for speed: most of what a reader does is done here.
        hands = self.hands
        ticket = self.ticket
        if ticket.begin(job):
            try:
                job.value = hands.call(statement, job.parameters)
            except BaseException as error:  # noqa: BLE001  # the caller's, and goes there
                job.error = error
            ticket.end()
            self.tally.busy_seconds += hands.seconds
            if job.error is not None:
                self._judge(job.error)
                self._settle(job)
            else:
                self._finished.append(job)
        else:
            job.error = Stopped(job.label)
            self._finished.append(job)
        if hands.ended - self._flushed > FLUSH_EVERY and self.inbox.queue:
            self._send(Event.NEWS)  # with an empty inbox `_rest` sends the results at once

    def _serve(self, job: Job) -> None:
        """Run a job that is slow, or may be."""
        # The order matters: see the module `thread`, "Nor is a job stuck".
        self.slow = True
        if self.inbox.queue:
            self._send(Event.HELP)
        elif self._finished:
            self._send(Event.NEWS)
        started = perf_counter()
        if job.kind is Kind.LEASE:
            self._lend(job)
        else:
            if job.kind is _CALL:
                self._run(job)
                self._judge(job.error)
            else:
                self._read(job)
            self._settle(job)
            self.tally.busy_seconds += perf_counter() - started
        self.slow = False
        if self.inbox.queue:
            self._send(Event.NEWS)
