"""From SQLite's result code to an error of ours, and to a verdict.

What it makes holds no bound value (see `scrub`), nor does its `__cause__`: an exception of the
same class as apsw's, with the code and the text that may be shown. apsw's own exception, whose
text and frames may hold values, is let go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import apsw
import attrs

from trio_sqlrepo._base.driver import Interrupted, Verdict
from trio_sqlrepo._base.errors import (
    CheckViolation,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseReplaced,
    DatatypeViolation,
    DiskFull,
    ForeignKeyViolation,
    IntegrityError,
    InternalError,
    NotNullViolation,
    OutcomeUnknown,
    SqlError,
    TriggerViolation,
    UniqueViolation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What each primary code means to a user. SQLITE_ERROR and SQLITE_CONSTRAINT say more themselves.
_MEANING: dict[int, tuple[type[DatabaseError], str]] = {
    apsw.SQLITE_ABORT: (SqlError, "a ROLLBACK ended the statement"),
    apsw.SQLITE_AUTH: (SqlError, "the statement is not allowed here"),
    apsw.SQLITE_BUSY: (
        DatabaseLocked,
        "another process holds a lock on the database; busy_timeout is how long it is waited for",
    ),
    apsw.SQLITE_CANTOPEN: (SqlError, "a file of the database can't be opened"),
    apsw.SQLITE_CORRUPT: (DatabaseCorrupt, "the database file is damaged"),
    apsw.SQLITE_FULL: (
        DiskFull,
        "the disk is full, or max_page_count is reached; nothing of this was applied",
    ),
    apsw.SQLITE_INTERNAL: (SqlError, "SQLite reports an error inside itself"),
    apsw.SQLITE_INTERRUPT: (Interrupted, "the statement was interrupted"),
    apsw.SQLITE_IOERR: (SqlError, "reading or writing a file of the database failed"),
    apsw.SQLITE_LOCKED: (DatabaseLocked, "a table is locked by a statement still running"),
    apsw.SQLITE_MISMATCH: (
        DatatypeViolation,
        "datatype mismatch: a rowid, LIMIT or OFFSET must be an integer",
    ),
    apsw.SQLITE_NOMEM: (SqlError, "SQLite is out of memory"),
    apsw.SQLITE_NOTADB: (DatabaseCorrupt, "the file is no SQLite database, or is encrypted"),
    apsw.SQLITE_PROTOCOL: (DatabaseLocked, "other processes kept the WAL's lock for too long"),
    apsw.SQLITE_RANGE: (SqlError, "a parameter's number is out of range"),
    apsw.SQLITE_READONLY: (
        DatabaseReadOnly,
        "the database, or this use of it, allows no writes; nothing of this was applied",
    ),
    apsw.SQLITE_SCHEMA: (SqlError, "the schema kept changing while the statement was compiled"),
    apsw.SQLITE_TOOBIG: (SqlError, "a string, a blob or the SQL is longer than SQLite allows"),
}
# By extended code: the error, and how SQLite's message (schema text only) names what was violated.
_NAMED_COLUMNS = re.compile(r"^[A-Z ]+ constraint failed: (?!index ')(?P<columns>.+)$", re.DOTALL)
_NAMED_INDEX = re.compile(r"^UNIQUE constraint failed: index '(?P<constraint>.+)'$", re.DOTALL)
_NAMED_CHECK = re.compile(r"^CHECK constraint failed: (?P<constraint>.+)$", re.DOTALL)
_STRICT = re.compile(
    r"^cannot store \w+ value in \w+ column (?P<columns>.+)$", re.DOTALL | re.IGNORECASE
)
_FOREIGN_KEY = "FOREIGN KEY constraint failed"
_CONSTRAINTS: dict[int, tuple[type[IntegrityError], tuple[re.Pattern[str], ...]]] = {
    apsw.SQLITE_CONSTRAINT_CHECK: (CheckViolation, (_NAMED_CHECK,)),
    apsw.SQLITE_CONSTRAINT_DATATYPE: (DatatypeViolation, (_STRICT,)),
    apsw.SQLITE_CONSTRAINT_NOTNULL: (NotNullViolation, (_NAMED_COLUMNS,)),
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY: (UniqueViolation, (_NAMED_COLUMNS,)),
    apsw.SQLITE_CONSTRAINT_ROWID: (UniqueViolation, (_NAMED_COLUMNS,)),
    apsw.SQLITE_CONSTRAINT_UNIQUE: (UniqueViolation, (_NAMED_COLUMNS, _NAMED_INDEX)),
}
_RETIRE = frozenset(
    {
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_CORRUPT,
        apsw.SQLITE_INTERNAL,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_MISUSE,
        apsw.SQLITE_NOMEM,
        apsw.SQLITE_NOTADB,
    }
)
# See `leaves_nothing`.
_COMMIT_NOT_APPLIED = frozenset(
    {
        apsw.SQLITE_BUSY,
        apsw.SQLITE_CONSTRAINT,
        apsw.SQLITE_FULL,
        apsw.SQLITE_INTERRUPT,
        apsw.SQLITE_LOCKED,
        apsw.SQLITE_READONLY,
    }
)


@attrs.frozen
class Report:
    """What SQLite reports through an exception of apsw's. `message` may quote values."""

    kind: type[apsw.Error]
    primary: int
    extended: int
    message: str
    offset: int  # in bytes of the SQL's UTF-8; -1 where SQLite does not say

    @classmethod
    def of(cls, error: BaseException) -> Report | None:
        """Read the exception; None if it is no report but a misuse of apsw, or another's."""
        primary = getattr(error, "result", None)
        if not isinstance(error, apsw.Error) or not isinstance(primary, int):
            return None
        extended = getattr(error, "extendedresult", primary)
        offset = getattr(error, "error_offset", -1)
        return cls(type(error), primary & 0xFF, extended, str(error), offset)

    @property
    def name(self) -> str:
        """The extended result code as SQLite's manual names it."""
        extended = apsw.mapping_extended_result_codes.get(self.extended)
        plain = apsw.mapping_result_codes.get(self.primary)
        return str(extended or plain or self.extended)

    def error(
        self, kind: type[DatabaseError], sentence: str, query: str | None = None, **found: object
    ) -> DatabaseError:
        """Make an error of ours, with a cause of apsw's class and nothing but `sentence` in it."""
        error = kind(sentence, code=self.primary, extended_code=self.extended, query=query)
        for name, value in found.items():
            setattr(error, name, value)
        cause = self.kind(sentence)
        vars(cause).update(result=self.primary, extendedresult=self.extended)
        error.__cause__ = cause
        return error


