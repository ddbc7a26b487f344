"""Each package in examples/ runs: `python -m examples.NAME` in an empty directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT, run_child

PACKAGES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/__main__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_example_runs(package: str, tmp_path: Path) -> None:
    child = run_child("-W", "error", "-m", f"examples.{package}", cwd=tmp_path)
    assert (child.returncode, child.stderr) == (0, "")


def test_the_packages_are_found() -> None:
    assert {"quickstart", "chat", "flash_sale", "job_queue"} <= set(PACKAGES)


def test_one_directory_is_enough_for_all(tmp_path: Path) -> None:
    """None opens a file that another has made with another schema."""
    for package in PACKAGES:
        child = run_child("-m", f"examples.{package}", cwd=tmp_path)
        assert (child.returncode, child.stderr) == (0, ""), package
