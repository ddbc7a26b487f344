"""`trio-sqlrepo backup`: copy a database that other processes may be serving."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import trio
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from trio_sqlrepo import BackupError, BackupProgress, PoolConfig, SQLiteConfig, open_database
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.cli.options import SqliteOption  # noqa: TC001  # typer reads the annotations
from trio_sqlrepo.cli.refusal import Refused
from trio_sqlrepo.cli.target import find_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def backup(
    database: Annotated[Path, typer.Argument(help="The file; it may be in use.")],
    target: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file of that name, in one step.")
    ] = False,
    sqlite: SqliteOption = None,
) -> int:
    """Copy a database while it is used: one committed state, verified, or nothing at all."""
    config = find_instance("--sqlite", sqlite, SQLiteConfig) or SQLiteConfig()
    if not database.is_file():
        raise Refused(f"{database} is no file; there is nothing to copy.")
    if target.exists() and not overwrite:
        raise Refused(f"{target} exists already; give another name, or --overwrite.")
    _expect_wal(database, config)
    pages = trio.run(_back_up, database, target, overwrite, config)
    print(f"{target}: {pages:,} pages, {target.stat().st_size:,} bytes, verified.")
    return 0


def _expect_wal(database: Path, sqlite: SQLiteConfig) -> None:
    """Refuse what opening it would change: a pool puts its file into WAL mode."""
    driver = open_driver(str(database), sqlite, Role.READER, create=False, keep_mode=True)
    with closing(driver):
        ((mode,),) = driver.execute("PRAGMA journal_mode")
    if mode != "wal":
        raise Refused(
            f"{database} is in journal mode {mode!s}, so no application of trio_sqlrepo has it"
            " open, and opening it here would put it into WAL mode. If nobody uses it, copy the"
            f" file; otherwise ask its own program, or: sqlite3 {database} '.backup copy.db'."
        )


async def _back_up(
    database: Path,
    target: Path,
    overwrite: bool,  # noqa: FBT001  # trio.run passes arguments by position
    sqlite: SQLiteConfig,
) -> int:
    pages = 0  # until it was told of the first

    with _bar() as show:

        def heard(progress: BackupProgress) -> None:
            nonlocal pages
            pages = progress.pages_total
            show(progress)

        pool = PoolConfig(max_readers=0)
        async with open_database(database, pool=pool, sqlite=sqlite) as db:
            try:
                await db.backup(target, progress=heard, overwrite=overwrite)
            except BackupError as error:
                if pages:
                    raise
                raise Refused(str(error)) from error  # it could not even be begun there
    return pages


@contextmanager
def _bar() -> Iterator[Callable[[BackupProgress], None]]:
    """A bar on standard error where that is a terminal; gone at the end."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    # Drawn when there is something to show, and not by a thread of rich's own.
    with Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("copying", total=None)

        def show(progress: BackupProgress) -> None:
            bar.update(
                task,
                description=progress.stage,
                total=progress.pages_total,
                completed=progress.pages_done,
                refresh=True,
            )

        yield show
