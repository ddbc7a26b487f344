"""What does a lookup cost when fifty tasks look up at once?"""

from __future__ import annotations

from benchmarks.workloads._lookups import lookup

WORKLOAD = lookup(
    "fifty_tasks_lookup",
    "What does a lookup cost when fifty tasks look up at once?",
    tasks=50,
    rounds=7,
)
