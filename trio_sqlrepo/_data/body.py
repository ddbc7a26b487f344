"""Bodies: coroutines that run whole on the pinned thread, and the session they see there.

Awaiting a declared query in a body completes without suspending, so `send(None)` runs the body to
its end. If it does suspend, it awaits something that only a loop could finish.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio

from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import (
    ForeignAwait,
    ReadOnlySession,
    SessionEnded,
    SessionError,
    TransactionAborted,
)
from trio_sqlrepo._base.job import Row, Stopped
from trio_sqlrepo._data.session import Bindings, Session
from trio_sqlrepo._data.stream import BodyFeed
from trio_sqlrepo._pool.state import running_on
from trio_sqlrepo._query.declare import DeclarationKind
from trio_sqlrepo._query.streams import RowStream
from trio_sqlrepo._worker.thread import ABORTED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from trio_sqlrepo._base.driver import Driver
    from trio_sqlrepo._data.contract import Contract
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._query.declare import Declaration
    from trio_sqlrepo._query.plan import Plan
    from trio_sqlrepo._worker.hands import Hands

R = TypeVar("R")

# The repository whose body runs, for messages.
running_body: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar(
    "trio_sqlrepo.running_body", default=None
)
# Where trio's files lie, and where those that are never the place of a mistake. With a separator
# at the end: a neighbour's name may begin like theirs, as this package's does like trio's.
_TRIO: Final = f"{Path(trio.__file__).parent}{os.sep}"
_NOT_THE_PLACE: Final = (
    _TRIO,
    f"{Path(__file__).parent.parent}{os.sep}",
    contextlib.__file__,
)


def guarded(driver: Driver, work: Callable[..., R], *args: Any) -> R:
    """Run `work(*args)` inside a savepoint: if it raises, nothing of it stays."""
    driver.savepoint()
    try:
        result = work(*args)
    except BaseException:
        driver.undo()
        raise
    driver.release()
    return result


_FUNCTION: Final = "use execute(), or run the function before or after the body"
_WATCHING: Final = "a body runs on one state of the database; watch before or after it"
_INSTEAD: Final = {
    "savepoint": (
        "move what it is for into another @transaction body and call that; it is a savepoint there,"
        " and if it raises only it is undone"
    ),
    "rollback": "raise an exception, and all the body did is undone",
    "transaction": "the body is one; another @transaction body that is called in it is a savepoint",
    "snapshot": "the body sees one state of the database already",
    "read": _FUNCTION,
    "write": _FUNCTION,
    "live": _WATCHING,
    "changes": _WATCHING,
}


@final
class BodySession(Session):
    """What `self.session` is in a body. Worker thread only, and dead when the body ends."""

    __slots__ = ("_doubtful", "_ended", "_hands", "_label", "_writes", "stopped")

    def __init__(self, contract: Contract, hands: Hands, label: str, *, writes: bool) -> None:
        self._contract = contract
        self._hands = hands
        self._label = label
        self._writes = writes
        self._ended = False
        self._doubtful = False  # something failed: the transaction may be gone
        self.stopped = False  # the call was cancelled; the body may have swallowed it

    def __repr__(self) -> str:
        state = "ended" if self._ended else "running"
        return f"<BodySession of {self._label}, {state}>"

    def __getattr__(self, name: str) -> Any:
        """Say what to use in the place of what a session of the loop has and this one has not."""
        instead = _INSTEAD.get(name)
        if instead is None:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
        else:
            message = f"self.session has no {name}() in a body: {instead}."
        raise AttributeError(message, name=name, obj=self)

    def end(self) -> None:
        """From here every use is refused."""
        self._ended = True

    async def execute(self, sql: str, parameters: Bindings = ()) -> list[Row]:
        driver = self._hands.driver
        if self._writes:
            return self._do(guarded, driver, driver.execute, sql, parameters)
        return self._do(execute_on_view, driver, sql, parameters, self._label)

    async def _call(self, plan: Plan, parameters: Any) -> Any:
        statement = plan.statement
        hands = self._hands
        run = hands.call_many if plan.batch else hands.call
        if not statement.writes:
            return self._do(run, statement, parameters)
        if not self._writes:
            check_not_bound_to_connection(plan)
            raise read_only(statement.name, self._label)
        return self._do(guarded, hands.driver, run, statement, parameters)

    def _stream(self, plan: Plan, parameters: Any) -> RowStream[Any]:
        return RowStream._make(BodyFeed(self._hands, self._do, plan.statement, parameters))

    async def _run_body(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if declaration.kind is not DeclarationKind.TRANSACTION:
            return await self._run_view(declaration, repository, args, kwargs)
        if not self._writes:
            raise read_only(declaration.qualname, self._label)
        driver = self._hands.driver
        self._do(driver.savepoint)
        try:
            result = await declaration.stub(repository.using(self), *args, **kwargs)
        except BaseException:
            driver.undo()
            raise
        self._do(driver.release)
        return result

    async def _run_view(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run a @snapshot body within this one: meanwhile the session only reads."""
        self._do(self._hands.check)  # what has ended has no view
        outside = self._writes, self._label
        self._writes, self._label = False, declaration.qualname
        try:
            return await declaration.stub(repository.using(self), *args, **kwargs)
        finally:
            self._writes, self._label = outside

    def _do(self, work: Callable[..., R], *args: Any) -> R:
        """Run a step of the body, unless it may not go on."""
        if self._ended:
            message = f"{self._label} has ended; its session and what was bound to it ended too."
            raise SessionEnded(message)
        if self._doubtful and not self._hands.driver.in_transaction:
            raise TransactionAborted(ABORTED)
        try:
            self._hands.check()
            return work(*args)
        except Interrupted:
            self.stopped = self._doubtful = True
            raise Stopped(self._label) from None
        except BaseException:
            self._doubtful = True
            raise


