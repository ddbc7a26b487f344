"""What does a durable insert cost when ten tasks insert at once?"""

from __future__ import annotations

from benchmarks.workloads._inserts import insert

WORKLOAD = insert(
    "ten_tasks_insert",
    "What does a durable insert cost when ten tasks insert at once?",
    tasks=10,
    rounds=5,
)
