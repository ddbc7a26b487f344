"""What the table shows of a query's statements, in words. Those that are alike are shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_sqlrepo._base.inspection import PlanStep
    from trio_sqlrepo._review import ReviewedColumn, ReviewedQuery, ReviewedStatement


@attrs.frozen
class Row:
    """One statement, or several that differ only in their SQL."""

    name: str  # "Messages.recent", "  [order=BEST]" below the first of a query
    route: str
    tables: tuple[str, ...]
    fields: tuple[str, ...]
    plan: tuple[tuple[int, str], ...]  # how deep a step lies, and what it is


def rows_of(query: ReviewedQuery) -> list[Row]:
    """The rows of one query."""
    groups: dict[object, list[ReviewedStatement]] = {}
    for statement in query.statements:
        groups.setdefault(_looks(statement), []).append(statement)
    return [
        Row(_name(query, group, alone=len(groups) == 1), *_looks(group[0]))
        for group in groups.values()
    ]


def _looks(
    statement: ReviewedStatement,
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[tuple[int, str], ...]]:
    return (
        route_of(statement),
        tables_of(statement),
        tuple(fields_of(statement.columns)),
        tuple(plan_lines(statement.plan)),
    )


def _name(query: ReviewedQuery, group: Sequence[ReviewedStatement], *, alone: bool) -> str:
    if alone:
        return query.name if len(group) == 1 else f"{query.name}\n{len(group)} alternatives"
    name = f"{query.name}\n{group[0].declared.name.removeprefix(query.name)}"
    return name if len(group) == 1 else f"{name}\nand {len(group) - 1} alike"


def route_of(statement: ReviewedStatement) -> str:
    """Which kind of connection it runs on."""
    return "writer" if statement.declared.writes else "reader"


def tables_of(statement: ReviewedStatement) -> tuple[str, ...]:
    """The tables it changes, then those that it only reads."""
    declared = statement.declared
    changed = [f"changes {table}" for table in sorted(declared.changes)]
    return (*changed, *(f"reads {table}" for table in sorted(declared.reads - declared.changes)))


def fields_of(columns: Sequence[ReviewedColumn]) -> Iterator[str]:
    """What the columns fill; those that bear their field's name in one line for each class."""
    namesakes: dict[str, list[str]] = {}
    others = []
    for column in columns:
        owner, dot, name = (column.field or "").rpartition(".")
        if dot and name == column.column.name.rpartition(".")[2]:
            namesakes.setdefault(owner, []).append(column.column.name)
        elif column.field == "dict":
            namesakes.setdefault("dict", []).append(column.column.name)
        else:
            others.append(f"{column.column.name} → {column.field or '(nothing)'}")
    for owner, names in namesakes.items():
        yield f"{', '.join(names)} → {owner}"
    yield from others


def plan_lines(steps: Sequence[PlanStep], depth: int = 0) -> Iterator[tuple[int, str]]:
    """The plan's steps, each with the number of those that it is part of."""
    for step in steps:
        yield depth, step.detail
        yield from plan_lines(step.steps, depth + 1)
