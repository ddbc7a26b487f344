"""Operations of concurrent tasks as text: a column for each task, a row for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_sqlrepo.testing.histories._operation import Operation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WIDEST: Final = 48  # characters of a cell
_NO_NOTES: Final[Mapping[Operation, str]] = {}


def timeline(operations: Iterable[Operation], *, mark: Operation | None = None) -> str:
    """Draw operations side by side, from the first to begin to the last to end.

    Args:
        operations: which; a few dozen are readable.
        mark: one of them, at whose end an arrow points.

    Returns:
        Lines of text. `┬` is a beginning, `└` an end; what has none goes on to the bottom.
    """
    drawn = list(operations)
    tasks = list(dict.fromkeys(each.task for each in sorted(drawn, key=lambda each: each.invoked)))
    # Beginnings first: of one moment nobody knows the order, so they are drawn as concurrent.
    events = [(each.invoked, 0, each) for each in drawn]
    events += [(each.completed, 1, each) for each in drawn if each.completed is not None]
    events.sort(key=lambda event: event[:2])
    open_in = dict.fromkeys(tasks, 0)
    rows = [tasks]
    for _, ends, each in events:
        row = ["│" if open_in[task] else "" for task in tasks]
        column = tasks.index(each.task)
        row[column] = _shortened(f"└ {each.answer}" if ends else f"┬ {each.called}")
        if ends and each is mark:
            row[column] += "  ◀"
        open_in[each.task] += -1 if ends else 1
        rows.append(row)
    unknown = {each.task for each in drawn if each.outcome is Outcome.UNKNOWN}
    if unknown:
        rows.append(["┊ unknown" if task in unknown else "" for task in tasks])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(padded)


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
