"""Writes `build`: the function that makes a row of columns into what was declared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trio_sqlrepo._query import fits
from trio_sqlrepo._query.records import RecordKind
from trio_sqlrepo._query.rows import Cell, Layout, Made
from trio_sqlrepo._query.slots import slot_setters
from trio_sqlrepo._query.source import make_function
from trio_sqlrepo._query.table import FAST_NAMES

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Row, RowBuilder
    from trio_sqlrepo._query.codec import Codec


def make_builder(query: str, layout: Layout) -> RowBuilder:
    """The builder of `layout`'s rows for the query of that name."""
    return _Writer(query, layout).builder()


def discard(_: Row) -> None:
    """The builder of a query declared to give None."""


class _Writer:
    def __init__(self, query: str, layout: Layout) -> None:
        self._query = query
        self._layout = layout
        self._namespace: dict[str, Any] = dict(FAST_NAMES)
        # Locals end in a number, so that none hides a name of the generated code. A column may be
        # called anything: what is no part of an identifier becomes an underscore.
        self._locals = [
            f"{re.sub('[^A-Za-z0-9_]|^(?=[0-9])', '_', name)}_{index}"
            for index, name in enumerate(layout.columns)
        ]
        self._made = len(self._locals)
        self._lines: list[str] = []

    def builder(self) -> RowBuilder:
        body = self._layout.body
        if body is None:
            pairs = zip(self._layout.columns, self._locals, strict=True)
            result = f"{{{', '.join(f'{name!r}: {local}' for name, local in pairs)}}}"
        elif isinstance(body, tuple):
            result = f"({' '.join(f'{self._cell(cell, 1)},' for cell in body)})"
        else:
            result = self._filled(body, 1)
        lines = [
            "def build(row):",
            f"    {' '.join(f'{local},' for local in self._locals)} = row",
            *self._lines,
            f"    return {result}",
        ]
        label = f"rows of {self._query}"
        return make_function("build", lines, label, self._namespace)  # type: ignore[no-any-return]

    def _cell(self, cell: Cell, depth: int) -> str:
        local, name = self._locals[cell.index], self._layout.columns[cell.index]
        slow = self._name("read", fits.reader(self._query, name, cell.target, cell.codec))
        indent = "    " * depth
        self._lines += [f"{indent}{line}" for line in _read(cell.codec, local, slow)]
        return local

    def _object(self, made: Made, depth: int) -> str:
        indent = "    " * depth
        local = f"{re.sub('[^A-Za-z0-9_]', '_', made.record.title)}_{self._made}"
        self._made += 1
        if made.absent:
            nulls = " and ".join(f"{self._locals[index]} is None" for index in made.absent)
            self._lines += [f"{indent}if {nulls}:", f"{indent}    {local} = None", f"{indent}else:"]
            indent, depth = f"{indent}    ", depth + 1
        values = {key: self._filled(what, depth) for key, _, what in made.arguments}
        if made.record.kind is RecordKind.TYPED_DICT:
            items = (f"{key!r}: {value}" for key, value in values.items())
            self._lines.append(f"{indent}{local} = {{{', '.join(items)}}}")
            return local
        unmade = self._name("unmade", fits.maker(self._query, made.record.title))
        self._lines += [
            f"{indent}try:",
            *(f"{indent}    {line}" for line in self._instance(made, local, values)),
            f"{indent}except Exception as error:",
            f"{indent}    raise {unmade}(error) from error",
        ]
        return local

    def _instance(self, made: Made, local: str, values: dict[str, str]) -> list[str]:
        make = self._name("class", made.record.cls)
        if (setters := slot_setters(made.record, values)) is not None:
            new = self._name("new", object.__new__)
            fill = (
                f"{self._name('set', setters[key])}({local}, {value})"
                for key, value in values.items()
            )
            return [f"{local} = {new}({make})", *fill]
        # By position as long as no parameter is left out; it is the faster call.
        expected = made.record.arguments
        arguments = [
            values[key] if positional and expected[place].key == key else f"{key}={values[key]}"
            for place, (key, positional, _) in enumerate(made.arguments)
        ]
        return [f"{local} = {make}({', '.join(arguments)})"]

    def _filled(self, what: Cell | Made, depth: int) -> str:
        return self._cell(what, depth) if isinstance(what, Cell) else self._object(what, depth)

    def _name(self, kind: str, value: Any) -> str:
        name = f"{kind}{len(self._namespace)}"
        self._namespace[name] = value
        return name


def _read(codec: Codec, local: str, slow: str) -> list[str]:
    if codec.read_block:
        block = [line.format(v=local, slow=slow) for line in codec.read_block]
        if codec.nullable:
            return [f"if {local} is not None:", *(f"    {line}" for line in block)]
        return block
    conditions = [f"{local} is not None"] if codec.nullable else []
    if codec.read_test is not None:
        conditions.append(f"not ({codec.read_test.format(v=local)})")
    call = f"{local} = {slow}({local})"
    return [f"if {' and '.join(conditions)}: {call}" if conditions else call]
