"""SQL nobody declared: `Session.execute`, and functions given the raw connection."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, final

import apsw

from trio_sqlrepo._base.errors import (
    DatabaseReadOnly,
    MappingError,
    ReadOnlySession,
    SqlError,
)
from trio_sqlrepo._base.footprint import EVERYTHING
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.gate import Mode
from trio_sqlrepo._sqlite.transaction import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trio_sqlrepo._base.job import Row, SqlValue
    from trio_sqlrepo._sqlite.inspect import Findings, Inspector
    from trio_sqlrepo._sqlite.leftovers import Leftovers
    from trio_sqlrepo._sqlite.link import Link
    from trio_sqlrepo._sqlite.transaction import Transaction

R = TypeVar("R")

_RANGE = 1 << 63


@final
class _Watch:
    """Makes the cursors of a function that has the raw connection, and remembers them.

    One left open would hold the snapshot after COMMIT and block checkpoints.
    """

    __slots__ = ("_cursors", "sql")

    def __init__(self) -> None:
        self._cursors: weakref.WeakSet[apsw.Cursor] = weakref.WeakSet()
        self.sql: str | None = None  # what was executed last: an error is probably about it

    def __call__(self, connection: apsw.Connection) -> apsw.Cursor:
        """Make a cursor."""
        cursor = _WatchedCursor(connection)
        cursor.watch = self
        self._cursors.add(cursor)
        return cursor

    def close_all(self) -> None:
        """Close what was left open, half-way or not."""
        for cursor in list(self._cursors):
            with contextlib.suppress(apsw.Error):
                cursor.close(force=True)


class _WatchedCursor(apsw.Cursor):
    watch: _Watch

    def execute(self, statements: str, *args: Any, **kwargs: Any) -> apsw.Cursor:
        self.watch.sql = statements
        return super().execute(statements, *args, **kwargs)

    def executemany(self, statements: str, *args: Any, **kwargs: Any) -> apsw.Cursor:
        self.watch.sql = statements
        return super().executemany(statements, *args, **kwargs)


@final
class AdHoc:
    """Runs undeclared SQL on one connection. Used on the connection's thread only."""

    __slots__ = ("_inspector", "_link", "_transaction", "leftovers")

    def __init__(
        self, link: Link, inspector: Inspector, transaction: Transaction, leftovers: Leftovers
    ) -> None:
        self._link = link
        self._inspector = inspector
        self._transaction = transaction
        self.leftovers = leftovers

    def is_read_only(self, sql: str) -> bool:
        """Whether it may run on a reader. Raises `SqlError` if it is wrong."""
        return self._findings(sql).inspection.read_only

    def runs_alone(self, sql: str) -> bool:
        """Whether it must run outside a transaction."""
        return self._findings(sql).vacuums

    def execute(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue]
    ) -> list[Row]:
        """Run one statement and give all its rows."""
        findings = self._findings(sql)
        bound = _checked(sql, findings.inspection.parameters, parameters)
        link = self._link
        if not findings.inspection.read_only and not findings.vacuums:
            self._expect_writable()
            self.leftovers.suspected = True
            if (written := self._transaction.written) is not None:
                written.actions += findings.actions
        cursor = link.connection.cursor()
        cursor.exec_trace = None
        try:
            if findings.vacuums:
                return self._vacuum(cursor, sql, bound)
            link.cache.use_other()
            rows: list[Row] = cursor.execute(sql, bound).fetchall()
        except BaseException as error:  # noqa: BLE001  # a user's function may raise anything
            failure = link.converted(error, sql=sql)
        else:
            return rows
        finally:
            cursor.close(force=True)
            self._transaction.notice()
        raise failure

    def apply(self, function: Callable[..., R], args: tuple[Any, ...]) -> R:
        """Call the function with the raw connection, and see that it leaves nothing open."""
        link = self._link
        connection = link.connection
        watch = _Watch()
        try:
            self.leftovers.before()
            link.cache.park_all()  # nobody counts what the function uses
            connection.cursor_factory = watch
            if (written := self._transaction.written) is not None:
                written.by_function = True
                connection.exec_trace = written.note
            elif self._transaction.state is not State.WRITING and not link.reads_only:
                connection.exec_trace = _forbid_writes
            return function(connection, *args)
        except apsw.Error as error:
            if codes.Report.of(error) is None:
                raise
            failure = link.converted(error, sql=watch.sql)
        finally:
            self._tidy(watch)
        raise failure

    # -- inside --------------------------------------------------------------------------------

    def _tidy(self, watch: _Watch) -> None:
        """Put the connection back as it was, or note what can't be."""
        watch.close_all()
        self._link.busy.gave_up = False
        try:
            self.leftovers.after()
            self._transaction.notice()
        except apsw.ConnectionClosedError:
            self.leftovers.dirt = "it was closed"

    def _findings(self, sql: str) -> Findings:
        findings = self._inspector.examine(sql)
        inspection = findings.inspection
        if inspection.error is not None:
            place = ""
            if inspection.error_position is not None:
                place = " (line {}, column {})".format(*inspection.error_position)
            raise SqlError(f"The SQL is wrong: {inspection.error}{place}.", code=1, query=sql)
        if inspection.forbidden:
            raise SqlError(" ".join(inspection.forbidden), query=sql)
        if inspection.more_statements:
            raise SqlError(
                "The SQL holds more than one statement; execute them one by one.", query=sql
            )
        return findings

    def _expect_writable(self) -> None:
        if self._link.reads_only:
            raise DatabaseReadOnly("The SQL writes, and this connection only reads.")
        if self._transaction.state is not State.WRITING:
            self._transaction.refuse_write("The SQL")

    def _vacuum(self, cursor: apsw.Cursor, sql: str, bound: Any) -> list[Row]:
        """VACUUM, which attaches a database of its own."""
        connection = self._link.connection
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)
        try:
            with self._link.as_own(Mode.OWN):
                rows: list[Row] = cursor.execute(sql, bound, can_cache=False).fetchall()
        finally:
            connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        self._transaction.committed = EVERYTHING  # rows may have new rowids
        self._transaction.compare_files()
        return rows


