"""The quickstart does what it says, and what it has written is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import read_in_child, run_child


def test_it_says_what_it_did_and_the_file_has_it(tmp_path: Path) -> None:
    child = run_child("-m", "examples.quickstart", cwd=tmp_path)
    moved, shared = child.stdout.splitlines()
    assert moved.startswith("3 moved to the attic, the last of them: Message(id=100, room='attic'")
    found = re.fullmatch(r"(\d+\.\d) durable writes per commit", shared)
    assert found, shared
    assert float(found[1]) > 1  # a hundred at once share fsyncs
    rooms = "SELECT room, count(*) FROM message GROUP BY room ORDER BY room"
    assert read_in_child(tmp_path / "chat.db", rooms) == [("attic", 3), ("lobby", 97)]


def test_a_second_run_adds_to_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        run_child("-m", "examples.quickstart", cwd=tmp_path)
    assert read_in_child(tmp_path / "chat.db", "SELECT count(*) FROM message") == [(200,)]
