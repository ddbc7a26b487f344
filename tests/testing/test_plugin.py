"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import importlib
import os
import re
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT, run_child

# Where the entry point is installed it is blocked: registered twice, a plugin is an error.
_PLUGIN = ["-p", "no:trio_sqlrepo", "-p", "trio_sqlrepo.testing.plugin"]


def run_pytest(directory: Path, source: str, *arguments: str) -> tuple[int, str]:
    """Run a file of tests with warnings as errors; the exit code, and what was printed."""
    (directory / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")
    child = run_child(
        "-m", "pytest", *_PLUGIN, "-p", "no:cacheprovider", "-W", "error", "-o", "trio_mode=true",
        "--rootdir", directory, *arguments, directory / "test_it.py", cwd=directory,
    )  # fmt: skip
    return child.returncode, child.stdout + child.stderr


def test_the_fixtures(tmp_path: Path) -> None:
    code, printed = run_pytest(
        tmp_path,
        """
        import trio
        from trio_sqlrepo import open_database
        from trio_sqlrepo.testing import ChildReader, LeakGuard

        seen = set()

        async def use(database_path, leak_guard, child_reader):
            assert not database_path.exists()
            assert database_path not in seen
            seen.add(database_path)
            assert leak_guard is LeakGuard
            assert isinstance(child_reader, ChildReader)
            async with open_database(database_path) as db, leak_guard(db):
                await db.execute("CREATE TABLE t (x)")
                await db.execute("INSERT INTO t VALUES (7)")
                assert child_reader.read(database_path, "SELECT x FROM t") == [(7,)]

        async def test_one(database_path, leak_guard, child_reader):
            await use(database_path, leak_guard, child_reader)

        async def test_two(database_path, leak_guard, child_reader):
            await use(database_path, leak_guard, child_reader)
            print("\\nchild", child_reader._process.pid)
        """,
        "-s",
    )
    assert code == 0, printed
    assert "2 passed" in printed
    (pid,) = re.findall(r"^child (\d+)$", printed, re.MULTILINE)
    with pytest.raises(ProcessLookupError):  # it has ended with the session, and was waited for
        os.kill(int(pid), 0)


def test_a_test_that_leaks_fails(tmp_path: Path) -> None:
    code, printed = run_pytest(
        tmp_path,
        """
        import threading

        release = threading.Event()

        def test_leaks(leak_guard):
            threading.Thread(target=release.wait, name="planted").start()

        def test_does_not(leak_guard):
            release.set()
        """,
    )
    assert code == 1, printed
    assert "ERROR test_it.py::test_leaks" in printed
    assert "the thread 'planted'" in printed
    assert "2 passed, 1 error" in printed


def test_every_fixture_says_what_it_is(tmp_path: Path) -> None:
    code, printed = run_pytest(tmp_path, "", "--fixtures")
    assert code == 0, printed
    ours = printed.split("trio_sqlrepo.testing.plugin ---")[1].split("\n---")[0]
    for name in ("database_path", "leak_guard", "child_reader [session scope]"):
        assert f"\n{name} -- " in ours, printed
    assert "no docstring" not in ours


def test_loading_it_loads_no_more_than_it_must() -> None:
    """Every test run does so, where the library is installed."""
    loaded = run_child(
        "-c",
        "import sys, trio_sqlrepo.testing.plugin; print(*sorted(sys.modules))",
    )
    assert loaded.returncode == 0, loaded.stderr
    modules = loaded.stdout.split()
    assert "trio_sqlrepo.testing.plugin" in modules
    for heavy in ("hypothesis", "networkx", "rich", "typer", "pytest_trio"):
        assert heavy not in modules


def test_the_entry_point_names_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["pytest11"]
    assert declared == {"trio_sqlrepo": "trio_sqlrepo.testing.plugin"}
    importlib.import_module(declared["trio_sqlrepo"])
    assert "trio_sqlrepo.testing.plugin" in sys.modules
