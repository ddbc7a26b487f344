"""What trio and asyncio do alike, so that one workload serves the contenders of both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

import outcome
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from typing import Any

T = TypeVar("T")


class Seat(Protocol):
    """Where one task waits for a number."""

    async def wait(self) -> int: ...

    def give(self, number: int) -> None: ...


class Group(Protocol):
    """Starts tasks."""

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None: ...


class Loop(Protocol):
    """An event loop."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T: ...

    async def together(self, calls: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Run all of them and wait for the last."""

    async def group(self, body: Callable[[Group], Awaitable[None]]) -> None:
        """Run the body and wait for all it starts."""

    async def sleep(self, seconds: float) -> None: ...

    def seat(self) -> Seat: ...


class TrioSeat:
    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> int:
        self._task = trio.lowlevel.current_task()
        number: int = await trio.lowlevel.wait_task_rescheduled(
            lambda _: trio.lowlevel.Abort.SUCCEEDED
        )
        return number

    def give(self, number: int) -> None:
        task, self._task = self._task, None
        assert task is not None, "nobody waits here"
        trio.lowlevel.reschedule(task, outcome.Value(number))


class TrioGroup:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._nursery.start_soon(function, *args)


class TrioLoop:
    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return trio.run(main)

    async def together(self, calls: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call)

    async def group(self, body: Callable[[Group], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            await body(TrioGroup(nursery))

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def seat(self) -> Seat:
        return TrioSeat()


class AsyncioSeat:
    def __init__(self) -> None:
        self._future: asyncio.Future[int] | None = None

    async def wait(self) -> int:
        self._future = asyncio.get_running_loop().create_future()
        return await self._future

    def give(self, number: int) -> None:
        assert self._future is not None, "nobody waits here"
        self._future.set_result(number)


class AsyncioGroup:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._group.create_task(function(*args))


class AsyncioLoop:
    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    async def together(self, calls: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call())

    async def group(self, body: Callable[[Group], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            await body(AsyncioGroup(group))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def seat(self) -> Seat:
        return AsyncioSeat()
