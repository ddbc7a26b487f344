"""Where in the SQL a parameter stands, for messages. What the SQL means is SQLite's to say."""

from __future__ import annotations

import re

# What may hold a `:name` that is no parameter, then the parameter.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^]]*] | --[^\n]* | /\*.*?\*/
    | (?P<parameter> [:@$]\w+ | \?\d* )""",
    re.DOTALL | re.VERBOSE,
)


def position_of(parameter: str, sql: str) -> str:
    """Where `parameter` (with its prefix) first stands: " at line 1, column 8 of the SQL"."""
    for token in _TOKEN.finditer(sql):
        if token["parameter"] == parameter:
            line = sql.count("\n", 0, token.start()) + 1
            column = token.start() - sql.rfind("\n", 0, token.start())
            return at(line, column)
    return ""  # written in a way that this pattern does not know


def at(line: int, column: int) -> str:
    """A place as messages say it."""
    return f" at line {line}, column {column} of the SQL"
