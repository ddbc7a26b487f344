"""How long does one task wait for one row?"""

from __future__ import annotations

from benchmarks.workloads._lookups import lookup

WORKLOAD = lookup(
    "one_task_lookup",
    "How long does one task wait for one row?",
    tasks=1,
    rounds=7,
)
