"""Who has which turn, on which file; and what a child that fails leaves behind."""

from __future__ import annotations

from pathlib import Path

import attrs

from benchmarks.contenders import FILES, OURS
from benchmarks.data import FileKind
from benchmarks.figures import Figures
from benchmarks.measure import Size
from benchmarks.rounds import Plan, Results, installed, run_rounds
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES, find

# The child knows no such workload, and fails at once.
NOBODY = attrs.evolve(
    find("full_or_normal"), name="no_such_question", file=FileKind(rows=10), rounds=2
)


def test_contenders_take_turns_and_each_begins_a_round_once(tmp_path: Path) -> None:
    told: list[str] = []
    run_rounds(NOBODY, Plan(directory=tmp_path, rounds=2), told.append)
    a, b, c = (contender.name for contender in NOBODY.contenders)
    turns = [line.rpartition("of 2, ")[2] for line in told]
    assert [name.strip() for name in turns] == [a, b, c, b, c, a]


def test_a_child_that_fails_is_a_result(tmp_path: Path) -> None:
    results = run_rounds(NOBODY, Plan(directory=tmp_path, rounds=1))
    assert results.rounds == {contender.name: [None] for contender in NOBODY.contenders}
    assert "no_such_question" in results.failures[OURS.name]
    figures = Figures.of(results)
    assert [row[1:] for row in figures.rows()] == [["–"] * len(NOBODY.columns) + [""]] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["10-0-0.db"]  # no copy is left


def test_a_quick_run_asks_two_contenders_and_every_one_somewhere() -> None:
    plan = Plan(directory=Path(), quick=True, few=True)
    asked: set[str] = set()
    for workload in map(find, NAMES):
        chosen = plan.contenders_of(workload)
        assert chosen[0].name == installed(workload)[0].name
        assert len(chosen) == min(2, len(installed(workload)))
        assert plan.steps(workload) == len(chosen)
        asked.update(contender.name for contender in chosen)
    assert {contender.name for contender in installed(find("highest_rate"))} <= asked


def test_a_contender_may_bring_its_own_file_cut_to_size() -> None:
    workload = find("file_size_curve")
    assert workload.file_for(FILES[0]) == FILES[0].file
    assert workload.file_for(FILES[-1], 500) == FileKind(rows=500, padding=1000)
    assert workload.file_for(OURS) == FileKind()


def test_numbers_of_contender_and_size() -> None:
    workload: Workload = find("waiting_tasks_curve")
    many = workload.contenders[-1]
    kind = FileKind(rows=7)
    assert workload.size_for(many, Size(seconds=1), kind).tasks == many.tasks
    assert workload.size_for(many, Size(seconds=1, tasks=5), kind).tasks == 5
    assert workload.size_for(OURS, Size(seconds=1, tasks=5), kind).tasks == 5
    assert workload.size_for(OURS, Size(seconds=1), kind).rows == 7


def test_who_lost_work_is_said() -> None:
    results = Results(
        workload=NOBODY,
        rounds={OURS.name: [{"lost": 2.0, "lock_errors": 1.0}, {"lost": 1.0}]},
        settings={},
        versions={},
        failures={},
        missing=[],
    )
    assert Figures.of(results).losses() == [
        "trio_sqlrepo: 3 acknowledged writes are not in the file",
        "trio_sqlrepo: 1 calls failed because the database was locked",
    ]
