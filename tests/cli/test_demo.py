"""The demo as a newcomer meets it: from the command line, on a real file."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support import CHILD_TIMEOUT, ROOT, read_in_child, run_child
from trio_sqlrepo import open_database
from trio_sqlrepo.cli.demo.chat import MIGRATIONS, Chat
from trio_sqlrepo.cli.demo.load import Load
from trio_sqlrepo.cli.demo.witness import Findings, ask_witness


def run_demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_child("-m", "trio_sqlrepo", "demo", *arguments, cwd=cwd)


@contextmanager
def running_demo(cwd: Path, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "trio_sqlrepo", "demo", "--seconds", "600", "--users", "5"],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "TERM": "xterm"},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def rows_of(text: str) -> list[str]:
    return [" ".join(line.strip("┃│ ").split()) for line in text.splitlines()]


def check_good_end(rows: list[str]) -> None:
    assert "lock errors 0" in rows
    assert "rooms all know how many threads they have" in rows
    assert any(row.startswith("PRAGMA integrity_check ok (SQLite 3.") for row in rows)
    for name in ("page history", "post message", "move thread", "all reads", "all writes"):
        (row,) = (row for row in rows if row.startswith(name))
        assert row.endswith(" 0")


def read_until_it_works(child: subprocess.Popen[bytes]) -> None:
    """Read its lines up to one that tells of reads and writes."""
    assert child.stdout is not None
    working = re.compile(rb"\| +[1-9]\S* reads/s.*\| +[1-9]\S* writes/s")
    while not working.search(line := child.stdout.readline()):
        assert line, "it ended"


def test_it_runs_and_may_run_again_on_its_file(tmp_path: Path) -> None:
    for _ in range(2):
        child = run_demo("--seconds", "0.7", "--users", "10", cwd=tmp_path)
        assert (child.returncode, child.stderr) == (0, "")
        rows = rows_of(child.stdout)
        assert rows[0] == "A chat service on demo.db: 10 users for 0.7 s, as fast as it answers."
        assert rows[1] == "Every write is on disk before it is answered."
        check_good_end(rows)
        # Closed properly: the log is in the file, and gone.
        assert names_in(tmp_path) == ["demo.db"]
    assert read_in_child(tmp_path / "demo.db", "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_table_so_far(tmp_path: Path, number: signal.Signals) -> None:
    with running_demo(tmp_path, subprocess.PIPE) as child:
        read_until_it_works(child)
        child.send_signal(number)
        out, err = child.communicate(timeout=CHILD_TIMEOUT)
    assert (child.returncode, err) == (0, b"")
    rows = rows_of(out.decode())
    check_good_end(rows)
    for name in ("all reads", "all writes"):
        (row,) = (row for row in rows if row.startswith(name))
        assert int(row.split("│")[1].replace(",", "")) > 0
    (title,) = (row for row in rows if row.startswith("5 users for "))
    assert float(title.split()[3]) < 600
    assert names_in(tmp_path) == ["demo.db"]


def test_in_a_terminal_it_is_live(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running_demo(tmp_path, theirs) as child, os.fdopen(ours, "rb", 0) as terminal:
        os.close(theirs)
        seen = b""
        while seen.count(b"Ctrl-C ends it") < 3:
            seen += terminal.read(65536)
        child.send_signal(signal.SIGINT)
        end = b""
        while b"integrity_check" not in end:
            end += terminal.read(65536)
        assert child.wait(CHILD_TIMEOUT) == 0
    assert b"writes per commit" in seen
    assert b"\x1b[?25l" in seen  # the cursor is hidden while it draws
    assert b"\x1b[?25h" in end  # and shown again


def test_when_nobody_reads_it_ends(tmp_path: Path) -> None:
    with running_demo(tmp_path, subprocess.PIPE) as child:
        read_until_it_works(child)
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait(CHILD_TIMEOUT) == 1
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert names_in(tmp_path) == ["demo.db"]


def test_the_file_of_another_is_left_alone(db_path: Path) -> None:
    connection = sqlite3.connect(db_path)
    connection.execute("CREATE TABLE account (balance)")
    connection.close()
    before = db_path.read_bytes()
    child = run_demo("--path", db_path.name, cwd=db_path.parent)
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr.startswith("trio-sqlrepo: test.db is a database, but not one made by this")
    assert child.stderr.count("\n") == 1
    assert db_path.read_bytes() == before
    assert names_in(db_path.parent) == ["test.db"]


# -- the witness -----------------------------------------------------------------------------


async def make_chat(path: Path) -> Load:
    async with open_database(path, repositories=[Chat], migrations=MIGRATIONS) as db:
        load = Load(Chat(db), retention=1, random=Random(1))
        for _ in range(3):
            await load._visit("ann")
        await db.execute("UPDATE room SET threads = 100 WHERE id < 3")
    return load


async def test_the_witness_says_what_is_in_the_file(db_path: Path) -> None:
    load = await make_chat(db_path)
    found: Any = await ask_witness(db_path, load.run)
    assert found == Findings(integrity="ok", messages=3, wrong_rooms=2, sqlite=found.sqlite)
    assert found.sqlite.startswith("3.")
    found = await ask_witness(db_path, load.run + 1)
    assert found.messages == 0


async def test_the_witness_tells_of_damage(db_path: Path) -> None:
    load = await make_chat(db_path)
    async with open_database(db_path) as db:
        # An index that says less than its table, and a table that breaks its own word.
        await db.execute("CREATE TABLE word (said CHECK (said > 0))")
    connection = sqlite3.connect(db_path)
    connection.execute("PRAGMA ignore_check_constraints = 1")
    connection.executemany("INSERT INTO word VALUES (?)", [(-n,) for n in range(9)])
    connection.commit()
    connection.close()
    found = await ask_witness(db_path, load.run)
    assert isinstance(found, Findings)
    assert found.integrity == "; ".join(["CHECK constraint failed in word"] * 5)


async def test_a_witness_that_cannot_speak_says_why(db_path: Path, tmp_path: Path) -> None:
    assert await ask_witness(db_path, 1) == f"{db_path} is gone"
    assert not db_path.exists()
    db_path.write_bytes(b"no database" * 100)
    found = await ask_witness(db_path, 1)
    assert isinstance(found, str)
    assert "Error: " in found
    assert str(db_path) in found


async def test_a_witness_that_dies_is_told(
    db_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexit 3\n")
    mute.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mute))
    assert await ask_witness(db_path, 1) == "the child process ended with 3"
