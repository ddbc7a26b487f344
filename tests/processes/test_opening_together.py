"""Several processes open one new file at the same moment, migrate it once, and write."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.notes import SCHEMA, Notes, open_notes
from tests.processes.support import child
from tests.support import read_in_child


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("processes", [2, 3])
async def test_a_new_file(processes: int, attempt: int, tmp_path: Path) -> None:
    """The switch to WAL is raced for: SQLite asks no busy handler there."""
    path = tmp_path / f"{attempt}.db"
    tasks, notes = 5, 7
    async with AsyncExitStack() as stack:
        children = [
            await stack.enter_async_context(
                child("write_notes", path, f"child-{number}", str(tasks), str(notes))
            )
            for number in range(processes)
        ]
        for each in children:
            await each.hear("ready")
        for each in children:
            await each.say("go")
        for each in children:
            await each.hear("done")  # no lock error has ended it before
    # Every note once, in the order of its task.
    rows = read_in_child(path, "SELECT body FROM note ORDER BY id")
    expected = {
        f"child-{number}/{task}": [str(note) for note in range(notes)]
        for number in range(processes)
        for task in range(tasks)
    }
    found: dict[str, list[str]] = {}
    for (body,) in rows:
        writer, _, note = body.rpartition("/")
        found.setdefault(writer, []).append(note)
    assert found == expected
    # Each transaction saw what those before it did.
    assert read_in_child(path, "SELECT n FROM counter") == [(processes * tasks * 3,)]
    assert read_in_child(path, "SELECT number FROM _trio_sqlrepo_migration") == [
        (number,) for number in range(1, len(SCHEMA) + 1)
    ]
    assert read_in_child(path, "PRAGMA integrity_check") == [("ok",)]


async def test_one_that_comes_later_finds_all_done(db_path: Path) -> None:
    async with open_notes(db_path) as db:
        await Notes(db).put("b", "before")
        async with child("write_notes", db_path, "later", "1", "2") as later:
            await later.hear("ready")
            await later.ask("go", "done")
        # What another process has committed, every later read sees.
        assert await Notes(db).bodies() == ["before", "later/0/0", "later/0/1"]
