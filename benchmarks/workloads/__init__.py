"""The questions. Each file asks one; `WORKLOADS` has them in the order of the report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.workload import Workload

NAMES = (
    "one_task_lookup",
    "fifty_tasks_lookup",
    "sixteen_readers",
    "snapshot_body",
    "durable_inserts",
    "open_load",
    "beside_a_scan",
    "row_stream",
)


def find(name: str) -> Workload:
    """The workload of the file `name`."""
    workload: Workload = importlib.import_module(f"benchmarks.workloads.{name}").WORKLOAD
    assert workload.name == name, "a workload is named after its file"
    return workload
