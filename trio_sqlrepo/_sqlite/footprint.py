"""Which tables and columns a statement reads or writes, as SQLite's compiler says.

The authorizer hears of every column that is read, every table that rows are inserted into or
deleted from, every column that an UPDATE sets; of triggers and foreign-key actions too, because
they are compiled with the statement (https://sqlite.org/c3ref/set_authorizer.html). What it does
not hear, this floor makes up for by being coarser, never finer than true:

- OR REPLACE removes rows that an UPDATE collides with. It can only collide in the columns of a
  unique index or the primary key, so an UPDATE of those counts as one of which rows there are.
- A generated column changes with others: a table that has one is read and written as a whole.
- A virtual table reads what it wants to. It writes to its shadow tables, or who knows where.
- SQLite itself writes `sqlite_sequence` and the like, and nobody is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import apsw
import attrs

from trio_sqlrepo._base.footprint import EVERYTHING, Columns, Footprint
from trio_sqlrepo._sqlite.cache import abort
from trio_sqlrepo._sqlite.gate import SCHEMA_CHANGES, Mode
from trio_sqlrepo._sqlite.link import NULLS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite.cache import Kept
    from trio_sqlrepo._sqlite.gate import Action
    from trio_sqlrepo._sqlite.link import Epoch, Link

_READ = apsw.SQLITE_READ
_UPDATE = apsw.SQLITE_UPDATE
_ROWS: Final = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_DELETE})
# Actions after which nothing is as it was.
_UPHEAVALS: Final = SCHEMA_CHANGES | {apsw.SQLITE_ANALYZE, apsw.SQLITE_PRAGMA}
# Functions in the place of a table that read nothing but their arguments. Others tell of the file.
_PURE: Final = frozenset({"generate_series", "json_each", "json_tree", "jsonb_each", "jsonb_tree"})
_PRAGMA_FUNCTION: Final = "pragma_"
_OF_SQLITE: Final = "sqlite_"
_GENERATED: Final = (2, 3)  # `hidden` of pragma_table_xinfo: virtual, stored


@attrs.frozen
class _Table:
    name: str  # as the schema spells it
    ordinary: bool  # False: virtual
    generated: bool
    # Columns whose UPDATE may remove other rows (OR REPLACE); None: any may.
    colliding: Columns


@final
class Written:
    """What a transaction has run so far that writes. Worker thread only."""

    __slots__ = ("actions", "by_function", "declared", "sql")

    def __init__(self) -> None:
        self.declared: set[Kept] = set()
        self.actions: list[Action] = []  # of ad-hoc statements
        self.sql: dict[str, None] = {}  # executed by functions
        self.by_function = False  # whether one had the raw connection

    def note(self, cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        """Trace of a function that has the raw connection: takes down what it executes."""
        if not cursor.is_readonly:
            self.sql[sql] = None
        return True


@final
class Footprints:
    """Tells footprints on one connection. Used on the connection's thread only."""

    __slots__ = ("_epoch", "_link", "_tables")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tables: dict[str, _Table | None] = {}  # by the name in lower case; None: no table
        self._epoch: Epoch = (None, 0)  # the schema they are of

    def __repr__(self) -> str:
        return f"<Footprints of {len(self._tables)} tables>"

    def of(self, kept: Kept) -> Footprint:
        """What a kept statement reads if it reads, or writes if it writes. Raises apsw's errors."""
        epoch = self._renew()
        if kept.footprint is None or kept.footprint_epoch != epoch:
            actions = self.actions_of(kept.sql)
            kept.footprint = self._written(actions) if kept.writes else self.read(actions)
            kept.footprint_epoch = epoch
        return kept.footprint

    def read_by(self, sql: str) -> Footprint:
        """What one ad-hoc statement reads. Raises apsw's errors."""
        return self.read(self.actions_of(sql))

    def read(self, actions: Iterable[Action]) -> Footprint:
        """What a statement reads that the compiler has said this of."""
        self._renew()
        tables: dict[str, Columns] = {}
        everything = False
        for action, first, second, _, _ in actions:
            if action in _UPHEAVALS:
                everything = True
            elif action == _READ:
                table = self._table(first or "")
                if table is None:
                    everything = everything or self._tells_of_the_file(first or "")
                elif not table.ordinary or table.name.startswith(_OF_SQLITE):
                    everything = True
                else:
                    _add(tables, table.name, _columns_read(table, second or ""))
        return Footprint(tables, everything)

    def summed_up(self, written: Written) -> Footprint:
        """All that a transaction has written. Raises apsw's errors."""
        found = self._written(written.actions)
        for kept in written.declared:
            found |= self.of(kept)
        for sql in written.sql:
            found |= self._written(self.actions_of(sql))
        # It can write without SQL as well (incremental blob I/O, another authorizer).
        return found | EVERYTHING if written.by_function else found

    def actions_of(self, sql: str) -> list[Action]:
        """What the compiler says of a statement. Raises apsw's errors; leaves the cache alone."""
        gate = self._link.gate
        actions: list[Action] = []
        cursor = self._link.connection.cursor()
        cursor.exec_trace = abort
        gate.recorded = actions
        try:
            with self._link.as_own(Mode.INSPECTION):
                cursor.execute(sql, NULLS, can_cache=False)
        except apsw.ExecTraceAbort:
            pass
        finally:
            gate.recorded = None
            cursor.close(force=True)
        return actions

    # -- inside --------------------------------------------------------------------------------

    def _written(self, actions: Iterable[Action]) -> Footprint:
        tables: dict[str, Columns] = {}
        everything = False
        for action, first, second, database, _ in actions:
            if action in _UPHEAVALS:
                everything = True
            elif (action != _UPDATE and action not in _ROWS) or database == "temp":
                continue
            elif (table := self._table(first or "")) is None:
                continue  # a view, whose INSTEAD OF triggers are told of as well
            elif not table.ordinary:
                shadows = self._shadows_of(table.name)
                everything = everything or not shadows
                tables.update(dict.fromkeys([table.name, *shadows]))
            else:
                updated = second if action == _UPDATE else None
                _add(tables, table.name, _columns_written(table, updated))
        return Footprint(tables, everything)

    def _renew(self) -> Epoch:
        epoch = self._link.epoch()
        if epoch != self._epoch:
            self._tables.clear()
            self._epoch = epoch
        return epoch

    def _table(self, name: str) -> _Table | None:
        """The table of that name. None: a view, a table-valued function, or WITH gives it."""
        key = name.lower()
        if key not in self._tables:
            self._tables[key] = self._look_up(name)
        return self._tables[key]

    def _look_up(self, name: str) -> _Table | None:
        if name.lower() in {"sqlite_master", "sqlite_schema"}:
            return _Table(name, ordinary=True, generated=False, colliding=None)
        found = self._ask(
            "SELECT name, rootpage FROM sqlite_schema"
            " WHERE type = 'table' AND name = ? COLLATE NOCASE",
            name,
        )
        if not found:
            return None
        name = str(found[0][0])
        if not found[0][1]:
            return _Table(name, ordinary=False, generated=False, colliding=None)
        columns = self._ask("SELECT name, hidden, pk FROM pragma_table_xinfo(?)", name)
        unique = self._ask(
            "SELECT list.partial, info.name"
            " FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info"
            ' WHERE list."unique"',
            name,
        )
        # A partial one depends on further columns, one of an expression on who knows which.
        anywhere = any(partial or column is None for partial, column in unique)
        colliding = {str(column) for _, column in unique}
        colliding |= {str(column) for column, _, in_key in columns if in_key}
        return _Table(
            name,
            ordinary=True,
            generated=any(hidden in _GENERATED for _, hidden, _ in columns),
            colliding=None if anywhere else frozenset(colliding),
        )

    def _shadows_of(self, name: str) -> list[str]:
        prefix = f"{name}_".lower()
        shadows = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'"
        found = [str(shadow) for (shadow,) in self._ask(shadows)]
        return [shadow for shadow in found if shadow.lower().startswith(prefix)]

    def _tells_of_the_file(self, name: str) -> bool:
        """Whether what is no table is a function in the place of one that reads the database."""
        name = name.lower()
        if name in _PURE:
            return False
        if name.startswith((_PRAGMA_FUNCTION, _OF_SQLITE)):
            return True
        return bool(
            self._ask("SELECT 1 FROM pragma_module_list WHERE name = ? COLLATE NOCASE", name)
        )

    def _ask(self, sql: str, *bindings: str) -> list[Row]:
        cursor = self._link.connection.cursor()
        cursor.exec_trace = None
        try:
            with self._link.as_own():
                rows: list[Row] = cursor.execute(sql, bindings, can_cache=False).fetchall()
        finally:
            cursor.close(force=True)
        return rows


def _add(tables: dict[str, Columns], name: str, columns: Columns) -> None:
    before = tables.get(name, columns)
    tables[name] = None if before is None or columns is None else before | columns


def _columns_read(table: _Table, column: str) -> Columns:
    if table.generated or column == "ROWID":
        return None
    return frozenset((column,)) if column else frozenset()


def _columns_written(table: _Table, updated: str | None) -> Columns:
    if updated is None or table.colliding is None or table.generated or updated == "ROWID":
        return None
    return None if updated in table.colliding else frozenset((updated,))
