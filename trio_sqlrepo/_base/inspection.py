"""What SQLite says of a statement, as `_sqlite` finds it and `_query` reads it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Column:
    """One result column. The last three are None for an expression."""

    name: str
    declared_type: str | None  # as written in CREATE TABLE: "INTEGER", "NUMERIC(10, 2)"; else None
    table: str | None
    origin: str | None  # the column's name in its table
    not_null: bool = False  # a NOT NULL column of a table (or an INTEGER PRIMARY KEY)


@attrs.frozen(kw_only=True)
class Inspection:
    """One statement, compiled and not run."""

    parameters: tuple[str, ...] = ()  # as written, with their prefix, in order: ":room", "?1", "?"
    columns: tuple[Column, ...] = ()
    read_only: bool = True
    # (action, table) as the authorizer names them: ("read", "message"), ("insert", "message"),
    # ("update", …), ("delete", …); what triggers and foreign-key actions do included.
    actions: frozenset[tuple[str, str]] = frozenset()
    functions: frozenset[str] = frozenset()  # lower case
    fires_triggers: bool = False
    triggers: frozenset[str] = frozenset()  # their names
    # What a declared query may not do, as sentences: transaction control, ATTACH, PRAGMA …
    forbidden: tuple[str, ...] = ()
    more_statements: bool = False
    # Why it doesn't compile (scrubbed), and where: 1-based line and column in the SQL, None if
    # SQLite does not say.
    error: str | None = None
    error_position: tuple[int, int] | None = None


@attrs.frozen
class TableColumn:
    """One column of a table or view."""

    name: str
    generated: bool = False  # computed by SQLite: it can't be inserted or set


@attrs.frozen(kw_only=True)
class Table:
    """A table or view, as the schema has it."""

    name: str
    columns: tuple[TableColumn, ...]
    primary_key: tuple[str, ...] = ()
    # The columns of each PRIMARY KEY and UNIQUE index that covers every row, in its order.
    unique: tuple[tuple[str, ...], ...] = ()


@attrs.frozen
class NoTable:
    """There is no table of that name."""

    others: tuple[str, ...]  # the tables and views that there are


@attrs.frozen
class PlanStep:
    """One step of a query plan, in SQLite's words, and what it is made of."""

    detail: str  # "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"
    steps: tuple[PlanStep, ...] = ()


@attrs.frozen
class Instruction:
    """One instruction of a compiled statement (https://sqlite.org/opcode.html)."""

    address: int
    opcode: str
    p1: int
    p2: int
    p3: int
    p4: str | None
    p5: int
    comment: str | None


@attrs.frozen
class Index:
    """An index that a CREATE INDEX of the schema has made."""

    name: str
    table: str
    unique: bool


@attrs.frozen(kw_only=True)
class ObjectPages:
    """What one table or index takes of the file."""

    name: str
    kind: str  # "table" or "index"
    table: str  # the table itself, or whose index it is
    pages: int
    sequential_pages: int  # that follow the one before them in the file
    stored: int  # bytes of content
    cells: int


@attrs.frozen(kw_only=True)
class FilePages:
    """What a database file is made of."""

    page_size: int  # bytes
    pages: int
    free_pages: int  # hold nothing; SQLite takes them before the file grows
    objects: tuple[ObjectPages, ...]  # the largest first
