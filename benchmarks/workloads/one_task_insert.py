"""What does a durable insert cost one task?"""

from __future__ import annotations

from benchmarks.workloads._inserts import insert

WORKLOAD = insert(
    "one_task_insert",
    "What does a durable insert cost one task?",
    tasks=1,
    rounds=5,
)
