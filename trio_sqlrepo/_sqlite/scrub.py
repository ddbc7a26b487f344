"""What may be shown of SQLite's messages: never a value that was bound to a query.

Messages of the compiler quote SQL and schema alone and are shown whole. Messages of a running
statement may quote values (`bad JSON path: 's3cret'`, FTS5's `no such column: s3cret`,
`RAISE(ABORT, 'no ' || NEW.name)`), so only those listed here are shown, and of some of them only
the part before the value.
"""

from __future__ import annotations

HIDDEN = "SQLite reports an error; its text is not shown because it may quote a value"

_WHOLE = frozenset(
    {
        "ESCAPE expression must be a single character",
        "JSON cannot hold BLOB values",
        "LIKE or GLOB pattern too complex",
        "SQL logic error",
        "Cannot add a NOT NULL column with default value NULL",
        "Cannot add a REFERENCES column with non-NULL default value",
        "Cannot add a column with non-constant default",
        "cannot VACUUM - SQL statements in progress",
        "cannot VACUUM from within a transaction",
        "cannot start a transaction within a transaction",
        "cannot commit - no transaction is active",
        "cannot rollback - no transaction is active",
        "integer overflow",
        "invalid Unicode escape",
        "malformed JSON",
        "not authorized",
        "type mismatch on DEFAULT",
    }
)
# These quote nothing but the schema.
_OF_THE_SCHEMA = (
    "error in view ",
    "error in trigger ",
    "error in index ",
    "error in table ",
    "foreign key mismatch - ",
    "no such table: ",
    "unable to use function ",
)
_BEFORE_THE_VALUE = {
    "JSON path error near": "JSON path error",
    "bad JSON path:": "bad JSON path",
    "malformed MATCH expression:": "malformed MATCH expression",
}
# What FTS5 says of the text it is to search for. The compiler says some of this of the SQL: whoever
# asks knows that the statement compiles.
_OF_A_SEARCH = {
    "fts5: syntax error near": "FTS5 syntax error",
    "fts5: parser stack overflow": "too deeply nested",
    "fts5 expression tree is too large": "too deeply nested",
    "fts5: ": "the table's `detail` option does not allow this kind of query",
    "no such column:": "it names a column that the table does not have",
    "unterminated string": "a double quote is not closed",
    "expected integer, got": "NEAR takes a number after the comma",
    "unknown special query:": "a `*` stands before a word",
    "parse error in rank function:": "the rank function is not one that FTS5 knows",
}


def search_problem(message: str) -> str | None:
    """What is wrong with the text of a full-text search; None if the message is about no such.

    `message` is that of SQLITE_ERROR from a statement that compiles.
    """
    return next((why for start, why in _OF_A_SEARCH.items() if message.startswith(start)), None)


def run_time_message(message: str) -> str:
    """Give what may be shown of the text of SQLITE_ERROR from a running statement."""
    if message in _WHOLE or message.startswith(_OF_THE_SCHEMA):
        return message
    for start, shown in _BEFORE_THE_VALUE.items():
        if message.startswith(start):
            return f"{shown} (the rest is not shown because it may quote a value)"
    return HIDDEN
