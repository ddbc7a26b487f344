"""BEGIN…COMMIT as a state machine that says "unknown" when it is.

A state is set after the fact it reports: WRITING after BEGIN IMMEDIATE has returned, NONE after
COMMIT has. A transaction that SQLite ended by itself (an interrupted write, a full disk, ON
CONFLICT ROLLBACK) is VANISHED until it is rolled back, so that no later statement of it can
autocommit.
"""

from __future__ import annotations

import enum
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, final

import apsw

from trio_sqlrepo._base.errors import InternalError, ReadOnlySession, TransactionAborted
from trio_sqlrepo._base.footprint import EVERYTHING
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.footprint import Footprints, Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.footprint import Footprint
    from trio_sqlrepo._sqlite.cache import Kept
    from trio_sqlrepo._sqlite.identity import FileIdentity
    from trio_sqlrepo._sqlite.link import Link

# An interrupt meant for a statement may meet the ROLLBACK that follows it. Interrupts are repeated
# every few milliseconds at most, so of a few attempts in a row one comes through.
_ATTEMPTS = 10


class State(enum.Enum):
    """Where the connection's transaction stands."""

    __hash__ = object.__hash__  # Enum's own is Python code, and these are looked up per call

    NONE = "no transaction"
    READING = "reading"
    WRITING = "writing"
    VANISHED = "ended by SQLite"
    UNKNOWN = "outcome unknown"


class Event(enum.Enum):
    """What has happened to it."""

    __hash__ = object.__hash__

    BEGUN_READ = "begun to read"
    BEGUN_WRITE = "begun to write"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    VANISHED = "ended by SQLite"
    HALF_COMMITTED = "the COMMIT failed half-way"


# Tuples, because `in` compares by identity first.
_OPEN = (State.READING, State.WRITING)
_NEXT = {
    (State.NONE, Event.BEGUN_READ): State.READING,
    (State.NONE, Event.BEGUN_WRITE): State.WRITING,
    (State.READING, Event.COMMITTED): State.NONE,
    (State.READING, Event.ROLLED_BACK): State.NONE,
    (State.READING, Event.VANISHED): State.VANISHED,
    (State.WRITING, Event.COMMITTED): State.NONE,
    (State.WRITING, Event.ROLLED_BACK): State.NONE,
    (State.WRITING, Event.VANISHED): State.VANISHED,
    (State.WRITING, Event.HALF_COMMITTED): State.UNKNOWN,
    (State.VANISHED, Event.ROLLED_BACK): State.NONE,
    # Nothing leads out of UNKNOWN: the connection must be replaced.
}


def _nobody() -> bool:
    return False


