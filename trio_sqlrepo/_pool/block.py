"""Blocks whose beginning and end a Ctrl-C does not tear."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from trio.lowlevel import enable_ki_protection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


def block(make: Callable[P, AsyncGenerator[T]]) -> Callable[P, AbstractAsyncContextManager[T]]:
    """As `contextlib.asynccontextmanager`, whose own lines are protected as well.

    A Ctrl-C between the `async with` and the generator would leave that where it stands, with its
    nursery open; trio can't end then.
    """
    manager = asynccontextmanager(enable_ki_protection(make))

    @wraps(make)
    def enter(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[T]:
        return _Block(manager(*args, **kwargs))

    return enter


@final
class _Block(AbstractAsyncContextManager[T]):
    __slots__ = ("_manager",)

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self._manager = manager

    @enable_ki_protection
    async def __aenter__(self) -> T:
        return await self._manager.__aenter__()

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, trace)
