"""One measurement: one contender, one workload, one file, in a process of its own.

    python -m benchmarks.child WORKLOAD CONTENDER FILE SIZE

SIZE is JSON. The answer is one line of JSON on standard output: the figures, or the error.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Metrics, Size
from benchmarks.workloads import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders import Contender
    from benchmarks.workload import Workload

PACKAGES = (
    "trio-sqlrepo", "trio", "apsw", "aiosqlite", "aiosqlitepool", "sqlite-anyio", "anyio-sqlite",
    "anyio", "sqlalchemy",
)  # fmt: skip

Answer = tuple[Metrics, "Mapping[str, object]"]  # and the settings read back


def main(workload_name: str, contender_name: str, file: str, size: str) -> None:
    workload = find(workload_name)
    (contender,) = [c for c in workload.contenders if c.name == contender_name]
    if workload.one_core:
        pin()
    if contender.fewer_collections:
        gc.set_threshold(10_000, 20, 100)
    measure = measure_bare if contender.loop is None else measure_client
    try:
        metrics, settings = measure(workload, contender, Path(file), Size(**json.loads(size)))
    except Exception as error:  # noqa: BLE001  # it is the answer
        traceback.print_exc()
        json.dump({"error": first_cause(error)}, sys.stdout)
    else:
        json.dump({"metrics": metrics, "settings": settings, "versions": versions()}, sys.stdout)


def first_cause(error: BaseException) -> str:
    """What went wrong, in a line: fifty tasks that fail alike come as a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".splitlines()[0]


def pin() -> None:
    """Stay on one core, with every thread that starts from here on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure_client(workload: Workload, contender: Contender, path: Path, size: Size) -> Answer:
    loop = contender.event_loop()

    async def run() -> Answer:
        if workload.run_file is not None:
            metrics = await workload.run_file(contender, path, loop, size)
            async with contender.open(path) as client:
                return metrics, await client.settings()
        assert workload.run is not None, "a workload runs on a client or on a file"
        async with contender.open(path) as client:
            metrics = await workload.run(client, loop, size)
            return metrics, await client.settings()

    return loop.run(run)


def measure_bare(workload: Workload, contender: Contender, path: Path, size: Size) -> Answer:
    assert workload.run_bare is not None, "a workload of bare contenders measures them"
    module: Any = import_module(contender.module)
    with module.open_bare(path, **contender.options) as bare:
        return workload.run_bare(bare, size), bare.settings()


def versions() -> dict[str, str]:
    """What is at work in this process."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        if package.replace("-", "_") in sys.modules:
            found[package] = version(package)
    if "apsw" in sys.modules:
        found["SQLite of apsw"] = sys.modules["apsw"].sqlite_lib_version()
    if "sqlite3" in sys.modules:
        found["SQLite of Python"] = sys.modules["sqlite3"].sqlite_version
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