@final
class Transaction:
    """The transaction of one connection. Used on the connection's thread only."""

    __slots__ = (
        "_begin", "_begin_immediate", "_commit", "_identity", "_link", "_page", "_release",
        "_rollback", "_rollback_to", "_savepoint", "_schema_changes", "committed",
        "depth", "footprints", "state", "watching", "written",
    )  # fmt: skip

    def __init__(self, link: Link, identity: FileIdentity | None) -> None:
        self._link = link
        self._identity = identity  # None for a database in memory
        self.state = State.NONE
        self.depth = 0  # savepoints open
        self._schema_changes = 0  # the gate's count when it began
        self.watching: Callable[[], bool] = _nobody
        self.footprints = Footprints(link)
        self.written: Written | None = None  # of the open one, if it must be noted
        self.committed: Footprint | None = None  # what the last one wrote, until it is taken
        self._begin = link.control("BEGIN")
        self._begin_immediate = link.control("BEGIN IMMEDIATE")
        self._commit = link.control("COMMIT")
        self._rollback = link.control("ROLLBACK")
        # One name at every depth: SQLite takes the innermost.
        self._savepoint = link.control("SAVEPOINT trio_sqlrepo")
        self._release = link.control("RELEASE trio_sqlrepo")
        self._rollback_to = link.control("ROLLBACK TO trio_sqlrepo")
        # BEGIN alone fixes no view; reading a page does.
        self._page = link.control("SELECT 1 FROM sqlite_schema LIMIT 1")

    def __repr__(self) -> str:
        return f"<Transaction {self.state.value}, {self.depth} savepoints>"

    def begin_read(self) -> None:
        """Open one whose view is fixed when this returns."""
        self._expect(State.NONE)
        try:
            self._link.own(self._begin)
            self._link.ask(self._page)
        except apsw.Error as error:
            failure = self._link.converted(error)
        else:
            self._move(Event.BEGUN_READ)
            return
        self.rollback()
        raise failure

    def begin_write(self) -> None:
        """Open one that holds SQLite's write lock."""
        self._expect(State.NONE)
        if self._link.reads_only:
            raise InternalError("A read connection was asked to begin a write transaction.")
        self._run(self._begin_immediate)
        self._move(Event.BEGUN_WRITE)
        if self.watching():
            with suppress(apsw.Error):  # interrupted: then it may have written everything
                self.written = Written(self._link.epoch())

    def commit(self) -> None:
        """COMMIT it; of a write, compare the file's identity before this returns."""
        self.notice()
        if self.state is State.VANISHED:
            self.rollback()
            raise TransactionAborted(
                "The transaction was ended by SQLite before its COMMIT; nothing of it stays."
            )
        if self.state not in _OPEN:
            self._expect(*_OPEN)
        wrote = self.state is State.WRITING
        if not wrote and self._link.connection.txn_state() == apsw.SQLITE_TXN_WRITE:
            self.rollback()
            raise ReadOnlySession("A snapshot was written to; what was written is undone.")
        # Before it ends: after that another process may change the schema.
        written = self._sum_up() if wrote else None
        try:
            self._link.own(self._commit)
        except apsw.Error as error:
            failure = self._commit_failed(error)
        else:
            self._move(Event.COMMITTED)
            self.depth = 0
            if wrote:
                self.committed = written
                self.compare_files()
            return
        raise failure

    def _commit_failed(self, error: apsw.Error) -> BaseException:
        """Find out what a failed COMMIT leaves, and leave nothing where that can be known."""
        report = codes.Report.of(error)
        applied_not = report is not None and codes.leaves_nothing(report.extended)
        if self.state is State.WRITING and report is not None and not applied_not:
            self._move(Event.HALF_COMMITTED)
            return codes.outcome_unknown(report)
        failure = self._link.converted(error)
        self.rollback()
        return failure

    def rollback(self) -> None:
        """End it without keeping anything. Never raises: `state` and `txn_state()` tell."""
        connection = self._link.connection
        for _ in range(_ATTEMPTS):
            if not connection.in_transaction:
                break
            try:
                self._link.own(self._rollback)
            except apsw.InterruptError:
                continue
            except apsw.Error:
                return
        if connection.in_transaction:
            return
        self.depth = 0
        if self.state not in (State.NONE, State.UNKNOWN):
            self._upset_if_schema_changed()
            self._move(Event.ROLLED_BACK)

    def notice(self) -> None:
        """See whether SQLite has ended it. To be asked after every error."""
        if self.state in _OPEN and not self._link.connection.in_transaction:
            self._move(Event.VANISHED)
            self.depth = 0

    # -- savepoints ------------------------------------------------------------------------

    def savepoint(self) -> None:
        """Open one inside the open transaction (outside of one, SQLite would begin one)."""
        self.notice()
        if self.state not in _OPEN:
            self._expect(*_OPEN)
        self._run(self._savepoint)
        self.depth += 1
        if self.written is not None:
            self.written.mark()

    def release(self) -> None:
        """Keep what the innermost one holds, and end it."""
        self._expect_savepoint()
        self._insist(self._release)
        self.depth -= 1
        if self.written is not None:
            self.written.keep()

    def undo(self) -> None:
        """Undo what the innermost one holds, and end it; nothing if all has vanished."""
        self.notice()
        if self.state is State.VANISHED:
            return
        self._expect_savepoint()
        self._insist(self._rollback_to)
        self._upset_if_schema_changed()
        self._insist(self._release)
        self.depth -= 1
        if self.written is not None:
            self.written.undo()

    # -- what a statement may do ---------------------------------------------------------------

    def refuse_write(self, name: str) -> NoReturn:
        """Say why a write can't run now. The caller has seen that the state is not WRITING."""
        if self.state is State.READING:
            raise ReadOnlySession(f"{name} writes, and a snapshot only reads.")
        self._expect(State.WRITING)
        raise InternalError(  # pragma: no cover  # the caller has seen another state
            f"{name} was refused inside a write transaction."
        )

    def compare_files(self) -> None:
        """See that the files are those that were opened: before a write is acknowledged."""
        if self._identity is not None:
            self._identity.check()

    def read_page(self) -> None:
        """Read a page of the file."""
        try:
            self._link.ask(self._page)
        except apsw.Error as error:
            failure = self._link.converted(error)
        else:
            return
        raise failure

    # -- inside --------------------------------------------------------------------------------

    def _move(self, event: Event) -> None:
        following = _NEXT.get((self.state, event))
        if following is None:
            raise InternalError(f"A transaction in the state {self.state} can't be {event}.")
        self.state = following
        self.written = None
        if following in _OPEN:
            self._schema_changes = self._link.gate.schema_changes

    def _sum_up(self) -> Footprint:
        """What the open write transaction has written, or more."""
        written = self.written
        if written is None:
            return EVERYTHING
        try:
            # What has run may mean something else in another schema.
            if self._link.epoch() != written.epoch:
                return EVERYTHING
            return self.footprints.summed_up(written)
        except apsw.Error:  # it no longer compiles
            return EVERYTHING

    def _upset_if_schema_changed(self) -> None:
        """Note that undoing a change of the schema makes statements stale, as making it does."""
        if self._link.gate.schema_changes != self._schema_changes:
            self._link.gate.upheavals += 1

    def _expect(self, *states: State) -> None:
        if self.state in states:
            return
        if self.state is State.VANISHED:
            raise TransactionAborted(
                "The transaction was ended by SQLite after an error; nothing of it stays and"
                " nothing more can be done in it."
            )
        wanted = " or ".join(state.value for state in states)
        raise InternalError(f"The connection's state is {self.state.value!r}, not {wanted!r}.")

    def _expect_savepoint(self) -> None:
        if self.state not in _OPEN:
            self._expect(*_OPEN)
        if not self.depth:
            raise InternalError("There is no savepoint to end.")

    def _run(self, kept: Kept) -> None:
        try:
            self._link.own(kept)
        except apsw.Error as error:
            failure = self._link.converted(error)
        else:
            return
        raise failure

    def _insist(self, kept: Kept) -> None:
        """Run it in spite of an interrupt that was meant for the statement before it."""
        for _ in range(_ATTEMPTS - 1):
            try:
                self._link.own(kept)
            except apsw.InterruptError:
                continue
            except apsw.Error:
                break
            else:
                return
        self._run(kept)
