"""What do a hundred watchers cost a writer, and how soon do they see what was committed?

First fifty tasks insert, while a hundred watch a table that nobody writes, or nobody watches. Then
a hundred watch ten lists of ten rows, and each commit changes all of them: from the write's return
to each watcher's value.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from benchmarks.contenders import PEERS, Contender
from benchmarks.contenders.ours import Messages, Ours, Tallies
from benchmarks.measure import Metrics, Size, closed_loop, percentiles
from benchmarks.workload import PER_CALL, Column, Workload
from trio_sqlrepo import Repository, open_database, query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from benchmarks.contenders import Client
    from benchmarks.loops import Loop
    from trio_sqlrepo import Database, Live

_WATCHERS: Final = 100
_CALLS: Final = 10
_ROWS: Final = 10  # of each call
_SCHEMA: Final = f"""
CREATE TABLE item (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;
CREATE INDEX item_of_room ON item (room);
CREATE TABLE unrelated (n INTEGER) STRICT;
WITH numbers (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM numbers LIMIT {_CALLS * _ROWS})
INSERT INTO item (room, n) SELECT n % {_CALLS}, 0 FROM numbers;
"""


@attrs.frozen
class Item:
    id: int
    room: int
    n: int


class Items(Repository):
    @query("SELECT * FROM item WHERE room = :room ORDER BY id")
    async def of_room(self, room: int) -> list[Item]: ...

    @query("UPDATE item SET n = n + 1")
    async def change_all(self) -> None: ...

    @query("SELECT count(*) FROM unrelated WHERE n = :n")
    async def unrelated(self, n: int) -> int: ...


class Watching:
    """Our client, and the watchers beside it."""

    def __init__(self, database: Database, watchers: int) -> None:
        self._client = Ours(database)
        self._database = database
        self.watchers = watchers  # of the unrelated table
        self.items = Items(database)
        self.insert = self._client.insert

    async def settings(self) -> Mapping[str, object]:
        return await self._client.settings()

    def live(self, call: Any, *args: Any) -> AbstractAsyncContextManager[Live[Any]]:
        return self._database.live(call, *args)


@asynccontextmanager
async def open_client(path: Path, watchers: int) -> AsyncIterator[Watching]:
    repositories: Sequence[Any] = (Messages, Tallies, Items)
    async with open_database(path, repositories=repositories, migrations=[_SCHEMA]) as database:
        yield Watching(database, watchers)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    assert isinstance(client, Watching)
    async with trio.open_nursery() as nursery:
        for number in range(client.watchers):
            await nursery.start(_watch_unrelated, client, number % _CALLS)
        metrics = await closed_loop(loop, size, client.insert, tasks=50)
        nursery.cancel_scope.cancel()
    return {**metrics, **percentiles(await _latencies(client, size.seconds))}


async def _watch_unrelated(
    client: Watching, number: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async with client.live(client.items.unrelated, number) as values:
        await anext(values)
        task_status.started()
        async for value in values:
            message = f"nobody writes there, and it became {value}"
            raise AssertionError(message)


async def _latencies(client: Watching, seconds: float) -> list[float]:
    """Seconds from a write's return to each value."""
    arrivals: list[float] = []
    all_have_it = trio.Event()

    async def watch(
        number: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with client.live(client.items.of_room, number) as values:
            await anext(values)
            task_status.started()
            async for _ in values:
                arrivals.append(perf_counter())
                if len(arrivals) == _WATCHERS:
                    all_have_it.set()

    latencies: list[float] = []
    async with trio.open_nursery() as nursery:
        for number in range(_WATCHERS):
            await nursery.start(watch, number % _CALLS)
        until = perf_counter() + seconds
        while not latencies or perf_counter() < until:
            all_have_it = trio.Event()
            arrivals.clear()
            await client.items.change_all()
            returned = perf_counter()
            await all_have_it.wait()
            latencies += [max(arrival - returned, 0.0) for arrival in arrivals]
        nursery.cancel_scope.cancel()
    return latencies


def _contender(name: str, watchers: int) -> Contender:
    return Contender(
        name=name,
        module=__name__,
        loop="trio",
        needs="trio_sqlrepo",
        options={"watchers": watchers},
    )


WATCHED: Final = _contender("100 watchers", _WATCHERS)
UNWATCHED: Final = _contender("nobody", 0)
WORKLOAD: Final = Workload(
    name="live_queries",
    question="What do 100 watchers cost a writer, and how soon do they see a commit?",
    contenders=(WATCHED, UNWATCHED),
    size=Size(seconds=2.0),
    quick=Size(seconds=0.05),
    run=run,
    not_run={peer.name: "it has nothing of the kind" for peer in PEERS},
    columns=(
        *PER_CALL,
        Column("p50_ms", "value p50 ms", 2),
        Column("p95_ms", "p95 ms", 2),
        Column("p99_ms", "p99 ms", 2),
    ),
)
