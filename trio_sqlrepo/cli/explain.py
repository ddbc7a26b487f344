"""`trio-sqlrepo explain`: one query, as SQLite runs it."""

# No `from __future__ import annotations`: typer reads these at run time.
import json
from collections.abc import Sequence
from textwrap import dedent
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from trio_sqlrepo import Repository
from trio_sqlrepo._base.inspection import Instruction
from trio_sqlrepo._query.declare import Declaration, DeclarationKind, declarations_of
from trio_sqlrepo._review import ReviewedQuery, ReviewedStatement, review
from trio_sqlrepo._sqlite.expert import Advice, expert_on
from trio_sqlrepo._sqlite.plans import bytecode
from trio_sqlrepo.cli.check.document import VERSION, query_document
from trio_sqlrepo.cli.check.rows import fields_of, plan_lines, route_of, tables_of
from trio_sqlrepo.cli.check.table import plan_grid, shown_path
from trio_sqlrepo.cli.options import (
    ConverterOption,
    DatabaseOption,
    JsonOption,
    MigrationsOption,
    SqliteOption,
)
from trio_sqlrepo.cli.refusal import Refused
from trio_sqlrepo.cli.schema import SchemaOptions
from trio_sqlrepo.cli.target import find
from trio_sqlrepo.cli.terminal import make_console


@attrs.frozen
class _Explained:
    statement: ReviewedStatement
    advice: Advice
    program: tuple[Instruction, ...] | None


def explain(
    app: Annotated[
        str,
        typer.Argument(metavar="APP:CLASS.METHOD", help="package.module:Class.method, a query."),
    ],
    *,
    database: DatabaseOption = None,
    migrations: MigrationsOption = None,
    sqlite: SqliteOption = None,
    converter: ConverterOption = None,
    with_bytecode: Annotated[
        bool, typer.Option("--bytecode", help="Show the instructions as well.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Show one query as SQLite runs it: SQL, parameters, plan, and the indexes it lacks.

    Every alternative of it is shown. The advice is that of SQLite's own expert, if apsw brings it
    along.
    """
    options = SchemaOptions(
        app=app, database=database, migrations=migrations, sqlite=sqlite, converter=converter
    )
    repository, declaration = _find_query(app)
    with options.open() as driver, expert_on(driver) as expert:
        found = review(driver, [repository], options.find_converter())
        (query, *_) = [each for each in found.queries if each.declaration is declaration]
        explained = [
            _Explained(
                statement,
                expert.advise(statement.declared.sql),
                bytecode(driver, statement.declared.sql) if with_bytecode else None,
            )
            for statement in query.statements
        ]
    if as_json:
        print(json.dumps(_document(query, explained), indent=2))
    else:
        _print(make_console(), query, explained)
    return 0


def _find_query(target: str) -> tuple[type[Repository], Declaration]:
    path, dot, method = target.rpartition(".")
    if ":" not in path or not dot:
        raise Refused(f"{target!r} names no query; write it as package.module:Class.method.")
    repository = find(path)
    if not (isinstance(repository, type) and issubclass(repository, Repository)):
        raise Refused(f"{path!r} is no repository class; write package.module:Class.method.")
    declarations = declarations_of(repository)
    queries = [n for n, each in declarations.items() if each.kind is DeclarationKind.QUERY]
    declaration = declarations.get(method)
    if declaration is None:
        raise Refused(
            f"{repository.__name__} declares no query {method!r}; it has"
            f" {', '.join(queries) or 'none'}."
        )
    if declaration.kind is not DeclarationKind.QUERY:
        raise Refused(
            f"{repository.__name__}.{method} is a @{declaration.kind.value} body, with no SQL of"
            " its own; explain the queries that it awaits."
        )
    return repository, declaration


# -- as text -----------------------------------------------------------------------------------


def _print(console: Console, query: ReviewedQuery, explained: Sequence[_Explained]) -> None:
    declared = query.declared
    parameters = "".join(f", {name}: {hint}" for name, hint in declared.parameters.items())
    console.print(Text(query.name, style="bold"))
    console.print(Text(f"{shown_path(declared.file)}:{declared.line}", style="dim"), soft_wrap=True)
    console.print(Text(f"{declared.name}(self{parameters}) → {declared.result}"))
    for each in explained:
        _print_statement(console, each, alone=len(explained) == 1)


def _print_statement(console: Console, each: _Explained, *, alone: bool) -> None:
    statement = each.statement
    declared = statement.declared
    console.print()
    if not alone:
        console.print(Text(declared.name, style="bold"))
    sql = Syntax("", "sql", theme="ansi_dark").highlight(dedent(declared.sql).strip())
    sql.rstrip()
    console.print(sql)
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("Route", route_of(statement))
    facts.add_row("Tables", ", ".join(tables_of(statement)) or "none")
    facts.add_row("Parameters", ", ".join(f":{name}" for name in declared.parameters) or "none")
    if statement.columns:
        facts.add_row("Columns", Text("\n".join(fields_of(statement.columns))))
    plan = list(plan_lines(statement.plan))
    facts.add_row("Plan", plan_grid(plan) if plan else "nothing is searched")
    for finding in statement.findings:
        facts.add_row(Text(finding.concern.value, style="yellow"), Text(finding.text))
    facts.add_row("Advice", Text(_advice(each.advice)))
    console.print(facts)
    if each.program is not None:
        console.print()
        console.print(_program(each.program))


def _advice(advice: Advice) -> str:
    if advice.silent is not None:
        return f"none: {advice.silent}."
    return "\n".join(advice.indexes) or "No further index would help, SQLite's expert says."


def _program(program: Sequence[Instruction]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("addr", "opcode", "p1", "p2", "p3", "p4", "p5", "comment"):
        right = name not in {"opcode", "p4", "comment"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for each in program:
        shown = attrs.astuple(each)
        table.add_row(*(Text("" if value is None else str(value)) for value in shown))
    return table


# -- as JSON -----------------------------------------------------------------------------------


def _document(query: ReviewedQuery, explained: Sequence[_Explained]) -> dict[str, Any]:
    document = query_document(query)
    for said, each in zip(document["statements"], explained, strict=True):
        said["findings"] = [
            {"kind": found.concern.value, "subject": found.subject, "text": found.text}
            for found in each.statement.findings
        ]
        said["advice"] = {"indexes": list(each.advice.indexes), "silent": each.advice.silent}
        if each.program is not None:
            said["bytecode"] = [attrs.asdict(instruction) for instruction in each.program]
    return {"version": VERSION, "query": document}