def injected(code: int) -> apsw.Error:
    """Make the exception that apsw raises for a result code, plain or extended. For tests."""
    error = apsw.exception_for(code)
    assert isinstance(error, apsw.Error)
    error.args = ("injected by a test",)
    return error


def converted(
    report: Report,
    *,
    query: str | None,
    subject: str,
    shown: str | None,
    is_schema_text: Callable[[str], bool],
) -> DatabaseError:
    """Make our error of SQLite's report.

    `subject` opens the sentence ("Messages.post: "). `shown` is what may be shown of its message,
    None for the code's own meaning. `is_schema_text` says whether a trigger's message stands in
    the schema as it is, and so holds no value.
    """
    kind: type[DatabaseError]
    found: dict[str, object] = {}
    if report.extended == apsw.SQLITE_READONLY_DBMOVED:
        kind, text = DatabaseReplaced, "the database file was moved or deleted"
    elif report.primary == apsw.SQLITE_CONSTRAINT:
        kind, text, found = _constraint(report, is_schema_text)
    else:
        kind, text = _MEANING.get(report.primary, (SqlError, f"SQLite reports {report.name}"))
    return report.error(kind, sentence(subject, shown or text), query, **found)


def sentence(subject: str, text: str) -> str:
    """Put them together, with one full stop behind, and a capital in front of a bare text."""
    return (subject or text[:1].upper()) + text[not subject :].removesuffix(".") + "."


def outcome_unknown(report: Report) -> DatabaseError:
    """Make the error of a COMMIT that may or may not be on disk."""
    text = (
        f"The COMMIT itself failed ({report.name}): the write may or may not be on disk, or come to"
        " light yet. Write it again only by a unique key."
    )
    meaning, _ = _MEANING.get(report.primary, (SqlError, ""))
    return report.error(OutcomeUnknown, text, is_damaged=meaning is DatabaseCorrupt)


def leaves_nothing(extended: int) -> bool:
    """Whether a COMMIT that failed so has written nothing that a recovery could take for a commit.

    After any other failure it may have. A virtual table (an FTS index) writes what it has kept back
    before SQLite begins to commit, and if it finds itself damaged then, that rolls back.
    """
    return extended & 0xFF in _COMMIT_NOT_APPLIED or extended == apsw.SQLITE_CORRUPT_VTAB


def verdict(error: BaseException) -> Verdict:
    """What an error says of the work that met it, and of the connection."""
    if isinstance(error, (OutcomeUnknown, DatabaseReplaced)):
        return Verdict.UNKNOWN
    if isinstance(error, DatabaseLocked):
        return Verdict.BUSY
    if isinstance(error, DatabaseError):
        if error.extended_code == apsw.SQLITE_CORRUPT_VTAB:
            return Verdict.NOT_APPLIED  # a virtual table's own content, such as an FTS index
        return Verdict.RETIRE if error.code in _RETIRE else Verdict.NOT_APPLIED
    # Nothing of apsw's leaves this floor unless something here is wrong.
    if isinstance(error, (InternalError, MemoryError, apsw.Error)):
        return Verdict.RETIRE
    return Verdict.NOT_APPLIED


def _constraint(
    report: Report, is_schema_text: Callable[[str], bool]
) -> tuple[type[IntegrityError], str, dict[str, object]]:
    message = report.message
    # ON DELETE RESTRICT is a trigger inside SQLite and reports a trigger's code.
    if message == _FOREIGN_KEY:
        return ForeignKeyViolation, message, {}
    if report.extended == apsw.SQLITE_CONSTRAINT_TRIGGER:
        if message and is_schema_text(message):
            return TriggerViolation, message, {}
        return TriggerViolation, "a trigger refused the write; its message may quote a value", {}
    kind, patterns = _CONSTRAINTS.get(report.extended, (IntegrityError, ()))
    for pattern in patterns:
        if match := pattern.match(message):
            return kind, message, _named(**match.groupdict())
    return kind, f"a constraint refused the write ({report.name})", {}


def _named(constraint: str | None = None, columns: str | None = None) -> dict[str, object]:
    if columns is None:
        return {"constraint": constraint}
    split = [column.rpartition(".") for column in columns.split(", ")]
    return {"table": split[0][0], "columns": tuple(name for _, _, name in split)}
