"""Blocks whose beginning and end a Ctrl-C does not tear, and which say how they are used."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar, final

from trio.lowlevel import enable_ki_protection

from trio_sqlrepo._base.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


def block(
    label: str,
) -> Callable[[Callable[P, AsyncGenerator[T]]], Callable[P, AbstractAsyncContextManager[T]]]:
    """As `contextlib.asynccontextmanager`, whose own lines are protected as well.

    A Ctrl-C between the `async with` and the generator would leave that where it stands, with its
    nursery open; trio can't end then.

    Args:
        label: what the user calls to get one, without the parentheses.
    """

    def decorate(
        make: Callable[P, AsyncGenerator[T]],
    ) -> Callable[P, AbstractAsyncContextManager[T]]:
        manager = asynccontextmanager(enable_ki_protection(make))

        @wraps(make)
        def enter(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[T]:
            return _Block(label, manager(*args, **kwargs))

        return enter

    return decorate


@final
class _Block(AbstractAsyncContextManager[T]):
    __slots__ = ("_entered", "_label", "_manager")

    def __init__(self, label: str, manager: AbstractAsyncContextManager[T]) -> None:
        self._label = label
        self._manager = manager
        self._entered = False

    def __repr__(self) -> str:
        return f"<block of {self._label}, {'entered' if self._entered else 'not entered'}>"

    @enable_ki_protection
    async def __aenter__(self) -> T:
        if self._entered:
            message = (
                f"This block of {self._label}(...) was entered before; each call gives one block."
                f" Call {self._label} again."
            )
            raise SessionError(message)
        self._entered = True
        return await self._manager.__aenter__()

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, trace)

    if not TYPE_CHECKING:  # pragma: no branch  # the other one is a type checker's
        # What a type checker refuses already gets a sentence at run time.

        def __aiter__(self) -> NoReturn:
            raise self._not_entered("iterated")

        def __await__(self) -> NoReturn:
            raise self._not_entered("awaited")

        def _not_entered(self, what: str) -> TypeError:
            return TypeError(
                f"{self._label} gives a block, which must be entered; it was {what}. Write"
                f" `async with {self._label}(...) as ...:`."
            )
