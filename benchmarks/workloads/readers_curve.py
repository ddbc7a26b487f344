"""Do more readers cost more than one, where one would do?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import PEERS, READERS
from benchmarks.measure import Size
from benchmarks.workload import Workload, own_choice
from benchmarks.workloads._lookups import run

WORKLOAD = Workload(
    name="readers_curve",
    question="What does a lookup of fifty tasks cost as readers grow?",
    contenders=READERS,
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=partial(run, tasks=50),
    one_core=True,
    rounds=7,
    compare="cpu_us",  # of one core: what others do on it meanwhile does not count
    reads_only=True,
    not_run=own_choice(*PEERS),
)
