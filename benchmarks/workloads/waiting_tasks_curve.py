"""Does a lookup cost more when more tasks wait?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import PEERS, WAITING
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads._lookups import run

WORKLOAD = Workload(
    name="waiting_tasks_curve",
    question="What does a lookup cost as waiting tasks grow?",
    contenders=WAITING,
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05, tasks=100),
    run=partial(run, tasks=50),
    one_core=True,
    rounds=7,
    compare="cpu_us",  # of one core: what others do on it meanwhile does not count
    reads_only=True,
    not_run={peer.name: "the workloads *_tasks_lookup show it of each" for peer in PEERS},
)
