"""What does a durable insert cost when fifty tasks insert at once?"""

from __future__ import annotations

from benchmarks.workloads._inserts import insert

WORKLOAD = insert(
    "fifty_tasks_insert",
    "What does a durable insert cost when fifty tasks insert at once?",
    tasks=50,
    rounds=7,
)
