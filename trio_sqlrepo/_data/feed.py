"""`feed`: what comes one by one is written in chunks, each in one transaction."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

T = TypeVar("T")


async def feed(
    call: Callable[[list[T]], Awaitable[object]],
    source: AsyncIterable[T],
    *,
    size: int = 500,
    within: float = math.inf,
) -> int:
    """Call `call` with lists of what `source` gives, until it ends; give how many items that were.

    For `await feed(messages.post_all, readings, within=1.0)`: one commit for many items. While a
    chunk is being written the next one is read, and no more than that: `source` is held up where
    the disk is slower.

    Args:
        call: what takes a chunk; mostly a declared query with a batch.
        source: where the items come from. An asynchronous generator is closed in the end.
        size: the most items in a chunk.
        within: seconds, on trio's clock, after which the first item of a chunk waits no longer
            for others. By default a chunk is full, or the last.

    Raises what `source` raises, after what came before has been written; and what `call` raises,
    when the items of that chunk, and those read meanwhile, have not been written. Cancelled, each
    chunk has been written whole or not at all.
    """
    if size < 1 or not within > 0:
        message = (
            f"feed() takes a size of at least 1 and a time above 0 s; it was given size={size!r},"
            f" within={within!r}."
        )
        raise ValueError(message)
    items = aiter(source)
    sending, receiving = trio.open_memory_channel[T](size)
    failures: list[BaseException] = []
    fed = 0

    async def read() -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(sending)
            if isinstance(items, AsyncGenerator):
                await stack.enter_async_context(aclosing(items))
            try:
                async for item in items:
                    await sending.send(item)
            except trio.Cancelled:
                raise
            except BaseException as error:  # noqa: BLE001  # raised alone, when all is written
                failures.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        try:
            while chunk := await _chunk(receiving, size, within):
                await call(chunk)
                fed += len(chunk)
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001  # as above
            failures[:] = [error]
            nursery.cancel_scope.cancel()
    if failures:
        try:
            raise failures.pop()
        finally:
            del failures  # the error's traceback holds this frame
    return fed


async def _chunk(items: trio.MemoryReceiveChannel[T], size: int, within: float) -> list[T]:
    """Wait for the next items; an empty list if there are no more."""
    chunk: list[T] = []
    deadline = math.inf
    while len(chunk) < size:
        with trio.move_on_at(deadline) as patience:
            try:
                chunk.append(await items.receive())
            except trio.EndOfChannel:
                break
        if patience.cancelled_caught:
            break
        if len(chunk) == 1:
            deadline = trio.current_time() + within
    return chunk
