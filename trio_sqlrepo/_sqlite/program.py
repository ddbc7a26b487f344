"""Which tables a read really opens, and which columns it loads: what its bytecode says.

For NATURAL and USING joins SQLite asks the authorizer about nothing: not about the columns that are
compared, and not about a table of which no other column is used. The program that runs
(https://sqlite.org/opcode.html) opens a cursor for every table and index all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_OPENS: Final = frozenset({"OpenRead", "OpenWrite", "ReopenIdx"})
# Of an index: that a row is looked for by its columns. `IdxRowid` and `DeferredSeek` look for none.
_SEEKS: Final = ("Seek", "IdxG", "IdxL", "Found", "NotFound", "NoConflict", "IfNoHope")
_WHOLE: Final = frozenset({"RowData", "RowCell"})
_MAIN: Final = 0


@attrs.frozen
class Btree:
    """What begins at one root page: a table, or an index of one."""

    table: str
    columns: tuple[str, ...]  # in the order in which they are stored
    whole: bool = False  # which columns are loaded can't be told
    is_index: bool = False


@attrs.define
class Opened:
    """What a program opens."""

    # Of each table the columns; None: all of them.
    tables: dict[str, set[str] | None] = attrs.field(factory=dict)
    virtual: int = 0  # virtual tables
    strange: bool = False  # it opens what nobody knows


def opened_by(program: Iterable[tuple[Any, ...]], look_up: Callable[[int], Btree | None]) -> Opened:
    """Read a program as EXPLAIN gives it; `look_up` knows what begins at a root page."""
    opened = Opened()
    cursors: dict[int, Btree] = {}
    for _, opcode, first, second, third, *_ in program:
        if opcode in _OPENS:
            btree = look_up(second) if third == _MAIN else None
            if btree is None:
                opened.strange = True
                continue
            cursors[first] = btree
            _load(opened, btree, None if btree.whole else ())
        elif opcode == "VOpen":
            opened.virtual += 1
        elif (at := cursors.get(first)) is None:
            continue
        elif opcode == "Column":
            _load(opened, at, at.columns[second : second + 1])
        elif opcode in _WHOLE:
            _load(opened, at, None)
        elif at.is_index and opcode.startswith(_SEEKS):
            _load(opened, at, at.columns)
    return opened


def _load(opened: Opened, btree: Btree, columns: Iterable[str] | None) -> None:
    before = opened.tables.setdefault(btree.table, set())
    if columns is None or before is None:
        opened.tables[btree.table] = None
    else:
        before.update(columns)
