"""What does a lookup cost when a thousand tasks look up at once?"""

from __future__ import annotations

from benchmarks.workloads._lookups import lookup

WORKLOAD = lookup(
    "thousand_tasks_lookup",
    "What does a lookup cost when a thousand tasks look up at once?",
    tasks=1_000,
    rounds=5,
)
