"""What SQLite says of a statement: its route, parameters, columns, tables. Nothing is run.

A statement is compiled under a trace that forbids running it, while the gate records what the
compiler asks about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import apsw
import attrs

from trio_sqlrepo._base.inspection import Column, Inspection
from trio_sqlrepo._sqlite.codes import Report
from trio_sqlrepo._sqlite.gate import SCHEMA_CHANGES, Action
from trio_sqlrepo._sqlite.link import NULLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._sqlite.link import Link

_ACTIONS = {
    apsw.SQLITE_READ: "read",
    apsw.SQLITE_INSERT: "insert",
    apsw.SQLITE_UPDATE: "update",
    apsw.SQLITE_DELETE: "delete",
}
# What the compiler says of a statement. Anything else it raises is about the file or the memory.
_ABOUT_THE_SQL = (apsw.SQLError, apsw.TooBigError)


@attrs.frozen
class Findings:
    """An inspection by the rules for ad-hoc SQL, and what else must be known to run it."""

    inspection: Inspection
    vacuums: bool = False
    pragma: str | None = None  # the name, if it is a PRAGMA
    temporary: bool = False  # whether it makes something that only this connection has
    actions: Sequence[Action] = ()  # what the compiler asked about


@attrs.frozen
class _Compiled:
    """What the trace saw of one compiled statement."""

    text: str  # the SQL up to where the next statement begins
    has_code: bool  # a comment has none
    read_only: bool
    names: Sequence[str | None]
    columns: Sequence[tuple[str, str | None, str | None, str | None, str | None]]
    actions: Sequence[Action]


@final
class Inspector:
    """Compiles without running, on one connection. Used on the connection's thread only."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def inspect(self, sql: str) -> Inspection:
        """Say all there is to say of a declared query. Never raises for wrong SQL."""
        findings = self.examine(sql)
        inspection = findings.inspection
        return attrs.evolve(inspection, forbidden=(*inspection.forbidden, *_undeclarable(findings)))

    def examine(self, sql: str) -> Findings:
        """Say all there is to say of ad-hoc SQL. Never raises for wrong SQL."""
        try:
            return self._examine(sql)
        except apsw.Error as error:  # not about the SQL: the schema could not be read
            failure = self._link.converted(error)
        raise failure

    def _examine(self, sql: str) -> Findings:
        try:
            # Virtual tables are connected at their first use, which compiles statements of their
            # own: those are not the query's. The second time there is nothing left to connect.
            self._compile(sql)
            compiled, _ = self._compile(sql)
        except apsw.AuthError:
            objection = self._link.gate.take_objection()
            return Findings(Inspection(forbidden=(objection[0] if objection else "",)))
        except _ABOUT_THE_SQL as error:
            offset = -1 if (report := Report.of(error)) is None else report.offset
            return Findings(Inspection(error=str(error), error_position=_position(sql, offset)))
        except UnicodeEncodeError:
            return Findings(Inspection(error="the SQL contains a lone surrogate"))
        except ValueError:
            return Findings(Inspection(error="the SQL contains a null character"))
        if not compiled.has_code:
            return Findings(Inspection(error="there is no statement in the SQL"))
        return self._findings(sql, compiled)

    def _findings(self, sql: str, compiled: _Compiled) -> Findings:
        pragma: str | None = None
        functions: set[str] = set()
        actions: set[tuple[str, str]] = set()
        for action, first, second, _, _ in compiled.actions:
            if action in _ACTIONS:
                actions.add((_ACTIONS[action], first or ""))
            elif action == apsw.SQLITE_FUNCTION:
                functions.add((second or "").lower())
            elif action == apsw.SQLITE_PRAGMA:
                pragma = (first or "").lower()
        triggers = self._triggers_among({action[4] for action in compiled.actions})
        inspection = Inspection(
            parameters=self._parameters(sql, compiled.names),
            columns=tuple(self._column(*column) for column in compiled.columns),
            # Of PRAGMAs SQLite's word says little: `optimize` is read-only, `journal_mode` isn't.
            # The gate has let through those that tell, and `optimize`, which writes.
            read_only=pragma != "optimize" if pragma is not None else compiled.read_only,
            actions=frozenset(actions),
            functions=frozenset(functions),
            fires_triggers=bool(triggers),
            triggers=triggers,
            more_statements=self._has_more(sql[len(compiled.text) :]),
        )
        # The authorizer isn't asked about a VACUUM. Its code tells.
        vacuums = not compiled.actions and self._has_opcode(sql, "Vacuum")
        temporary = any(
            action in SCHEMA_CHANGES and database == "temp"
            for action, _, _, database, _ in compiled.actions
        )
        return Findings(inspection, vacuums, pragma, temporary, compiled.actions)

    # -- compiling -----------------------------------------------------------------------------

    def _compile(self, sql: str, bindings: Any = NULLS) -> tuple[_Compiled, str]:
        """Compile the first statement or comment; give it with the values bound written out.

        Raises apsw's errors; leaves nothing behind.
        """
        seen: list[tuple[_Compiled, str]] = []
        actions: list[Action] = []

        def look(cursor: apsw.Cursor, text: str, _bindings: object) -> bool:
            columns = cursor.description_full if cursor.has_vdbe else ()
            compiled = _Compiled(
                text, cursor.has_vdbe, cursor.is_readonly, cursor.bindings_names, columns, actions
            )
            seen.append((compiled, cursor.expanded_sql))
            return False

        self._link.compile(sql, actions, trace=look, bindings=bindings)
        return seen[0]

    def _has_more(self, tail: str) -> bool:
        """Whether there is another statement, or something wrong, after the first."""
        if not tail:
            return False
        try:
            return self._compile(tail)[0].has_code
        except (*_ABOUT_THE_SQL, apsw.AuthError, ValueError):
            return True

    def _has_opcode(self, sql: str, opcode: str) -> bool:
        return any(instruction[1] == opcode for instruction in self._link.explain(sql, 1))

    # -- naming --------------------------------------------------------------------------------

    def _parameters(self, sql: str, names: Sequence[str | None]) -> tuple[str, ...]:
        """Give the parameters as they are written. apsw strips the first character."""
        prefixes: Sequence[str] = ":" * len(names)
        if "@" in sql or "$" in sql:
            prefixes = self._prefixes(sql, names)
        return tuple(
            "?" if name is None else f"?{name}" if name.isdecimal() else prefix + name
            for prefix, name in zip(prefixes, names, strict=True)
        )

    def _prefixes(self, sql: str, names: Sequence[str | None]) -> list[str]:
        """Find each parameter's first character in the SQL without reading SQL.

        SQLite writes bound values in the place of parameters and copies all else, so up to the
        first mark the two texts are the same.
        """
        fence = "\x02"
        while fence in sql:
            fence += "\x02"
        marks = [f"{fence}{number}{fence}" for number in range(len(names))]
        _, expanded = self._compile(sql, marks)
        prefixes = [":"] * len(names)
        at = 0  # in the SQL
        copied, *rest = re.split(f"'{fence}([0-9]+){fence}'", expanded)
        for number, following in zip(rest[::2], rest[1::2], strict=True):
            at += len(copied)
            prefixes[int(number)] = sql[at]
            at += 1 + len(names[int(number)] or "")
            copied = following
        return prefixes

    def _column(
        self,
        name: str,
        declared_type: str | None,
        database: str | None,
        table: str | None,
        origin: str | None,
    ) -> Column:
        not_null = bool(table and origin) and self._is_not_null(database, str(table), str(origin))
        return Column(name, declared_type, table, origin, not_null)

    def _is_not_null(self, database: str | None, table: str, column: str) -> bool:
        connection = self._link.connection
        try:
            declared, _, not_null, in_key, _ = connection.column_metadata(database, table, column)
        except apsw.SQLError:  # a table-valued function's column
            return False
        if not_null or not in_key or (declared or "").upper() != "INTEGER":
            return not_null
        # An INTEGER PRIMARY KEY of one column is the rowid.
        keys = "SELECT count(*) FROM pragma_table_info(?, ?) WHERE pk"
        with self._link.as_own():
            row = connection.execute(keys, (table, database), can_cache=False).fetchall()
        return bool(row[0][0] == 1)

    def _triggers_among(self, names: set[str | None]) -> frozenset[str]:
        """Which are triggers: the authorizer names views and subqueries as well."""
        wanted = names - {None}
        if not wanted:
            return frozenset()
        triggers = (
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            " UNION SELECT name FROM sqlite_temp_schema WHERE type = 'trigger'"
        )
        with self._link.as_own():
            rows = self._link.connection.execute(triggers, can_cache=False).fetchall()
        return frozenset(str(name) for (name,) in rows if name in wanted)


def _undeclarable(findings: Findings) -> Iterator[str]:
    if findings.pragma is not None:
        yield (
            f"PRAGMA {findings.pragma} can't be a declared query; use db.execute() to read it, and"
            " SQLiteConfig for settings."
        )
    if findings.vacuums:
        yield "VACUUM can't be a declared query: it runs outside transactions; use db.execute()."
    if findings.temporary:
        yield (
            "What is temporary can't be declared: only one connection would have it, and each call"
            " may meet another. Make a table that stays, or use a function in db.write()."
        )


def _position(sql: str, offset: int) -> tuple[int, int] | None:
    """Give line and column, from 1, in characters, of SQLite's offset in bytes of UTF-8."""
    if offset < 0:
        return None
    before = sql.encode()[:offset].decode(errors="ignore")
    line_start = before.rfind("\n") + 1
    return before.count("\n") + 1, len(before) - line_start + 1
