"""Each package in examples/ runs: `python -m examples.NAME` in an empty directory."""

from __future__ import annotations

import re
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


def test_every_example_is_told() -> None:
    examples = ROOT / "examples"
    found = {path.parent.name for path in examples.glob("*/__init__.py")}
    found |= {path.stem for path in examples.glob("*.py")}
    text = (ROOT / "docs" / "examples.md").read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert {section.split("\n")[0] for section in sections} == found
    for section in sections:
        tests = re.findall(r"tests/[\w/]+\.py", section)
        assert tests, section
        assert all((ROOT / test).exists() for test in tests), section


def test_one_directory_is_enough_for_all(tmp_path: Path) -> None:
    """None opens a file that another has made with another schema."""
    for package in PACKAGES:
        child = run_child("-m", f"examples.{package}", cwd=tmp_path)
        assert (child.returncode, child.stderr) == (0, ""), package
