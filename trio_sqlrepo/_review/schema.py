"""The schema that queries are checked against: in memory, on a connection set up as in production.

The schema of a file is copied and not used in its place. The file may be served by another process:
so it is read for some milliseconds in one transaction and let go, and what is found is true of one
instant. The statistics are copied too, so the plans are those of the file.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._data.migrate import migrate
from trio_sqlrepo._data.migration import read_migrations
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo._sqlite.copying import open_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from trio_sqlrepo._data.migration import MigrationSource
    from trio_sqlrepo._sqlite import SqliteDriver

_SQLITE: Final = SQLiteConfig()


def _unwatched(_: Callable[[], None]) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def open_schema(
    *,
    file: str | os.PathLike[str] | None = None,
    migrations: MigrationSource = None,
    sqlite: SQLiteConfig = _SQLITE,
    watched: Callable[[Callable[[], None]], AbstractContextManager[None]] = _unwatched,
) -> Iterator[SqliteDriver]:
    """Open a database in memory with the schema of `file`, or else of `migrations`.

    Blocks for some milliseconds, and for up to `busy_timeout` if another process has locked `file`;
    and for as long as `migrations` take. They run in a `with` block of `watched`, which is given
    what ends the statement that runs, from any thread.

    Raises:
        OpenError: the file cannot be read; or the settings do not fit.
        MigrationError: a script failed.
        DatabaseLocked, DatabaseCorrupt: what other processes or the disk did.
    """
    if file is not None:
        driver = open_copy(os.fspath(file), sqlite)
    else:
        scripts = read_migrations(migrations)
        driver = open_driver(":memory:", sqlite, Role.SOLE)
    try:
        if file is None:
            driver.enforce_foreign_keys(on=False)
            with watched(driver.abort):
                migrate(driver, scripts)
            driver.enforce_foreign_keys(on=sqlite.foreign_keys)
        yield driver
    finally:
        driver.close()
