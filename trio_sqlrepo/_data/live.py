"""`Database.live` and `Database.changes`: blocks that give what changes, as it changes."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, final

import attrs
from trio.lowlevel import checkpoint

from trio_sqlrepo._base.errors import ReadOnlySession, SessionError
from trio_sqlrepo._data.body import run_body
from trio_sqlrepo._data.session import Session
from trio_sqlrepo._pool.block import block
from trio_sqlrepo._pool.pool import Pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._query.declare import Declaration, DeclarationKind, declared, refuse_one_shot
from trio_sqlrepo._worker.live import View, fixed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from trio_sqlrepo._base.footprint import Changes
    from trio_sqlrepo._data.contract import Contract
    from trio_sqlrepo._pool.subscription import Feed, Watcher
    from trio_sqlrepo._query.plan import Plan
    from trio_sqlrepo._worker.hands import Hands

T_co = TypeVar("T_co", covariant=True)


class _Iteration:
    """What the two have in common: made by their blocks, iterated by one task at a time."""

    __slots__ = ("_subscription",)

    _subscription: Watcher | Feed

    def __init__(self) -> None:
        """Refuse: they come from their blocks."""
        message = (
            f"{type(self).__name__} has no public constructor: it stands behind `as` of"
            " `async with db.live(...)` or `async with db.changes()`."
        )
        raise TypeError(message)

    @classmethod
    def _make(cls, subscription: Watcher | Feed) -> Self:
        made = cls.__new__(cls)
        made._subscription = subscription
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._subscription!r}>"

    def __aiter__(self) -> Self:
        return self


@final
class Live(_Iteration, Generic[T_co]):
    """The values of a call, from `Database.live`: the present one, then each that differs.

    An async iterator for one task at a time. Whoever is slow gets the latest value and not those
    between; never two in a row that were made of the same rows (what a body makes of other rows may
    be equal all the same). It never ends by itself, but with its block.
    """

    __slots__ = ()

    async def __anext__(self) -> T_co:
        """Wait for the next value. A checkpoint; cancelled, the value is still there.

        Raises:
            PoolClosed, ForkedProcess: the database was closed, or is another process's.
            SessionEnded: the block was left.
            SessionError: another task waits for it already.
            SqlRepoError, or what a body raised: the call fails; the iteration ends with this.
        """
        return await self._subscription.take()  # type: ignore[no-any-return]  # what the call gives


@final
class ChangeFeed(_Iteration):
    """What is committed, from `Database.changes`: one item for each commit, or for several.

    An async iterator for one task at a time. What comes while it is not looking is put together
    into one item. It never ends by itself, but with its block.
    """

    __slots__ = ()

    async def __anext__(self) -> Changes:
        """Wait for the next commit. A checkpoint; cancelled, the item is still there.

        Raises:
            PoolClosed, ForkedProcess: the database was closed, or is another process's.
            SessionEnded: the block was left.
            SessionError: another task waits for it already.
        """
        return await self._subscription.take()  # type: ignore[no-any-return]  # a feed gives these


@block("db.live")
async def live_block(pool: Pool, call: Asked) -> AsyncGenerator[Live[Any]]:
    """Watch a call for a block."""
    await _enter(pool)
    watcher = pool.live.watch(f"db.live({call.label})", call.make(pool))
    try:
        yield Live._make(watcher)
    finally:
        pool.live.forget(watcher)


@block("db.changes")
async def changes_block(pool: Pool) -> AsyncGenerator[ChangeFeed]:
    """Feed a block with what is committed."""
    await _enter(pool)
    feed = pool.live.feed("db.changes()")
    try:
        yield ChangeFeed._make(feed)
    finally:
        pool.live.forget(feed)


async def _enter(pool: Pool) -> None:
    await checkpoint()
    if pool.state is not State.OPEN:
        raise pool.refusal()


# -- which call it is ------------------------------------------------------------------------------


@attrs.frozen
class Asked:
    """A call that was asked for and not made: what it would have sent."""

    label: str
    make: Callable[[Pool], Callable[[View], Any]]


def asked(database: Session, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
    """Find out what `call(*args, **kwargs)` would do, without doing it.

    Raises:
        TypeError: it is no method of a repository, or the arguments do not fit.
        SessionError: its repository is bound to something else.
        ReadOnlySession: it writes.
        MappingError: an argument does not fit the query.
    """
    declaration = _declaration(call)
    repository = call.__self__
    if repository.session is not database:
        message = (
            f"db.live() watches calls of repositories that are bound to this Database;"
            f" {declaration.qualname} is of one that is bound to {repository.session!r}. Use"
            f" {type(repository).__name__}(db)."
        )
        raise SessionError(message)
    session = _Asking._make(database._contract)
    # The method itself: so Python matches the arguments, and the query's binder checks them.
    coroutine: Coroutine[Any, Any, Asked] = call.__func__(
        repository.using(session), *args, **kwargs
    )
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: Asked = stop.value
        return found
    raise AssertionError(  # pragma: no cover  # `_Asking` awaits nothing
        "a declared call that was only asked for has suspended"
    )


def _declaration(call: Any) -> Declaration:
    function = getattr(call, "__func__", None)
    declaration = declared(function)
    if not isinstance(call, MethodType) or declaration is None:
        name = getattr(call, "__qualname__", None) or repr(call)
        message = (
            "db.live() takes a declared query that reads, or a @snapshot body, of a repository that"
            f" is bound to the database, as in `db.live(messages.count, ...)`; it was given {name}."
            " Do not call it yourself."
        )
        raise TypeError(message)
    if getattr(function, "__wrapped__", None) is not declaration.stub:
        message = (
            f"{declaration.qualname} is wrapped in a decorator of another kind, which db.live()"
            " would pass by; give it a method that is declared and no more."
        )
        raise TypeError(message)
    if not inspect.iscoroutinefunction(function):
        message = (
            f"{declaration.qualname} gives its rows bit by bit, and db.live() gives whole values;"
            " declare a query that returns a list."
        )
        raise TypeError(message)
    if declaration.kind is DeclarationKind.TRANSACTION:
        raise _writes(declaration.qualname)
    return declaration


def _writes(name: str) -> ReadOnlySession:
    return ReadOnlySession(
        f"{name} writes, and db.live() runs a call again and again: watch a query that reads, or a"
        " @snapshot body."
    )


@final
class _Asking(Session):
    """A session whose calls do nothing but say what they are."""

    __slots__ = ()

    @classmethod
    def _make(cls, contract: Contract) -> _Asking:
        session = cls.__new__(cls)
        session._contract = contract
        return session

    async def _call(self, plan: Plan, parameters: Any) -> Asked:
        statement = plan.statement
        if statement.writes:
            raise _writes(statement.name)
        fix = [fixed(each) for each in parameters] if plan.batch else fixed(parameters)
        work = partial(_make_query, plan, fix)
        return Asked(statement.name, lambda _: work)

    async def _run_body(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Asked:
        refuse_one_shot(declaration, args, kwargs)
        context = contextvars.copy_context()
        contract = self._contract

        def make(pool: Pool) -> Callable[[View], Any]:
            lane = pool.live.lane or pool.writers

            def work(view: View) -> Any:
                # To a body a view looks like the hands of a job.
                hands = cast("Hands", view)
                return run_body(
                    declaration, repository, args, kwargs, contract, context, lane, hands
                )

            return work

        return Asked(declaration.qualname, make)


def _make_query(plan: Plan, parameters: Any, view: View) -> Any:
    run = view.call_many if plan.batch else view.call
    return run(plan.statement, parameters)
