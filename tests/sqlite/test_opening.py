"""Opening a connection, or a sentence why not; a file that can't be used stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from tests.sqlite.support import Holder, run_in, writes
from tests.support import PACKAGE, read_in_child
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role
from trio_sqlrepo._base.errors import (
    DatabaseCorrupt,
    DatabaseLocked,
    DiskFull,
    InternalError,
    OpenError,
)
from trio_sqlrepo._sqlite import opening
from trio_sqlrepo._sqlite.busy import BusyHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sqlite.support import Opener

CREATE = writes("CREATE TABLE t (a)")


def make_delete_mode(path: Path) -> None:
    """Make a database as SQLite does by default, in a child."""
    source = "import sys, apsw; apsw.Connection(sys.argv[1]).execute('CREATE TABLE t (a)')"
    subprocess.run([sys.executable, "-c", source, str(path)], check=True)


def as_it_was(path: Path) -> tuple[object, ...]:
    return (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))


# -- paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "plain.db",
        "file:memory?mode=memory&cache=shared",
        "a?mode=ro",
        "100%25.db",
        "#fragment",
        "ünï.db",
        " :memory: ",
        "a\nb",
        "'; DROP TABLE t; --",
    ],
)
def test_a_path_is_a_path(opened: Opener, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    driver = opened(Role.WRITER, path=str(path))
    run_in(driver, CREATE)
    assert path.is_file()
    assert driver.path == str(path)
    assert read_in_child(path, "SELECT name FROM sqlite_schema") == [("t",)]


def test_a_relative_path_is_taken_from_here(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    driver = opened(Role.WRITER, path="file:here.db")
    assert driver.path == str(tmp_path / "file:here.db")


def test_paths_that_are_no_files(opened: Opener, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    for name, says in {
        "": "is a directory",
        "missing/x.db": "there is no directory",
        "fifo": "is no regular file",
        "file/x.db": "can't be reached: Not a directory",
        "a\0b": "null character",
    }.items():
        with pytest.raises(OpenError, match=says):
            opened(Role.WRITER, path=f"{tmp_path}/{name}")


# -- files ---------------------------------------------------------------------------------


# Not a single byte: SQLite takes such a file for an empty one.
@pytest.mark.parametrize("size", [2, 16, 100, 511, 512, 4096, 10_000])
@pytest.mark.parametrize("role", [Role.WRITER, Role.READER])
def test_what_is_no_database_is_left_as_it_was(
    opened: Opener, db_path: Path, size: int, role: Role
) -> None:
    db_path.write_bytes(b"Dear diary, " * 1_000)
    os.truncate(db_path, size)
    before = as_it_was(db_path)
    with pytest.raises(OpenError, match="is no SQLite database"):
        opened(role)
    assert as_it_was(db_path) == before


def test_a_damaged_database_is_left_as_it_was(opened: Opener, db_path: Path) -> None:
    run_in(opened(Role.WRITER), CREATE)
    opened.close()
    with db_path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 200)
    before = as_it_was(db_path)
    with pytest.raises(DatabaseCorrupt, match="is damaged"):
        opened(Role.WRITER)
    assert as_it_was(db_path) == before


def test_an_empty_file_becomes_a_database(opened: Opener, db_path: Path) -> None:
    db_path.touch()
    run_in(opened(Role.WRITER), CREATE)
    assert read_in_child(db_path, "PRAGMA journal_mode") == [("wal",)]


def test_a_database_of_another_mode_is_switched(opened: Opener, db_path: Path) -> None:
    make_delete_mode(db_path)
    with pytest.raises(OpenError, match="stays 'delete'"):
        opened(Role.READER)
    driver = opened(Role.WRITER)
    assert driver.execute("PRAGMA journal_mode") == [("wal",)]


def test_a_reader_makes_no_file(opened: Opener, db_path: Path) -> None:
    with pytest.raises(OpenError, match="can't be opened for writing"):
        opened(Role.READER)
    assert not db_path.exists()


UNPRIVILEGED = """
import os, sys
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import OpenError
from trio_sqlrepo._sqlite import open_driver
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_driver(sys.argv[1], SQLiteConfig(), Role.WRITER)
except OpenError as error:
    print(error)
