"""A database for the repositories of one test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_sqlrepo import PoolConfig, SQLiteConfig, open_database
from trio_sqlrepo.testing._schema import schema_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import EllipsisType

    import cattrs

    from trio_sqlrepo import Database, Repository
    from trio_sqlrepo._data.migration import MigrationSource

_POOL: Final = PoolConfig()
_SQLITE: Final = SQLiteConfig()


def memory_database(
    *repositories: type[Repository],
    migrations: MigrationSource | EllipsisType = ...,
    pool: PoolConfig = _POOL,
    sqlite: SQLiteConfig = _SQLITE,
    converter: cattrs.Converter | None = None,
) -> AbstractAsyncContextManager[Database]:
    """Open a private database in memory for an `async with` block: no file, nothing left behind.

    Every query of the repositories is checked against the schema, as in production. One connection
    serves reads and writes, so there is no concurrency between them: what a test says of that it
    should say of a file (the fixture `database_path`).

    Args:
        repositories: the classes that will be bound to it.
        migrations: the schema, as for `open_database`: your own directory or list, so that the test
            has what production has; further scripts may follow with rows to begin with. Without it,
            what the classes' module (or a package around it) calls `MIGRATIONS`.
        pool: as for `open_database`.
        sqlite: as for `open_database`.
        converter: as for `open_database`.

    Raises:
        TypeError: no migrations were given, and the classes' modules have none or not the same.
        MigrationError: a script failed.
        DeclarationError: declared queries do not fit; all of them are listed.
    """
    return open_database(
        ":memory:",
        repositories=repositories,
        migrations=schema_of("memory_database()", repositories, migrations),
        pool=pool,
        sqlite=sqlite,
        converter=converter,
    )
