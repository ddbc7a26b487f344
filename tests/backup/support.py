"""What the tests of backups share: databases of some size, and what must be left of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.notes import assert_healthy
from tests.support import read_in_child
from trio_sqlrepo import Database

# Of the pages of `fill`: more than are copied in one step.
PAGES: Final = 150


def fill(connection: Any) -> None:
    connection.execute("CREATE TABLE filling (x BLOB)")
    connection.execute(
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO filling SELECT randomblob(4000) FROM n",
        (PAGES,),
    )


def leftovers(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.glob(".trio_sqlrepo-backup-*"))


def assert_sound(copy: Path) -> None:
    """A whole database in one plain file, and no temporary one beside it."""
    assert copy.read_bytes()[18:20] == b"\1\1", "the copy is in WAL mode"
    assert read_in_child(copy, "PRAGMA integrity_check") == [("ok",)]
    beside = [each.name for each in copy.parent.glob(f"{copy.name}*")]
    assert beside == [copy.name]
    assert leftovers(copy.parent) == []


def assert_nothing(copy: Path) -> None:
    """No copy, whole or half, nor anything of one."""
    assert copy.name not in [each.name for each in copy.parent.iterdir()]
    assert leftovers(copy.parent) == []


async def assert_serves(db: Database) -> None:
    await assert_healthy(db)
    assert db.stats().state == "open"
