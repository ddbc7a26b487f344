"""Ten thousand calls wait, half of them are cancelled."""

from __future__ import annotations

import gc
import random
import tempfile
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.cancellation.test_waiters import Seen
from tests.faults.figure import Figure
from tests.notes import Notes, assert_healthy, open_notes
from tests.waiting import until
from trio_sqlrepo import Database, PoolConfig, SqlFunction
from trio_sqlrepo.testing import LeakGuard

PROMISE: Final = "of those who wait none is forgotten or overtaken, and none costs above 4 KiB"

_MOST_BYTES: Final = 4096


@attrs.define
class _Crowd:
    """Tasks that each make one call; who made it, and what came of it, in order."""

    scopes: list[trio.CancelScope]
    sent: list[int] = attrs.field(factory=list)
    served: list[int] = attrs.field(factory=list)  # in the order their calls ran
    returned: set[int] = attrs.field(factory=set)
    cancelled: set[int] = attrs.field(factory=set)

    async def wait(self, number: int, call: Callable[[int], Awaitable[object]]) -> None:
        with self.scopes[number] as scope:
            self.sent.append(number)  # from here to the queue there is no checkpoint
            await call(number)
            self.returned.add(number)
        if scope.cancelled_caught:
            self.cancelled.add(number)


def run(seed: int, *, full: bool) -> Figure:
    """Hold the connection that all wait for; cancel half; let it go."""
    rng = random.Random(seed)
    waiters = 10_000 if full else 1_000
    cost: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        for kind in _KINDS:
            path = Path(directory, f"{kind}.db")
            cost[kind] = trio.run(_wait_and_cancel, path, kind, waiters, rng)
    task = trio.run(_idle_tasks, waiters)
    for kind, each in cost.items():
        assert each - task <= _MOST_BYTES, f"{each - task:.0f} bytes for each that waits in {kind}"
    told = ", ".join(f"{kind} {each - task:.0f}" for kind, each in cost.items())
    return Figure(
        f"{waiters} waiters of each kind, half of them cancelled: 0 lost wake-ups, order kept;"
        f" bytes for each beside the {task:.0f} of a task that sleeps: {told}",
        {"waiters": waiters, "lost": 0, "overtaken": 0, "bytes": max(cost.values()) - task},
    )


_KINDS: Final = ("writes", "reads", "transactions", "snapshots")


async def _wait_and_cancel(path: Path, kind: str, waiters: int, rng: random.Random) -> float:
    """How many bytes each waiting task takes, its own included."""
    crowd = _Crowd([trio.CancelScope() for _ in range(waiters)])

    def see(number: int) -> int:
        crowd.served.append(number)
        return number

    # The deadline is not what this is about, and a loaded machine may take its time.
    pool = PoolConfig(max_readers=1, max_waiting=waiters, connection_timeout=600.0)
    functions = {"seen": SqlFunction(call=see)}
    async with open_notes(path, Seen, pool=pool, functions=functions) as db:
        call, hold = _prepare(kind, db, crowd)
        async with LeakGuard(db), trio.open_nursery() as nursery, hold():
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(waiters):
                nursery.start_soon(crowd.wait, number, call)
            lane = db._pool.writers if kind in {"writes", "transactions"} else db._pool.readers
            await until(lambda: lane.waiting == waiters)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            half = set(rng.sample(range(waiters), waiters // 2))
            for number in rng.sample(sorted(half), len(half)):
                crowd.scopes[number].cancel()
            # They go at once, while the connection is still held.
            await until(lambda: crowd.cancelled == half)
            assert not crowd.returned
            assert lane.waiting == waiters - len(half)
        kept = [number for number in crowd.sent if number not in half]
        if kind == "writes":
            crowd.served = [int(body) for body in await Notes(db).bodies()]
        assert crowd.returned == set(kept)
        assert crowd.served == kept, "they were not served in the order in which they came"
        await assert_healthy(db)
    return (after - before) / waiters


def _prepare(
    kind: str, db: Database, crowd: _Crowd
) -> tuple[Callable[[int], Awaitable[object]], Callable[[], AbstractAsyncContextManager[object]]]:
    """What each waiter does, and what holds the connection meanwhile."""

    async def write(number: int) -> None:
        await Notes(db).put("", str(number))

    async def hold_transaction(number: int) -> None:
        async with db.transaction():
            crowd.served.append(number)

    async def hold_snapshot(number: int) -> None:
        async with db.snapshot():
            crowd.served.append(number)

    if kind == "writes":
        return write, db.transaction
    if kind == "reads":
        return Seen(db).see, db.snapshot
    if kind == "transactions":
        return hold_transaction, db.transaction
    return hold_snapshot, db.snapshot


async def _idle_tasks(count: int) -> float:
    """How many bytes a task takes that sleeps in a cancel scope."""

    async def sleep(number: int) -> None:
        with scopes[number]:
            begun.append(number)
            await trio.sleep_forever()

    scopes = [trio.CancelScope() for _ in range(count)]
    begun: list[int] = []
    async with trio.open_nursery() as nursery:
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            nursery.start_soon(sleep, number)
        await until(lambda: len(begun) == count)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        nursery.cancel_scope.cancel()
    return (after - before) / count
