"""The two signals inside this floor: a declaration that is wrong, a value that does not fit."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterable


class Refusal(Exception):
    """A declaration is wrong. Becomes a problem of a `DeclarationError`; never leaves the floor."""


class Refusals(Exception):
    """Several things wrong at once. Never leaves the floor."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)


def sentences(where: str, problems: Iterable[str]) -> list[str]:
    """Each problem as a sentence that says where: "Messages.get (chat.py:12): …"."""
    return [f"{where}: {problem.removesuffix('.')}." for problem in problems]


class Misfit(Exception):
    """A value does not fit. Becomes a `MappingError`; never leaves the floor.

    It tells kinds, never values: `found` and `wanted` are put into messages.
    """

    def __init__(
        self, found: str, wanted: str | None = None, *, cause: BaseException | None = None
    ) -> None:
        super().__init__(found)
        self.found = found
        self.wanted = wanted  # None: the declared type says enough
        self.cause = cause  # what the user's own code raised, if it did
        self.path = ""  # where inside a JSON value: "[2].name"

    def inside(self, step: str) -> Misfit:
        """The same, one step further out: `step` leads from there to here."""
        self.path = step + self.path
        return self


class NotASequence(Misfit):
    """Text or bytes, which Python would iterate by characters, where a sequence is declared."""


def title(hint: Any) -> str:
    """A type as messages name it: `Message`, `list[str] | None`."""
    if hint is type(None):
        return "None"
    if hint is ...:
        return "..."
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " | ".join(map(title, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if arguments:
        return f"{title(origin)}[{', '.join(map(title, arguments))}]"
    # A class, a TypeVar, a NewType, an alias, or what else typing has.
    return str(getattr(hint, "__name__", None) or hint)


def python_type(value: object) -> str:
    """What a bound value is, without telling it."""
    return "None" if value is None else f"of type {type(value).__name__}"


_STORED = {
    type(None): "NULL",
    int: "INTEGER",
    float: "REAL",
    str: "TEXT",
    bytes: "BLOB",
    # Inside JSON only. These are SQLite's own words too (json_type).
    bool: "true or false",
    list: "an array",
    dict: "an object",
}


def stored_type(value: object) -> str:
    """What a column, or a place in a JSON value, holds, without telling it."""
    return _STORED[type(value)]
