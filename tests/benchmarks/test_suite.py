"""The benchmarks run: the command in a child, and every contender at every workload."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest

from benchmarks.child import measure_bare, measure_client
from benchmarks.contenders import Contender
from benchmarks.data import make_file
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES, find
from tests.support import ROOT, run_child

# What a measurement does is the same however long it does it.
TINY = Size(seconds=0.01, rate=500)

EVERYTHING = [(workload, c) for workload in map(find, NAMES) for c in workload.contenders]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "template.db"
    make_file(path)
    return path


def test_the_command_prints_figures_and_goals_and_writes_json(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    child = run_child(
        "-m", "benchmarks", "--quick", "--only", "sixteen_readers", "--json", figures, cwd=ROOT
    )
    assert child.returncode == 0, child.stderr
    assert "goal" in child.stdout
    assert "journal_mode wal, synchronous 2" in child.stdout
    written = json.loads(figures.read_text(encoding="utf-8"))
    (workload,) = written["workloads"]
    assert workload["name"] == "sixteen_readers"
    for name in ("1 reader", "16 readers"):
        (metrics,) = workload["rounds"][name]
        assert metrics["us"] > 0
    assert workload["goals"][0]["met"] in {True, False}
    assert written["machine"]["file_system"]
    assert written["versions"]["trio"]


def test_an_unknown_workload_is_refused() -> None:
    child = run_child("-m", "benchmarks", "--only", "nothing", cwd=ROOT)
    assert child.returncode == 2
    assert "one_task_lookup" in child.stderr


@pytest.mark.parametrize(
    ("workload", "contender"), EVERYTHING, ids=lambda what: what.name.replace(" ", "-")
)
def test_measures(workload: Workload, contender: Contender, template: Path, tmp_path: Path) -> None:
    if not contender.is_installed:
        pytest.skip(f"{contender.needs} is not installed")
    path = tmp_path / "measured.db"
    shutil.copyfile(template, path)
    measure = measure_bare if contender.loop is None else measure_client
    metrics, settings = measure(workload, contender, path, attrs.evolve(TINY))
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    assert metrics["calls"] > 0
    assert metrics[workload.compare] > 0
    missing = {column.metric for column in workload.columns} - metrics.keys()
    assert not missing - {"reads_p95_ms", "writes_p95_ms"}
