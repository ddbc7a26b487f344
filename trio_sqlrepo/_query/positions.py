"""Where in the SQL a parameter stands, for messages. What the SQL means is SQLite's to say."""

from __future__ import annotations

import re

# What may hold a `:name` that is no parameter, then the parameter.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^]]*] | --[^\n]* | /\*.*?\*/
    | (?P<parameter> [:@$]\w+ | \?\d* )""",
    re.DOTALL | re.VERBOSE,
)
_LIST_OPENS = re.compile(r"\bIN\s*\((?!\s*(?:SELECT|WITH)\b)[^()]*\Z", re.IGNORECASE)
_LIST_CLOSES = re.compile(r"[^()]*\)")


def position_of(parameter: str, sql: str) -> str:
    """Where `parameter` (with its prefix) first stands: " at line 1, column 8 of the SQL"."""
    for token in _TOKEN.finditer(sql):
        if token["parameter"] == parameter:
            return place(sql, token.start())
    return ""  # written in a way that this pattern does not know


def position_in_list(parameter: str, sql: str) -> str:
    """Where `parameter` stands in a list, as in `IN (:name)`; "" if it doesn't."""
    for token in _TOKEN.finditer(sql):
        if (
            token["parameter"] == parameter
            and _LIST_OPENS.search(sql, 0, token.start())
            and _LIST_CLOSES.match(sql, token.end())
        ):
            return place(sql, token.start())
    return ""


def place(sql: str, offset: int) -> str:
    """Where the character at `offset` is, as messages say it."""
    return at(sql.count("\n", 0, offset) + 1, offset - sql.rfind("\n", 0, offset))


def at(line: int, column: int) -> str:
    """A place as messages say it."""
    return f" at line {line}, column {column} of the SQL"
