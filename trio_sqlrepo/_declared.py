"""`declared`: what the queries of a repository are, for tools, tests and the curious."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

import attrs

from trio_sqlrepo._query.declare import DeclarationKind, declarations_of
from trio_sqlrepo._query.refusal import title
from trio_sqlrepo._query.spec import Shape
from trio_sqlrepo._repository import Repository

if TYPE_CHECKING:
    from trio_sqlrepo._data.contract import Checked
    from trio_sqlrepo._data.session import Session
    from trio_sqlrepo._query.declare import Declaration

Route: TypeAlias = Literal["reader", "writer"]


@final
@attrs.frozen(kw_only=True)
class DeclaredColumn:
    """One column of a query's rows.

    Attributes:
        name: as the rows have it.
        type: as in CREATE TABLE; None for an expression.
        table: where it is from; None for an expression.
        origin: its name there.
        not_null: whether it is a NOT NULL column, or an INTEGER PRIMARY KEY.
    """

    name: str
    type: str | None
    table: str | None
    origin: str | None
    not_null: bool


@final
@attrs.frozen(kw_only=True)
class DeclaredStatement:
    """One statement of a query, as SQLite has compiled it.

    Attributes:
        name: as errors and `stats()` name it: "Messages.recent[order='newest']".
        sql: of this statement, without braces.
        writes: SQLite's own word for its route. True: the writer; False: a reader.
        parameters: of the SQL, without the colon.
        columns: of its rows.
        reads: tables; those of triggers and foreign-key actions included.
        changes: likewise.
    """

    name: str
    sql: str
    writes: bool
    parameters: tuple[str, ...]
    columns: tuple[DeclaredColumn, ...]
    reads: frozenset[str]
    changes: frozenset[str]

    @property
    def route(self) -> Route:
        """Whose connection runs it."""
        return "writer" if self.writes else "reader"

    @property
    def tables(self) -> frozenset[str]:
        """Those that it reads and those that it changes."""
        return self.reads | self.changes


@final
@attrs.frozen(kw_only=True)
class DeclaredQuery:
    """One declared query.

    Attributes:
        name: the method's.
        sql: as written, braces included; of one that is generated the first statement's, or "".
        parameters: of the method, without self: the name and the annotation.
        result: the annotation.
        doc: the method's docstring.
        file: where it is declared.
        line: likewise, from 1.
        statements: with a session, several if there are alternatives. Without one: ().
    """

    name: str
    sql: str
    parameters: Mapping[str, str]
    result: str
    doc: str | None
    file: str
    line: int
    statements: tuple[DeclaredStatement, ...]

    @property
    def route(self) -> Route | None:
        """Whose connection runs its statements; None without a session."""
        return self.statements[0].route if self.statements else None

    @property
    def tables(self) -> frozenset[str]:
        """Those that any of its statements reads or changes; none without a session."""
        return frozenset().union(*(statement.tables for statement in self.statements))

    @property
    def columns(self) -> tuple[DeclaredColumn, ...]:
        """Of the rows, as its first statement gives them; none without a session."""
        return self.statements[0].columns if self.statements else ()


def declared(
    repository: type[Repository] | Repository, session: Session | None = None
) -> dict[str, DeclaredQuery]:
    """Give every declared query of a repository, by the name of its method.

    Of a class alone this tells what is written in it. With a repository that is bound, or with a
    session as well, it also tells what SQLite says: the generated SQL, the route, the tables and
    the columns. It asks nothing of the database and does not wait.

    Args:
        repository: the class, or one that is bound to a session.
        session: the `Database` (or what is opened from it) that the class was given to.

    Raises:
        NotRegistered: the session's database was not given the class.
    """
    if isinstance(repository, Repository):
        session = session or repository.session
        repository = type(repository)
    if not (isinstance(repository, type) and issubclass(repository, Repository)):
        message = (
            "declared() takes a repository class, or a repository; it was given"
            f" {type(repository).__name__}."
        )
        raise TypeError(message)
    checked: Mapping[Declaration, tuple[Checked, ...]] = {}
    if session is not None:
        checked = session._plans_for(repository).checked
    return {
        name: _describe(name, declaration, checked.get(declaration, ()))
        for name, declaration in declarations_of(repository).items()
        if declaration.kind is DeclarationKind.QUERY
    }


def _describe(name: str, declaration: Declaration, checked: tuple[Checked, ...]) -> DeclaredQuery:
    annotations = declaration.stub.__annotations__
    parameters = {each: _text(annotations.get(each, "")) for each in declaration.parameters}
    result = _text(annotations.get("return", ""))
    if checked:  # type variables are resolved
        spec = checked[0].spec
        parameters = {parameter.name: title(parameter.hint) for parameter in spec.parameters}
        result = _RESULTS[spec.shape].format(title(spec.row))
    statements = tuple(map(_statement, checked))
    return DeclaredQuery(
        name=name,
        sql=declaration.sql or (statements[0].sql if statements else ""),
        parameters=parameters,
        result=result,
        doc=declaration.stub.__doc__,
        file=declaration.file,
        line=declaration.line,
        statements=statements,
    )


_RESULTS: Final[Mapping[Shape, str]] = {
    Shape.ONE: "{}",
    Shape.OPTIONAL: "{} | None",
    Shape.LIST: "list[{}]",
    Shape.STREAM: "RowStream[{}]",
    Shape.NONE: "None",
    Shape.COUNT: "RowCount",
}


def _text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else title(annotation)


def _statement(checked: Checked) -> DeclaredStatement:
    statement, inspection = checked.plan.statement, checked.inspection
    return DeclaredStatement(
        name=statement.name,
        sql=statement.sql,
        writes=statement.writes,
        parameters=tuple(parameter[1:] for parameter in inspection.parameters),
        columns=tuple(
            DeclaredColumn(
                name=column.name,
                type=column.declared_type,
                table=column.table,
                origin=column.origin,
                not_null=column.not_null,
            )
            for column in inspection.columns
        ),
        reads=frozenset(table for action, table in inspection.actions if action == "read"),
        changes=frozenset(table for action, table in inspection.actions if action != "read"),
    )
