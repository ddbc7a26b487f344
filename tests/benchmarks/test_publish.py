"""Tables and plots of the documentation are made from a stored run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.contenders import Contender
from benchmarks.measure import Metrics
from benchmarks.publish import UnknownMarkError, main, refreshed
from benchmarks.workload import Workload
from benchmarks.workloads import NAMES
from tests.benchmarks.made_up import made_up_run
from tests.support import ROOT

PAGE = "before\n<!-- figures: {} -->\nold\n<!-- end of figures -->\nafter\n"
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_a_table_replaces_the_old_one_and_nothing_else() -> None:
    text = refreshed(PAGE.format("one_task_lookup"), made_up_run(names=("one_task_lookup",)))
    assert "old" not in text
    assert text.startswith("before\n<!-- figures: one_task_lookup -->\n\n| contender |")
    assert text.endswith("\n<!-- end of figures -->\nafter\n")
    assert "| **trio_sqlrepo** | 10.2 |" in text
    assert "| apsw.aio | 20.4 | 20.4 | 0 | 0 | 0 | 2.00 |" in text


def test_it_says_the_same_twice() -> None:
    run = made_up_run()
    once = refreshed(PERFORMANCE, run)
    assert refreshed(once, run) == once


def test_what_the_run_lacks_stays() -> None:
    page = PAGE.format("chat")
    assert refreshed(page, made_up_run(names=("one_task_lookup",))) == page


def test_a_mark_that_names_nothing_is_an_error() -> None:
    with pytest.raises(UnknownMarkError, match="figures of 'nothing', which is no workload"):
        refreshed(PAGE.format("nothing"), made_up_run(names=("one_task_lookup",)))


def test_who_lost_work_is_named() -> None:
    def lose(_: Workload, contender: Contender, metrics: Metrics) -> Metrics:
        return {**metrics, "lost": 2} if contender.name == "aiosqlitepool" else metrics

    text = refreshed(
        PAGE.format("one_task_insert"),
        made_up_run(names=("one_task_insert",), rounds=1, change=lose),
    )
    assert "* aiosqlitepool: 2 acknowledged writes are not in the file." in text


def test_goals_say_met_or_missed() -> None:
    text = refreshed(PAGE.format("goals"), made_up_run(names=("one_task_lookup",)))
    assert (
        "| `one_task_lookup` | trio_sqlrepo ≥ 3 × as fast as apsw.aio | 2.00 | **MISSED** |" in text
    )
    start = "| `one_task_lookup` | trio_sqlrepo ≥ 3 × as fast as"
    assert f"{start} apsw.aio | 2.00 | **MISSED** |" in text
    assert f"{start} aiosqlite | 4.00 | met |" in text


def test_the_machine_is_named_but_not_where_the_files_were() -> None:
    text = refreshed(PAGE.format("machine"), made_up_run(names=("one_task_lookup",)))
    assert "2026-01-01 12:00 UTC: a processor, 2 cores, 8 GB, Linux, ext4 where an" in text
    assert "5 to 5 rounds." in text


def test_performance_md_shows_every_workload_and_every_plot() -> None:
    marked = set(re.findall(r"<!-- figures: (\w+) -->", PERFORMANCE))
    assert marked == {*NAMES, "machine", "goals"}
    pytest.importorskip("matplotlib")
    from benchmarks.plots import PLOTS  # noqa: PLC0415  # only where matplotlib is

    shown = set(re.findall(r"\]\(plots/([\w-]+)\.svg\)", PERFORMANCE))
    assert shown == set(PLOTS)


def test_one_command_makes_tables_and_plots_from_a_stored_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import PLOTS  # noqa: PLC0415

    results = tmp_path / "run.json"
    made_up_run(rounds=2).save(results)
    (tmp_path / "performance.md").write_text(PERFORMANCE, encoding="utf-8")
    assert main([str(results), "--docs", str(tmp_path)]) == 0
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "a processor, 2 cores" in page
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert drawn == {f"{name}.{end}" for name in PLOTS for end in ("png", "svg")}
    assert capsys.readouterr().out.splitlines() == [f"drawn: {name}" for name in PLOTS]
    svg = (tmp_path / "plots" / "lookups-over-tasks.svg").read_text(encoding="utf-8")
    assert "Lookups per second over tasks" in svg
    for name in ("trio_sqlrepo", "aiosqlitepool", "SQLAlchemy"):
        assert name in svg


def test_a_run_without_figures_draws_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw_all  # noqa: PLC0415

    assert draw_all(made_up_run(names=("opening",)), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_results_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(ROOT / "README.md"), "--docs", str(tmp_path)]) == 2
    assert "holds no results of this suite" in capsys.readouterr().err
