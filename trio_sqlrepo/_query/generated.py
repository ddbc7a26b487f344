"""`Generated`: a query that is declared without SQL, and its SQL for one table and signature."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args, get_origin

import attrs

from trio_sqlrepo._base.inspection import NoTable, Table
from trio_sqlrepo._query.annotations import unwrap, without_none
from trio_sqlrepo._query.binders import element_of
from trio_sqlrepo._query.records import Record, RecordKind, record_of
from trio_sqlrepo._query.refusal import Refusal, Refusals, title
from trio_sqlrepo._query.spec import Parameter, Reading, Shape, Spec
from trio_sqlrepo._query.unset import without_unset

Describe = Callable[[str], Table | NoTable]


class Operation(enum.Enum):
    """What the generated statement does."""

    INSERT = "insert"
    UPSERT = "upsert"
    UPDATE = "update"
    DELETE = "delete"
    FIND = "find"
    COUNT = "count"


_MAKES_ROWS: Final = frozenset({Operation.INSERT, Operation.UPSERT})


@attrs.frozen(kw_only=True)
class Generated:
    """What was said instead of SQL."""

    operation: Operation
    table: str | None
    key: tuple[str, ...] = ()  # (): the table's primary key
    # The parameter that is the key's value, whatever it is called; then a record of the key's
    # columns, a tuple in their order, or the value of the one.
    key_parameter: str | None = None
    of_class: bool = False  # the repository class says table and key

    @property
    def chooses(self) -> bool:
        """Whether the arguments of a call may decide which statement is run."""
        return self.operation is Operation.UPDATE

    @property
    def decorator(self) -> str:
        """As messages name it."""
        return f"@query.{self.operation.value}"


@attrs.frozen
class _Supplied:
    """What supplies a column's value."""

    name: str  # in the SQL, without the colon
    label: str
    hint: Any
    parameter: str
    attribute: str | None = None  # of the parameter; None: the parameter itself


