"""The turn of the writer: group commit, with every error where it belongs.

Writes that wait together share one transaction and one fsync. What each call is told is exact:

- `BEGIN IMMEDIATE` comes first, with nothing claimed: a call cancelled during the wait for
  another process's lock is gone at once. A write is claimed just before it runs.
- A write that fails undoes itself and the group goes on: one statement by SQLite's own rule, all
  else by a savepoint. Where a statement has left something all the same (rows were inserted, and
  what RETURNING gave did not fit), or a deferred foreign key is broken, the whole group is undone;
  from then on that query has a savepoint.
- No result **and no error** leaves a group before its fate is known: an error may rest on what
  another member wrote. If the transaction is undone or vanishes, every member runs again, alone,
  in order, once; the culprit too, unless it was cancelled.
- COMMIT, then the file's identity, then the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from trio_sqlrepo._base.driver import Interrupted, Verdict
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReplaced,
    OutcomeUnknown,
    SqlRepoError,
    TransactionAborted,
)
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker.thread import ABORTED, Event, Worker
from trio_sqlrepo._worker.told import named, not_run, own

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Statement

# A group is committed when it is this old. Seconds.
_OLD = 0.005
# A write whose mean is above this does not join a group: the others would wait for it. Seconds.
_SLOW_WRITE = 0.001

_CALL: Final = Kind.CALL
_GROUPED = frozenset({Kind.CALL, Kind.BATCH, Kind.BODY})


@final
class Writer(Worker):
    """Writes, and reads where the pool has no readers. Alone takes jobs off its inbox.

    The inbox belongs to the writer whose turn it is. The loop gives the turn with a wake-up and
    has it back when the writer rests or ends; until the first one a writer must not even look.
    """

    def __init__(self, *arguments: Any, group_commit: int) -> None:
        super().__init__(*arguments)
        self._group_commit = group_commit
        # Mean seconds of bodies by label; a query's own is `Statement.cost`. Worker thread.
        self._body_costs: dict[str, float] = {}
        # Queries that failed and left something. Worker thread.
        self._careless: set[Statement] = set()
        self._ran_body = False  # since the last check-in. Worker thread

    def _turn(self) -> bool:
        if self.mailbox and self.mailbox[0].kind is Kind.PROBE:
            self._serve_mail()
            return True
        job = self._peek() if self._wakes_seen else None
        if job is None:
            return False
        started = self.clock()
        if not job.writes:
            if self._take_next(job):
                self._serve_read(job)
        elif job.kind is Kind.LEASE:
            self._serve_transaction()
        elif job.kind in _GROUPED:
            self._serve_group()
        else:
            self._serve_alone()
        if job.kind is not Kind.LEASE:
            self.tally.busy_seconds += self.clock() - started
        if self._driver.wal_frames >= self.inbox.checkpoint_at:
            self._send(Event.WAL)
        elif self._finished and (self.mailbox or self._peek() is not None):
            # At once: whoever waits for a write may be about to send the next one. If nothing
            # waits, the word that this thread rests brings them, and the loop reads one message.
            self._send(Event.NEWS)
        return True

    def _give_up(self) -> bool:
        # BEGIN waits with nothing claimed: for as long as anybody waits for it.
        return super()._give_up() or (self.ticket.current is None and self._peek() is None)

    def _take_next(self, job: Job) -> bool:
        """Take the job that stands first off the inbox; False if it was cancelled meanwhile."""
        if not self._take(job):
            return False
        # It is still first: only this thread pops. If the queue was compacted since, the job
        # does not stand in the new one, or stands there dead and is skipped.
        queue = self.inbox.queue
        if queue and queue[0] is job:
            queue.popleft()
        return True

    # -- reads, where there are no readers -------------------------------------------------

    def _serve_read(self, job: Job) -> None:
        if job.kind is Kind.LEASE:
            self._lend(job)
            return
        if job.kind is Kind.CALL:
            self._run(job)
            self._judge(job.error)
        else:
            self._read(job)
        self._settle(job)

    # -- one transaction -------------------------------------------------------------------

    def _begin(self) -> bool:
        """Open a write transaction for whoever stands first.

        False if that failed, or nobody waits any more; those it failed for have their error.
        """
        try:
            newest = self.inbox.queue[-1].sequence
        except IndexError:
            return False  # cancelled since it was seen
        try:
            self._driver.begin_write()
        except Interrupted:
            return False  # all who waited have been cancelled, or the pool ends
        except DatabaseLocked as error:
            # All of these have waited for the lock as long; later ones wait on.
            while (job := self._peek()) is not None and job.sequence <= newest and job.writes:
                if self._take_next(job):
                    self._fail(job, error)
        except BaseException as error:  # noqa: BLE001  # it belongs to the call it was for
            self._judge(error)
            job = self._peek()
            if job is not None and self._take_next(job):
                self._fail(job, error)
        else:
            return True
        return False

    def _fail(self, job: Job, error: BaseException) -> None:
        job.value = None
        job.error = named(own(error), job)
        self._settle(job)

    def _serve_transaction(self) -> None:
        """An interactive transaction: hold the connection for its task until released."""
        if not self._begin():
            return
        job = self._peek()
        if job is None or job.kind is not Kind.LEASE or not self._take_next(job):
            self._driver.rollback()  # cancelled while BEGIN waited; look at the inbox anew
            return
        self._serve_lease(job)

    def commit(self) -> None:
        """COMMIT what a lease has done. For its RELEASE job.

        Raises:
            TransactionAborted: SQLite had ended the transaction.
        """
        if not self._driver.in_transaction:
            raise TransactionAborted(ABORTED)
        if not self.ticket.may_commit():
            raise Stopped
        self._driver.commit()
        self._note_changes()
        self.tally.commits += 1
        self.tally.writes += 1

    def _note_changes(self) -> None:
        """After a COMMIT: have it told, if anybody watches by now."""
        if self.inbox.watched and (changes := self._driver.take_changes()) is not None:
            self._changes = changes if self._changes is None else self._changes | changes

    # -- alone -----------------------------------------------------------------------------

    def _serve_alone(self) -> None:
        """A function or ad-hoc SQL: one transaction of its own, run once.

        VACUUM and upkeep: none.
        """
        job = self._peek()
        if job is None:
            return
        alone = job.kind is Kind.UPKEEP
        if job.kind is Kind.ADHOC:
            try:
                alone = self._driver.runs_alone(job.parameters[0])
            except BaseException as error:  # noqa: BLE001  # the call's: the schema has changed
                self._judge(error)
                if self._take_next(job):
                    self._fail(job, error)
                return
        if alone:
            if self._take_next(job):
                self._run(job)
                self._note_changes()
                self._finish(job)
            return
        if not self._begin():
            return
        if self._peek() is job and self._take_next(job):
            self._run_and_commit(job)
            self._finish(job)
        else:
            self._driver.rollback()

    def _run_and_commit(self, job: Job) -> None:
        """Run a claimed job in the open transaction and end that, for better or worse."""
        driver = self._driver
        self._run(job)
        if job.error is None and not driver.in_transaction:
            job.error = TransactionAborted(ABORTED)
        if job.error is None and not self.ticket.may_commit():
            job.error = Stopped(job.label)
        if job.error is None:
            try:
                driver.commit()
            except BaseException as error:  # noqa: BLE001  # the call's
                job.error = error
            else:
                self._note_changes()
                self.tally.commits += 1
                self.tally.writes += 1
        if job.error is not None:
            job.value = None
            driver.rollback()
            self._judge(job.error)

    # -- groups ----------------------------------------------------------------------------

    def _serve_group(self) -> None:
        """Run writes from the inbox in one transaction; commit; answer.

        It ends when it is full or old, or when something comes that can't join.
        """
        if not self._begin():
            return
        members: list[Job] = []
        intact = self._run_members(members)
        if not members:
            self._driver.rollback()
            return
        if not intact or not self._commit_group(members):
            self._run_each_alone(members)
            return
        if self._ran_body:
            # It may have executed SQL that was not declared; what is declared leaves nothing.
            self._ran_body = False
            self._check_in()
        for job in members:
            self._settle(job)

    def _run_members(self, members: list[Job]) -> bool:
        """Take writes off the inbox and run them until one can't join. False: as `_run_member`."""
        ticket = self.ticket
        oldest = now = self.clock()
        try:
            while len(members) < self._group_commit:
                job = self._peek()
                if job is None or job.kind not in _GROUPED or not job.writes:
                    break
                if members and (now - oldest > _OLD or self._cost(job) > _SLOW_WRITE):
                    break
                if not self._take_next(job):
                    continue
                members.append(job)
                statement = job.statement
                if job.kind is _CALL and statement not in self._careless:
                    intact = self._run_statement(job, statement)  # type: ignore[arg-type]  # a call has one
                    now = self.hands.ended
                else:
                    ticket.end()
                    intact = self._run_guarded(job)
                    now = self.clock()
                if not intact:
                    return False
        finally:
            ticket.end()
        return True

    def _run_statement(self, job: Job, statement: Statement) -> bool:
        """Run a member that is one statement. False: the transaction is not what others believe.

        The ticket stays with it until the next one has it: an interrupt that comes after its end
        finds nothing to end.
        """
        driver = self._driver
        changes = driver.total_changes()
        if not self.ticket.begin(job):
            job.error = Stopped(job.label)
            return True
        try:
            job.value = self.hands.call(statement, job.parameters)
        except BaseException as error:  # noqa: BLE001  # it is the caller's, and goes there
            job.error = error
            self._judge(error)
            if self._retire is not None or not driver.in_transaction:
                return False
            if driver.total_changes() == changes:
                return True
            self._careless.add(statement)
            return False
        return driver.in_transaction and not driver.has_deferred_violations()

    def _cost(self, job: Job) -> float:
        if job.statement is not None:
            times = 1 if job.kind is _CALL else len(job.parameters)
            return job.statement.cost * times
        return self._body_costs.get(job.label, 0.0)

    def _run_guarded(self, job: Job) -> bool:
        """Run one member inside a savepoint. False: as above."""
        try:
            return self._try_guarded(job)
        except SqlRepoError as error:  # of a savepoint: alone, each call learns for itself
            self._judge(error)
            return False

    def _try_guarded(self, job: Job) -> bool:
        driver = self._driver
        driver.savepoint()
        started = self.clock()
        self._run(job)
        if job.kind is Kind.BODY:
            self._ran_body = True
            before = self._body_costs.get(job.label, 0.0)
            self._body_costs[job.label] = before + (self.clock() - started - before) / 4
        if job.error is not None:
            self._judge(job.error)
        if self._retire is not None or not driver.in_transaction:
            return False
        if job.error is None:
            driver.release()
            return not driver.has_deferred_violations()
        driver.undo()
        return driver.in_transaction

    def _commit_group(self, members: list[Job]) -> bool:
        """COMMIT and compare the file. False: it was not applied and all must run again."""
        if not self.ticket.may_commit():
            for job in members:
                job.error = Stopped(job.label)
            self._driver.rollback()
            return True
        try:
            self._driver.commit()
        except SqlRepoError as error:
            self._judge(error)
            final = isinstance(error, (OutcomeUnknown, DatabaseReplaced))
            verdict = self._driver.verdict(error)
            if not final and verdict in {Verdict.NOT_APPLIED, Verdict.BUSY}:
                return False
            for job in members:
                if job.error is None:
                    job.value = None
                    job.error = own(error)
            return True
        self._note_changes()
        self.tally.commits += 1
        self.tally.writes += sum(job.error is None for job in members)
        return True

    def _run_each_alone(self, members: list[Job]) -> None:
        """Run members of an undone group again, each in a transaction of its own, in order."""
        usable = self._check_in()
        for job in members:
            if not isinstance(job.error, Stopped):
                job.value = job.error = None
                if usable:
                    self._begin_for(job)
                    if job.error is None:
                        self._run_and_commit(job)
                    usable = self._check_in()
                else:
                    job.error = not_run()
            self._settle(job)
            self._send(Event.NEWS)

    def _begin_for(self, job: Job) -> None:
        """`BEGIN IMMEDIATE` for one claimed job; its error is the job's."""
        if not self.ticket.begin(job):
            job.error = Stopped(job.label)
            return
        try:
            self._driver.begin_write()
        except BaseException as error:  # noqa: BLE001  # the call's
            job.error = named(error, job)
            self._judge(error)
        finally:
            self.ticket.end()
