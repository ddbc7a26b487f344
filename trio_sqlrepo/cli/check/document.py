"""The review as JSON. docs/command-line.md tells its form; `version` moves when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_sqlrepo.cli.check.rows import route_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from trio_sqlrepo import DeclarationError
    from trio_sqlrepo._base.inspection import PlanStep
    from trio_sqlrepo._review import Concern, Finding, Review, ReviewedQuery, ReviewedStatement

VERSION: Final = 1


def document_of(review: Review, failed: Collection[Concern]) -> dict[str, Any]:
    """Everything about queries that fit."""
    return {
        "version": VERSION,
        "queries": [query_document(query) for query in review.queries],
        "findings": [_finding(finding) for finding in review.findings],
        "failed": sorted(concern.value for concern in failed),
    }


def errors_of(error: DeclarationError) -> dict[str, Any]:
    """What is wrong with queries that do not."""
    return {"version": VERSION, "errors": list(error.problems)}


def query_document(query: ReviewedQuery) -> dict[str, Any]:
    """One query with its statements."""
    declared = query.declared
    return {
        "name": query.name,
        "class": query.repository.__qualname__,
        "module": query.repository.__module__,
        "method": declared.name,
        "file": declared.file,
        "line": declared.line,
        "parameters": dict(declared.parameters),
        "result": declared.result,
        "statements": [_statement(statement) for statement in query.statements],
    }


def _statement(statement: ReviewedStatement) -> dict[str, Any]:
    declared = statement.declared
    return {
        "name": declared.name,
        "sql": declared.sql,
        "route": route_of(statement),
        "parameters": list(declared.parameters),
        "reads": sorted(declared.reads),
        "changes": sorted(declared.changes),
        "columns": [
            {
                "name": each.column.name,
                "type": each.column.declared_type,
                "table": each.column.table,
                "origin": each.column.origin,
                "not_null": each.column.not_null,
                "field": each.field,
            }
            for each in statement.columns
        ],
        "plan": plan_document(statement.plan),
    }


def plan_document(steps: Sequence[PlanStep]) -> list[dict[str, Any]]:
    """A plan as a tree."""
    return [{"detail": step.detail, "steps": plan_document(step.steps)} for step in steps]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.concern.value,
        "where": finding.where,
        "subject": finding.subject,
        "text": finding.text,
    }
