"""Writes the SQL of a generated query: one statement, or several for an update that may leave out.

An update with fields that may be UNSET has to leave their columns alone, and has to be compiled
before it is called. One statement does both: `SET "body" = iif(:set_body, :body, "body")`. It gives
an unset column the value that it has, which nothing notices but a trigger `UPDATE OF body`: that
one asks which columns are named, not which change. (Foreign-key actions compare values, and a
generated column depends on values too.) One statement for each set of fields would be exact as
well, but that is 2ⁿ of them: too many to compile ahead from seven fields on.

So SQLite is asked which triggers naming a column fires. Columns that fire no trigger of their own,
mostly all, are always named. The others are named only if one of them is set, those of the same
triggers together; so there is one statement for each choice among these groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from trio_sqlrepo._base.inspection import Inspection
from trio_sqlrepo._query.generated import Generated, Operation, Signature, quoted
from trio_sqlrepo._query.spec import Shape
from trio_sqlrepo._query.unset import without_unset

if TYPE_CHECKING:
    from trio_sqlrepo._base.inspection import Table
    from trio_sqlrepo._query.spec import Spec

Inspect = Callable[[str], Inspection]


@attrs.frozen
class Statements:
    """What a generated query comes to."""

    # Which groups of `choices` have something set -> the SQL for that.
    sql: Callable[[tuple[bool, ...]], str]
    # Groups of what may be UNSET, as (parameter, attribute); None is the parameter itself.
    choices: Sequence[Sequence[tuple[str, str | None]]]
    flags: Mapping[str, str]
    signature: Signature


def write(generated: Generated, spec: Spec, table: Table, inspect: Inspect) -> Statements:
    """The SQL for this table and signature. What is wrong is in `signature.problems`."""
    signature = Signature(generated, spec, table)
    if generated.operation is Operation.UPDATE:
        return _Update(signature, inspect).statements()
    sql = _WRITERS[generated.operation](signature, quoted(table.name))
    return Statements(lambda _: sql, (), {}, signature)


def _insert(signature: Signature, table: str) -> str:
    return f"{_values(signature, table)}{signature.returning()}"


def _values(signature: Signature, table: str) -> str:
    columns = signature.stored()
    if not columns:
        return f"INSERT INTO {table} DEFAULT VALUES"
    names = ", ".join(map(quoted, columns))
    values = ", ".join(f":{signature.supplied[column].name}" for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({values})"  # noqa: S608  # the schema's identifiers, quoted


def _upsert(signature: Signature, table: str) -> str:
    key = signature.key_of("conflict")
    unique = signature.table.unique
    if key and not any(set(key) == set(columns) for columns in unique):
        there_are = " and ".join(f"({', '.join(columns)})" for columns in unique) or "none"
        signature.problems.append(
            f"no PRIMARY KEY or UNIQUE index of table `{signature.table.name}` has the columns"
            f" ({', '.join(key)}), so they can't conflict; there are: {there_are}. Name one of"
            " these, or add the index"
        )
    changed = [column for column in signature.stored() if column not in key]
    # By parameter and not by `excluded.…`: a table may have that name.
    sets = [f"{quoted(column)} = :{signature.supplied[column].name}" for column in changed]
    if not sets:  # DO NOTHING would not give the row
        sets = [f"{quoted(column)} = {quoted(column)}" for column in key[:1]]
    target = ", ".join(map(quoted, key))
    return (
        f"{_values(signature, table)} ON CONFLICT ({target}) DO UPDATE SET {', '.join(sets)}"
        f"{signature.returning()}"
    )


def _delete(signature: Signature, table: str) -> str:
    key = signature.key_of("key")
    for column, supplied in signature.supplied.items():
        if column not in key and supplied.attribute is None:
            signature.problems.append(
                f"{supplied.label} is no column of its key; name it in key=…, or leave it out"
            )
    return f"DELETE FROM {table}{signature.where(key)}{signature.returning()}"  # noqa: S608  # the schema's identifiers, quoted


def _find(signature: Signature, table: str) -> str:
    shape = signature.spec.shape
    if shape in {Shape.NONE, Shape.COUNT}:
        signature.problems.append("it finds rows, and declares none as its result; declare them")
    order = ""
    if shape in {Shape.LIST, Shape.STREAM} and (key := signature.table.primary_key):
        order = f" ORDER BY {', '.join(map(quoted, key))}"
    where = signature.where(signature.supplied)
    return f"SELECT {signature.result()} FROM {table}{where}{order}"  # noqa: S608  # the schema's identifiers, quoted


def _count(_: Signature, table: str) -> str:
    return f"SELECT count(*) FROM {table}"  # noqa: S608  # as above


_WRITERS: Mapping[Operation, Callable[[Signature, str], str]] = {
    Operation.INSERT: _insert,
    Operation.UPSERT: _upsert,
    Operation.DELETE: _delete,
    Operation.FIND: _find,
    Operation.COUNT: _count,
}


class _Update:
    def __init__(self, signature: Signature, inspect: Inspect) -> None:
        self._signature = signature
        self._inspect = inspect
        self._table = quoted(signature.table.name)
        self._key = signature.key_of("key")
        # Now, as they may find what is wrong; the rest is written when all is well.
        self._end = f"{signature.where(self._key)}{signature.returning()}"
        stored = [column for column in signature.stored() if column not in self._key]
        may_be_unset = {
            column: without_unset(signature.supplied[column].hint)[1] for column in stored
        }
        self._set = [column for column in stored if not may_be_unset[column]]
        self._unset = [column for column in stored if may_be_unset[column]]
        self._filler = ""  # what is set to itself where nothing is to change
        if not stored and signature.generated.of_class and self._key:
            self._filler = self._key[0]  # a table that is all key: the row is there, or it is not
        elif not stored and not signature.problems:
            signature.problems.append(
                f"it has nothing to set: besides its key no column of `{signature.table.name}` is"
                " supplied by a parameter or a field; add one"
            )
        # Names for what tells that a column is set, none of which supplies a column.
        names = {supplied.name for supplied in signature.supplied.values()}
        self._flags: dict[str, str] = {}  # by column
        for column in self._unset:
            flag = f"set_{signature.supplied[column].name}"
            while flag in names:
                flag += "_"
            names.add(flag)
            self._flags[column] = flag

    def statements(self) -> Statements:
        signature = self._signature
        flags = {flag: signature.supplied[column].name for column, flag in self._flags.items()}
        always, groups = self._groups() if not signature.problems else ([], [])
        if groups and signature.batch:
            names = ", ".join(f"`{column}`" for group in groups for column in group)
            signature.problems.append(
                f"table `{signature.table.name}` has triggers that fire only where {names} is"
                " named, so what is set decides which statement is run, and a batch runs one; take"
                " one object, and call it for each in a @transaction body"
            )

        def sql(chosen: tuple[bool, ...]) -> str:
            named = itertools.compress(groups, chosen)
            return self._sql([*always, *itertools.chain.from_iterable(named)])

        choices = [
            [(signature.supplied[c].parameter, signature.supplied[c].attribute) for c in group]
            for group in groups
        ]
        return Statements(sql, choices, flags, signature)

    def _groups(self) -> tuple[list[str], list[list[str]]]:
        """The columns that are always named, and the others by the triggers they fire."""
        every = [column.name for column in self._signature.table.columns if not column.generated]
        if not self._unset or not self._fired(every):
            return [*self._set, *self._unset], []
        fired = {column: self._fired([column]) for column in every}
        always_fired = frozenset[str].intersection(*fired.values())
        groups: dict[frozenset[str], list[str]] = {}
        for column in self._unset:
            groups.setdefault(fired[column] - always_fired, []).append(column)
        always = [*self._set, *groups.pop(frozenset(), [])]
        if not always:
            # Something has to be named: best what fires no trigger of its own.
            self._filler = min((*self._key, *every), key=lambda column: len(fired[column]))
        return always, list(groups.values())

    def _fired(self, columns: Sequence[str]) -> frozenset[str]:
        same = ", ".join(f"{quoted(column)} = {quoted(column)}" for column in columns)
        return self._inspect(f"UPDATE {self._table} SET {same}").triggers  # noqa: S608  # as above

    def _sql(self, columns: Sequence[str]) -> str:
        signature = self._signature
        sets = []
        for column in columns:
            value = f":{signature.supplied[column].name}"
            if column in self._flags:
                value = f"iif(:{self._flags[column]}, {value}, {quoted(column)})"
            sets.append(f"{quoted(column)} = {value}")
        if not sets:
            sets = [f"{quoted(self._filler)} = {quoted(self._filler)}"]
        return f"UPDATE {self._table} SET {', '.join(sets)}{self._end}"  # noqa: S608  # as above
