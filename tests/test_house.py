"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.support import PACKAGE

MOST_LINES = 400

modules = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


@modules
def test_file_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < MOST_LINES, f"{path} has {lines} lines: split it"


@modules
def test_nothing_is_left_for_later(path: Path) -> None:
    found = re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b.*", path.read_text(encoding="utf-8"))
    assert not found, f"{path}: {found}"


@modules
def test_file_says_what_it_is(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)) or source.startswith("# "), (
        f"{path} starts with neither a docstring nor a comment"
    )


@modules
def test_what_is_not_covered_has_a_reason(path: Path) -> None:
    for line, comment in comments(path):
        if found := re.search(r"pragma:\s*no\s*(?:cover|branch)(.*)", comment):
            assert re.search(r"\w+\W+\w+", found[1]), f"{path}:{line}: a pragma without a reason"


def comments(path: Path) -> list[tuple[int, str]]:
    source = io.StringIO(path.read_text(encoding="utf-8"))
    return [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(source.readline)
        if token.type == tokenize.COMMENT
    ]
