"""What a row becomes: decides, from the type of a row and the columns, how it is built.

The deciding is done here, the writing of the function in `builders`.
"""

from __future__ import annotations

import difflib
from collections import abc
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import attrs

from trio_sqlrepo._query.annotations import union_members, unwrap, without_none
from trio_sqlrepo._query.codec import Codec, optional
from trio_sqlrepo._query.markers import Json
from trio_sqlrepo._query.records import Record, record_kind, record_of
from trio_sqlrepo._query.refusal import Refusal, Refusals, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_sqlrepo._base.inspection import Column
    from trio_sqlrepo._query.values import Codecs

_ROW_DICTS: Final = frozenset({dict, abc.Mapping, abc.MutableMapping})
_COLLECTIONS: Final = frozenset({
    list, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable,
    abc.Set, abc.MutableSet,
})  # fmt: skip


@attrs.frozen
class Cell:
    """One column that fills something."""

    index: int
    codec: Codec
    target: str  # "field `Message.body`", as messages say it


@attrs.frozen
class Made:
    """An object made of cells, and of further objects."""

    record: Record
    arguments: tuple[tuple[str, bool, Cell | Made], ...]  # key, positional, what
    # The columns that are all NULL where there is no such object; () if there must be one.
    absent: tuple[int, ...] = ()


@attrs.frozen
class Layout:
    """How a row is built: one cell, a tuple of cells, a dict of all columns, or an object."""

    columns: tuple[str, ...]
    body: Cell | tuple[Cell, ...] | Made | None  # None: the dict


def layout(row: Any, columns: Sequence[Column], codecs: Codecs, *, or_none: bool) -> Layout:
    """Match the type of a row with the columns.

    `or_none` says that the call gives None for no row, so a scalar may be None as well.

    Raises:
        Refusal, Refusals: what is wrong.
    """
    names = tuple(column.name for column in columns)
    base, markers = unwrap(row)
    origin, arguments = get_origin(base) or base, get_args(base)
    planner = _Planner(columns, codecs)
    if Json not in markers and not _is_value(base, len(columns), codecs):
        if origin in _ROW_DICTS:
            _check_row_dict(base, arguments)
            planner.refuse_duplicates()
            return Layout(names, None)
        if (record := record_of(base, codecs.context)) is not None:
            planner.refuse_duplicates()
            made = planner.made(record, "")
            if planner.problems:
                raise Refusals(planner.problems)
            return Layout(names, made)
        if origin is tuple:
            return Layout(names, _tuple(base, arguments, planner))
        _check_scalar(base)
    if len(columns) != 1:
        raise Refusal(
            f"it gives {len(columns)} columns ({_listed(names)}), but `{title(row)}` holds one;"
            " declare a tuple, or a class with fields of these names"
        )
    codec = codecs.of(row)
    cell = planner.cell(0, optional(codec) if or_none else codec, "the result")
    if planner.problems:
        raise Refusals(planner.problems)
    return Layout(names, cell)


def _is_value(base: Any, columns: int, codecs: Codecs) -> bool:
    # A class that the user's converter maps to a column value is a value where there is one
    # column (`Money`), and a row, by name, where there are several.
    return columns == 1 and record_kind(base) is not None and codecs.has_hook(base)


def _check_row_dict(base: Any, arguments: tuple[Any, ...]) -> None:
    if arguments not in {(str, Any), (str, object)}:
        raise Refusal(
            f"`{title(base)}` is no row: by column name it is `dict[str, Any]`; for a JSON column"
            f" declare `Annotated[{title(base)}, Json]`"
        )


def _tuple(base: Any, arguments: tuple[Any, ...], planner: _Planner) -> tuple[Cell, ...]:
    columns = planner.columns
    if not arguments or ... in arguments:
        raise Refusal(
            f"`{title(base)}` does not say how many columns there are; write each one's type, as"
            f" in tuple[int, str] (for a JSON column: `Annotated[{title(base)}, Json]`)"
        )
    if len(arguments) != len(columns):
        names = _listed([column.name for column in columns])
        raise Refusal(
            f"it gives {len(columns)} columns ({names}), but `{title(base)}` holds"
            f" {len(arguments)}; make them equal"
        )
    cells = []
    for index, hint in enumerate(arguments):
        target = f"element {index + 1} of the result"
        try:
            cells.append(planner.cell(index, planner.codecs.of(hint), target))
        except Refusal as refusal:
            planner.problems.append(f"{target}: {refusal}")
    if planner.problems:
        raise Refusals(planner.problems)
    return tuple(cells)


