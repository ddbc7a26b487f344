"""The review as a table in a terminal of any width, and what was found below it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table
from rich.text import Text

from trio_sqlrepo.cli.check.rows import Row, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import Console

    from trio_sqlrepo._review import Concern, Review

# From here on each thing has a column of its own; below, the first three share one.
_WIDE: Final = 110


def print_review(console: Console, review: Review, failed: Collection[Concern]) -> None:
    """Print every query, what was found, and a line that sums it up."""
    wide = console.width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, leading=1)
    headings = ["Method", "Route", "Tables"] if wide else ["Method, route, tables"]
    for heading in (*headings, "Columns → fields", "Query plan"):
        table.add_column(heading, overflow="fold")
    for query in review.queries:
        for row in rows_of(query):
            table.add_row(*_cells(row, wide=wide))
    console.print(table)
    console.print()
    told = _findings(review)
    if told:
        _print_findings(console, told)
    console.print(_summary(review, [concern for concern, _ in told], failed))


def plan_grid(lines: Sequence[tuple[int, str]]) -> Table:
    """The steps of a plan, each with a mark, so that a step may need several lines."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for depth, detail in lines:
        grid.add_row(Text("  " * depth + "· ", style="dim"), Text(detail))
    return grid


def _cells(row: Row, *, wide: bool) -> list[Text | Table]:
    name = Text(row.name, style="bold")
    cells: list[Text | Table]
    if wide:
        cells = [name, Text(row.route), Text("\n".join(row.tables))]
    else:
        for line in (row.route, *row.tables):
            name.append(f"\n  {line}", style="not bold")
        cells = [name]
    return [*cells, Text("\n".join(row.fields)), plan_grid(row.plan)]


def _findings(review: Review) -> list[tuple[Concern, Text]]:
    """Every finding with its place; one that several alternatives share is told once."""
    told = []
    for query in review.queries:
        shared: dict[tuple[Concern, str], list[str]] = {}
        for statement in query.statements:
            for found in statement.findings:
                shared.setdefault((found.concern, found.text), []).append(found.where)
        place = f"{shown_path(query.declared.file)}:{query.declared.line}"
        for (concern, text), places in shared.items():
            where, alike = query.name, ""
            if len(places) < len(query.statements):
                where = places[0]
                alike = f" and {len(places) - 1} alike" if places[1:] else ""
            told.append((concern, Text.assemble((where, "bold"), f"{alike} ({place}): ", text)))
    told += [
        (found.concern, Text.assemble((found.where, "bold"), ": ", found.text))
        for found in review.unused
    ]
    return told


def _print_findings(console: Console, told: Sequence[tuple[Concern, Text]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="yellow", no_wrap=True)
    grid.add_column(overflow="fold")
    for concern, text in told:
        grid.add_row(concern.value, text)
    console.print(grid)
    console.print()


def shown_path(file: str) -> str:
    """A source file as short as it can be named from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _summary(review: Review, told: Sequence[Concern], failed: Collection[Concern]) -> Text:
    statements = sum(len(query.statements) for query in review.queries)
    text = f"{_counted(len(review.queries), 'query', 'queries')} fit the schema"
    if len(review.queries) == 1:
        text = "1 query fits the schema"
    if statements != len(review.queries):
        text += f", in {_counted(statements, 'statement', 'statements')}"
    counts = Counter(concern.value for concern in told)
    if counts:
        text += "; found: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    if failed:
        refused = ", ".join(sorted(concern.value for concern in failed))
        return Text(f"{text}. Failed on: {refused}.", style="red")
    return Text(f"{text}.")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
