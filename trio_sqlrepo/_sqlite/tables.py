"""What the schema says of a table: its columns and its unique keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from trio_sqlrepo._base.inspection import NoTable, Table, TableColumn

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite.link import Link

# `hidden` as PRAGMA table_xinfo has it (https://sqlite.org/pragma.html#pragma_table_xinfo).
_HIDDEN = 1  # of a virtual table: an argument, not a column of its rows
_GENERATED = {2, 3}  # virtual, stored

_EXISTS = """
    SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE
"""
_OTHERS = """
    SELECT name FROM sqlite_schema
    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name
"""
_COLUMNS = "SELECT name, hidden, pk FROM pragma_table_xinfo(?) ORDER BY cid"
# An index on an expression has parts without a name; a partial one does not cover every row.
_INDEXES = """
    SELECT list.name, info.name
    FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info
    WHERE list."unique" AND NOT list.partial ORDER BY list.seq, info.seqno
"""


def describe_table(link: Link, name: str) -> Table | NoTable:
    """Say what the table or view `name` is made of. Its case does not count, as in SQL."""
    try:
        with link.as_own():
            return _describe(link.connection, name)
    except apsw.Error as error:  # the schema could not be read
        failure = link.converted(error)
    raise failure


def _describe(connection: apsw.Connection, name: str) -> Table | NoTable:
    def ask(sql: str, *bindings: str) -> list[Row]:
        rows: list[Row] = connection.execute(sql, bindings, can_cache=False).fetchall()
        return rows

    found = ask(_EXISTS, name)
    if not found:
        return NoTable(tuple(str(other) for (other,) in ask(_OTHERS)))
    ((real,),) = found
    name = str(real)
    columns = [(str(column), hidden, pk) for column, hidden, pk in ask(_COLUMNS, name)]
    keyed = sorted((pk, column) for column, _, pk in columns if pk)
    primary_key = tuple(column for _, column in keyed)
    indexes: dict[str, list[str | None]] = {}
    for index, column in ask(_INDEXES, name):
        indexes.setdefault(str(index), []).append(None if column is None else str(column))
    # The rowid as INTEGER PRIMARY KEY has no index of its own.
    unique = [primary_key] if primary_key else []
    unique += [tuple(map(str, parts)) for parts in indexes.values() if None not in parts]
    return Table(
        name=name,
        columns=tuple(
            TableColumn(column, generated=hidden in _GENERATED)
            for column, hidden, _ in columns
            if hidden != _HIDDEN
        ),
        primary_key=primary_key,
        unique=tuple(dict.fromkeys(unique)),
    )
