"""`trio-sqlrepo migrate`: apply migrations, or say what would be applied."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from trio_sqlrepo import PoolConfig, SQLiteConfig, open_database
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._data.migrate import MigrationState, look, rehearse
from trio_sqlrepo._data.migration import Migration, read_migrations
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.cli.interrupt import ctrl_c_calls
from trio_sqlrepo.cli.options import SqliteOption  # noqa: TC001  # typer reads the annotations
from trio_sqlrepo.cli.refusal import Refused
from trio_sqlrepo.cli.target import find, find_instance

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    if str(database) == ":memory:":
        raise Refused("DATABASE must be a file: one in memory ends with this command.")
    config = find_instance("--sqlite", sqlite, SQLiteConfig) or SQLiteConfig()
    known = _read(migrations)
    if status:
        _print_states(_look(database, config, known))
    elif dry_run:
        _rehearse(database, config, known)
    else:
        _apply(database, config, known)
    return 0


def _read(name: str) -> tuple[Migration, ...]:
    directory = Path(name)
    if not directory.is_dir() and ":" not in name:
        raise Refused(f"{name!r} is neither a directory nor a name like yourapp.schema:MIGRATIONS.")
    try:
        return read_migrations(directory if directory.is_dir() else find(name))
    except TypeError as error:
        raise Refused(str(error)) from error


def _look(
    database: Path, sqlite: SQLiteConfig, known: Sequence[Migration]
) -> tuple[MigrationState, ...]:
    """What a file has had. It is left as it is, in its journal mode; none is made."""
    if not database.exists():
        return tuple(MigrationState(migration, None) for migration in known)
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
    states = _look(database, sqlite, known)
    pending = [state.migration for state in states if state.applied_at is None]
    trio.run(_open, database, sqlite, known)
    # Another process may have applied some of them at the same time: they are applied.
    for migration in pending:
        print(f"applied {migration.label}")
    _print_end(database, known, changed=bool(pending))


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
