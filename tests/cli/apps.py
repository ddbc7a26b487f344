"""Applications for the commands: modules in a directory of the test's own, forgotten afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from trio_sqlrepo.cli import main

SCHEMA = """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY, room TEXT NOT NULL, body TEXT, stars INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX message_by_room ON message (room);
    CREATE INDEX message_by_body ON message (body);
"""
CHAT = f'''
from typing import Literal
import attrs
from trio_sqlrepo import CrudRepository, Repository, RowCount, query, transaction

MIGRATIONS = ["""{SCHEMA}"""]

@attrs.frozen
class Message:
    id: int
    room: str
    body: str
    stars: int

class Messages(Repository):
    @query("SELECT * FROM message WHERE id = :id")
    async def get(self, id: int) -> Message | None: ...

    @query("SELECT * FROM message WHERE room = :room ORDER BY {{order}}",
           order={{"new": "id DESC", "best": "stars DESC"}})
    async def listed(self, room: str, order: Literal["new", "best"]) -> list[Message]: ...

    @query("DELETE FROM message WHERE stars < :stars")
    async def prune(self, stars: int) -> RowCount: ...

    @query("DELETE FROM message WHERE stars = :stars RETURNING id")
    async def take(self, stars: int) -> list[int]: ...

    @transaction
    async def tidy(self) -> None:
        await self.prune(1)

LIST = [Messages]
NOTHING = ()

def give():
    return (Messages,)
'''


class App:
    """A directory to be in, with modules in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def write(self, name: str, source: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source), "utf-8")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, what was printed, and the complaint."""
        code = main(arguments)
        out, err = self._capsys.readouterr()
        return code, "\n".join(line.rstrip() for line in out.splitlines()), err

    def refusal(self, *arguments: str) -> str:
        code, out, err = self.run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("trio-sqlrepo: ")
        return err.removeprefix("trio-sqlrepo: ").rstrip()

    def failure(self, *arguments: str) -> str:
        code, out, err = self.run(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("trio-sqlrepo: ")
        return err.removeprefix("trio-sqlrepo: ").rstrip()


@pytest.fixture
def app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[App]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = list(sys.path)
    made = App(tmp_path, capsys)
    made.write("chat.py", CHAT)
    yield made
    assert sys.path == before
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
