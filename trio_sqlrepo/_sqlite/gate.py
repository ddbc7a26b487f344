"""The authorizer: what may be compiled on a connection, and how often SQLite compiles.

SQLite asks it about every action of a statement while compiling, never when a compiled one runs
(https://sqlite.org/c3ref/set_authorizer.html). It is installed once, before the first statement:
setting it again would make every compiled statement stale.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable

# PRAGMAs that tell without changing anything, when they have no argument.
_TELLING = """
    application_id auto_vacuum busy_timeout cache_size cache_spill cell_size_check collation_list
    compile_options data_version database_list defer_foreign_keys encoding foreign_key_check
    foreign_keys freelist_count function_list ignore_check_constraints integrity_check journal_mode
    journal_size_limit legacy_alter_table locking_mode max_page_count mmap_size module_list
    page_count page_size pragma_list query_only quick_check read_uncommitted recursive_triggers
    reverse_unordered_selects schema_version secure_delete synchronous table_list temp_store
    threads trusted_schema user_version wal_autocheckpoint
"""
# The same with an argument: what they tell about.
_TELLING_OF = """
    foreign_key_check foreign_key_list index_info index_list index_xinfo integrity_check
    quick_check table_info table_list table_xinfo
"""
_PLAIN = frozenset(_TELLING.split())
_WITH_ARGUMENT = frozenset(_TELLING_OF.split())
# Settings kept in the file, or until the transaction ends: a migration may make them.
_SCRIPT_SETTINGS = frozenset({"application_id", "defer_foreign_keys", "user_version"})
_OPTIMIZE = "optimize"  # writes, though SQLite calls it read-only

_READING = frozenset(
    {
        apsw.SQLITE_SELECT,
        apsw.SQLITE_READ,
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_RECURSIVE,
        apsw.SQLITE_PRAGMA,  # has rules of its own
    }
)
SCHEMA_CHANGES = frozenset(
    code
    for name, code in apsw.mapping_authorizer_function.items()
    if isinstance(name, str)
    and isinstance(code, int)
    and name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_", "SQLITE_ALTER_"))
)
_VERBS = {
    apsw.SQLITE_INSERT: "INSERT into",
    apsw.SQLITE_UPDATE: "UPDATE of",
    apsw.SQLITE_DELETE: "DELETE from",
}


def _transaction(verb: str, _: str) -> str:
    return (
        f"{verb} is not allowed here: transactions are opened and ended by the pool; use"
        " db.transaction() or @transaction."
    )


def _savepoint(verb: str, name: str) -> str | None:
    if name == "fts3":  # FTS3's own 'optimize' command wraps itself in one
        return None
    verb = "SAVEPOINT" if verb == "BEGIN" else verb
    return (
        f"{verb} is not allowed here (nor apsw's `with connection:`, which is one): savepoints are"
        " opened and ended by the pool. Leave it out; inside `async with db.transaction() as tx:`"
        " there is tx.savepoint()."
    )


def _attach(_: str, __: str) -> str:
    return "ATTACH is not allowed: a connection holds one database file, the pool's."


def _detach(_: str, __: str) -> str:
    return "DETACH is not allowed: a connection holds one database file, the pool's."


# What no connection's user may do, with the reason.
_RULES: dict[int, Callable[[str, str], str | None]] = {
    apsw.SQLITE_TRANSACTION: _transaction,
    apsw.SQLITE_SAVEPOINT: _savepoint,
    apsw.SQLITE_ATTACH: _attach,
    apsw.SQLITE_DETACH: _detach,
}
Action = tuple[int, str | None, str | None, str | None, str | None]


class Mode(enum.Enum):
    """Whose statement is being compiled."""

    QUERY = "query"  # a user's
    OWN = "own"  # the driver's own: anything
    INSPECTION = "inspection"  # a user's that will not run here: a reader may see writes
    SCRIPT = "script"  # a migration's


@final
class Gate:
    """The authorizer of one connection. Used on the connection's thread only."""

    __slots__ = (
        "calls",
        "denied_write",
        "mode",
        "objection",
        "reader",
        "recorded",
        "schema_changes",
        "upheavals",
    )

    def __init__(self, *, reader: bool) -> None:
        self.reader = reader
        self.mode = Mode.OWN  # until the connection is set up
        self.calls = 0  # moves at every compilation, and only then
        self.schema_changes = 0  # compiled here
        # What made compiled statements stale here though the schema's number did not move.
        self.upheavals = 0
        self.recorded: list[Action] | None = None  # a list while somebody wants to know
        self.objection: str | None = None  # why the last refused statement was refused
        self.denied_write = False  # whether that was a write on a reader

    def __repr__(self) -> str:
        return f"<Gate {'reader' if self.reader else 'writer'} {self.mode.value}>"

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        trigger: str | None,
    ) -> int:
        """Answer SQLite's question: SQLITE_OK or SQLITE_DENY."""
        self.calls += 1
        if self.recorded is not None:
            self.recorded.append((action, first, second, database, trigger))
        if self.mode is not Mode.INSPECTION:
            self.schema_changes += action in SCHEMA_CHANGES
            self.upheavals += action == apsw.SQLITE_ANALYZE or (
                action == apsw.SQLITE_PRAGMA and (first or "").lower() == _OPTIMIZE
            )
        if self.mode is Mode.OWN:
            return apsw.SQLITE_OK
        objection = self._objection(action, first or "", second)
        if objection is None:
            return apsw.SQLITE_OK
        self.objection = objection
        return apsw.SQLITE_DENY

    def take_objection(self) -> tuple[str, bool] | None:
        """Say why the last refused statement was refused, and whether it was a reader's write."""
        objection, self.objection = self.objection, None
        return None if objection is None else (objection, self.denied_write)

    def _objection(self, action: int, first: str, second: str | None) -> str | None:
        """Say why a user's statement may not do this, None if it may."""
        self.denied_write = False
        rule = _RULES.get(action)
        if self.mode is Mode.SCRIPT and rule is _transaction:
            return (
                f"{first} is not allowed here: a migration is one transaction, which begins and"
                " ends by itself. Remove it."
            )
        if rule is not None and (objection := rule(first, second or "")) is not None:
            return objection
        if action == apsw.SQLITE_PRAGMA:
            return self._objection_to_pragma(first.lower(), second)
        if self.reader and self.mode is not Mode.INSPECTION and action not in _READING:
            self.denied_write = True
            name = str(apsw.mapping_authorizer_function[action])
            verb = _VERBS.get(action, name.removeprefix("SQLITE_").replace("_", " "))
            return f"A read connection cannot write: {verb} {first}."
        return None

    def _objection_to_pragma(self, name: str, argument: str | None) -> str | None:
        if name == _OPTIMIZE:
            if not self.reader or self.mode is Mode.INSPECTION:
                return None
            self.denied_write = True
            return "A read connection cannot write: PRAGMA optimize."
        if name in (_PLAIN if argument is None else _WITH_ARGUMENT):
            return None
        if self.mode is Mode.SCRIPT:
            if name in _SCRIPT_SETTINGS:
                return None
            if name == "foreign_keys":
                return (
                    "PRAGMA foreign_keys has no effect inside a migration, which is one"
                    " transaction; foreign keys are off there and checked at its end. Remove it."
                )
        return (
            f"PRAGMA {name} is not allowed here: settings are made for every connection by"
            " SQLiteConfig."
        )
