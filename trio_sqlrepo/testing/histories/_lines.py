"""Histories as lines of JSON, read back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from trio_sqlrepo.testing.histories._operation import Operation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGINNING: Final = {"task", "name", "arguments", "invoked"}
_END: Final = {"outcome", "value", "error", "completed"}


def read_lines(lines: Iterable[str]) -> list[Operation]:
    """The operations that lines tell of, each with a beginning and perhaps an end."""
    begun: dict[int, dict[str, Any]] = {}
    for event in _events(list(lines)):
        number = event.pop("id")
        if event.keys() == _BEGINNING:
            begun[number] = event
        elif event.keys() == {"argument"}:
            begun[number]["arguments"].append(event["argument"])
        else:
            begun[number].update(event)
    return [_operation(event) for event in begun.values()]


def _operation(event: dict[str, Any]) -> Operation:
    outcome = Outcome(event.pop("outcome", "unknown"))
    completed = event.pop("completed", None)
    value = event.pop("value", None)
    return Operation(
        task=event["task"],
        name=event["name"],
        arguments=tuple(event["arguments"]),
        invoked=event["invoked"],
        completed=None if outcome is Outcome.UNKNOWN else completed,
        outcome=outcome,
        value=value if outcome is Outcome.RETURNED else None,
        error=event.get("error"),
    )


def _events(lines: list[str]) -> Iterable[dict[str, Any]]:
    known: set[int] = set()
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and isinstance(event.get("id"), int):
            keys = event.keys() - {"id"}
            if keys == _BEGINNING:
                known.add(event["id"])
            if event["id"] in known and keys in (_BEGINNING, _END, {"argument"}):
                yield event
                continue
        if event is None and number == len(lines):
            return  # torn: what it tells did not begin, or has no end
        raise ValueError(
            f"Line {number} is no event of a history: {line.rstrip()[:80]!r}. Give the lines of one"
            " History's sink, from the first one."
        )
