"""Every block of Python in the documents, and every example, does what it says: it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support import ROOT, run_child

README = ROOT / "README.md"
EXAMPLES = ROOT / "examples"
FOLLOWED = {ROOT / "docs" / "tutorial.md"}  # files and commands: tests/test_tutorial.py runs them

DEMO_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[cli]'"
    " && .venv/bin/python -m trio_sqlrepo demo"
)
TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"
)

SHELLS = {"bash", "console", "sh", "shell", "zsh"}
FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run\b:?(?P<reason>.*?)-->", re.DOTALL)


class MalformedDocumentError(Exception):
    """A fence that never closes, or a block that is not run for no reason."""


@attrs.frozen
class Block:
    language: str
    line: int  # of the first line inside the fence, from 1
    code: str
    not_run: str | None  # the reason given in the comment above it

    @property
    def is_run(self) -> bool:
        return self.language in {"python", "py", "python3"} and self.not_run is None


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    lines = text.splitlines()
    number = 0
    prose_since = 0  # the line after the last block's end
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        closing = re.compile(rf" *{opening['fence']}{opening['fence'][0]}*\s*$")
        end = next((n for n in range(number, len(lines)) if closing.match(lines[n])), None)
        if end is None:
            message = f"the fence opened in line {number} never closes"
            raise MalformedDocumentError(message)
        above = "\n".join(lines[prose_since : number - 1])
        indent = re.compile(f" {{0,{len(opening['indent'])}}}")
        yield Block(
            language=opening["language"].lower(),
            line=number + 1,
            code="".join(indent.sub("", line, count=1) + "\n" for line in lines[number:end]),
            not_run=reason_not_to_run(above),
        )
        number = prose_since = end + 1


def reason_not_to_run(above: str) -> str | None:
    """What the comment says that stands right above a block; None without one."""
    comments = list(NOT_RUN.finditer(above))
    if not comments or above[comments[-1].end() :].strip():
        return None
    reason = comments[-1]["reason"].strip()
    if not reason:
        message = "a block that is not run needs a reason: <!-- not run: reason -->"
        raise MalformedDocumentError(message)
    return reason


def script_of(text: str) -> str:
    """The blocks of a document that are run, each on the lines it has in the document."""
    script = ""
    for block in blocks_of(text):
        if block.is_run:
            script += "\n" * (block.line - 1 - script.count("\n")) + block.code
    return script


def documents() -> list[Path]:
    found = {README, *(ROOT / "docs").rglob("*.md")} - FOLLOWED
    return [path for path in sorted(found) if script_of(path.read_text("utf-8"))]


def run_to_its_end(script: Path, cwd: Path) -> None:
    child = run_child("-W", "error", script, cwd=cwd)
    complaint = f"{script.name} ended with {child.returncode}:\n{child.stdout}\n{child.stderr}"
    assert child.returncode == 0, complaint
    assert "Exception ignored" not in child.stderr, complaint


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run(document: Path, tmp_path: Path) -> None:
    script = tmp_path / f"{document.stem}.py"  # a traceback names the document's own lines
    script.write_text(script_of(document.read_text("utf-8")), encoding="utf-8")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    run_to_its_end(script, cwd)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    run_to_its_end(example, tmp_path)


def test_readme_shows_code_that_runs() -> None:
    assert README in documents()


def test_quickstart_is_the_code_of_the_readme() -> None:
    quickstart = (EXAMPLES / "quickstart" / "__main__.py").read_text("utf-8")
    first = next(block for block in blocks_of(README.read_text("utf-8")) if block.is_run)
    assert first.code in quickstart


def test_readme_has_exactly_two_commands() -> None:
    shell = [b.code for b in blocks_of(README.read_text("utf-8")) if b.language in SHELLS]
    commands = [line for line in "".join(shell).splitlines() if line and line[0] != "#"]
    assert commands == [DEMO_COMMAND, TEST_COMMAND]


# The reader of documents itself.


def test_blocks_share_a_namespace_and_keep_their_lines() -> None:
    text = "# Title\n\n```python\nx = 1\n```\n\n```toml\nx = 2\n```\n\n"
    script = script_of(text + "* so:\n  ```python\n  x += 1\n  ```\n")
    assert script.splitlines()[3] == "x = 1"
    assert script.splitlines()[12] == "x += 1"
    assert script.split() == ["x", "=", "1", "x", "+=", "1"]


def test_longer_fences_hold_shorter_ones() -> None:
    (block,) = blocks_of("````text\n```python\nraise\n```\n````\n")
    assert (block.language, block.code) == ("text", "```python\nraise\n```\n")


def test_a_block_is_left_out_for_a_reason_only() -> None:
    fence = "```python\nraise\n```\n"
    assert script_of(f"<!-- not run: it never ends -->\n\n{fence}") == ""
    with pytest.raises(MalformedDocumentError, match="needs a reason"):
        script_of(f"<!-- not run -->\n{fence}")
    with pytest.raises(MalformedDocumentError, match="needs a reason"):
        script_of(f"<!-- not run: -->\n{fence}")


def test_a_comment_speaks_of_the_next_block_alone() -> None:
    fence = "```python\npass\n```\n"
    assert script_of(f"<!-- not run: of another -->\n\nProse.\n\n{fence}").strip() == "pass"
    assert script_of(f"<!-- not run: this one -->\n{fence}\n{fence}").strip() == "pass"


def test_an_open_fence_is_refused() -> None:
    with pytest.raises(MalformedDocumentError, match="line 2 never closes"):
        script_of("Prose.\n```python\npass\n")
