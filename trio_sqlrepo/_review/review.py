"""Every declared query, against a schema: what it reads and fills, its plan, and the findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trio_sqlrepo._base.inspection import Column, PlanStep
from trio_sqlrepo._data.contract import check_repositories
from trio_sqlrepo._declared import DeclaredQuery, DeclaredStatement, _describe
from trio_sqlrepo._query.declare import Declaration, declarations_of
from trio_sqlrepo._query.rows import Cell, Layout, Made, layout
from trio_sqlrepo._query.spec import Shape
from trio_sqlrepo._query.values import Codecs
from trio_sqlrepo._repository import Repository
from trio_sqlrepo._review.plans import Concern, Finding, indexes_used, plan_findings
from trio_sqlrepo._sqlite.plans import indexes, query_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import cattrs

    from trio_sqlrepo._base.inspection import Index
    from trio_sqlrepo._data.contract import Checked
    from trio_sqlrepo._sqlite import SqliteDriver


@attrs.frozen
class ReviewedColumn:
    """One result column and what it fills."""

    column: Column
    field: str | None  # "Message.body", "result", "result[0]", "dict"; None if it fills nothing
    fits_null: bool  # whether what it fills may be None


@attrs.frozen
class ReviewedStatement:
    """One statement of a query."""

    declared: DeclaredStatement
    columns: tuple[ReviewedColumn, ...]
    plan: tuple[PlanStep, ...]
    findings: tuple[Finding, ...]


@attrs.frozen
class ReviewedQuery:
    """One declared query of one class."""

    repository: type[Repository]
    name: str  # "Messages.recent"
    declared: DeclaredQuery
    declaration: Declaration = attrs.field(repr=False)
    statements: tuple[ReviewedStatement, ...]


@attrs.frozen
class Review:
    """All queries, and all that was found."""

    queries: tuple[ReviewedQuery, ...]
    unused: tuple[Finding, ...]  # indexes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the statements in their order, then those of indexes."""
        found = [f for q in self.queries for s in q.statements for f in s.findings]
        return (*found, *self.unused)


def review(
    driver: SqliteDriver,
    repositories: Sequence[type[Repository]],
    converter: cattrs.BaseConverter | None = None,
) -> Review:
    """Check every query of the repositories, as `open_database` does, and say what it comes to.

    Raises:
        DeclarationError: with everything that is wrong in any of them.
    """
    contract = check_repositories(
        repositories, driver.inspect, converter, base=Repository, describe=driver.describe_table
    )
    queries = []
    for repository, plans in contract.plans.items():
        for method, declaration in declarations_of(repository).items():
            if declaration not in plans.checked:  # a body
                continue
            checked = plans.checked[declaration]
            described = _describe(method, declaration, checked)
            statements = tuple(
                _reviewed(driver, each, said, converter)
                for each, said in zip(checked, described.statements, strict=True)
            )
            name = checked[0].spec.name.partition("[")[0]
            queries.append(ReviewedQuery(repository, name, described, declaration, statements))
    return Review(tuple(queries), _unused(indexes(driver), queries))


def _reviewed(
    driver: SqliteDriver,
    checked: Checked,
    said: DeclaredStatement,
    converter: cattrs.BaseConverter | None,
) -> ReviewedStatement:
    plan = query_plan(driver, said.sql)
    columns = _columns(checked, converter)
    nullable = [
        Finding(
            concern=Concern.NULLABLE,
            where=said.name,
            subject=column.column.name,
            text=(
                f"{column.column.table}.{column.column.origin} may be NULL, which"
                f" {column.field} cannot hold."
            ),
        )
        for column in columns
        # Of an expression SQLite does not say whether it may be NULL.
        if column.column.origin is not None
        and not column.column.not_null
        and column.field is not None
        and not column.fits_null
    ]
    return ReviewedStatement(said, columns, plan, (*plan_findings(said.name, plan), *nullable))


def _columns(
    checked: Checked, converter: cattrs.BaseConverter | None
) -> tuple[ReviewedColumn, ...]:
    spec, columns = checked.spec, checked.inspection.columns
    filled: Mapping[int, tuple[str, bool]] = {}
    if columns and spec.shape is not Shape.NONE:
        codecs = Codecs(converter, spec.context, reading=True)
        found = layout(spec.row, columns, codecs, or_none=spec.shape is Shape.OPTIONAL)
        filled = _filled(found, len(columns))
    return tuple(
        ReviewedColumn(column, *filled.get(index, (None, True)))
        for index, column in enumerate(columns)
    )


def _filled(found: Layout, count: int) -> dict[int, tuple[str, bool]]:
    """For each column: what it fills, and whether that may be None."""
    body = found.body
    if body is None:
        return dict.fromkeys(range(count), ("dict", True))
    if isinstance(body, Cell):
        return {body.index: ("result", body.codec.nullable)}
    if isinstance(body, tuple):
        return {cell.index: (f"result[{cell.index}]", cell.codec.nullable) for cell in body}
    return {
        cell.index: (cell.target.removeprefix("field `").removesuffix("`"), cell.codec.nullable)
        for cell in _cells(body)
    }


def _cells(made: Made) -> Iterator[Cell]:
    for _, _, what in made.arguments:
        if isinstance(what, Cell):
            yield what
        else:
            yield from _cells(what)


def _unused(there: Sequence[Index], queries: Sequence[ReviewedQuery]) -> tuple[Finding, ...]:
    """Indexes that no query goes by, of tables that some query reads or changes.

    A unique one is a rule as well, and has its use.
    """
    statements = [statement for query in queries for statement in query.statements]
    names = {index.name for index in there}
    used: set[str] = set()
    tables: set[Any] = set()
    for statement in statements:
        used |= indexes_used(statement.plan, names)
        tables |= statement.declared.reads | statement.declared.changes
    return tuple(
        Finding(
            concern=Concern.UNUSED_INDEX,
            where=index.table,
            subject=index.name,
            text=f"no declared query goes by the index {index.name}.",
        )
        for index in there
        if index.table in tables and not index.unique and index.name not in used
    )
