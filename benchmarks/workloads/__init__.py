"""The questions. Each file asks one; `NAMES` has them in the order of the report.

`_lookups`, `_inserts` and the like are what several questions share.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.workload import Workload

NAMES = (
    # reading
    "one_task_lookup",
    "ten_tasks_lookup",
    "fifty_tasks_lookup",
    "hundred_tasks_lookup",
    "thousand_tasks_lookup",
    "ten_thousand_tasks_lookup",
    "snapshot_body",
    "page_of_fifty",
    "hundred_thousand_rows",
    "health_endpoint",
    # writing
    "one_task_insert",
    "ten_tasks_insert",
    "fifty_tasks_insert",
    "five_hundred_tasks_insert",
    "full_or_normal",
    "post_all",
    "read_modify_write",
    # both
    "ten_thousand_requests",
    "thirty_five_thousand_requests",
    "highest_rate",
    "chat",
    # beside each other
    "beside_a_scan",
    "row_stream",
    "lag_while_fetching",
    "lag_during_scan",
    "live_queries",
    # what grows with what
    "readers_curve",
    "waiting_tasks_curve",
    "declared_queries_curve",
    "used_queries_curve",
    "file_size_curve",
    "opening",
    "binding",
    "memory",
    "memory_under_load",
    # what to choose
    "choosing_settings",
)


def find(name: str) -> Workload:
    """The workload of the file `name`."""
    workload: Workload = importlib.import_module(f"benchmarks.workloads.{name}").WORKLOAD
    assert workload.name == name, "a workload is named after its file"
    return workload
