"""SQLite's own expert: its advice, and what it says where it has none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw.sqlite_extra
import pytest

from trio_sqlrepo import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import SqliteDriver, expert, open_driver
from trio_sqlrepo._sqlite.expert import Advice, expert_on


@pytest.fixture
def driver() -> Iterator[SqliteDriver]:
    driver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
    driver.begin_write()
    driver.run_script(
        "CREATE TABLE message (id INTEGER PRIMARY KEY, room, body, size);"
        "CREATE INDEX message_by_room ON message (room);"
        'CREATE VIRTUAL TABLE "found ""it" USING fts5 (body);'
        "ANALYZE; INSERT INTO sqlite_stat4 VALUES ('message', 'message_by_room', 1, 0, 0, x'53');"
    )
    driver.commit()
    yield driver
    driver.close()


def test_it_names_the_index_that_would_help(driver: SqliteDriver) -> None:
    with expert_on(driver) as advised:
        (index,) = advised.advise("SELECT * FROM message WHERE size > :size").indexes
        assert index.endswith(" ON message(size);")
        assert advised.advise("SELECT * FROM message WHERE room = :room") == Advice()
        assert advised.advise("INSERT INTO message (room) VALUES (:room)") == Advice()


def test_what_it_cannot_judge_it_says(driver: SqliteDriver) -> None:
    with expert_on(driver) as advised:
        advice = advised.advise('SELECT * FROM "found ""it"')
    assert advice.indexes == ()
    assert advice.silent is not None
    assert advice.silent.startswith("SQLite's expert can't judge it: no such table: found")


def test_it_is_given_no_value_of_a_row_and_leaves_nothing(driver: SqliteDriver) -> None:
    ((before,),) = driver.execute("SELECT count(*) FROM sqlite_stat4")
    assert isinstance(before, int)
    with expert_on(driver) as advised:
        database = advised._database
        assert database is not None
        assert before > 0
        connection = apsw.Connection(str(database))
        assert connection.execute("SELECT count(*) FROM sqlite_stat4").fetchall() == [(0,)]
        connection.close()
    assert not database.parent.exists()
    assert driver.execute("SELECT count(*) FROM sqlite_stat4") == [(before,)]


@pytest.mark.parametrize("lack", [LookupError, apsw.sqlite_extra.NotAvailable])
def test_where_apsw_has_none_that_is_said(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch, lack: type[Exception]
) -> None:
    def lacks(_: str) -> str:
        raise lack

    monkeypatch.setattr(apsw.sqlite_extra, "path", lacks)
    with expert_on(driver) as advised:
        silent = advised.advise("SELECT 1").silent
    assert silent == "this apsw does not bring SQLite's expert along"


def test_an_apsw_without_extras_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(apsw, "sqlite_extra")
    monkeypatch.setitem(sys.modules, "apsw.sqlite_extra", None)
    assert expert._program() is None


@pytest.mark.parametrize("failure", [PermissionError(13, "no"), subprocess.TimeoutExpired("x", 1)])
def test_a_program_that_cannot_be_run_is_said(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise failure

    with expert_on(driver) as advised:
        monkeypatch.setattr(subprocess, "run", run)
        silent = advised.advise("SELECT 1").silent
    assert silent == f"SQLite's expert can't be run ({type(failure).__name__})"


def test_a_program_that_ends_without_a_word_is_said(driver: SqliteDriver, tmp_path: Path) -> None:
    script = tmp_path / "mute"
    script.write_text("#!/bin/sh\nexit 7\n")
    script.chmod(0o700)
    advised = expert.Expert(str(script), tmp_path / "x.db")
    assert advised.advise("SELECT 1").silent == "SQLite's expert can't judge it: code 7"


def test_a_schema_without_statistics_is_copied_as_well() -> None:
    driver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
    with expert_on(driver) as advised:
        assert advised.advise("SELECT 1") == Advice()
    driver.close()
