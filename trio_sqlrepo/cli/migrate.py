"""`trio-sqlrepo migrate`: apply migrations, or say what would be applied."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from trio_sqlrepo import PoolConfig, SQLiteConfig, SqlRepoError, open_database
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._data.migrate import MigrationState, compare, look, read_record, rehearse
from trio_sqlrepo._data.migration import Migration, read_migrations
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo._sqlite.looking import look as look_from_outside
from trio_sqlrepo.cli.interrupt import ctrl_c_calls
from trio_sqlrepo.cli.options import SqliteOption  # noqa: TC001  # typer reads the annotations
from trio_sqlrepo.cli.refusal import Refused
from trio_sqlrepo.cli.target import check_directory, find, find_instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_sqlrepo._data.migrate import Record
    from trio_sqlrepo._sqlite import Connection


def migrate(
    database: Annotated[Path, typer.Argument(help="The file; made if it is missing.")],
    migrations: Annotated[
        str, typer.Argument(help="A directory, or APP:NAME of what open_database is given.")
    ],
    *,
    status: Annotated[
        bool, typer.Option("--status", help="Only say which are applied and which pending.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Apply what is pending in one transaction and roll that back."
        ),
    ] = False,
    sqlite: SqliteOption = None,
) -> int:
    """Apply the migrations that a database has not had yet."""
    if status and dry_run:
        raise Refused("Give --status or --dry-run, not both.")
    _check_target(database)
    config = find_instance("--sqlite", sqlite, SQLiteConfig) or SQLiteConfig()
    known = _read(migrations)
    if status:
        _print_states(_status(database, config, known))
    elif dry_run:
        _rehearse(database, config, known)
    else:
        _apply(database, config, known)
    return 0


def _check_target(database: Path) -> None:
    """Refuse what can be no database, before anything is promised of it."""
    if str(database) == ":memory:":
        raise Refused("DATABASE must be a file: one in memory ends with this command.")
    if database.exists() and not database.is_file():
        raise Refused(f"{database} is no regular file; give the name of a database.")
    if not database.parent.is_dir():
        raise Refused(
            f"{database} can't be made: there is no directory {database.parent}; make it, or"
            " correct the name."
        )


def _read(name: str) -> tuple[Migration, ...]:
    directory = Path(name)
    if directory.is_dir():
        check_directory(directory)
        return read_migrations(directory)
    if ":" not in name:
        raise Refused(f"{name!r} is neither a directory nor a name like yourapp.schema:MIGRATIONS.")
    try:
        known = read_migrations(find(name))
    except TypeError as error:
        raise Refused(str(error)) from error
    if not known:
        raise Refused(f"{name!r} names no migrations, it is None or empty; correct the name.")
    return known


def _status(
    database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]
) -> tuple[MigrationState, ...]:
    """What a file has had, by one who may only read it. None is made."""
    if not database.exists():
        return compare({}, known)

    def ask(connection: Connection) -> Record:
        return read_record(lambda sql: connection.execute(sql).fetchall())

    return compare(look_from_outside(str(database), sqlite, ask), known)


def _look(
    database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]
) -> tuple[MigrationState, ...]:
    """Say the same of a file that is to be written. What a crash has left beside it is no matter.

    It stays in its journal mode; none is made.
    """
    if not database.exists():
        return compare({}, known)
    driver = open_driver(str(database), sqlite, Role.READER, create=False, keep_mode=True)
    with closing(driver):
        return look(driver, known)


def _rehearse(database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]) -> None:
    if database.exists():
        driver = open_driver(str(database), sqlite, Role.MIGRATOR, create=False, keep_mode=True)
    else:
        driver = open_driver(":memory:", sqlite, Role.SOLE)
        driver.enforce_foreign_keys(on=False)
    with closing(driver), ctrl_c_calls(driver.abort):  # it holds the write lock, perhaps for long
        pending = rehearse(driver, known)
    for migration in pending:
        print(f"would apply {migration.label}")
    _print_end(database, known, changed=bool(pending))


def _apply(database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]) -> None:
    pending = _pending(_look(database, sqlite, known))
    try:
        trio.run(_open, database, sqlite, known)
    except BaseException:
        # Those before the one that failed stay, and nobody else says so.
        with suppress(SqlRepoError):
            left = _pending(_look(database, sqlite, known))
            _print_applied(migration for migration in pending if migration not in left)
        raise
    # Another process may have applied some of them at the same time: they are applied.
    _print_applied(pending)
    _print_end(database, known, changed=bool(pending))


def _pending(states: Sequence[MigrationState]) -> list[Migration]:
    return [state.migration for state in states if state.applied_at is None]


def _print_applied(migrations: Iterable[Migration]) -> None:
    for migration in migrations:
        print(f"applied {migration.label}", flush=True)  # before what is said on stderr


async def _open(database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]) -> None:
    # As an application does it, so that Ctrl-C and locks are met in the same way.
    pool = PoolConfig(max_readers=0)
    async with open_database(database, migrations=known, pool=pool, sqlite=sqlite):
        pass


def _print_states(states: Sequence[MigrationState]) -> None:
    for state in states:
        when = "pending" if state.applied_at is None else f"applied {state.applied_at[:19]}"
        print(f"{when:27}  {state.migration.label}")
    pending = sum(state.applied_at is None for state in states)
    print(f"{len(states) - pending} applied, {pending} pending.")


def _print_end(database: Path, known: Sequence[Migration], *, changed: bool) -> None:
    if not changed:
        print(f"Nothing to do: {database} has had all {len(known)}.")
