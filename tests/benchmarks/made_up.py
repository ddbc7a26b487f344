"""Runs that never were, for tests of what is made from runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.contenders import Contender
from benchmarks.figures import Figures, Run
from benchmarks.measure import Metrics
from benchmarks.rounds import Results
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES, find

VERSIONS = {
    "trio-sqlrepo": "1", "apsw": "1", "aiosqlite": "1", "aiosqlitepool": "1", "sqlalchemy": "1",
    "sqlite-anyio": "1", "anyio-sqlite": "1",
}  # fmt: skip

LAG = ("lag_p50_ms", "lag_p95_ms", "lag_p99_ms", "lag_worst_ms")
SPECIAL = {"acknowledged": 10.0, "lost": 0.0, "rate": 1000.0}


def made_up_metrics(workload: Workload, contender: int, number: int) -> Metrics:
    """Figures that differ by contender and by round."""
    names = {column.metric for column in workload.columns} | {"us", workload.compare, *LAG}
    scale = (1 + contender) * (1 + number / 100)
    metrics = {name: SPECIAL.get(name, 10.0) * scale for name in sorted(names)}
    return metrics | dict.fromkeys(("dropped", "refused", "lock_errors", "errors", "lost"), 0.0)


def made_up_run(
    *,
    rounds: int = 5,
    names: tuple[str, ...] = NAMES,
    change: Callable[[Workload, Contender, Metrics], Metrics] = lambda *given: given[-1],
    versions: Mapping[str, str] = VERSIONS,
) -> Run:
    """A run of all workloads; `change` alters the figures of each measurement."""
    return Run(
        machine={
            "processor": "a processor", "cores": 2, "memory_gb": 8.0, "system": "Linux",
            "file_system": "ext4", "fsync_us": 100.0, "load": 0.5,
        },
        versions=dict(versions),
        workloads=[_figures(find(name), rounds, change) for name in names],
        date="2026-01-01 12:00",
    )  # fmt: skip


def _figures(
    workload: Workload, rounds: int, change: Callable[[Workload, Contender, Metrics], Metrics]
) -> Figures:
    return Figures.of(
        Results(
            workload=workload,
            rounds={
                contender.name: [
                    change(workload, contender, made_up_metrics(workload, index, number))
                    for number in range(rounds)
                ]
                for index, contender in enumerate(workload.contenders)
            },
            settings={},
            versions={},
            failures={},
            missing=[],
        )
    )
