"""`Session`: what a repository can be bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trio_sqlrepo._base.errors import NotRegistered
from trio_sqlrepo._base.job import Row, SqlValue

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from trio_sqlrepo._data.contract import Contract, Plans
    from trio_sqlrepo._query.declare import Declaration
    from trio_sqlrepo._query.plan import Plan
    from trio_sqlrepo._query.streams import RowStream

# What `execute` binds: values in order, or by name.
Bindings = Sequence[SqlValue] | Mapping[str, SqlValue]


class Session:
    """A `Database`, a `Transaction`, a `Snapshot`, or what a body's `self.session` is.

    Repositories are bound to one; services can take any. Sessions are made by `open_database`,
    `Database.transaction` and `Database.snapshot`, never by hand.
    """

    __slots__ = ("_contract",)

    _contract: Contract

    def __init__(self) -> None:
        """Refuse: sessions come from `open_database` and from each other."""
        message = (
            f"{type(self).__name__} has no public constructor: use open_database(),"
            " Database.transaction() or Database.snapshot()."
        )
        raise TypeError(message)

    async def execute(self, sql: str, parameters: Bindings = ()) -> list[Row]:
        """Run one ad-hoc statement, for tests and tools, and give all its rows.

        Args:
            sql: one statement. `VACUUM` is allowed on a `Database`; settings and transaction
                control are not.
            parameters: values of `?` or `:name` parameters, of SQLite's own types.

        Raises:
            DatabaseError: what SQLite reports; nothing of the statement stays.
        """
        raise NotImplementedError

    # What follows is for repositories, through this package alone.

    def _plans_for(self, repository: type) -> Plans:
        try:
            return self._contract.plans[repository]
        except KeyError:
            known = ", ".join(sorted(cls.__name__ for cls in self._contract.plans)) or "none"
            message = (
                f"{repository.__module__}.{repository.__qualname__} was not given to open_database,"
                " so its queries are neither checked nor compiled. Add it to"
                f" open_database(repositories=[...]); registered: {known}."
            )
            raise NotRegistered(message) from None

    def _call(self, plan: Plan, parameters: Any) -> Awaitable[Any]:
        raise NotImplementedError

    def _stream(self, plan: Plan, parameters: Any) -> RowStream[Any]:
        raise NotImplementedError

    async def _run_body(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        raise NotImplementedError
