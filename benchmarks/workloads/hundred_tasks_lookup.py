"""What does a lookup cost when a hundred tasks look up at once?"""

from __future__ import annotations

from benchmarks.workloads._lookups import lookup

WORKLOAD = lookup(
    "hundred_tasks_lookup",
    "What does a lookup cost when a hundred tasks look up at once?",
    tasks=100,
    rounds=5,
)
