"""Alternatives in the SQL of a query: `ORDER BY {order}` and `{room: AND room = :room}`.

A brace is special only as `{parameter`, outside of literals, quoted identifiers and comments. There
SQLite knows no brace at all, so nothing that it would understand is read otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from trio_sqlrepo._query.positions import place

# What may hold a brace that means nothing, to its end or to the end of the text; then the braces.
_TOKEN = re.compile(
    r"""'[^']*' | "[^"]*" | `[^`]*` | \[[^]]*] | --[^\n]*\n | /\*.*?\*/
    | (?P<torn> ' | " | ` | \[ | -- | /\* ) .*
    | \{(?P<name>[^\W\d]\w*)(?P<then>[:}])?
    | (?P<close>\})
    """,
    re.DOTALL | re.VERBOSE,
)


@attrs.frozen
class Slot:
    """`{order}`: a fragment stands here, chosen by the argument's value."""

    parameter: str


@attrs.frozen
class Filter:
    """`{room: …}`: stands here when the argument is not None."""

    parameter: str
    parts: tuple[Part, ...]


Part = str | Slot | Filter


@attrs.frozen
class Template:
    """SQL with alternatives, and the fragments for its slots as they were given."""

    parts: tuple[Part, ...]
    fragments: Mapping[str, Mapping[Any, str]]

    chooses: ClassVar[bool] = True


def parse(
    sql: str, parameters: Sequence[str], fragments: Mapping[str, Any]
) -> tuple[Template | None, list[str]]:
    """Read the braces of `sql`; None if there are none. And what is wrong, as sentences."""
    parser = _Parser(sql, parameters)
    parts = parser.parts()
    problems = parser.problems
    slots = {slot.parameter for slot, _ in slots_in(parts)}
    problems += [
        f"it is given fragments for `{name}`, but its SQL has no `{{{name}}}`; write it where they"
        " belong, or leave them out"
        for name in fragments
        if name not in slots and not problems
    ]
    for name, given in fragments.items():
        problems += _fragment_problems(name, given)
    if all(isinstance(part, str) for part in parts):
        return None, problems
    return Template(parts, fragments), problems


def slots_in(
    parts: Sequence[Part], within: frozenset[str] = frozenset()
) -> Iterator[tuple[Slot, frozenset[str]]]:
    """Every slot, and the parameters of the filters around it."""
    for part in parts:
        if isinstance(part, Slot):
            yield part, within
        elif isinstance(part, Filter):
            yield from slots_in(part.parts, within | {part.parameter})


def filters_in(parts: Sequence[Part]) -> Iterator[Filter]:
    """Every filter, the outer ones first."""
    for part in parts:
        if isinstance(part, Filter):
            yield part
            yield from filters_in(part.parts)


def render(parts: Sequence[Part], present: Mapping[str, bool], texts: Mapping[str, str]) -> str:
    """The SQL with the filters that are present and `texts` in the slots."""
    found = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, Slot):
            found.append(texts[part.parameter])
        elif present[part.parameter]:
            found.append(render(part.parts, present, texts))
    return "".join(found)


class _Parser:
    def __init__(self, sql: str, parameters: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._sql = sql
        self._parameters = parameters

    def parts(self) -> tuple[Part, ...]:
        sql = self._sql
        # The filters that are open: whose, where it began, what was before it.
        open_filters: list[tuple[str, int, list[Part]]] = []
        parts: list[Part] = []
        at = 0
        for token in _TOKEN.finditer(sql):
            name, closes = token["name"], token["close"]
            if name is None and not (closes and open_filters):
                continue  # text, or a brace that SQLite will refuse
            parts.append(sql[at : token.start()])
            at = token.end()
            if name is None:
                parameter, _, before = open_filters.pop()
                before.append(Filter(parameter, tuple(parts)))
                parts = before
            elif self._is_wrong(token):
                continue
            elif token["then"] == "}":
                parts.append(Slot(name))
            else:
                open_filters.append((name, token.start(), parts))
                parts = []
        for name, start, before in reversed(open_filters):
            self.problems.append(
                f"`{{{name}:`{place(sql, start)} is not closed; write `}}` where what it holds ends"
            )
            parts = before
        return (*parts, sql[at:])

    def _is_wrong(self, token: re.Match[str]) -> bool:
        name, where = token["name"], place(self._sql, token.start())
        if token["then"] is None:
            self.problems.append(
                f"`{{{name}`{where} is followed by neither `}}` nor `:`; write `{{{name}}}`, or"
                f" `{{{name}: …}}` for what is there when `{name}` is not None"
            )
        elif name not in self._parameters:
            close = difflib.get_close_matches(name, self._parameters, n=1)
            hint = f" (did you mean `{close[0]}`?)" if close else ""
            self.problems.append(
                f"its SQL names `{{{name}`{where}, but it has no such parameter; add one or correct"
                f" the name{hint}"
            )
        else:
            return False
        return True


def _fragment_problems(name: str, given: Any) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield (
            f"the fragments for `{name}` are a mapping from each value to its SQL, as in"
            f' {name}={{"newest": "id DESC"}}; it was given {type(given).__name__}'
        )
        return
    for value, text in given.items():
        if not isinstance(text, str):
            yield (
                f"the fragment for {name}={value!r} is SQL, a str; it is of type"
                f" {type(text).__name__}"
            )
        elif any(token["torn"] for token in _TOKEN.finditer(text)):
            # It would swallow the SQL behind it.
            yield (
                f"the fragment for {name}={value!r} leaves a literal, a quoted name or a comment"
                " open; close it"
            )