def _check_scalar(base: Any) -> None:
    members = [member for member in union_members(base) if member is not type(None)]
    for member in members or [base]:
        inner, markers = unwrap(member)
        if Json in markers:
            continue
        kind = get_origin(inner) or inner
        if kind in _COLLECTIONS and not members:
            raise Refusal(
                f"`{title(base)}` is no type of a row; for rows declare `list[…]`, for a JSON"
                f" column `Annotated[{title(base)}, Json]`"
            )
        if members and (kind in _COLLECTIONS | _ROW_DICTS | {tuple} or record_kind(inner)):
            raise Refusal(
                f"a row can't be `{title(base)}`: declare one class (or, for a JSON column,"
                f" `Annotated[{title(base)}, Json]`)"
            )


class _Planner:
    def __init__(self, columns: Sequence[Column], codecs: Codecs) -> None:
        self.columns = columns
        self.codecs = codecs
        self.problems: list[str] = []
        self._index = {column.name: index for index, column in enumerate(columns)}

    def refuse_duplicates(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Refusal(
                f"{_listed(twice)} {'is' if len(twice) == 1 else 'are'} the name of more than one"
                " column, so rows can't be mapped by name; rename with AS, or leave one out"
            )

    def cell(self, index: int, codec: Codec, target: str) -> Cell:
        column = self.columns[index]
        if codec.exact_text and (affinity := _numeric_affinity(column.declared_type)):
            self.problems.append(
                f"{target} is {codec.title}, but result column {index + 1} (`{column.name}`) is"
                f" declared {column.declared_type}, which has {affinity} affinity: SQLite would"
                " keep 12.10 as 12.1. Declare the column TEXT, in a STRICT table"
            )
        return Cell(index, codec, target)

    def made(self, record: Record, prefix: str, absent: tuple[int, ...] = ()) -> Made:
        arguments = []
        for argument in record.arguments:
            try:
                what = self._argument(record, argument.key, prefix)
            except Refusal as refusal:
                self.problems.append(str(refusal))
                continue
            if what is not None:
                arguments.append((argument.key, argument.positional, what))
            elif argument.required:
                self.problems.append(self._missing(record, argument.key, prefix))
        return Made(record, tuple(arguments), absent)

    def _argument(self, record: Record, key: str, prefix: str) -> Cell | Made | None:
        field = record.fields.get(key)
        if field is None:
            return None
        full = prefix + key
        within = tuple(i for i, c in enumerate(self.columns) if c.name.startswith(f"{full}."))
        if within:
            rest, nullable = without_none(unwrap(field.hint())[0])
            nested = record_of(unwrap(rest)[0], self.codecs.context)
            # `AS "author.id"` is said on purpose; a column `author` may be there by chance, as a
            # foreign key.
            if nested is not None:
                return self.made(nested, f"{full}.", within if nullable else ())
        if full not in self._index:
            return None
        target = f"field `{field.label}`"
        try:
            return self.cell(self._index[full], self.codecs.of(field.hint()), target)
        except Refusal as refusal:
            raise Refusal(f"{target}: {refusal}") from refusal

    def _missing(self, record: Record, key: str, prefix: str) -> str:
        full = prefix + key
        field = record.fields.get(key)
        names = [column.name for column in self.columns]
        if field is None:
            return (
                f"`{record.title}` can't be made of columns: its constructor needs `{key}`, which"
                " is no field"
            )
        taken = {prefix + other for other in record.fields}
        close = difflib.get_close_matches(full, [n for n in names if n not in taken], n=1)
        near = f" (did you mean `{close[0]}`?)" if close else ""
        return (
            f"field `{field.label}` has no column: the query gives {_listed(names)}{near}; add"
            f" `{full}` (rename with AS), or give the field a default"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _numeric_affinity(declared_type: str | None) -> str | None:
    """INTEGER, REAL or NUMERIC; None if text stays text (https://sqlite.org/datatype3.html)."""
    if not declared_type:
        return None
    upper = declared_type.upper()
    if "INT" in upper:
        return "INTEGER"
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT", "BLOB")):
        return None
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"
