"""No declared query reads a table from end to end, unless it may."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any, Final

from trio_sqlrepo import SQLiteConfig
from trio_sqlrepo._query.declare import declared
from trio_sqlrepo._review import Concern, open_schema, review
from trio_sqlrepo._sqlite.expert import expert_on
from trio_sqlrepo.testing._schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import EllipsisType

    import cattrs

    from trio_sqlrepo import Repository
    from trio_sqlrepo._base.inspection import PlanStep
    from trio_sqlrepo._data.migration import MigrationSource
    from trio_sqlrepo._review import ReviewedQuery, ReviewedStatement
    from trio_sqlrepo._sqlite.expert import Expert

_SQLITE: Final = SQLiteConfig()


def assert_no_full_scans(
    *repositories: type[Repository],
    migrations: MigrationSource | EllipsisType = ...,
    allow: Iterable[str | Callable[..., Any]] = (),
    sqlite: SQLiteConfig = _SQLITE,
    converter: cattrs.Converter | None = None,
) -> None:
    """Assert that no declared query reads a whole table where an index could lead to the rows.

    The schema is made in memory and the plans are SQLite's own; nothing is run. It is a plain
    function that any test can call, and blocks for some milliseconds. A query that reads the table
    on purpose, or only its first rows (`ORDER BY id LIMIT :limit`, which SQLite's plans show as the
    same), is allowed by name.

    Args:
        repositories: the classes whose queries are looked at.
        migrations: the schema, as for `open_database`; without it, what the classes' module (or a
            package around it) calls `MIGRATIONS`.
        allow: queries that may: the methods (`Messages.all`), or their names (`"Messages.all"`).
        sqlite: as for `open_database`.
        converter: as for `open_database`.

    Raises:
        AssertionError: some do. It lists each with its SQL, its plan, and the index that SQLite's
            own expert advises.
        TypeError: no migrations were given, and the classes' modules have none or not the same.
        ValueError: no class was given, or `allow` names no query of these.
        MigrationError: a script failed.
        DeclarationError: declared queries do not fit; all of them are listed.
    """
    __tracebackhide__ = True
    if not repositories:
        message = (
            "assert_no_full_scans() was given no repository, so it would pass; name the classes."
        )
        raise ValueError(message)
    schema = schema_of("assert_no_full_scans()", repositories, migrations)
    with open_schema(migrations=schema, sqlite=sqlite) as driver:
        queries = review(driver, repositories, converter).queries
        allowed = [query for one in allow for query in _allowed(one, queries)]
        scanning = [
            (query, statement)
            for query in queries
            if query not in allowed
            for statement in query.statements
            if _scans(statement)
        ]
        if not scanning:
            return
        with expert_on(driver) as expert:
            told = [_told(query, statement, expert) for query, statement in scanning]
    listing = "\n\n".join(told)
    many = (
        f"{len(told)} declared statements read" if len(told) > 1 else "A declared statement reads"
    )
    raise AssertionError(
        f"{many} a table from end to end. Make an index, or name the query in allow=[...].\n\n"
        f"{listing}"
    )


def _allowed(one: object, queries: Sequence[ReviewedQuery]) -> list[ReviewedQuery]:
    if isinstance(one, str):
        found = [query for query in queries if query.name == one]
    else:
        declaration = declared(one)
        found = [query for query in queries if query.declaration is declaration]
    if not found:
        named = repr(one) if isinstance(one, str) else getattr(one, "__qualname__", repr(one))
        names = ", ".join(query.name for query in queries)
        message = f"allow names {named}, which is no declared query of these: {names}."
        raise ValueError(message)
    return found


def _scans(statement: ReviewedStatement) -> list[str]:
    return [found.text for found in statement.findings if found.concern is Concern.SCAN]


def _told(query: ReviewedQuery, statement: ReviewedStatement, expert: Expert) -> str:
    advice = expert.advise(statement.declared.sql)
    parts = [
        f"{statement.declared.name} ({query.declared.file}:{query.declared.line}):",
        *(f"  {text}" for text in _scans(statement)),
        indent(dedent(statement.declared.sql).strip(), "    "),
        "  Plan:",
        *_plan(statement.plan, 2),
    ]
    if advice.silent is not None:
        parts.append(f"  No advice: {advice.silent}.")
    elif advice.indexes:
        parts += ["  SQLite's expert advises:", *(f"    {index}" for index in advice.indexes)]
    else:
        parts.append("  SQLite's expert knows no index that would help.")
    return "\n".join(parts)


def _plan(steps: Sequence[PlanStep], depth: int) -> list[str]:
    lines = []
    for step in steps:
        lines += ["  " * depth + step.detail, *_plan(step.steps, depth + 1)]
    return lines
