"""Every error this library raises, in one tree.

A message is a sentence: what was found, where, what to do. No message, note or
attribute ever holds a value bound to a query.
"""

from __future__ import annotations


class SqlRepoError(Exception):
    """The root of all errors of this library."""


class DeclarationError(SqlRepoError):
    """A repository's declarations do not fit the language, the types or the schema.

    Raised when the database is opened, for all wrong declarations together (`problems`), and
    later by the next call of a query that a schema change has made unfit. Not raised for a
    declared query that merely fails when it runs.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: tuple[str, ...] = problems
        if len(problems) == 1:
            super().__init__(problems[0])
        else:
            listing = "".join(f"\n  {number}. {text}" for number, text in enumerate(problems, 1))
            super().__init__(f"{len(problems)} declarations are wrong:{listing}")

    def __reduce__(self) -> tuple[type[DeclarationError], tuple[str, ...]]:
        return type(self), self.problems


class MappingError(SqlRepoError):
    """A value does not fit the declared type, on its way in or out.

    Names the query and the parameter, or the column and the field. For parameters it is raised
    before the call is queued. Nothing of a write that raises it stays.
    """


class NoResult(SqlRepoError):
    """A query declared to give exactly one row gave none. Not raised for `T | None`."""


class MultipleResults(SqlRepoError):
    """A query declared to give one row, or at most one, gave more."""


class OpenError(SqlRepoError):
    """The database could not be opened as configured; the file is left as it was."""


class MigrationError(SqlRepoError):
    """A migration failed, an applied one was changed or is missing, or the database is a newer one.

    Nothing of a migration that failed stays.
    """


class BackupError(SqlRepoError):
    """A copy of the database could not be made, or is not sound. Nothing of it stays.

    Not raised where the target's disk is full (`DiskFull`), or where reading the database failed:
    that is what a call would raise that meets it.
    """


class PoolError(SqlRepoError):
    """The root of what a pool refuses."""


class PoolClosed(PoolError):
    """The database is closed or closing. Calls under way are drained before it is raised."""


class PoolTimeout(PoolError):
    """No connection became free within `connection_timeout`.

    Lists each connection, who holds it and for how long. The call was not started.
    """


class PoolOverloaded(PoolError):
    """`max_waiting` calls wait already. Raised at once; the call was not queued."""


class ReentrantUse(PoolError):
    """A task asked for a connection that only it can free: waiting would never end."""


class ForkedProcess(PoolError):
    """A pool was used in a forked child. The parent's pool is unharmed; open one of your own."""


class SessionError(SqlRepoError):
    """The root of what a session refuses."""


class SessionEnded(SessionError):
    """The transaction, snapshot or stream is over. Not when the pool closed (`PoolClosed`)."""


class TransactionAborted(SessionError):
    """SQLite ended the transaction by itself (an interrupt, a full disk, `ON CONFLICT ROLLBACK`).

    Everything it did is undone. Raised by every later use of it, and by the block's end.
    """


class ReadOnlySession(SessionError):
    """A write was asked of a snapshot. Raised before it is queued."""


class NotRegistered(SessionError):
    """A repository class was bound that `open_database(repositories=…)` was not given."""


class ForeignAwait(SessionError):
    """A `@transaction` or `@snapshot` body awaited something other than its own queries."""


class DatabaseError(SqlRepoError):
    """The root of what SQLite reports.

    `code` and `extended_code` are SQLite's result codes (https://sqlite.org/rescode.html);
    `query` names the declared query (`Messages.post`) or what else was called, or is the text given
    to `execute`.
    """

    def __init__(
        self, message: str, *, code: int = 0, extended_code: int = 0, query: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.extended_code = extended_code
        self.query = query

    def __reduce__(self) -> tuple[object, tuple[object, ...], dict[str, object]]:
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[DatabaseError], args: tuple[str]) -> DatabaseError:
    return kind(*args)


class IntegrityError(DatabaseError):
    """A constraint refused a write.

    `table`, `columns` and `constraint` are None or empty where SQLite does not say.
    """

    table: str | None = None
    columns: tuple[str, ...] = ()
    constraint: str | None = None


class UniqueViolation(IntegrityError):
    """A UNIQUE or PRIMARY KEY constraint."""


class NotNullViolation(IntegrityError):
    """A NOT NULL constraint."""


class ForeignKeyViolation(IntegrityError):
    """A FOREIGN KEY constraint, immediate or found at COMMIT. SQLite does not name it."""


class CheckViolation(IntegrityError):
    """A CHECK constraint; `constraint` is its name or its expression."""


class DatatypeViolation(IntegrityError):
    """A value of the wrong type for a STRICT table's column or a rowid."""


class TriggerViolation(IntegrityError):
    """A trigger called `RAISE`."""


class DatabaseLocked(DatabaseError):
    """Another process held a lock for longer than `busy_timeout`. Nothing was applied."""


class DatabaseReadOnly(DatabaseError):
    """The file, or the connection's use, allows no writes. Nothing was applied."""


class DiskFull(DatabaseError):
    """No room on the disk, or `max_page_count` reached. Nothing was applied."""


class DatabaseCorrupt(DatabaseError):
    """The file is damaged, or is no SQLite database."""


class DatabaseReplaced(DatabaseError):
    """The file at the path, or its WAL, is no longer the one that was opened."""


class OutcomeUnknown(DatabaseError):
    """The COMMIT itself failed: the write may or may not be on disk. It is never retried.

    `is_damaged` says whether it failed because the file is damaged.
    """

    is_damaged: bool = False


class SqlError(DatabaseError):
    """Anything else SQLite reports."""


class SearchSyntaxError(SqlError):
    """The text given to a full-text search (FTS5's MATCH) is no query that FTS5 understands.

    Whoever typed it should hear of it: show them how to write one, or put each word in double
    quotes before you search for it. The text is not quoted here, as no bound value is.
    """


class InternalError(SqlRepoError):
    """A bug in this library, never the caller's. Please report it."""
