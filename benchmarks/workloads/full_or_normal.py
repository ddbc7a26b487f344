"""What does `FULL` cost beside `NORMAL`, and beside one big synchronous transaction?"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import BARE_ONE_COMMIT, OURS, OURS_NORMAL, PEERS
from benchmarks.measure import Size
from benchmarks.workload import FAILED, PER_CALL, Workload, own_choice
from benchmarks.workloads._inserts import run, run_bare

WORKLOAD = Workload(
    name="full_or_normal",
    question="What do 50 tasks' durable inserts cost beside NORMAL, and beside one transaction?",
    contenders=(OURS, OURS_NORMAL, BARE_ONE_COMMIT),
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05),
    run=partial(run, tasks=50),
    run_bare=run_bare,
    rounds=7,
    columns=(*PER_CALL, *FAILED),
    not_run=own_choice(*PEERS),
    expected=2.5,
)