def read_only(what: str, where: str) -> ReadOnlySession:
    """The refusal of a write on a view."""
    return ReadOnlySession(
        f"{what} writes, but {where} only reads. Use a @transaction body or db.transaction()."
    )


def check_not_bound_to_connection(plan: Plan) -> None:
    """Refuse last_insert_rowid() and the like where each call may meet another connection."""
    if plan.statement.connection_bound:
        message = (
            f"{plan.statement.name} asks about the connection's last change, which means nothing"
            " outside a transaction. Call it in a @transaction body or db.transaction(), or use"
            " RETURNING."
        )
        raise SessionError(message)


def execute_on_view(driver: Driver, sql: str, parameters: Bindings, where: str) -> list[Row]:
    """Run ad-hoc SQL where only reading is allowed, whatever the connection could do."""
    if not driver.is_read_only(sql):
        raise read_only("The SQL", where)
    return driver.execute(sql, parameters)


def run_body(  # noqa: PLR0917  # each is one thing a run needs
    declaration: Declaration,
    repository: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    contract: Contract,
    context: contextvars.Context,
    lane: Lane,
    hands: Hands,
) -> Any:
    """Run a body from its start to its end on this thread, in a copy of the caller's context."""
    writes = declaration.kind is DeclarationKind.TRANSACTION
    session = BodySession(contract, hands, declaration.qualname, writes=writes)
    bound = repository.using(session)
    try:
        coroutine = declaration.stub(bound, *args, **kwargs)
        result = context.copy().run(_drive, coroutine, bound, lane)
        if session.stopped:
            raise Stopped(declaration.qualname)
        return result
    finally:
        session.end()


def _drive(coroutine: Coroutine[Any, Any, R], repository: Any, lane: Lane) -> R:
    running_on.set(lane)
    running_body.set(repository)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
    except (RuntimeError, AttributeError) as error:
        # trio's own calls find no running loop on this thread.
        offence = _raised_by_trio(error)
        if offence is None:
            raise
        raise _foreign(offence) from error
    refusal = _foreign(_awaited(coroutine))
    # Whether it swallows the refusal or awaits once more: refused all the same.
    with contextlib.suppress(StopIteration):
        coroutine.throw(refusal)
        with contextlib.suppress(RuntimeError):  # it awaits even while it is being closed
            coroutine.close()
    raise refusal


def _foreign(offence: str) -> ForeignAwait:
    return ForeignAwait(
        f"A @transaction or @snapshot body runs whole on the connection's thread, where nothing"
        f" but queries can be awaited: {offence}. Do that before or after the body, or use"
        " `async with db.transaction()`."
    )


def _awaited(coroutine: Any) -> str:
    """What a suspended coroutine awaits: the call by its name, the place by file and line."""
    place, name = "", "something"
    inner: Any = coroutine
    while inner is not None:
        frame: FrameType | None = getattr(inner, "cr_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_TRIO):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            awaited = getattr(inner, "cr_await", None)
            name = getattr(awaited, "__qualname__", type(awaited).__name__)
            owner = getattr(getattr(awaited, "cr_frame", None), "f_globals", {})
            module = owner.get("__name__", "")
            if module:
                name = (
                    f"{module.partition('.')[0] if module.startswith('trio.') else module}.{name}"
                )
        inner = getattr(inner, "cr_await", None)
    return f"it awaits {name} at {place}"


def _raised_by_trio(error: BaseException) -> str | None:
    """Which call into trio raised, or None if it was not trio."""
    place, name, trio_s = "", None, False
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        trio_s = code.co_filename.startswith(_TRIO)
        if not code.co_filename.startswith(_NOT_THE_PLACE):
            place, name = f"{code.co_filename}:{trace.tb_lineno}", None
        elif trio_s and name is None:
            name = f"trio.{code.co_qualname}"
        trace = trace.tb_next
    return f"it calls {name} at {place}" if trio_s else None
