"""The benchmarks run: the command in a child, and every contender at every workload."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.__main__ import main
from benchmarks.audit import work_in
from benchmarks.child import measure_bare, measure_client
from benchmarks.contenders import Contender
from benchmarks.data import FileKind, make_file
from benchmarks.figures import Run, UnfitError
from benchmarks.machine import Machine
from benchmarks.measure import FAILURES, Size
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES, find
from tests.benchmarks.made_up import made_up_run
from tests.support import ROOT, run_child

# What a measurement does is the same however long it does it, and with however many.
TINY = Size(seconds=0.005, rate=8_000, tasks=3, count=60)
FILE = FileKind(rows=300, room_index=True)

# These differ from another workload in a number alone.
ALIKE = {
    "one_task_lookup", "ten_tasks_lookup", "hundred_tasks_lookup", "thousand_tasks_lookup",
    "ten_thousand_tasks_lookup", "one_task_insert", "ten_tasks_insert",
    "five_hundred_tasks_insert",
}  # fmt: skip
EVERYTHING = [
    (workload, contender)
    for workload in map(find, NAMES)
    for contender in workload.contenders[: 1 if workload.name in ALIKE else None]
    if contender.options.get("queries", 0) < 1_000 and contender.count < 100
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "template.db"
    make_file(path, FILE)
    return path


@pytest.fixture(scope="module")
def child_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run of one workload prints, and what it writes."""
    figures = tmp_path_factory.mktemp("run") / "kept" / "figures.json"
    child = run_child(
        "-m", "benchmarks", "--quick", "--only", "full_or_normal", "--json", figures, cwd=ROOT
    )
    assert child.returncode == 0, child.stderr
    return child.stdout, json.loads(figures.read_text(encoding="utf-8"))


def test_the_command_prints_figures_goals_and_who_does_not_take_part(
    child_run: tuple[str, dict[str, Any]],
) -> None:
    printed, _ = child_run
    assert "goal" in printed
    assert "not run: apsw.aio, aiosqlite" in printed
    assert "settings differ" in printed  # FULL beside NORMAL: it is the question
    assert "journal_mode wal, synchronous 2" in printed


def test_the_command_writes_figures_machine_and_versions(
    child_run: tuple[str, dict[str, Any]],
) -> None:
    _, written = child_run
    (workload,) = written["workloads"]
    assert workload["name"] == "full_or_normal"
    for (metrics,) in workload["rounds"].values():
        assert metrics["us"] > 0
        assert metrics["lost"] == 0
    assert workload["goals"][0]["met"] in {True, False}
    assert written["machine"]["file_system"]
    assert "directory" not in written["machine"]
    assert written["versions"]["trio"]
    assert written["quick"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "nothing"], "there is no workload 'nothing'. There are: one_task_lookup"),
        (["--rounds", "no"], "'no' is no number of rounds; give 1 or more."),
        (["--rounds", "0"], "'0' is no number of rounds; give 1 or more."),
        (["--compare", str(ROOT / "README.md")], "README.md holds no results of this suite"),
        (["--resume", str(ROOT / "README.md")], "README.md holds no results of this suite"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    assert ended.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def resumable(path: Path, **facts: Any) -> Run:
    """A quick run on this machine that was broken off before its last workload, as a file."""
    run = attrs.evolve(
        made_up_run(names=NAMES[:-1]),
        quick=True,
        versions={},
        machine=Machine.look(path.parent).facts() | facts,
    )
    run.save(path)
    return run


def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    before = resumable(path)
    assert main(["--quick", "--resume", str(path), "--dir", str(tmp_path)]) == 0
    after = Run.load(path)
    assert [figures.name for figures in after.workloads] == list(NAMES)
    assert after.workloads[:-1] == before.workloads
    assert (after.date, after.machine) == (before.date, before.machine)
    assert after.versions["trio-sqlrepo"]


@pytest.mark.parametrize(
    ("options", "facts", "changed"),
    [
        (["--quick"], {"processor": "another", "cores": 64}, "processor, cores"),
        ([], {}, "--quick"),
    ],
)
def test_what_was_measured_elsewhere_is_not_resumed(
    options: list[str],
    facts: dict[str, Any],
    changed: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.json"
    resumable(path, **facts)
    assert main([*options, "--resume", str(path), "--dir", str(tmp_path)]) == 2
    assert f"differs from this one in {changed}: their figures" in capsys.readouterr().err


def test_versions_do_not_change_within_a_run() -> None:
    run = made_up_run(names=NAMES[:1])
    run.learn({**run.versions, "new": "1"})
    assert run.versions["new"] == "1"
    with pytest.raises(UnfitError, match=r"measured with other versions of new\. Measure anew"):
        run.learn({"new": "2"})


def test_the_list_names_every_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*NAMES, "all"]


@pytest.mark.parametrize(
    ("workload", "contender"), EVERYTHING, ids=lambda what: what.name.replace(" ", "-")
)
def test_measures(workload: Workload, contender: Contender, template: Path, tmp_path: Path) -> None:
    if not contender.is_installed:
        pytest.skip(f"{contender.needs} is not installed")
    path = tmp_path / "measured.db"
    shutil.copyfile(template, path)
    rate = 100 if workload.name == "highest_rate" else TINY.rate  # it goes on from there
    size = workload.size_for(contender, attrs.evolve(TINY, rate=rate), FILE)
    measure = measure_bare if contender.loop is None else measure_client
    metrics, settings = measure(workload, contender, path, size)
    normal = contender.options.get("synchronous") == "normal"
    assert settings == {"journal_mode": "wal", "synchronous": 1 if normal else 2}
    assert metrics["calls"] > 0
    if workload.name != "highest_rate":  # a machine that is busy sustains nothing in 5 ms
        assert metrics[workload.compare] > 0
        assert not any(metrics.get(kind) for kind in (*FAILURES, "dropped"))
    asked = {column.metric for column in workload.columns} - {"lost"}  # counted afterwards
    assert not asked - metrics.keys() - {"reads_p95_ms", "writes_p95_ms"}
    if "acknowledged" in metrics and not workload.reads_only:
        assert work_in(path) == FILE.rows + metrics["acknowledged"]
