"""What a query plan says that somebody should know.

SQLite promises no format for plans (https://sqlite.org/eqp.html), so what is read here is held
against the real SQLite by the tests: a version with other words fails them.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from trio_sqlrepo._base.inspection import PlanStep

_SCAN: Final = "SCAN "
# What stands between a table's name and how it is read.
_JOINS: Final = (" LEFT-JOIN", " RIGHT-JOIN", " EXISTS")
# Steps that make rows of their own; a later SCAN of that name reads those.
_MAKES_ROWS: Final = ("CO-ROUTINE ", "MATERIALIZE ")
_NO_TABLE: Final = (" CONSTANT ROW", " CONSTANT ROWS", "-ROW VALUES CLAUSE")
_VIRTUAL: Final = " VIRTUAL TABLE INDEX "
_USES_INDEX: Final = (" USING INDEX ", " USING COVERING INDEX ")
_AUTOMATIC: Final = " USING AUTOMATIC "
_SORTS: Final = "USE TEMP B-TREE FOR "
_COMPARES: Final = " USING TEMP B-TREE"


class Concern(enum.Enum):
    """What a finding is about."""

    SCAN = "scan"
    SORT = "sort"
    NULLABLE = "nullable"
    UNUSED_INDEX = "unused-index"


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that may be meant, and may be an oversight."""

    concern: Concern
    where: str  # the statement ("Messages.recent[order='newest']"), or "message" of an index
    subject: str  # the table as the SQL calls it, the column, the index
    text: str  # a sentence


def walk(steps: Sequence[PlanStep]) -> Iterator[PlanStep]:
    """Every step, those that contain others first."""
    for step in steps:
        yield step
        yield from walk(step.steps)


def plan_findings(where: str, steps: Sequence[PlanStep]) -> tuple[Finding, ...]:
    """Say what a plan does that costs more with every row there is. Each thing once."""
    made = {name for step in walk(steps) if (name := _made_by(step.detail)) is not None}
    found: dict[Finding, None] = {}
    for step in walk(steps):
        if (table := _scanned(step.detail)) is not None and table not in made:
            text = f"{table} is read from end to end; no index leads to the rows."
            found[Finding(concern=Concern.SCAN, where=where, subject=table, text=text)] = None
        elif (table := _indexed_for_once(step.detail)) is not None and table not in made:
            text = f"{table} is read from end to end, to make an index for this one call."
            found[Finding(concern=Concern.SCAN, where=where, subject=table, text=text)] = None
        elif (purpose := _sorted(step.detail)) is not None:
            text = f"rows are put into a temporary B-tree for {purpose}."
            found[Finding(concern=Concern.SORT, where=where, subject=purpose, text=text)] = None
    return tuple(found)


def indexes_used(steps: Sequence[PlanStep], names: Collection[str]) -> frozenset[str]:
    """Which of the indexes `names` the plan goes by."""
    used = set()
    for step in walk(steps):
        for mark in _USES_INDEX:
            rest = f"{step.detail} ".partition(mark)[2]
            # One name may begin like another, as `by` and `by room` do.
            used.add(max((n for n in names if rest.startswith(f"{n} ")), key=len, default=""))
    return frozenset(used - {""})


def _made_by(detail: str) -> str | None:
    for mark in _MAKES_ROWS:
        if detail.startswith(mark):
            return detail.removeprefix(mark)
    return None


def _scanned(detail: str) -> str | None:
    """The table that is read whole, without an index."""
    if not detail.startswith(_SCAN) or detail.endswith(_NO_TABLE):
        return None
    if _VIRTUAL in detail or any(mark in detail for mark in _USES_INDEX):
        return None
    name = detail.removeprefix(_SCAN)
    for mark in _JOINS:
        name = name.removesuffix(mark)
    return None if name.startswith("(") else name  # "(subquery-1)" is none


def _indexed_for_once(detail: str) -> str | None:
    if _AUTOMATIC not in detail:
        return None
    name = detail.partition(_AUTOMATIC)[0].partition(" ")[2]
    for mark in _JOINS:
        name = name.removesuffix(mark)
    return None if name.startswith("(") else name


def _sorted(detail: str) -> str | None:
    """What for rows are put into a temporary B-tree."""
    if detail.startswith(_SORTS):
        return detail.removeprefix(_SORTS)
    if detail.endswith(_COMPARES):
        return detail.removesuffix(_COMPARES)
    return None
