"""A database whose connections meet faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_sqlrepo._base.config import PoolConfig, SQLiteConfig
from trio_sqlrepo._opening import Parts, open_of_parts
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.testing.faults._driver import watched_opener
from trio_sqlrepo.testing.faults._plan import FaultWatch

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    import cattrs

    from trio_sqlrepo._data.migration import MigrationSource
    from trio_sqlrepo._database import Database
    from trio_sqlrepo._repository import Repository
    from trio_sqlrepo.testing.faults._plan import Faults


def open_database_with(
    faults: Faults,
    path: str | os.PathLike[str],
    *,
    repositories: Iterable[type[Repository]] = (),
    migrations: MigrationSource = None,
    pool: PoolConfig | None = None,
    sqlite: SQLiteConfig | None = None,
    converter: cattrs.Converter | None = None,
) -> AbstractAsyncContextManager[Database]:
    """As `open_database`, with connections that meet faults.

    Args:
        faults: what fails. Those armed already count from here, so that migrations and the
            opening of connections meet them too; `faults.arm(...)` inside the block counts from
            there.
        path: as for `open_database`, like all others.
        repositories: see there.
        migrations: see there.
        pool: see there.
        sqlite: see there.
        converter: see there.

    Raises: as `open_database`.
    """
    opener: Any = watched_opener(open_driver, FaultWatch(faults))
    return open_of_parts(
        Parts(open_driver=opener),
        path,
        tuple(repositories),
        migrations,
        pool or PoolConfig(),
        sqlite or SQLiteConfig(),
        converter,
    )
