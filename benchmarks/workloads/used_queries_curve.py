"""Does a lookup cost more when more declared queries are used in turn?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import PEERS, USED_QUERIES
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._lookups import run

WORKLOAD = Workload(
    name="used_queries_curve",
    question="What does a lookup cost as more and more declared queries are used in turn?",
    contenders=USED_QUERIES,
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=partial(run, tasks=50),
    one_core=True,
    rounds=7,
    compare="cpu_us",  # of one core: what others do on it meanwhile does not count
    reads_only=True,
    not_run={peer.name: "it declares no queries" for peer in PEERS},
    expected=2.5,
)
