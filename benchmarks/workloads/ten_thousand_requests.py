"""Does it hold 10 000 requests a second, 40 % of them durable writes?"""

from __future__ import annotations

from benchmarks.contenders import ALL
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._open_load import COLUMNS, open_load

WORKLOAD = Workload(
    name="ten_thousand_requests",
    question="Does it hold 10 000 requests a second, 60 % reads and 40 % durable writes?",
    contenders=ALL,
    size=Size(seconds=30.0, rate=10_000),
    quick=Size(seconds=0.2, rate=2_000),
    run=open_load,
    rounds=1,
    columns=COLUMNS,
    compare="p95_ms",
    expected=40,
)
