"""`ChildReader` and `read_in_child`: what is in a file, as another process sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notes import Notes, open_notes
from tests.support import run_child
from trio_sqlrepo import PoolConfig
from trio_sqlrepo.testing import ChildReader, _child, read_in_child


@pytest.fixture(scope="module")
def child_reader() -> Iterator[ChildReader]:
    with ChildReader() as reader:
        yield reader


async def test_it_sees_what_is_committed_and_nothing_else(
    db_path: Path, child_reader: ChildReader
) -> None:
    async with open_notes(db_path) as db:
        await Notes(db).put("b", "one")
        async with db.transaction() as tx:
            await Notes(tx).put("b", "two")
            assert child_reader.read(db_path, "SELECT body FROM note") == [("one",)]
        assert child_reader.read(db_path, "SELECT body FROM note") == [("one",), ("two",)]
    assert read_in_child(db_path, "SELECT count(*) FROM note") == [(2,)]


async def test_the_directory_is_left_as_it_was(db_path: Path, child_reader: ChildReader) -> None:
    """Were it to write back the WAL and delete it, what a test is about would be gone."""
    async with open_notes(db_path, pool=PoolConfig(max_readers=0)) as db:
        await Notes(db).put("b", "one")
        before = {path.name: path.stat().st_size for path in db_path.parent.iterdir()}
        assert len(before) == 3
        child_reader.read(db_path, "SELECT * FROM note")
        assert {path.name: path.stat().st_size for path in db_path.parent.iterdir()} == before
    child_reader.read(db_path, "SELECT * FROM note")
    assert list(db_path.parent.iterdir()) == [db_path]


def test_what_a_killed_process_has_left_stays(db_path: Path, child_reader: ChildReader) -> None:
    """A WAL that nobody has open: whoever closes it last would write it back and delete it."""
    program = (
        "import apsw, os, sys; c = apsw.Connection(sys.argv[1]);"
        " c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE t (x)');"
        " c.execute('INSERT INTO t VALUES (7)'); os._exit(0)"
    )
    assert run_child("-c", program, db_path).returncode == 0
    left = (db_path.parent / "test.db-wal").stat().st_size
    for _ in range(2):
        assert child_reader.read(db_path, "SELECT x FROM t") == [(7,)]
        assert (db_path.parent / "test.db-wal").stat().st_size == left


async def test_every_kind_of_value_crosses(db_path: Path, child_reader: ChildReader) -> None:
    values = (None, -(1 << 63), 0.1, math.inf, "snow ☃\n\0", b"\0\xff", "")
    async with open_notes(db_path):
        pass
    (row,) = child_reader.read(db_path, "SELECT ?, ?, ?, ?, ?, ?, ?", *values)
    assert row == values
    assert [type(value) for value in row] == [type(value) for value in values]


def test_what_is_no_value_is_refused(db_path: Path, child_reader: ChildReader) -> None:
    with pytest.raises(TypeError, match="not set"):
        child_reader.read(db_path, "SELECT ?", {1})  # type: ignore[arg-type]


async def test_an_error_comes_with_the_childs_traceback(
    db_path: Path, child_reader: ChildReader
) -> None:
    async with open_notes(db_path):
        pass
    with pytest.raises(AssertionError, match=r"(?s)Traceback.*no such table: nowhere"):
        child_reader.read(db_path, "SELECT * FROM nowhere")
    with pytest.raises(AssertionError, match="unable to open"):
        child_reader.read(db_path.with_name("nothing.db"), "SELECT 1")
    # It answers on.
    assert child_reader.read(db_path, "SELECT count(*) FROM note") == [(0,)]


def test_a_relative_path_is_relative_to_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child_reader: ChildReader
) -> None:
    """Also if this process has moved since the child was started."""
    (tmp_path / "empty.db").touch()
    monkeypatch.chdir(tmp_path)
    assert child_reader.read("empty.db", "SELECT count(*) FROM sqlite_schema") == [(0,)]


def test_one_that_has_ended_says_so(db_path: Path) -> None:
    with ChildReader() as reader:
        assert "running" in repr(reader)
    assert "ended with -9" in repr(reader)
    reader.close()
    with pytest.raises(AssertionError, match="make a new one"):
        reader.read(db_path, "SELECT 1")


def test_one_that_dies_says_so(db_path: Path) -> None:
    db_path.touch()
    with ChildReader() as reader:
        assert reader.read(db_path, "SELECT 1") == [(1,)]
        reader._process.kill()
        reader._process.wait()
        with pytest.raises(AssertionError, match=r"\(-9\)"):
            reader.read(db_path, "SELECT 1")


def test_one_that_ends_instead_of_answering_says_so(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_child, "_READER", "import sys; sys.stdin.readline(); sys.exit(3)")
    with ChildReader() as reader, pytest.raises(AssertionError, match="gave no answer"):
        reader.read(db_path, "SELECT 1")


def test_one_that_does_not_answer_is_killed(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "_PATIENCE", 0.01)
    db_path.touch()
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with ChildReader() as reader:
        with pytest.raises(AssertionError, match=r"it was killed.*\(-9\)"):
            reader.read(db_path, endless)
        assert "ended with -9" in repr(reader)
