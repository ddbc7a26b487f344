"""What does a row of a million cost as it comes out of a stream?

The peer is a bare synchronous loop of apsw's that builds the same objects of the same rows: nobody
waits for anybody there, and nothing else could run meanwhile. Memory is how much the process grew
at its highest.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

import apsw
import attrs

from benchmarks import contenders
from benchmarks.data import MESSAGES, Message
from benchmarks.measure import Metrics, Size, Watch
from benchmarks.workload import Column, Workload
from trio_sqlrepo import Repository, RowStream, open_database, query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from benchmarks.contenders import Client
    from benchmarks.contenders.bare import Bare
    from benchmarks.loops import Loop
    from trio_sqlrepo import Database

# Reads every message `times` times.
_EXPORT: Final = (
    "SELECT message.* FROM (SELECT id AS time FROM message WHERE id <= :times) CROSS JOIN message"
)
_STATUS: Final = Path("/proc/self/status")
_ROWS: Final = 1_000_000  # in a full second of `Size.seconds`


def _times(seconds: float) -> int:
    return max(round(_ROWS * seconds / MESSAGES), 1)


def _memory(field: str) -> float:
    """A figure of this process in MiB; 0 where the system does not tell."""
    if not _STATUS.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


class Exports(Repository):
    @query(_EXPORT)
    def export(self, times: int) -> RowStream[Message]: ...


class Ours:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.export = Exports(database).export

    async def settings(self) -> Mapping[str, object]:
        return await self._database.write(_settings)


@asynccontextmanager
async def open_client(path: Path) -> AsyncIterator[Ours]:
    async with open_database(path, repositories=[Exports]) as database:
        yield Ours(database)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    del loop
    export = cast("Ours", client).export
    await _take_all(export(_times(size.warm_up)))
    before = _memory("VmRSS")
    watch = Watch()
    rows, first = await _take_all(export(_times(size.seconds)))
    return {**watch.read(rows), **_more(first, before)}


async def _take_all(stream: RowStream[Message]) -> tuple[int, float]:
    """How many rows there were, and how many seconds the first one took."""
    started = perf_counter()
    first = 0.0
    count = 0
    async with stream as rows:
        async for _ in rows:
            if not count:
                first = perf_counter() - started
            count += 1
    return count, first


def _more(first: float, before: float) -> Metrics:
    return {"first_ms": first * 1e3, "grown_mib": max(_memory("VmHWM") - before, 0.0)}


class BareExports:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def take_all(self, times: int) -> tuple[int, float]:
        started = perf_counter()
        first = 0.0
        count = 0
        for id, room, author, body, sent_at in self._connection.execute(_EXPORT, (times,)):
            Message(room, author, body, datetime.fromisoformat(sent_at), id)
            if not count:
                first = perf_counter() - started
            count += 1
        return count, first

    def settings(self) -> Mapping[str, object]:
        return _settings(self._connection)


def _settings(connection: Any) -> Mapping[str, object]:
    return {name: connection.pragma(name) for name in ("journal_mode", "synchronous")}


@contextmanager
def open_bare(path: Path) -> Iterator[BareExports]:
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "full")
    try:
        yield BareExports(connection)
    finally:
        connection.close()


def run_bare(bare: Bare, size: Size) -> Metrics:
    exports = cast("Any", bare)
    exports.take_all(_times(size.warm_up))
    before = _memory("VmRSS")
    watch = Watch()
    rows, first = exports.take_all(_times(size.seconds))
    return {**watch.read(rows), **_more(first, before)}


OURS: Final = attrs.evolve(contenders.OURS, module=__name__)
BARE: Final = attrs.evolve(contenders.BARE_MAPPED, module=__name__, options={})

WORKLOAD = Workload(
    name="row_stream",
    question="What does a row of a million cost as it comes out of a stream?",
    contenders=(OURS, BARE),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.02),
    run=run,
    run_bare=run_bare,
    columns=(
        Column("us", "µs per row", 2),
        Column("cpu_us", "CPU µs", 2),
        Column("first_ms", "first row ms", 2),
        Column("grown_mib", "grown MiB"),
    ),
)
