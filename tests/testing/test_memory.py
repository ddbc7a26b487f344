"""A database in memory for the repositories of one test."""

from __future__ import annotations

from pathlib import Path

import cattrs
import pytest

from tests.notes import SCHEMA, Note, Notes
from trio_sqlrepo import DeclarationError, PoolConfig, SqlFunction, SQLiteConfig
from trio_sqlrepo.testing import LeakGuard, memory_database


async def test_it_is_a_database_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LeakGuard():
        async with (
            memory_database(Notes, migrations=SCHEMA) as one,
            memory_database(Notes, migrations=SCHEMA) as other,
        ):
            assert await Notes(one).add("a", "x") == Note("a", "x", 1)
            assert await Notes(one).count() == 1
            assert await Notes(other).count() == 0
    assert list(tmp_path.iterdir()) == []


async def test_it_may_begin_with_rows() -> None:
    rows = "INSERT INTO note VALUES (7, 'a', 'x')"
    async with memory_database(Notes, migrations=[*SCHEMA, rows]) as db:
        assert await Notes(db).get(7) == Note("a", "x", 7)


async def test_queries_are_checked() -> None:
    with pytest.raises(DeclarationError, match="no such table: note"):
        async with memory_database(Notes, migrations=None):
            pass


async def test_settings_are_those_of_open_database() -> None:
    async with memory_database(
        migrations=None,
        pool=PoolConfig(group_commit=1),
        sqlite=SQLiteConfig(functions={"twice": SqlFunction(call=lambda x: 2 * x)}),
        converter=cattrs.Converter(),
    ) as db:
        assert await db.execute("SELECT twice(4)") == [(8,)]