# SQLite's query_only pragma would do as well, but setting it makes every compiled statement stale.
def _forbid_writes(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
    """Trace of a function that may only read, on a connection that can write."""
    if not cursor.is_readonly:
        raise ReadOnlySession("The function writes, and it was called to read.")
    return True


def _checked(
    sql: str, names: Sequence[str], parameters: Sequence[SqlValue] | Mapping[str, SqlValue]
) -> Sequence[SqlValue] | Mapping[str, SqlValue]:
    """Refuse what can't be bound, before apsw quotes it in an error of its own."""
    if isinstance(parameters, (str, bytes)):
        raise TypeError("execute() takes a sequence or a mapping of parameters, not a string.")
    if isinstance(parameters, Mapping):
        values: Iterable[tuple[object, SqlValue]] = parameters.items()
        # A "?" has no name that a mapping could know.
        lacking = ", ".join(name for name in names if name[1:] not in parameters or name[0] == "?")
        if lacking:
            raise SqlError(f"The mapping has no value for the parameters {lacking}.", query=sql)
    else:
        values = enumerate(parameters, 1)
        if len(parameters) != len(names):
            raise SqlError(
                f"The SQL has {len(names)} parameters ({', '.join(names)});"
                f" {len(parameters)} values were given.",
                query=sql,
            )
    for name, value in values:
        if (fault := _fault(value)) is not None:
            raise MappingError(f"execute(): parameter {name} {fault}.")
    return parameters


def _fault(value: object) -> str | None:
    if isinstance(value, int):
        return None if -_RANGE <= value < _RANGE else "is an integer beyond 64 bits"
    if isinstance(value, float):
        return "is NaN, which SQLite stores as NULL" if math.isnan(value) else None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "contains a lone surrogate, which is no character"
        return None
    if value is None or isinstance(value, (bytes, bytearray, memoryview)):
        return None
    return f"is a {type(value).__name__}; SQLite stores None, int, float, str and bytes"
