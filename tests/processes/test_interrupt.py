"""Ctrl-C at any moment: the process ends, with nothing half-done in the file."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.processes.support import child
from tests.support import read_in_child


@pytest.mark.parametrize("when", ["working", "reading", "closing", "in the library", "failing"])
@pytest.mark.parametrize("attempt", range(2))
async def test_it_ends_the_process(when: str, attempt: int, tmp_path: Path) -> None:
    path = tmp_path / f"{attempt}.db"
    async with child("be_interrupted", path, when) as interrupted:
        await interrupted.hear("ready")
        if when not in {"in the library", "failing"}:  # these do it themselves
            interrupted.process.send_signal(signal.SIGINT)
        await interrupted.hear("interrupted")
    assert read_in_child(path, "PRAGMA integrity_check") == [("ok",)]
    assert read_in_child(path, "SELECT count(*) FROM note WHERE body = 'never'") == [(0,)]
    # A body's two notes are both there, or neither.
    assert read_in_child(
        path, "SELECT count(*) % 2 FROM note WHERE body LIKE '%/x' OR body LIKE '%/y'"
    ) == [(0,)]
