"""What does a durable insert cost when 500 tasks insert at once?"""

from __future__ import annotations

from benchmarks.workloads._inserts import insert

WORKLOAD = insert(
    "five_hundred_tasks_insert",
    "What does a durable insert cost when 500 tasks insert at once?",
    tasks=500,
    rounds=3,
)
