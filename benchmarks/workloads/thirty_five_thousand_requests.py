"""Does it hold 35 000 requests a second, 40 % of them durable writes?"""

from __future__ import annotations

from benchmarks.contenders import OURS, PEERS
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._open_load import COLUMNS, open_load

WORKLOAD = Workload(
    name="thirty_five_thousand_requests",
    question="Does it hold 35 000 requests a second, 60 % reads and 40 % durable writes?",
    contenders=(OURS,),
    size=Size(seconds=10.0, rate=35_000),
    quick=Size(seconds=0.1, rate=2_000),
    run=open_load,
    rounds=3,
    columns=COLUMNS,
    compare="p95_ms",
    not_run={peer.name: "highest_rate tells how far it gets; this is further" for peer in PEERS},
    expected=13,
)
