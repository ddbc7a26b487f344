"""Does a lookup cost more when more queries are declared?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import PEERS, QUERIES
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._lookups import run

WORKLOAD = Workload(
    name="declared_queries_curve",
    question="What does a lookup cost as declared queries grow, ten of them used in turn?",
    contenders=QUERIES,
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
