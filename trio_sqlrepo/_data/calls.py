"""What the sessions of the loop have in common: every call becomes a job that is sent."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_sqlrepo._base.errors import ForeignAwait
from trio_sqlrepo._base.job import Job, Kind, Row
from trio_sqlrepo._data.body import execute_on_view, guarded, run_body, running_body
from trio_sqlrepo._data.session import Bindings, Session
from trio_sqlrepo._pool.state import OutsideTrio
from trio_sqlrepo._query.declare import DeclarationKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._query.declare import Declaration
    from trio_sqlrepo._worker.hands import Hands


class LoopSession(Session):
    """A session whose calls wait on trio's loop."""

    __slots__ = ("_pool",)

    _pool: Pool

    async def _run_body(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        writes = declaration.kind is DeclarationKind.TRANSACTION
        lane = self._pool.writers if writes else self._pool.readers
        work = partial(
            run_body,
            declaration, repository, args, kwargs,
            self._contract, contextvars.copy_context(), lane,
        )  # fmt: skip
        work = self._body_work(declaration, work)
        return await self._send(Job(Kind.BODY, declaration.qualname, writes=writes, work=work))

    def _body_work(self, declaration: Declaration, work: Callable[[Hands], Any]) -> Any:
        """What the thread runs for a body: by default just it."""
        del declaration
        return work

    def _send(self, job: Job) -> Awaitable[Any]:
        raise NotImplementedError

    @staticmethod
    def _explain_outside(label: str) -> Exception:
        """What is wrong with a call where no loop runs: mostly it was made in a body."""
        body = running_body.get()
        if body is None:
            return OutsideTrio(f"{label} must be awaited in a trio task; none runs here.")
        instead = _INSTEAD.get(label.partition("(")[0])
        if instead is not None:
            return ForeignAwait(
                f"{label} was called in a body through a session of the loop, where nothing waits"
                f" for it; {instead}."
            )
        bound = {
            name: session
            for name, value in vars(body).items()
            if isinstance(session := getattr(value, "_session", None), LoopSession)
        }
        # The one whose method it is, if that can be seen.
        for name in sorted(bound, key=lambda each: type(vars(body)[each]).__name__ not in label):
            return ForeignAwait(
                f"self.{name} is bound to the {type(bound[name]).__name__}; in a body use"
                f" `self.{name}.using(self.session)`."
            )
        return ForeignAwait(
            f"{label} was called in a body through a repository of the loop; bind the repository"
            " with `repository.using(self.session)`."
        )


# What to do in a body instead of what its session of the loop was asked for, by label.
_INSTEAD: Final = {
    "Transaction": (
        "a @transaction body is a transaction, and another one that it calls is a savepoint: call"
        " queries on `self`, or use `self.session`"
    ),
    "Snapshot": (
        "a body sees one state of the database all through: call queries on `self`, or use"
        " `self.session`"
    ),
    "savepoint": "another @transaction body that is called there is a savepoint",
    "Transaction.rollback": "a body that raises undoes what it did",
    "execute": "use `self.session.execute(...)`",
    "Database.read": (
        "call queries on `self` or use `self.session.execute(...)`; a function with the connection"
        " is run before or after the body"
    ),
}
_INSTEAD["Database.write"] = _INSTEAD["Database.read"]


def checked_bindings(sql: object, parameters: object) -> None:
    """Refuse what `execute` can't take before it is queued."""
    if not isinstance(sql, str):
        message = f"execute() takes SQL as a str; it was given {type(sql).__name__}."
        raise TypeError(message)
    if isinstance(parameters, (str, bytes)) or not isinstance(parameters, (Sequence, Mapping)):
        message = (
            "execute() takes its parameters as a sequence or a mapping; it was given"
            f" {type(parameters).__name__}. For one value write (value,)."
        )
        raise TypeError(message)


def execute_viewing(sql: str, parameters: Bindings, hands: Hands) -> list[Row]:
    """Run ad-hoc SQL on a snapshot."""
    return execute_on_view(hands.driver, sql, parameters, "a Snapshot")


def execute_reading(sql: str, parameters: Bindings, hands: Hands) -> list[Row] | None:
    """Run ad-hoc SQL on a connection for reading; None: it needs the writer."""
    if not hands.driver.is_read_only(sql):
        return None
    return hands.driver.execute(sql, parameters)


def execute_writing(sql: str, parameters: Bindings, hands: Hands) -> list[Row]:
    """Run ad-hoc SQL in a transaction of its own, or outside one (VACUUM)."""
    return hands.driver.execute(sql, parameters)


def execute_guarded(sql: str, parameters: Bindings, hands: Hands) -> list[Row]:
    """Run ad-hoc SQL in an open transaction; if it fails, only it is undone."""
    return guarded(hands.driver, hands.driver.execute, sql, parameters)
