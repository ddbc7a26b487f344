"""Applying migrations: in order, each exactly once, in a transaction of its own.

What was applied is recorded in the table `_trio_sqlrepo_migration` of the database itself, in the
same transaction as the migration, so that the record and its effect never part.

A namespace is a row of migrations that is looked at by itself: what is recorded of it must be how
its migrations begin. One that the application does not name is somebody else's, and left alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from traceback import walk_tb
from typing import TYPE_CHECKING, Final, TypeAlias, final

import attrs

from trio_sqlrepo._base.driver import Driver, Interrupted
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReplaced,
    InternalError,
    MigrationError,
    OutcomeUnknown,
    SqlRepoError,
)
from trio_sqlrepo._data.migration import Migration, label, normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite import Connection

# Recorded once and compared for ever: none of these may change its meaning. `number` is the order
# in which migrations were applied, over all namespaces.
_CREATE_RECORD: Final = """\
CREATE TABLE IF NOT EXISTS _trio_sqlrepo_migration (
    number INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT"""
# Before there were namespaces the table had no such column, and names were unique in all of it.
_LOOK_AT_RECORD: Final = (
    "SELECT count(*), count(*) FILTER (WHERE name = 'namespace')"
    " FROM pragma_table_info('_trio_sqlrepo_migration')"
)
_READ_RECORD: Final = (
    "SELECT namespace, name, checksum, applied_at FROM _trio_sqlrepo_migration ORDER BY number"
)
_READ_OLD_RECORD: Final = (
    "SELECT '', name, checksum, applied_at FROM _trio_sqlrepo_migration ORDER BY number"
)
_PUT_OLD_ASIDE: Final = "ALTER TABLE _trio_sqlrepo_migration RENAME TO _trio_sqlrepo_migration_old"
_CARRY_OVER: Final = (
    "INSERT INTO _trio_sqlrepo_migration (number, name, checksum, applied_at)"
    " SELECT number, name, checksum, applied_at FROM _trio_sqlrepo_migration_old"
)
_DROP_OLD: Final = "DROP TABLE _trio_sqlrepo_migration_old"
_ADD_RECORD: Final = (
    "INSERT INTO _trio_sqlrepo_migration (number, namespace, name, checksum, applied_at)"
    " SELECT coalesce(max(number), 0) + 1, ?, ?, ?, ? FROM _trio_sqlrepo_migration"
)
# In place of a checksum, which is 64 digits: the code of a function is not compared.
_FUNCTION: Final = "function"

# These say more than "the migration failed" and keep their type: try again, look at the disk,
# report it. `Interrupted` is how the worker learns that it was told to stop.
_KEPT_AS_THEMSELVES: Final = (
    DatabaseLocked,
    DatabaseReplaced,
    InternalError,
    Interrupted,
    OutcomeUnknown,
)

_MOST_LISTED: Final = 5  # broken foreign keys; the first few show where to look


@final
@attrs.frozen
class MigrationState:
    """A migration and when a database has had it; None: it is pending."""

    migration: Migration
    applied_at: str | None


# -- applying --------------------------------------------------------------------------------


def migrate(driver: Driver, migrations: Sequence[Migration]) -> None:
    """Apply each migration that the database has not had yet. Runs on the driver's thread.

    A database that has had them all is read and not locked. Without migrations nothing happens:
    whoever gives none has left the schema to somebody else.

    Args:
        driver: a connection in the role MIGRATOR, with no transaction open.
        migrations: as `read_migrations` gives them.

    Raises:
        MigrationError: one failed (nothing of it stays, those before it do), or what is recorded
            as applied is not how `migrations` begins.
        DatabaseLocked: another process held the lock for longer than `busy_timeout`.
        OutcomeUnknown, DatabaseReplaced: as for any COMMIT.
    """
    if not migrations:
        return
    while pending := _pending(driver, migrations):
        _apply_next(driver, migrations, waiting_for=pending[0])


def rehearse(driver: Driver, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    """Apply what is pending in one transaction that is rolled back; give what that was.

    It holds the write lock meanwhile, and raises as `migrate` does.
    """
    driver.begin_write()
    try:
        pending = _pending(driver, migrations)
        for migration in pending:
            _run(driver, migration)
    finally:
        driver.rollback()
    return pending


def _apply_next(driver: Driver, migrations: Sequence[Migration], *, waiting_for: Migration) -> None:
    # Several processes may start at once:
    #   1. All of them read that migration n is missing.
    #   2. One gets the write lock, the others wait for it in `begin_write`.
    #   3. It applies n, records it, commits.
    #   4. The next gets the lock, and must look again: n is there now.
    try:
        driver.begin_write()
    except DatabaseLocked as error:
        error.add_note(f"The lock was wanted to apply migration {waiting_for.label}.")
        raise
    try:
        if pending := _pending(driver, migrations):
            _apply(driver, pending[0])
    finally:
        driver.rollback()  # nothing to do after the COMMIT


def _apply(driver: Driver, migration: Migration) -> None:
    _run(driver, migration)
    now = datetime.now(UTC).isoformat(sep=" ", timespec="microseconds")
    with _blaming(migration):
        _make_record(driver)
        row = (migration.namespace, migration.name, _checksum(migration), now)
        driver.execute(_ADD_RECORD, row)
        driver.commit()


def _run(driver: Driver, migration: Migration) -> None:
    """Run a migration in the open transaction, up to its commit."""
    if migration.run is None:
        assert migration.sql is not None
        with _blaming(migration):
            driver.run_script(migration.sql)
    else:
        function = _Located(migration.run)
        with _blaming(migration, function):
            driver.apply(function, ())
    # Off while it ran, so nothing has watched over them until now.
    with _blaming(migration):  # a key may refer to columns that are none
        violations = driver.foreign_key_violations()
    if violations:
        raise MigrationError(_broken_keys(migration, violations))


@final
class _Located:
    """A function of a migration, and where in its file it failed. Driver's thread only."""

    def __init__(self, function: Callable[[Connection], object]) -> None:
        self._function = function
        code = getattr(function, "__code__", None)
        self._path = getattr(function, "path", None) or getattr(code, "co_filename", None)
        self.place = ""

    def __call__(self, connection: Connection) -> None:
        try:
            _refuse_unrun(self._function(connection))
        except BaseException as error:
            self.place = self._found(error)
            raise

    def _found(self, error: BaseException) -> str:
        """Say where: SQLite's error comes to the caller without these frames, which hold values."""
        if isinstance(error, SyntaxError) and error.filename == self._path:
            return f"{self._path}, line {error.lineno}: "
        lines = [
            line
            for frame, line in walk_tb(error.__traceback__)
            if frame.f_code.co_filename == self._path
        ]
        return f"{self._path}, line {lines[-1]}: " if lines else ""


def _refuse_unrun(result: object) -> None:
    """See that a function has run: a call of one that yields or awaits only makes an object."""
    if isinstance(result, (Generator, Coroutine, AsyncGenerator)):
        kind = type(result).__name__
        if not isinstance(result, AsyncGenerator):
            result.close()
        raise MigrationError(
            f"it gave a {kind} and has done nothing; write a plain function, without `await` or"
            " `yield`."
        )


@contextmanager
def _blaming(migration: Migration, function: _Located | None = None) -> Iterator[None]:
    try:
        yield
    except _KEPT_AS_THEMSELVES:
        raise
    except (Exception, SystemExit) as error:  # `sys.exit()`: it would end the process unexplained
        # Of an application's own function only the error's type is shown: its text may hold data.
        what = str(error) if isinstance(error, SqlRepoError) else f"{type(error).__name__} raised."
        place = function.place if function is not None else ""
        raise MigrationError(
            f"Migration {migration.label} failed: {place}{what} Nothing of it stays; mend it and"
            " open the database again."
        ) from error


def _broken_keys(migration: Migration, violations: Sequence[str]) -> str:
    listed = [*violations[:_MOST_LISTED]]
    if further := violations[_MOST_LISTED:]:
        listed.append(f"and {len(further)} more")
    return (
        f"Migration {migration.label} was undone, because foreign keys are broken with it. Mend the"
        " rows in the script, or before it if they were broken already:\n  " + "\n  ".join(listed)
    )


def _make_record(driver: Driver) -> None:
    """Make the table, or give one from before there were namespaces its column."""
    is_old = _shape(lambda sql: driver.execute(sql, ())) is _READ_OLD_RECORD
    if is_old:
        driver.execute(_PUT_OLD_ASIDE, ())
    driver.execute(_CREATE_RECORD, ())
    if is_old:
        driver.execute(_CARRY_OVER, ())
        driver.execute(_DROP_OLD, ())


# -- what is applied -------------------------------------------------------------------------


@final
@attrs.frozen
class Applied:
    """A line of the record."""

    namespace: str
    name: str
    checksum: str
    applied_at: str

    @property
    def label(self) -> str:
        return label(self.namespace, self.name)


# By namespace and in order.
Record: TypeAlias = "Mapping[str, Sequence[Applied]]"


def look(driver: Driver, migrations: Sequence[Migration]) -> tuple[MigrationState, ...]:
    """Say of each migration when the database has had it. Reads only.

    Raises:
        MigrationError: what is recorded as applied is not how the migrations of a namespace begin.
    """
    return compare(read_record(lambda sql: driver.execute(sql, ())), migrations)


def compare(recorded: Record, migrations: Sequence[Migration]) -> tuple[MigrationState, ...]:
    """Say of each migration when it was applied, by the record. Raises as `look`."""
    namespaces = dict.fromkeys(migration.namespace for migration in migrations)
    for namespace in namespaces:
        known = [migration for migration in migrations if migration.namespace == namespace]
        _check_beginning(recorded.get(namespace, []), known)
    applied = {
        (done.namespace, done.name): done.applied_at for rows in recorded.values() for done in rows
    }
    return tuple(
        MigrationState(migration, applied.get((migration.namespace, migration.name)))
        for migration in migrations
    )


def _pending(driver: Driver, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    states = look(driver, migrations)
    return tuple(state.migration for state in states if state.applied_at is None)


def _shape(ask: Callable[[str], list[Row]]) -> str | None:
    """How the record is read; None: there is none."""
    ((columns, namespaces),) = ask(_LOOK_AT_RECORD)
    if not columns:
        return None
    return _READ_RECORD if namespaces else _READ_OLD_RECORD


def read_record(ask: Callable[[str], list[Row]]) -> Record:
    """What the database has had, by somebody who runs a statement and gives its rows."""
    recorded: dict[str, list[Applied]] = {}
    if (read := _shape(ask)) is not None:
        for row in ask(read):
            done = Applied(*map(str, row))
            recorded.setdefault(done.namespace, []).append(done)
    return recorded


def _check_beginning(applied: Sequence[Applied], migrations: Sequence[Migration]) -> None:
    """See that what is applied is how the migrations of its namespace begin."""
    for done, migration in zip(applied, migrations, strict=False):
        if done.name != migration.name:
            raise MigrationError(_parted(done, migration, applied, migrations))
        if done.checksum != _checksum(migration):
            raise MigrationError(
                f"Migration {done.label} was changed after it was applied to this database on"
                f" {done.applied_at}. Restore its text and put the change into a new migration."
            )
    if beyond := applied[len(migrations) :]:
        names = ", ".join(done.label for done in beyond)
        whose = beyond[0].namespace or "the application"
        raise MigrationError(
            f"This database belongs to a newer version of {whose}: it has had {names},"
            f" after the last known here, {migrations[-1].label}. Run the newer version, or use"
            " a copy of the database from before."
        )


def _parted(
    done: Applied,
    migration: Migration,
    applied: Sequence[Applied],
    migrations: Sequence[Migration],
) -> str:
    """Say how the record and the migrations part, where `done` meets another, `migration`."""
    if done.name not in {other.name for other in migrations}:
        if done.checksum == _checksum(migration) != _FUNCTION:
            return (
                f"Migration {done.label} was renamed to {migration.label} after it was applied to"
                f" this database on {done.applied_at}. Give it its name back."
            )
        return (
            f"Migration {done.label} was applied to this database on {done.applied_at} and is"
            f" missing here, where {migration.label} has its place. Restore it."
        )
    if migration.name not in {other.name for other in applied}:
        return (
            f"Migration {migration.label} is not applied to this database, but {applied[-1].label},"
            " which comes after it, is. Give it a place after that one."
        )
    return (
        f"Migration {done.label} was applied to this database before {migration.label}, which"
        " comes before it here. Restore their order."
    )


def _checksum(migration: Migration) -> str:
    if migration.sql is None:
        return _FUNCTION
    return sha256(normalised(migration.sql).encode()).hexdigest()
