"""docs/command-line.md: every command in it is run, and gives what stands there."""

from __future__ import annotations

import shlex

import pytest
import trio

from tests.cli.apps import App
from tests.support import ROOT
from tests.test_docs import Block, blocks_of
from trio_sqlrepo import open_database
from trio_sqlrepo.cli.target import find, working_directory_importable

DOCUMENT = ROOT / "docs" / "command-line.md"


def blocks(language: str) -> list[Block]:
    return [each for each in blocks_of(DOCUMENT.read_text("utf-8")) if each.language == language]


async def make_file() -> None:
    chat = find("chat")
    async with open_database("chat.db", repositories=[chat.Messages], migrations=chat.MIGRATIONS):
        pass


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: f"line {block.line}")
def test_what_the_document_shows_is_what_the_command_prints(
    block: Block, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.write("chat.py", blocks("python")[0].code)
    with working_directory_importable():
        trio.run(make_file)
    command, *shown = block.code.splitlines()
    prompt, program, *arguments = shlex.split(command)
    assert (prompt, program) == ("$", "trio-sqlrepo")
    if ">" in arguments:  # of the shell
        arguments = arguments[: arguments.index(">")]
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = app.run(*arguments)
    assert (code, err) == (3 if "--fail-on" in arguments else 0, "")
    if "--json" not in arguments:
        assert out.splitlines() == shown
