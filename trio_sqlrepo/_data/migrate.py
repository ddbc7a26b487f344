"""Migrations: ordered SQL scripts, each applied exactly once, in a transaction of its own.

What was applied is recorded in the table `_trio_sqlrepo_migration` of the database itself, in the
same transaction as the script, so that the record and its effect never part.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, TypeAlias, final

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


def _text(owner: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{type(owner).__name__}.{field.name} must be text; it is {value!r}.")


@final
@attrs.frozen
class Migration:
    """One SQL script that takes the schema a step further.

    Attributes:
        name: what it is recorded under, unique among the migrations of a database.
        sql: any number of statements, run inside one transaction. It must not control
            transactions itself. Foreign keys are off while it runs, so that a table can be
            rebuilt without losing its children, and are checked before the commit.
    """

    name: str = attrs.field(validator=_text)
    sql: str = attrs.field(validator=_text, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse a name that no message could show."""
        if not self.name.strip():
            raise ValueError(f"Migration.name must not be blank; it is {self.name!r}.")


MigrationSource: TypeAlias = os.PathLike[str] | Traversable | Sequence[Migration | str] | None

_SCRIPT: Final = re.compile(r"(?P<number>\d{4})_[\w-]+\.sql", re.ASCII)

# Recorded once and compared for ever: none of these may change its meaning.
_CREATE_RECORD: Final = """\
CREATE TABLE IF NOT EXISTS _trio_sqlrepo_migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    checksum TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT"""
_HAS_RECORD: Final = (
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_trio_sqlrepo_migration'"
)
_READ_RECORD: Final = (
    "SELECT name, checksum, applied_at FROM _trio_sqlrepo_migration ORDER BY number"
)
_ADD_RECORD: Final = (
    "INSERT INTO _trio_sqlrepo_migration (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)"
)

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


# -- reading ---------------------------------------------------------------------------------


def read_migrations(source: MigrationSource) -> tuple[Migration, ...]:
    """The migrations of `source`, in the order they are to be applied. Blocks on the disk.

    Args:
        source: a directory of `NNNN_name.sql` files (UTF-8), applied by number; or a sequence of
            `Migration` or SQL scripts, applied as they stand, a script being named by its
            position (`0001`, `0002`, …); or None.

    Raises:
        TypeError: `source` is none of these.
        MigrationError: the directory cannot be read, holds no scripts or misnamed ones; a number
            or a name occurs twice.
    """
    if source is None:
        return ()
    if isinstance(source, str | bytes):
        raise TypeError(
            f"migrations={_shortened(source)} is a bare {type(source).__name__}, which may be a"
            " directory or a script: give a directory as pathlib.Path(…), scripts as a list."
        )
    if isinstance(source, os.PathLike):  # first: a trio.Path looks like a Traversable
        return _from_directory(Path(source))
    if isinstance(source, Traversable):
        return _from_directory(source)
    if isinstance(source, Sequence):
        return _from_sequence(source)
    raise TypeError(
        "migrations must be a directory (a path or an importlib.resources Traversable) or a"
        f" sequence of Migration or SQL scripts; it is a {type(source).__name__}."
    )


def _shortened(source: str | bytes) -> str:
    whole, most = repr(source), 40
    return whole if len(whole) <= most else f"{whole[:most]}…"


def _from_directory(directory: Traversable) -> tuple[Migration, ...]:
    scripts = _scripts_in_order(directory)
    if not scripts:
        # Far more often a wrong path, or a wheel built without its data files, than a wish.
        raise MigrationError(
            f"The migrations directory {directory} holds no NNNN_name.sql file; check the path,"
            " and that the files are packed with the application."
        )
    return tuple(
        Migration(script.name.removesuffix(".sql"), _read(script)) for script in scripts.values()
    )


