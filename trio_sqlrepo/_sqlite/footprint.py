"""Which tables and columns a statement reads or writes, as SQLite's compiler says.

The authorizer hears of every column that is read, every table that rows are inserted into or
deleted from, every column that an UPDATE sets; of triggers and foreign-key actions too, because
they are compiled with the statement (https://sqlite.org/c3ref/set_authorizer.html). What it does
not hear, this floor makes up for by being coarser, never finer than true:

- OR REPLACE removes rows that an UPDATE collides with. It can only collide in the columns of a
  unique index or the primary key, so an UPDATE of those counts as one of which rows there are.
- A generated column changes with others: a table that has one is read and written as a whole.
- A virtual table reads what it wants to. It writes to its shadow tables, or who knows where.
- NATURAL and USING joins are kept from it: what a statement reads, its bytecode says as well
  (see `program`).
- SQLite itself writes `sqlite_sequence` and the like, and nobody is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import apsw
import attrs

from trio_sqlrepo._base.footprint import EVERYTHING, Columns, Footprint
from trio_sqlrepo._sqlite.gate import SCHEMA_CHANGES
from trio_sqlrepo._sqlite.program import Btree, opened_by

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
_SCHEMA: Final = "sqlite_schema"
_SCHEMA_ROOT: Final = 1
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
    """What a transaction has run so far that writes. Worker thread only.

    It may hold what has failed since, which has written nothing.
    """

    __slots__ = ("_marks", "actions", "by_function", "declared", "epoch", "sql")

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch  # the schema when it began
        self.declared: dict[Kept, None] = {}
        self.actions: list[Action] = []  # of ad-hoc statements
        self.sql: dict[str, None] = {}  # executed by functions
        self.by_function = False  # whether one had the raw connection
        self._marks: list[tuple[int, int]] = []  # of the open savepoints

    def mark(self) -> None:
        """A savepoint is open."""
        self._marks.append((len(self.declared), len(self.actions)))

    def keep(self) -> None:
        """The innermost savepoint is released."""
        self._marks.pop()

    def undo(self) -> None:
        """What came after the innermost savepoint is undone. Functions have none."""
        declared, actions = self._marks.pop()
        while len(self.declared) > declared:
            self.declared.popitem()
        del self.actions[actions:]

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
        return self._of(kept, self._link.epoch())

    def read_by(self, sql: str) -> Footprint:
        """What one ad-hoc statement reads. Raises apsw's errors."""
        self._renew(self._link.epoch())
        return self._read(sql, self.actions_of(sql))

    def summed_up(self, written: Written) -> Footprint:
        """All that a transaction has written, if the schema is what it was when it began.

        Raises apsw's errors.
        """
        self._renew(written.epoch)
        found = self._written(written.actions)
        for kept in written.declared:
            found |= self._of(kept, written.epoch)
        for sql in written.sql:
            found |= self._written(self.actions_of(sql))
        # It can write without SQL as well (incremental blob I/O, another authorizer).
        return found | EVERYTHING if written.by_function else found

    def actions_of(self, sql: str) -> list[Action]:
        """What the compiler says of a statement. Raises apsw's errors; leaves the cache alone."""
        actions: list[Action] = []
        self._link.compile(sql, actions)
        return actions

    # -- inside --------------------------------------------------------------------------------

    def _of(self, kept: Kept, epoch: Epoch) -> Footprint:
        if kept.footprint is None or kept.footprint_epoch != epoch:
            self._renew(epoch)
            actions = self.actions_of(kept.sql)
            found = self._written(actions) if kept.writes else self._read(kept.sql, actions)
            kept.footprint = found
            kept.footprint_epoch = epoch
        return kept.footprint

    def _read(self, sql: str, actions: Iterable[Action]) -> Footprint:
        opened = opened_by(self._link.explain(sql, 1), self._btree)
        tables: dict[str, Columns] = {}
        for name, columns in opened.tables.items():
            tables[name] = None if columns is None else frozenset(columns)
        everything = opened.strange
        pure: set[str] = set()
        for action, first, second, _, _ in actions:
            if action in _UPHEAVALS:
                everything = True
            elif action == _READ:
                table = self._table(first or "")
                if table is None:
                    pure.add((first or "").lower())
                elif table.ordinary:
                    _add(tables, table.name, _columns_read(table, second or ""))
                # Otherwise it is counted as a virtual one.
        # Functions in the place of a table are virtual ones too.
        everything |= opened.virtual > len(pure & _PURE)
        everything |= any(name.startswith(_OF_SQLITE) for name in tables)
        return Footprint(tables, everything)

    def _btree(self, root: int) -> Btree | None:
        """What begins at a page of the file."""
        if root == _SCHEMA_ROOT:
            return Btree(_SCHEMA, (), whole=True)
        found = self._ask("SELECT type, name, tbl_name FROM sqlite_schema WHERE rootpage = ?", root)
        if not found:
            return None
        kind, name, of_table = map(str, found[0])
        if kind == "index":
            columns = self._ask("SELECT name FROM pragma_index_info(?)", name)
            # Of a partial one, or one of an expression, further columns tell what is in it.
            sql = 'SELECT 1 FROM pragma_index_list(?) WHERE name = ? AND NOT "partial"'
            whole = (None,) in columns or not self._ask(sql, of_table, name)
            return Btree(of_table, tuple(str(n) for (n,) in columns), whole=whole, is_index=True)
        columns = self._ask("SELECT name FROM pragma_table_xinfo(?) ORDER BY cid", name)
        table = self._table(name)
        without_rowid = self._ask("SELECT wr FROM pragma_table_list(?) WHERE schema='main'", name)
        whole = table is None or table.generated or without_rowid != [(0,)]
        return Btree(name, tuple(str(n) for (n,) in columns), whole=whole)

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

    def _renew(self, epoch: Epoch) -> None:
        """Forget what was another schema."""
        if epoch != self._epoch:
            self._tables.clear()
            self._epoch = epoch

    def _table(self, name: str) -> _Table | None:
        """The table of that name. None: a view or WITH gives it, or it is a function's."""
        key = name.lower()
        if key not in self._tables:
            self._tables[key] = self._look_up(name)
        return self._tables[key]

    def _look_up(self, name: str) -> _Table | None:
        if name.lower() in {"sqlite_master", _SCHEMA}:
            return _Table(_SCHEMA, ordinary=True, generated=False, colliding=None)
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

    def _ask(self, sql: str, *bindings: str | int) -> list[Row]:
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
