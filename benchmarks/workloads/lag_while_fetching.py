"""How late is the event loop while 100 000 rows are fetched?

Ours maps them to objects, on its thread, and the garbage collector stops everything to look at each
of so many; tuples of text and numbers it lets alone. A `RowStream` never has many of them alive,
and a process may have the collector look less often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import OURS, OURS_FEWER_COLLECTIONS, OURS_STREAM, PEERS
from benchmarks.data import FileKind
from benchmarks.measure import Metrics, Size
from benchmarks.workload import Column, Workload
from benchmarks.workloads._lag import lag_during

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Loop

COLUMNS = (
    Column("lag_p50_ms", "lag p50 ms", 2),
    Column("lag_p95_ms", "lag p95 ms", 2),
    Column("lag_p99_ms", "lag p99 ms", 2),
    Column("lag_worst_ms", "worst ms", 1),
    Column("idle_lag_p99_ms", "idle p99 ms", 2),
    Column("call_ms", "ms per call"),
)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    return await lag_during(loop, size, client.everything)


WORKLOAD = Workload(
    name="lag_while_fetching",
    question="How late is the loop while 100 000 rows are fetched? (ours maps them, on its thread)",
    contenders=(OURS, OURS_STREAM, OURS_FEWER_COLLECTIONS, *PEERS),
    size=Size(seconds=3.0),
    quick=Size(seconds=0.1),
    run=run,
    rounds=3,
    columns=COLUMNS,
    compare="lag_p99_ms",
    file=FileKind(rows=100_000),
    reads_only=True,
)
