"""What is in the file once a measurement's process has ended, beside what it was told is there.

Run in the process that started the child, which has no other connection to the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from pathlib import Path


def work_in(path: Path) -> int:
    """Count the messages, and what was added to the tallies."""
    connection = apsw.Connection(str(path))
    try:
        ((found,),) = connection.execute(
            "SELECT (SELECT count(*) FROM message) + (SELECT sum(count) FROM tally)"
        ).fetchall()
    finally:
        connection.close()
    assert isinstance(found, int), "SQLite counts in whole numbers"
    return found


def lost(path: Path, before: int, acknowledged: float) -> int:
    """How many acknowledged writes are not in the file."""
    return max(before + int(acknowledged) - work_in(path), 0)
