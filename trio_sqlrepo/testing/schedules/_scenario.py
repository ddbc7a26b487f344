"""What schedules are made for: repositories, their operations, and what must hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, final

import attrs
import cattrs
from hypothesis.strategies import SearchStrategy

from trio_sqlrepo._base.config import PoolConfig, SQLiteConfig
from trio_sqlrepo._data.migration import MigrationSource
from trio_sqlrepo._repository import Repository
from trio_sqlrepo.testing.schedules._program import Call

if TYPE_CHECKING:
    from trio_sqlrepo._database import Database
    from trio_sqlrepo.testing.schedules._program import Operation
    from trio_sqlrepo.testing.schedules._record import Run

    Prepare = Callable[[Database], Awaitable[object]]
    Check = Callable[[Database, Run], Awaitable[object]]


# What a scenario is about happens in memory: a thread that is stepped needs no disk that is waited
# for. And it takes few connections to collide.
_POOL = PoolConfig(max_readers=2)
_SQLITE = SQLiteConfig(synchronous="off")


@final
@attrs.frozen(kw_only=True)
class Scenario:
    """A database, what tasks may do with it, and what must hold whatever they do.

    Attributes:
        repositories: the repository classes under test.
        operations: strategies of what a task may do: of `Call` objects (see `call`), or of
            objects with a method `async run(database)`.
        migrations: as for `open_database`.
        prepare: `await prepare(database)` fills it before the tasks start.
        check: `await check(database, run)` looks at the database and at what became of each call,
            after all tasks have ended, and raises an `AssertionError` if something is wrong.
        expects: errors that operations may raise; any other one fails the run. Where a schedule
            has faults, errors of this library and `MemoryError` are expected too.
        pool: as for `open_database`; two readers at most are the default here.
        sqlite: as for `open_database`. `synchronous` is `"off"` by default here: a schedule
            is about the order of things, not about power loss.
        converter: as for `open_database`.
    """

    repositories: Sequence[type[Repository]]
    operations: Sequence[SearchStrategy[Any]] = ()
    migrations: MigrationSource = None
    prepare: Prepare | None = None
    check: Check | None = None
    expects: tuple[type[Exception], ...] = ()
    pool: PoolConfig = _POOL
    sqlite: SQLiteConfig = _SQLITE
    converter: cattrs.Converter | None = None

    def bind(self, operation: Operation | Call, database: Database) -> Awaitable[Any]:
        """Start an operation on a database.

        Raises:
            TypeError: a `Call` is of no repository of this scenario.
        """
        if not isinstance(operation, Call):
            return operation.run(database)
        method = operation.method
        for repository in self.repositories:
            if getattr(repository, method.__name__, None) is method:
                awaitable: Awaitable[Any] = method(repository(database), **operation.arguments)
                return awaitable
        raise TypeError(
            f"{operation!r} calls no method of this scenario's repositories; add its class to"
            " Scenario(repositories=...)."
        )
