"""`CrudRepository`: the queries that nearly every table needs, generated."""

from __future__ import annotations

from collections.abc import Callable, Iterable  # the queries' annotations need it
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query.declare import query_of
from trio_sqlrepo._query.generated import Generated, Operation
from trio_sqlrepo._query.markers import RowCount  # noqa: TC001  # as above
from trio_sqlrepo._query.querying import checked_columns
from trio_sqlrepo._repository import Repository

Row = TypeVar("Row")
Key = TypeVar("Key")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault  # type checkers bring their own

    New = TypeVarWithDefault("New", default=Row)
else:
    New = TypeVar("New")  # Python 3.11 knows no default: see __class_getitem__


F = TypeVar("F", bound=Callable[..., Any])
_ARGUMENTS = 2  # without the one that has a default


def _own(operation: Operation, *, by_key: bool = False) -> Callable[[F], F]:
    """Declare a query for the table of whichever class has it."""
    key = "key" if by_key else None
    return query_of(
        "", Generated(operation=operation, table=None, key_parameter=key, of_class=True)
    )


class CrudRepository(Repository, Generic[Row, Key, New]):
    """The base of a repository for one table, with its common queries.

    Write `class Messages(CrudRepository[Message, int, NewMessage], table="message")`, and below it
    what else you need; each of these may be overridden. Their SQL is generated when the database
    opens, from the table's columns and the fields of the classes, and checked as all is.

    Type arguments:
        Row: the class of a row: attrs, a dataclass or a NamedTuple, with a field for each column
            that you want.
        Key: the type of the key; for several columns a tuple in their order, or a NamedTuple with
            fields of their names.
        New: what is added: the row without what SQLite fills in. `Row` unless given.

    Class arguments:
        table: the table's name.
        key: the column, or the tuple of columns, that a row is found by; the primary key unless
            given.
    """

    _table: str | None = None
    _key: tuple[str, ...] = ()

    def __init_subclass__(
        cls, *, table: str | None = None, key: str | tuple[str, ...] | None = None, **further: Any
    ) -> None:
        super().__init_subclass__(**further)
        # A class that is made again from this one (attrs with slots) has them in its namespace.
        if table is not None:
            if not isinstance(table, str):
                raise DeclarationError(
                    'table= takes the name of a table, as in table="message"; it was given an'
                    f" object of type {type(table).__name__}."
                )
            cls._table = table
        if key is not None:
            cls._key = checked_columns("key", key)

    if not TYPE_CHECKING:  # pragma: no branch  # the other side is for type checkers alone

        def __class_getitem__(cls, arguments: Any) -> Any:
            if (
                cls is CrudRepository
                and isinstance(arguments, tuple)
                and len(arguments) == _ARGUMENTS
            ):
                arguments = (*arguments, arguments[0])
            return super().__class_getitem__(arguments)

    @_own(Operation.FIND, by_key=True)
    async def get(self, key: Key) -> Row | None:
        """Give the row with this key, if there is one."""

    @_own(Operation.INSERT)
    async def add(self, row: New) -> Row:
        """Insert a row and give it as it is stored.

        Raises:
            IntegrityError: a constraint forbids it.
        """

    @_own(Operation.INSERT)
    async def add_all(self, rows: Iterable[New]) -> list[Row]:
        """Insert rows in one transaction, all or none; give them as stored, in the same order.

        Raises:
            IntegrityError: a constraint forbids one of them.
        """

    @_own(Operation.UPDATE)
    async def update(self, row: Row) -> RowCount:
        """Set all columns of the row with this one's key; give 1, or 0 if there is none.

        Raises:
            IntegrityError: a constraint forbids it.
        """

    @_own(Operation.UPSERT)
    async def upsert(self, row: Row) -> Row:
        """Insert the row, or set the columns of the one with its key; give it as it is stored.

        Raises:
            IntegrityError: another constraint than that of the key forbids it.
        """

    @_own(Operation.DELETE, by_key=True)
    async def delete(self, key: Key) -> RowCount:
        """Delete the row with this key; give 1, or 0 if there is none.

        Raises:
            IntegrityError: a foreign key forbids it.
        """

    @_own(Operation.FIND)
    async def all(self) -> list[Row]:
        """Give all rows, in the order of the primary key."""

    @_own(Operation.COUNT)
    async def count(self) -> int:
        """Give the number of rows."""