def _scripts_in_order(directory: Traversable) -> dict[str, Traversable]:
    """By number. All numbers are equally long, so the order of the names is theirs."""
    try:
        entries = sorted(directory.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise MigrationError(
            f"The migrations directory {directory} cannot be read: {error.strerror or error}."
        ) from error
    scripts: dict[str, Traversable] = {}
    for entry in entries:
        # Hidden files are what editors and file systems leave beside a script.
        if entry.name.startswith(".") or not entry.name.lower().endswith(".sql"):
            continue
        match = _SCRIPT.fullmatch(entry.name)
        if match is None:
            raise MigrationError(
                f"{entry.name!r} in the migrations directory {directory} is not named like"
                " 0001_create_message.sql: four digits, an underscore, letters, digits, _ or -."
                " Rename it, or move it elsewhere if it is no migration."
            )
        other = scripts.setdefault(match["number"], entry)
        if other is not entry:
            raise MigrationError(
                f"{other.name!r} and {entry.name!r} in the migrations directory {directory} bear"
                " the same number; give the one that is not applied anywhere yet the next free."
            )
    return scripts


def _read(script: Traversable) -> str:
    try:
        # A byte-order mark is some editors' signature, and no SQL.
        text = script.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MigrationError(
            f"The migration {script} cannot be read: {error.strerror or error}."
        ) from error
    except UnicodeDecodeError as error:
        raise MigrationError(
            f"The migration {script} is not UTF-8 (byte {error.start}); save it as UTF-8."
        ) from error
    return _normalised(text)


def _from_sequence(source: Sequence[Migration | str]) -> tuple[Migration, ...]:
    migrations = tuple(
        _from_element(position, element) for position, element in enumerate(source, start=1)
    )
    counted = Counter(migration.name for migration in migrations)
    if twice := [name for name, count in counted.items() if count > 1]:
        raise MigrationError(
            f"Two migrations are named {twice[0]!r}; what is applied is recorded by name, so give"
            " one of them another."
        )
    return migrations


def _from_element(position: int, element: object) -> Migration:
    if isinstance(element, Migration):
        return element
    if isinstance(element, str):
        return Migration(f"{position:04}", element)
    raise TypeError(
        f"migrations[{position - 1}] must be a Migration or an SQL script (str); it is a"
        f" {type(element).__name__}."
    )


# -- applying --------------------------------------------------------------------------------


def migrate(driver: Driver, migrations: Sequence[Migration]) -> None:
    """Apply each migration that the database has not had yet. Runs on the driver's thread.

    A database that has had them all is read and not locked. Without migrations nothing happens:
    whoever gives none has left the schema to somebody else.

    Args:
        driver: a connection in the role MIGRATOR, with no transaction open.
        migrations: as `read_migrations` gives them.

    Raises:
        MigrationError: a script failed (nothing of it stays, those before it do), or what is
            recorded as applied is not how `migrations` begins.
        DatabaseLocked: another process held the lock for longer than `busy_timeout`.
        OutcomeUnknown, DatabaseReplaced: as for any COMMIT.
    """
    if not migrations:
        return
    while (number := _count_applied(driver, migrations)) < len(migrations):
        _apply_next(driver, migrations, waiting_for=migrations[number])


def _apply_next(driver: Driver, migrations: Sequence[Migration], *, waiting_for: Migration) -> None:
    # Several processes may start at once:
    #   1. All of them read that migration n is missing.
    #   2. One gets the write lock, the others wait for it in `begin_write`.
    #   3. It applies n, records it, commits.
    #   4. The next gets the lock, and must look again: n is there now.
    try:
        driver.begin_write()
    except DatabaseLocked as error:
        error.add_note(f"The lock was wanted to apply migration {waiting_for.name}.")
        raise
    try:
        number = _count_applied(driver, migrations)
        if number < len(migrations):
            _apply(driver, number, migrations[number])
    finally:
        driver.rollback()  # nothing to do after the COMMIT


def _apply(driver: Driver, number: int, migration: Migration) -> None:
    with _blaming(migration):
        driver.run_script(migration.sql)
    # Off while the script ran, so nothing has watched over them until now.
    if violations := driver.foreign_key_violations():
        raise MigrationError(_broken_keys(migration, violations))
    now = datetime.now(UTC).isoformat(sep=" ", timespec="microseconds")
    with _blaming(migration):
        driver.execute(_CREATE_RECORD, ())
        driver.execute(_ADD_RECORD, (number + 1, migration.name, _checksum(migration), now))
        driver.commit()


@contextmanager
def _blaming(migration: Migration) -> Iterator[None]:
    try:
        yield
    except _KEPT_AS_THEMSELVES:
        raise
    except Exception as error:
        # Of an application's own SQL function only the type is shown: its text may hold data.
        what = str(error) if isinstance(error, SqlRepoError) else f"{type(error).__name__} raised."
        raise MigrationError(
            f"Migration {migration.name} failed: {what} Nothing of it stays; mend it and open the"
            " database again."
        ) from error


def _broken_keys(migration: Migration, violations: Sequence[str]) -> str:
    listed = [*violations[:_MOST_LISTED]]
    if further := violations[_MOST_LISTED:]:
        listed.append(f"and {len(further)} more")
    return (
        f"Migration {migration.name} was undone, because foreign keys are broken with it. Mend the"
        " rows in the script, or before it if they were broken already:\n  " + "\n  ".join(listed)
    )


# -- what is applied -------------------------------------------------------------------------


@attrs.frozen
class _Applied:
    name: str
    checksum: str
    applied_at: str


def _count_applied(driver: Driver, migrations: Sequence[Migration]) -> int:
    """How many are applied already, once it is sure that these are the first of `migrations`."""
    ((exists,),) = driver.execute(_HAS_RECORD, ())
    if not exists:
        return 0
    applied = [_Applied(*map(str, row)) for row in driver.execute(_READ_RECORD, ())]
    for done, migration in zip(applied, migrations, strict=False):
        if done.name != migration.name:
            raise MigrationError(_parted(done, migration, applied, migrations))
        if done.checksum != _checksum(migration):
            raise MigrationError(
                f"Migration {done.name} was changed after it was applied to this database on"
                f" {done.applied_at}. Restore its text and put the change into a new migration."
            )
    if beyond := applied[len(migrations) :]:
        names = ", ".join(done.name for done in beyond)
        raise MigrationError(
            f"This database belongs to a newer version of the application: it has had {names},"
            f" after the last known here, {migrations[-1].name}. Run the newer version, or use"
            " a copy of the database from before."
        )
    return len(applied)


def _parted(
    done: _Applied,
    migration: Migration,
    applied: Sequence[_Applied],
    migrations: Sequence[Migration],
) -> str:
    """Say how the record and the migrations part, where `done` meets another, `migration`."""
    if done.name not in {other.name for other in migrations}:
        if done.checksum == _checksum(migration):
            return (
                f"Migration {done.name} was renamed to {migration.name} after it was applied to"
                f" this database on {done.applied_at}. Give it its name back."
            )
        return (
            f"Migration {done.name} was applied to this database on {done.applied_at} and is"
            f" missing here, where {migration.name} has its place. Restore it."
        )
    if migration.name not in {other.name for other in applied}:
        return (
            f"Migration {migration.name} is not applied to this database, but {applied[-1].name},"
            " which comes after it, is. Give it a place after that one."
        )
    return (
        f"Migration {done.name} was applied to this database before {migration.name}, which"
        " comes before it here. Restore their order."
    )


def _checksum(migration: Migration) -> str:
    return sha256(_normalised(migration.sql).encode()).hexdigest()


def _normalised(text: str) -> str:
    # A checkout on Windows may have turned every newline into two characters.
    return text.replace("\r\n", "\n").replace("\r", "\n")