"""


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A file in a directory that all may enter, as pytest's are not, and only its owner change."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o555)
        yield path / "test.db"
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("mode", "says"), [(0o444, "may not be written to"), (0o666, "can't be opened for writing")]
)
def test_what_may_not_be_written_is_left_as_it_was(public_path: Path, mode: int, says: str) -> None:
    public_path.parent.chmod(0o755)
    make_delete_mode(public_path)
    public_path.chmod(mode)
    public_path.parent.chmod(0o555)
    before = as_it_was(public_path)
    # Unmeasured: it may not write down what it has covered.
    environment = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
    child = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(public_path)],
        env={**environment, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert says in child.stdout, child.stderr
    assert as_it_was(public_path) == before


def test_a_read_only_connection_is_refused(
    opened: Opener, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(opened(Role.WRITER), CREATE)

    def connect(path: str, *_: object, **__: object) -> apsw.Connection:
        return apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)

    monkeypatch.setattr(opening, "_connect", connect)
    with pytest.raises(OpenError, match="may not be written to"):
        opened(Role.WRITER)


# -- the switch to WAL ---------------------------------------------------------------------

RACER = """
import sys
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import open_driver
sys.stdin.readline()
driver = open_driver(sys.argv[1], SQLiteConfig(busy_timeout=30.0), Role.WRITER)
driver.begin_write()
driver.execute("CREATE TABLE IF NOT EXISTS t (a)")
driver.execute("INSERT INTO t VALUES (1)")
driver.commit()
driver.close()
"""


def test_several_processes_may_open_a_new_file_at_once(db_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(db_path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        )
        for _ in range(6)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert racer.returncode == 0, errors
    assert read_in_child(db_path, "SELECT count(*) FROM t") == [(6,)]


def test_the_switch_waits_for_others(opened: Opener, db_path: Path) -> None:
    make_delete_mode(db_path)
    with Holder(db_path) as holder:

        def give_up() -> bool:
            holder.let_go()
            return False

        opened(Role.WRITER, SQLiteConfig(busy_timeout=600.0), give_up=give_up)


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_the_switch_waits_no_longer_than_busy_timeout(
    opened: Opener, db_path: Path, begin: str
) -> None:
    make_delete_mode(db_path)
    with Holder(db_path, begin), pytest.raises(DatabaseLocked, match="another process"):
        opened(Role.WRITER)


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_the_switch_may_be_given_up(opened: Opener, db_path: Path, begin: str) -> None:
    make_delete_mode(db_path)
    with Holder(db_path, begin), pytest.raises(Interrupted):
        opened(Role.WRITER, SQLiteConfig(busy_timeout=600.0), give_up=lambda: True)


# -- memory --------------------------------------------------------------------------------


def test_a_vfs_by_name(opened: Opener, db_path: Path) -> None:
    config = SQLiteConfig(vfs="unix-excl")
    assert opened(Role.WRITER, config)._connection.open_vfs == "unix-excl"
    with pytest.raises(
        OpenError, match=r"vfs names 'none of these', which is not registered; .*unix"
    ):
        opened(Role.WRITER, SQLiteConfig(vfs="none of these"))


def test_a_database_in_memory(opened: Opener) -> None:
    config = SQLiteConfig(mmap_size=1 << 20)
    driver = opened(Role.SOLE, config, path=":memory:")
    run_in(driver, CREATE)
    assert driver.execute("PRAGMA journal_mode") == [("memory",)]
    driver.begin_read()
    driver.commit()
    driver.probe()
    assert driver.is_clean()


def test_a_database_in_memory_has_one_connection(opened: Opener) -> None:
    with pytest.raises(InternalError):
        opened(Role.READER, path=":memory:")


# -- versions and errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "refused"),
    [("3.40.1", True), ("3.51.2", True), ("3.51.3", False), ("3.53.0", False), ("4.0", False)],
)
def test_versions_with_the_wal_reset_bug_are_refused(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, db_path: Path, version: str, *, refused: bool
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    if refused:
        with pytest.raises(OpenError, match=rf"SQLite {version} can damage"):
            opened(Role.WRITER)
        assert not db_path.exists()
    else:
        opened(Role.WRITER)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (apsw.SQLITE_BUSY, DatabaseLocked, "locked"),
        (apsw.SQLITE_PROTOCOL, DatabaseLocked, "locked"),
        (apsw.SQLITE_CORRUPT, DatabaseCorrupt, "damaged"),
        (apsw.SQLITE_FULL, DiskFull, "full"),
        (apsw.SQLITE_CANTOPEN, OpenError, "SQLITE_CANTOPEN"),
        (apsw.SQLITE_READONLY, OpenError, "SQLITE_READONLY"),
        (apsw.SQLITE_IOERR_READ, OpenError, "SQLITE_IOERR_READ"),
    ],
)
def test_what_sqlite_says_becomes_a_sentence(code: int, kind: type[Exception], says: str) -> None:
    error = opening._unopened("x.db", apsw.exception_for(code), BusyHandler(0.0))
    assert type(error) is kind
    assert says in str(error)
    assert str(error).startswith("x.db")


def test_a_misuse_of_apsw_is_a_bug_of_ours() -> None:
    error = opening._unopened("x.db", apsw.BindingsError(), BusyHandler(0.0))
    assert isinstance(error, InternalError)
