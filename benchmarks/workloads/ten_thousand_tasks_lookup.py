"""What does a lookup cost when ten thousand tasks look up at once?"""

from __future__ import annotations

from benchmarks.workloads._lookups import lookup

WORKLOAD = lookup(
    "ten_thousand_tasks_lookup",
    "What does a lookup cost when ten thousand tasks look up at once?",
    tasks=10_000,
    rounds=3,
)
