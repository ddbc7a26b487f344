"""mypy, as the project configures it, on accept.py and reject.py.

In reject.py a comment `# E: code` (or `# E: code, code`) marks a line that must yield these errors.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support import ROOT, run_child

HERE = Path(__file__).resolve().parent
ACCEPT = HERE / "accept.py"
REJECT = HERE / "reject.py"

MARK = re.compile(r"#\s*E:\s*(?P<codes>[\w-]+(?:\s*,\s*[\w-]+)*)")

Finding = tuple[int, str]  # line, error code


def run_mypy(path: Path) -> list[tuple[Finding, str]]:
    """Every error mypy finds in one file, with its message."""
    child = run_child(
        *("-m", "mypy", "--output=json", "--config-file", ROOT / "pyproject.toml", path),
        cwd=ROOT,
        timeout=300.0,
    )
    # 0: nothing found; 1: something found; anything else: mypy itself failed.
    assert child.returncode in {0, 1}, child.stdout + child.stderr
    reports = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    errors = [report for report in reports if report["severity"] == "error"]
    elsewhere = [error for error in errors if not path.samefile(ROOT / error["file"])]
    assert not elsewhere, f"mypy stumbled before it reached {path.name}: {elsewhere}"
    return [((error["line"], error["code"]), error["message"]) for error in errors]


def marked(path: Path) -> Counter[Finding]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return Counter(
        (number, code.strip())
        for number, line in enumerate(lines, 1)
        if (mark := MARK.search(line))
        for code in mark["codes"].split(",")
    )


def test_what_must_be_accepted() -> None:
    assert run_mypy(ACCEPT) == []


def test_what_must_be_rejected() -> None:
    expected = marked(REJECT)
    assert expected, "reject.py marks nothing"
    found = run_mypy(REJECT)
    messages = dict(found)
    too_few = expected - Counter(finding for finding, _ in found)
    too_many = Counter(finding for finding, _ in found) - expected
    if too_few or too_many:
        pytest.fail(
            "\n".join(
                [f"reject.py:{line}: no [{code}]" for line, code in sorted(too_few)]
                + [
                    f"reject.py:{line}: unexpected [{code}]: {messages[line, code]}"
                    for line, code in sorted(too_many)
                ]
            ),
            pytrace=False,
        )
