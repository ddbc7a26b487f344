"""`query`: the decorator, and its forms that need no SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, LiteralString, TypeVar, final

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query import declare
from trio_sqlrepo._query.generated import Generated, Operation

F = TypeVar("F", bound=Callable[..., Any])
Key = str | tuple[str, ...]


@final
class Query:
    """The class of `query`. There is one object of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<trio_sqlrepo.query>"

    def __call__(
        self, sql: LiteralString, /, **fragments: Mapping[Any, LiteralString]
    ) -> Callable[[F], F]:
        """Declare a query: the stub's signature and `sql` make the method; its body never runs.

        Parameters of the SQL are written `:name` and are supplied by parameters of that name, or
        by the fields of a parameter that is an attrs class, a dataclass or a NamedTuple (or by an
        iterable of these, a batch). The return annotation says how rows are mapped. The stub is
        an `async def`; that of a `RowStream` is a plain `def`.

        SQL may have alternatives. `{order}` stands for one of the fragments that are given for the
        parameter `order`, a Literal or an Enum; `{room: AND room = :room}` is there when the
        argument `room` is not None. Each combination, up to 64, is a statement of its own, checked
        and compiled when the database opens. No argument ever becomes part of the SQL.

        Args:
            sql: one statement. A brace is special only before a parameter's name, outside of
                literals, quoted names and comments.
            fragments: for each parameter in braces a mapping from each of its values to the SQL
                that stands there.

        Raises:
            DeclarationError: there is nothing to declare: no SQL, or no function. All else that
                is wrong is reported when the database opens.
        """
        return declare.query(sql, **fragments)

    def insert(self, table: str, /) -> Callable[[F], F]:
        """Declare a query that inserts into `table` what its parameters hold.

        Each parameter is a column of that name, or an object whose fields are; or an iterable of
        such objects, a batch. The other columns are left to SQLite: their defaults, the next
        `INTEGER PRIMARY KEY`, generated columns. As a result declare the row's class, a value (the
        new row's primary key), `RowCount` or None.

        Raises:
            DeclarationError: as for `query`.
        """
        return _generated(Operation.INSERT, table)

    def upsert(self, table: str, /, *, conflict: Key = ()) -> Callable[[F], F]:
        """Declare a query that inserts a row, or sets the columns of the one that is there.

        As `insert`. Where a row with the same `conflict` columns exists, the other supplied columns
        are set in it.

        Args:
            table: its name.
            conflict: a column, or several, that are a PRIMARY KEY or a UNIQUE index; the primary
                key unless given.

        Raises:
            DeclarationError: as for `query`.
        """
        return _generated(Operation.UPSERT, table, checked_columns("conflict", conflict))

    def update(self, table: str, /, *, key: Key = ()) -> Callable[[F], F]:
        """Declare a query that sets columns of the rows with a key.

        The parameters and fields named as in `key` say which rows, all others are set. What is
        `UNSET`, where the type allows it (`str | Unset`), stays as it is. As a result declare the
        row's class (`Message | None`, as there may be none), `RowCount` or None.

        Args:
            table: its name.
            key: a column, or several; the primary key unless given.

        Raises:
            DeclarationError: as for `query`.
        """
        return _generated(Operation.UPDATE, table, checked_columns("key", key))

    def delete(self, table: str, /, *, key: Key = ()) -> Callable[[F], F]:
        """Declare a query that deletes the rows with a key, given by parameters or fields.

        As a result declare `RowCount`, None, or the class of the rows that are deleted.

        Args:
            table: its name.
            key: a column, or several; the primary key unless given.

        Raises:
            DeclarationError: as for `query`.
        """
        return _generated(Operation.DELETE, table, checked_columns("key", key))

    def find(self, table: str, /) -> Callable[[F], F]:
        """Declare a query for the rows whose columns are as the parameters say.

        Without parameters it gives all rows. A list is in the order of the primary key. None where
        the type allows it finds NULL.

        Raises:
            DeclarationError: as for `query`.
        """
        return _generated(Operation.FIND, table)


def _generated(operation: Operation, table: object, key: tuple[str, ...] = ()) -> Callable[[F], F]:
    if not isinstance(table, str):
        raise DeclarationError(
            f"@query.{operation.value} takes the name of a table, as in @query.{operation.value}"
            f'("message"); it was given an object of type {type(table).__name__}.'
        )
    return declare.query_of("", Generated(operation=operation, table=table, key=key))


def checked_columns(name: str, given: object) -> tuple[str, ...]:
    """The columns of a key; refuses what is none."""
    columns = (given,) if isinstance(given, str) else given
    if isinstance(columns, tuple) and all(isinstance(column, str) for column in columns):
        return columns
    raise DeclarationError(
        f'{name}= takes a column or a tuple of columns, as in {name}="id"; it was given an object'
        f" of type {type(given).__name__}."
    )


query: Final = Query()