def quoted(name: str) -> str:
    """An identifier as it stands in SQL, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def table_of(generated: Generated, describe: Describe) -> Table:
    """The table that is meant.

    Raises:
        Refusal, Refusals: there is no such table, or column of the key.
    """
    name = generated.table
    if name is None:
        raise Refusal(
            "it names no table; say it where the class is made, as in"
            ' `class Messages(CrudRepository[Message, int], table="message")`'
        )
    found = describe(name)
    if isinstance(found, NoTable):
        raise Refusal(
            f"there is no table `{name}`{near(name, found.others)}; correct the name, or add the"
            " migration that makes the table"
        )
    names = [column.name for column in found.columns]
    if problems := [
        f"its key names `{column}`, which is no column of table `{found.name}`"
        f"{near(column, names)}; correct the name"
        for column in generated.key
        if column not in names
    ]:
        raise Refusals(problems)
    return found


def near(name: str, known: Iterable[str]) -> str:
    """A hint at what may have been meant."""
    known = list(known)
    same = [other for other in known if other.casefold() == name.casefold()]
    close = same or difflib.get_close_matches(name, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


class Signature:
    """What the parameters of a generated query supply, and what its result asks for."""

    def __init__(self, generated: Generated, spec: Spec, table: Table) -> None:
        self.generated = generated
        self.spec = spec
        self.table = table
        self.problems: list[str] = []
        self.supplied: dict[str, _Supplied] = {}  # by column
        self.records: set[str] = set()
        self.spread: dict[str, tuple[str, ...]] = {}
        self.batch = False
        self._columns = {column.name: column for column in table.columns}
        self.key = generated.key or table.primary_key
        for parameter in spec.parameters:
            if parameter.name == generated.key_parameter:
                self._add_key(parameter)
            else:
                self._add(parameter)

    def reading(self, flags: Mapping[str, str]) -> Reading:
        """How the binder is to read the parameters."""
        return Reading(records=frozenset(self.records), spread=self.spread, flags=flags)

    # -- parameters ------------------------------------------------------------------------------

    def _add(self, parameter: Parameter) -> None:
        name, hint = parameter.name, parameter.hint
        element = element_of(hint)
        record = self._record(hint if element is None else element)
        if record is None or (name in self._columns and not self._fits(record)):
            self._supply(name, _Supplied(name, f"parameter `{name}`", hint, name))
            return
        self.records.add(name)
        self.batch = self.batch or element is not None
        for key, field in record.fields.items():
            if field.readable:
                try:
                    label, hint = f"field `{field.label}`", field.hint()
                    self._supply(key, _Supplied(key, label, hint, name, field.name))
                except Refusal as refusal:
                    self.problems.append(str(refusal))

    def _add_key(self, parameter: Parameter) -> None:
        name, hint = parameter.name, parameter.hint
        record = self._record(hint)
        if record is not None:
            self._add(parameter)
            return
        if len(self.key) == 1:
            self._supply(self.key[0], _Supplied(name, f"parameter `{name}`", hint, name))
            return
        if not self.key:
            self._add_no_key("key")
            return
        elements = get_args(unwrap(hint)[0])
        if get_origin(unwrap(hint)[0]) is not tuple or len(elements) != len(self.key):
            listed = ", ".join(f"`{column}`" for column in self.key)
            self.problems.append(
                f"its key has the columns {listed}, which `{title(hint)}` does not hold; declare a"
                " tuple of as many types, or a NamedTuple with these fields"
            )
            return
        self.spread[name] = tuple(f"{name}_{index}" for index in range(len(elements)))
        for column, bound, element in zip(self.key, self.spread[name], elements, strict=True):
            self._supply(column, _Supplied(bound, f"parameter `{name}`", element, name))

    def _record(self, hint: Any) -> Record | None:
        record = record_of(unwrap(hint)[0], self.spec.context)
        return None if record is None or record.kind is RecordKind.TYPED_DICT else record

    def _fits(self, record: Record) -> bool:
        # A class under a column's name is that column's value, as JSON, unless it is a row.
        return record.fields.keys() <= self._columns.keys()

    def _supply(self, column: str, supplied: _Supplied) -> None:
        label = supplied.label
        if column not in self._columns:
            self.problems.append(
                f"{label} has no column in table `{self.table.name}`"
                f"{near(column, self._columns)}; rename it, or write the SQL with @query"
            )
        elif (other := self.supplied.get(column)) is not None:
            self.problems.append(
                f"column `{column}` is supplied twice, by {other.label} and by {label}; leave one"
                " out"
            )
        elif self._would_write(column) and supplied.attribute is None:
            self.problems.append(
                f"{label} is a generated column of table `{self.table.name}`, which SQLite itself"
                " fills; leave it out"
            )
        else:
            self.supplied[column] = supplied
            sets = self.generated.operation is Operation.UPDATE and column not in self.key
            if without_unset(supplied.hint)[1] and not sets:
                self.problems.append(
                    f"{label} may be UNSET, which means something only for what @query.update sets;"
                    " declare another class, or take Unset out of its type"
                )

    def _would_write(self, column: str) -> bool:
        """Whether it is a generated column that the statement was to write."""
        operation = self.generated.operation
        writes = operation in _MAKES_ROWS or (
            operation is Operation.UPDATE and column not in self.key
        )
        return writes and self._columns[column].generated

    # -- parts of the SQL ------------------------------------------------------------------------

    def stored(self) -> list[str]:
        """The supplied columns that can be written, in the table's order."""
        return [
            column.name
            for column in self.table.columns
            if column.name in self.supplied and not column.generated
        ]

    def where(self, columns: Iterable[str]) -> str:
        """The condition that the columns are as supplied; "" for none."""
        conditions = []
        for column in columns:
            if (supplied := self.supplied.get(column)) is None:
                continue  # a problem already
            nullable = without_none(unwrap(supplied.hint)[0])[1]
            operator = "IS" if nullable else "="  # `= NULL` is never true
            conditions.append(f"{quoted(column)} {operator} :{supplied.name}")
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def key_of(self, what: str) -> tuple[str, ...]:
        """The key's columns, all of them supplied. `what` says it in the decorator's words."""
        if not self.key:
            self._add_no_key(what)
        for column in self.key:
            if column in self._columns and column not in self.supplied:
                self.problems.append(
                    f"no parameter and no field supplies `{column}`, a column of its {what}; add"
                    " one"
                )
        return self.key

    def _add_no_key(self, what: str) -> None:
        name = self.table.name
        if self.generated.of_class:
            example = f'`class …(CrudRepository[…], table="{name}", key="…")`'
        else:
            example = f'{self.generated.decorator}("{name}", {what}="…")'
        self.problems.append(
            f"table `{name}` has no PRIMARY KEY to go by; say by which columns, as in {example}"
        )

    def result(self) -> str:
        """What a row holds, as a list of columns; "" if there are no rows to give."""
        shape, row = self.spec.shape, self.spec.row
        if shape in {Shape.NONE, Shape.COUNT}:
            return ""
        base = unwrap(row)[0]
        record = record_of(base, self.spec.context)
        if record is not None:
            columns = [name for name in self._columns if name in record.fields]
            for argument in record.arguments:
                if argument.required and argument.key not in self._columns:
                    label = f"field `{argument.field.label}`" if argument.field else argument.key
                    self.problems.append(
                        f"{label} has no column in table `{self.table.name}`"
                        f"{near(argument.key, self._columns)}; rename it, or give it a default"
                    )
            if not columns:
                self.problems.append(
                    f"`{record.title}` has no field for any column of `{self.table.name}`"
                )
        elif (get_origin(base) or base) is dict:
            columns = list(self._columns)
        elif len(self.table.primary_key) == 1 and self.generated.operation in _MAKES_ROWS:
            columns = list(self.table.primary_key)  # a value: the new row's key
        else:
            finds = self.generated.operation is Operation.FIND
            count = "" if finds else "`RowCount` for how many rows there were, "
            self.problems.append(
                f"which columns `{title(row)}` holds can't be told; declare a class with fields of"
                f" their names, {count}or write the SQL with @query"
            )
            return ""
        return ", ".join(map(quoted, columns))

    def returning(self) -> str:
        """The clause at the end of a statement that writes."""
        columns = self.result()
        return f" RETURNING {columns}" if columns else ""
