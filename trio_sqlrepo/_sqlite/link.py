"""One apsw connection with what guards it: what the rooms of this floor share."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any, final

import apsw

from trio_sqlrepo._base.driver import Interrupted, Role
from trio_sqlrepo._base.errors import (
    DatabaseReadOnly,
    DeclarationError,
    InternalError,
    MappingError,
    SearchSyntaxError,
    SqlError,
    SqlRepoError,
)
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.cache import PARKED, Kept, StatementCache, abort
from trio_sqlrepo._sqlite.gate import Gate, Mode
from trio_sqlrepo._sqlite.scrub import run_time_message, search_problem
from trio_sqlrepo._sqlite.wal import Gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite.busy import BusyHandler
    from trio_sqlrepo._sqlite.gate import Action

# As many `None`s as a statement has parameters, without knowing how many. apsw's own tools
# (apsw.ext.query_info) compile with it.
NULLS: Any = getattr(apsw, "_null_bindings")  # noqa: B009  # the type stubs leave it out

# The text ends in a comment of ours because apsw's cache goes by the text and asks no authorizer:
# a user's "COMMIT" must never find this floor's compiled one.
_MARK = " -- by trio_sqlrepo"

# The schema's number, and how often statements became stale here for other reasons.
Epoch = tuple[object, int]


@final
class Link:
    """A connection and its gate, busy handler and statement cache. One thread's."""

    __slots__ = (
        "_epoch",
        "_noticed_at",
        "busy",
        "cache",
        "connection",
        "gate",
        "gauge",
        "is_table",
        "reads_only",
        "role",
        "schema_text",
        "schema_version",
    )

    def __init__(
        self, connection: apsw.Connection, gate: Gate, busy: BusyHandler, role: Role
    ) -> None:
        self.connection = connection
        self.gate = gate
        self.busy = busy
        self.gauge = Gauge()  # listens on connections that write to a WAL
        self.role = role
        self.reads_only = role.reads_only  # asked at every BEGIN
        self.cache = StatementCache()
        self.schema_text = self.control(
            "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND instr(sql, ?1)"
            " UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE type = 'trigger' AND instr(sql, ?1)",
            marked=False,
        )
        self.is_table = self.control(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? AND rootpage > 0",
            marked=False,
        )
        self.schema_version = self.control("PRAGMA schema_version")
        self._epoch: Epoch = (None, 0)  # as last seen
        self._noticed_at = 0  # the cache's count of uses when that was first seen

    def control(self, sql: str, *, marked: bool = True) -> Kept:
        """Compile a statement of this floor's own and keep it compiled."""
        kept = Kept(self.connection, sql + _MARK if marked else sql)
        kept.nulls = NULLS
        with self.as_own():
            self.cache.keep(kept)
        return kept

    @contextlib.contextmanager
    def as_own(self, mode: Mode = Mode.OWN) -> Iterator[None]:
        """Let the gate judge as `mode` says; this floor's own statements pass."""
        before, self.gate.mode = self.gate.mode, mode
        try:
            yield
        finally:
            self.gate.mode = before

    def own(self, kept: Kept) -> None:
        """Run one of `control` that gives no rows. Raises apsw's errors."""
        self.cache.use(kept)
        gate = self.gate
        before = gate.mode
        gate.mode = Mode.OWN
        try:
            kept.execute(kept.sql)
        finally:
            gate.mode = before

    def ask(self, kept: Kept, *bindings: str) -> list[Row]:
        """Run one of `control` and give its rows. Raises apsw's errors."""
        self.cache.use(kept)
        gate = self.gate
        before = gate.mode
        gate.mode = Mode.OWN
        try:
            rows: list[Row] = kept.execute(kept.sql, bindings or None).fetchall()
        finally:
            gate.mode = before
        return rows

    def epoch(self) -> Epoch:
        """Give what moves whenever compiled statements become stale."""
        now = self.ask(self.schema_version)[0][0], self.gate.upheavals
        if now != self._epoch:
            self._epoch, self._noticed_at = now, self.cache.uses
        return now

    def is_fresh(self, kept: Kept, *, ask: bool) -> bool:
        """Whether it is compiled for the schema as it is; without `ask`, as it was last seen.

        Without `ask` any thread may call it. Raises apsw's errors.
        """
        if ask:
            self.epoch()
        if kept.epoch == (self._epoch[0], self.gate.upheavals):
            return True
        # It has run since the change was noticed and needed no compiling: it names no table.
        unmoved = self._epoch[1] == self.gate.upheavals
        return unmoved and self._noticed_at < kept.last_use < PARKED

    def compile(
        self,
        sql: str,
        actions: list[Action],
        *,
        trace: Callable[[apsw.Cursor, str, Any], bool] = abort,
        bindings: Any = NULLS,
    ) -> None:
        """Compile what a user wrote, and add what the compiler asks the gate about to `actions`.

        `trace` looks at the statement and forbids to run it. Raises apsw's errors; leaves the cache
        alone.
        """
        cursor = self.connection.cursor()
        cursor.exec_trace = trace
        self.gate.recorded = actions
        try:
            with self.as_own(Mode.INSPECTION):
                cursor.execute(sql, bindings, can_cache=False)
        except apsw.ExecTraceAbort:
            pass
        finally:
            self.gate.recorded = None
            cursor.close(force=True)

    def explain(self, sql: str, how: int) -> list[tuple[Any, ...]]:
        """Give the rows of EXPLAIN (1) or EXPLAIN QUERY PLAN (2). Raises apsw's errors."""
        cursor = self.connection.cursor()
        cursor.exec_trace = None
        try:
            with self.as_own(Mode.INSPECTION):
                return cursor.execute(sql, NULLS, explain=how, can_cache=False).fetchall()
        finally:
            cursor.close(force=True)

    def compile_error(self, sql: str) -> codes.Report | None:
        """Say why the statement does not compile now; None if it does. Leaves the cache alone."""
        cursor = self.connection.cursor()
        cursor.exec_trace = abort
        try:
            cursor.execute(sql, NULLS, can_cache=False)
        except (apsw.SQLError, apsw.AuthError) as error:
            return codes.Report.of(error)
        except apsw.Error:  # ExecTraceAbort: it compiles; anything else is not about the SQL
            return None
        finally:
            cursor.close(force=True)
        raise InternalError(  # pragma: no cover  # apsw obeys a trace that says no
            "A statement was run though its trace forbade it."
        )

    def converted(
        self,
        error: BaseException,
        *,
        sql: str | None = None,
        name: str | None = None,
        subject: str | None = None,
    ) -> BaseException:
        """Make our error of whatever a statement raised.

        `sql` is the statement, where it is known, so that a message of the compiler can be told
        from one of the running statement; `name` its declared query; `subject` opens the sentence.
        What a user's function raised is given back as it is.
        """
        if subject is None:
            subject = f"{name}: " if name else ""
        if isinstance(error, UnicodeDecodeError) and not _is_of_a_function(error):
            # Its own text and attributes hold the bytes.
            text = "a text value is not UTF-8; cast it to BLOB to read it"
            return MappingError(codes.sentence(subject, text))
        report = codes.Report.of(error)
        if report is not None:
            return self._converted(report, sql, name, subject)
        if isinstance(error, apsw.Error):
            text = f"apsw refused a call of this library ({type(error).__name__})"
            return InternalError(codes.sentence(subject, text))
        return error

    def _converted(
        self, report: codes.Report, sql: str | None, name: str | None, subject: str
    ) -> SqlRepoError:
        query = name or sql
        if report.primary == apsw.SQLITE_AUTH and (objection := self.gate.take_objection()):
            text, denied_write = objection
            kind = DatabaseReadOnly if denied_write else SqlError
            return report.error(kind, codes.sentence(subject, text), query)
        if report.primary == apsw.SQLITE_BUSY and self.busy.gave_up:
            self.busy.gave_up = False
            text = "the wait for a lock was given up"
            return report.error(Interrupted, codes.sentence(subject, text), query)
        shown = None
        if report.primary == apsw.SQLITE_BUSY:
            shown = (
                "another process holds a lock on the database; SQLiteConfig.busy_timeout,"
                f" {self.busy.timeout:g} s, is how long it is waited for"
            )
        elif report.primary == apsw.SQLITE_ERROR:
            compiling = self.compile_error(sql) if sql is not None else None
            if compiling is not None and name is not None:
                return DeclarationError(
                    f"{name} no longer fits the schema, which has changed since the database was"
                    f" opened; SQLite says: {compiling.message}."
                )
            # Only the compiler knows a place in the SQL.
            if report.offset >= 0 or (compiling and compiling.message == report.message):
                shown = report.message
            elif (problem := search_problem(report.message)) is not None:
                text = f"the text to search for is no FTS5 query: {problem}"
                return report.error(SearchSyntaxError, codes.sentence(subject, text), query)
            else:
                shown = run_time_message(report.message)
        return codes.converted(
            report,
            query=query,
            subject=subject,
            shown=shown,
            is_schema_text=self._is_schema_text,
        )

    def _is_schema_text(self, text: str) -> bool:
        """Whether a trigger's message stands in its text, as a literal: then it holds no value."""
        literal = "'" + text.replace("'", "''") + "'"
        try:
            return bool(self.ask(self.schema_text, literal))
        except apsw.Error:
            return False


def _is_of_a_function(error: BaseException) -> bool:
    """Whether a function of the user's raised it: apsw puts a frame of that name between."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name.startswith("user-defined-") for frame, _ in frames)
