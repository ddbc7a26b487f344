"""How much memory does a further reader take, once it has read a file of 10 MB?

RSS, which counts pages shared with other processes too. Each reader's page cache, SQLite's usual
2 MB, is full afterwards.
"""

from __future__ import annotations

import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import (
    AIOSQLITE,
    ANYIO_SQLITE,
    APSW,
    MEMORY,
    MEMORY_POOL,
    SQLALCHEMY,
    SQLITE_ANYIO,
    TO_THREAD,
)
from benchmarks.data import file_of
from benchmarks.measure import Metrics, Size, Watch, resident_mb
from benchmarks.workload import Column, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.loops import Loop


async def run_file(contender: Contender, path: Path, _loop: Loop, size: Size) -> Metrics:
    async with AsyncExitStack() as stack:
        gc.collect()
        before = resident_mb()
        client: Any = await stack.enter_async_context(contender.open(path))
        opened = resident_mb()
        watch = Watch()
        await client.read_with_all(size.count)
        await client.read_with_all(size.count)
        gc.collect()
        rss = resident_mb()
        return {
            **watch.read(2 * size.count),
            "before_mb": before,
            "opened_mb": opened,
            "rss_mb": rss,
            "added_mb": rss - before,
            "per_reader_mb": (rss - before) / size.count,
        }


_ONE = "it has one connection"

WORKLOAD = Workload(
    name="memory",
    question="How much RSS do 1, 8 and 100 readers take, each after reading a file of 10 MB?",
    contenders=(*MEMORY, *MEMORY_POOL),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run_file=run_file,
    rounds=3,
    columns=(
        Column("rss_mb", "RSS MB"),
        Column("added_mb", "added MB"),
        Column("per_reader_mb", "MB per reader", 2),
    ),
    compare="rss_mb",
    file=file_of(10),
    reads_only=True,
    not_run={
        **{peer.name: _ONE for peer in (APSW, AIOSQLITE, SQLITE_ANYIO, ANYIO_SQLITE, TO_THREAD)},
        SQLALCHEMY.name: "its pool holds the same connections as aiosqlitepool's",
    },
    expected=3,
)
