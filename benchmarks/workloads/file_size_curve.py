"""Does a lookup cost more in a larger file?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import FILES, PEERS
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._lookups import run

WORKLOAD = Workload(
    name="file_size_curve",
    question="What does a lookup cost as the file grows? (rows of 1 kB, ids at random)",
    contenders=FILES,
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=partial(run, tasks=50),
    one_core=True,
    rounds=7,
    compare="cpu_us",  # of one core: what others do on it meanwhile does not count
    reads_only=True,
    not_run={peer.name: "what grows is SQLite's own work, the same for all" for peer in PEERS},
)
