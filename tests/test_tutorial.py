"""docs/tutorial.md, followed to the letter: its files and commands, in order, in an empty folder.

The page has two kinds of blocks, and no others:

- a file, whole: the paragraph above the block begins with its name in backquotes and ends with a
  colon;
- `console`: lines that begin with `$` are commands; what a command prints follows it.

`mkdir` and `cd` are done as they stand. Python, pytest and the command line are run with this
interpreter, so the lines that make an environment and install into it are skipped; that what they
name exists is looked up in pyproject.toml.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support import ROOT, run_child
from tests.test_docs import blocks_of

TUTORIAL = ROOT / "docs" / "tutorial.md"

MAKES_THE_ENVIRONMENT = ("python3 -m venv ", ". .venv/bin/activate", "pip install ")
RUN_AS = {  # -P: an installed command does not import from the working directory by itself
    "python": [],
    "pytest": ["-P", "-m", "pytest"],
    "trio-sqlrepo": ["-P", "-m", "trio_sqlrepo"],
}
ENVIRONMENT = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONWARNINGS": "error"}

CAPTION = re.compile(r"`(?P<name>[\w/]+\.\w+)`[^`]*:")
HOME = "/home/you/"  # where the page's folder lies on the page
DURATION = re.compile(r"\bin [0-9.]+s\b")


class MalformedPageError(Exception):
    """A block that is neither a file nor commands."""


@attrs.frozen
class File:
    name: str
    text: str


@attrs.frozen
class Command:
    line: int  # of the page, from 1
    text: str
    shown: str  # what the page says it prints


def steps_of(text: str) -> Iterator[File | Command]:
    """What somebody who follows the page does, in order."""
    lines = text.splitlines()
    for block in blocks_of(text):
        paragraph = "\n".join(lines[: block.line - 2]).rstrip().rpartition("\n\n")[2]
        caption = CAPTION.fullmatch(paragraph)
        if block.language == "console" and caption is None:
            yield from commands_of(block.code, block.line)
        elif caption is not None and block.language != "console":
            yield File(caption["name"], block.code)
        else:
            raise MalformedPageError(f"line {block.line}: not a named file, nor commands")


def commands_of(code: str, line: int) -> Iterator[Command]:
    before, *rest = re.split(r"^\$ ", code, flags=re.MULTILINE)
    if before:
        raise MalformedPageError(f"line {line}: this is printed by no command")
    for each in rest:
        text, _, shown = each.partition("\n")
        yield Command(line, text, shown)
        line += each.count("\n")


@attrs.define
class Follower:
    """Somebody who has a shell, and does what the page says."""

    home: Path
    folder: Path = attrs.field(default=attrs.Factory(lambda self: self.home, takes_self=True))
    skipped: list[str] = attrs.field(factory=list)
    shown: dict[str, Command] = attrs.field(factory=dict)  # the last of each command

    def follow(self, step: File | Command) -> None:
        match step:
            case File():
                (self.folder / step.name).write_text(step.text, encoding="utf-8")
            case Command(text=text) if text.startswith(MAKES_THE_ENVIRONMENT):
                assert step.shown == ""
                self.skipped.append(text)
            case Command():
                self.run(step)

    def run(self, command: Command) -> None:
        program, *arguments = shlex.split(command.text)
        if program == "mkdir":
            for argument in arguments:
                (self.folder / argument).mkdir()
        elif program == "cd":
            (argument,) = arguments
            self.folder /= argument
        else:
            self.shown[command.text] = command
            child = run_child(*RUN_AS[program], *arguments, cwd=self.folder, env=ENVIRONMENT)
            where = f"line {command.line}: {command.text}"
            assert (child.returncode, child.stderr) == (0, ""), f"{where}\n{child}"
            printed = child.stdout.replace(f"{self.home}/", HOME)
            assert comparable(printed) == comparable(command.shown), where


def comparable(printed: str) -> list[str]:
    """Without durations, and without the blanks that fill up the lines of a table."""
    return [line.rstrip() for line in DURATION.sub("in 0s", printed).splitlines()]


def steps() -> list[File | Command]:
    return list(steps_of(TUTORIAL.read_text("utf-8")))


def test_the_page_is_true_when_it_is_followed(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    for step in steps():
        follower.follow(step)
    assert len(follower.skipped) == len(MAKES_THE_ENVIRONMENT)
    assert "pytest -q" in follower.shown
    # "Every program may be run again at any time": after all others, and twice in a row. It prints
    # what the page has shown of it last.
    programs = [each for each in follower.shown.values() if each.text.startswith("python ")]
    assert programs
    for program in programs:
        follower.run(program)
        follower.run(program)


def test_what_is_installed_has_these_names() -> None:
    texts = [step.text for step in steps() if isinstance(step, Command)]
    (installs,) = [shlex.split(text) for text in texts if text.startswith("pip ")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = re.fullmatch(r"\.\./trio_sqlrepo\[([\w,]+)\]", installs[2])
    assert wanted is not None
    assert set(wanted[1].split(",")) <= set(project["optional-dependencies"])
    assert installs[3:] == ["pytest-trio"]


# The reader of the page itself.


def test_a_block_is_a_named_file_or_commands() -> None:
    file = "`a/b.py`, now longer:\n\n```python\nx = 1\n```\n\n"
    commands = "```console\n$ cd a\n$ python b.py\n1\n2\n```\n"
    assert list(steps_of(file + commands)) == [
        File("a/b.py", "x = 1\n"),
        Command(8, "cd a", ""),
        Command(9, "python b.py", "1\n2\n"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Prose of `b.py`:\n\n```python\nx = 1\n```\n",
        "```text\n1\n```\n",
        "```console\n1\n```\n",
        "`b.py`:\n\n```console\n$ cd a\n```\n",
    ],
)
def test_other_blocks_are_refused(text: str) -> None:
    with pytest.raises(MalformedPageError, match=r"line \d"):
        list(steps_of(text))
