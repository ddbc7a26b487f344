"""What a statement reads, and what a transaction has written: tables, and columns where known."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, final

import attrs

# Of a read: the columns it looks at; none at all where it only counts rows. Of a write: the columns
# that UPDATEs set. None: every column, and which rows there are.
Columns = frozenset[str] | None


@final
@attrs.frozen
class Footprint:
    """Tables by name, as the schema spells them, each with its columns."""

    tables: Mapping[str, Columns] = attrs.field(factory=dict)
    everything: bool = False  # and more than `tables` names

    def __bool__(self) -> bool:
        return self.everything or bool(self.tables)

    def __or__(self, other: Footprint) -> Footprint:
        if other is self or not other:
            return self
        tables = dict(self.tables)
        for table, columns in other.tables.items():
            before = tables.get(table, columns)
            tables[table] = None if before is None or columns is None else before | columns
        return Footprint(tables, self.everything or other.everything)

    def is_met_by(self, written: Footprint) -> bool:
        """Whether what reads this may give something else after that was written."""
        if self.everything or written.everything:
            return bool(written)
        for table, columns in written.tables.items():
            if table in self.tables:
                mine = self.tables[table]
                if mine is None or columns is None or not mine.isdisjoint(columns):
                    return True
        return False


NOTHING: Final = Footprint()
EVERYTHING: Final = Footprint(everything=True)


def _read_only(tables: Mapping[str, Columns]) -> Mapping[str, Columns]:
    return MappingProxyType(dict(tables))


@final
@attrs.frozen(kw_only=True)
class Changes:
    """What was committed, from `Database.changes`.

    It may name more than has really changed: an UPDATE names its table even if no row fitted.

    Attributes:
        tables: by name; the columns that were updated, or None where rows were inserted or
            deleted. What triggers and foreign keys have done is included.
        everything: more may have changed than `tables` names: the schema, or rows by a function
            that had the raw connection, or in another process.
        elsewhere: another process has committed something, or another pool of this one.
    """

    tables: Mapping[str, frozenset[str] | None] = attrs.field(factory=dict, converter=_read_only)
    everything: bool = False
    elsewhere: bool = False

    def touches(self, table: str, *columns: str) -> bool:
        """Whether the table may have changed, or one of its columns if any are given.

        Names are compared as SQLite does, whatever their case. Rows that were inserted or deleted
        touch every column.
        """
        if self.everything:
            return True
        wanted = {column.lower() for column in columns}
        for name, changed in self.tables.items():
            if name.lower() == table.lower():
                if changed is None or not wanted:
                    return True
                return not wanted.isdisjoint(column.lower() for column in changed)
        return False
