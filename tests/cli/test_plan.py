"""What the demo refuses to do, and that it leaves no trace then."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from trio_sqlrepo.cli.demo.chat import APPLICATION_ID
from trio_sqlrepo.cli.demo.plan import Plan, check_file
from trio_sqlrepo.cli.refusal import Refused


def plan(seconds: float = 1.0, users: int = 1, path: str = "demo.db") -> Plan:
    return Plan(seconds=seconds, users=users, path=Path(path))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_demo_has_an_end(seconds: float) -> None:
    sentence = rf"^--seconds must be a number above 0; it is {seconds:g}\.$"
    with pytest.raises(Refused, match=sentence):
        plan(seconds=seconds)


@pytest.mark.parametrize("users", [0, -1, 10_001])
def test_a_demo_has_users(users: int) -> None:
    sentence = rf"^--users must be a number from 1 to 10000; it is {users}\."
    with pytest.raises(Refused, match=sentence):
        plan(users=users)
    assert (plan(users=1).users, plan(users=10_000).users) == (1, 10_000)


def test_a_demo_has_a_file() -> None:
    with pytest.raises(Refused, match="--path must be a file"):
        plan(path=":memory:")


@pytest.mark.parametrize(("seconds", "retention"), [(1, 0.5), (10, 5.0), (3600, 5.0)])
def test_even_a_short_demo_prunes(seconds: float, retention: float) -> None:
    assert plan(seconds=seconds).retention == retention


def test_a_crowd_of_one() -> None:
    assert (plan(users=1).crowd, plan(users=2).crowd) == ("1 user", "2 users")


# -- the file --------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def refusal_of(path: Path) -> str:
    before = contents(path.parent) if path.parent.is_dir() else {}
    with pytest.raises(Refused) as caught:
        check_file(path)
    assert before == (contents(path.parent) if path.parent.is_dir() else {})
    return str(caught.value)


def make_database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_new_file_may_be_made(db_path: Path) -> None:
    check_file(db_path)
    assert not db_path.exists()


def test_an_empty_file_may_be_filled(db_path: Path) -> None:
    db_path.touch()
    check_file(db_path)


def test_a_database_of_the_demo_may_be_used_again(db_path: Path) -> None:
    make_database(db_path, f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE x (x)")
    check_file(db_path)


def test_a_database_that_never_had_a_table_may_be_used(db_path: Path) -> None:
    make_database(db_path, "PRAGMA user_version = 1")
    assert db_path.stat().st_size
    check_file(db_path)
    # The log beside it may hold one.
    db_path.with_name("test.db-wal").touch()
    assert "not one made by this demo" in refusal_of(db_path)


def test_the_database_of_another_is_left_alone(db_path: Path) -> None:
    make_database(db_path, "CREATE TABLE x (x)", "INSERT INTO x VALUES (1)")
    assert refusal_of(db_path) == (
        f"{db_path} is a database, but not one made by this demo; it was left as it is."
        " Give another --path."
    )


@pytest.mark.parametrize("content", [b"dear diary", b"SQLite format 3", b"\0" * 4096])
def test_what_is_no_database_is_left_alone(db_path: Path, content: bytes) -> None:
    db_path.write_bytes(content)
    assert refusal_of(db_path).startswith(f"{db_path} is no SQLite database; it was left as it is")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert refusal_of(tmp_path) == (f"{tmp_path} is a directory; give --path the name of a file.")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal_of(pipe) == f"{pipe} is not a regular file; give another --path."


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "demo.db"
    assert refusal_of(path) == (
        f"{path} cannot be made: there is no directory {path.parent}; give another --path."
    )
    assert not path.parent.exists()


def test_a_path_that_cannot_be_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "demo.db", tmp_path / ("x" * 300)):
        assert refusal_of(path).startswith(f"{path} cannot be used: ")
    assert refusal_of(tmp_path / "file" / "demo.db").endswith(": Not a directory.")


def test_what_may_not_be_written_is_left_alone(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = db_path.parent

    def access(path: Path, mode: int) -> bool:  # root may write everywhere
        return not (path == closed and mode == os.W_OK)

    monkeypatch.setattr(os, "access", access)
    reason = "its directory may not be written; give another --path."
    assert refusal_of(db_path) == f"{db_path} cannot be made: {reason}"
    db_path.touch()
    assert refusal_of(db_path) == f"{db_path} cannot be written: {reason}"
    closed = db_path
    assert refusal_of(db_path) == (
        f"{db_path} cannot be written: it may not be written; give another --path."
    )


def test_what_cannot_be_read_is_left_alone(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db_path.write_bytes(b"secret")
    monkeypatch.setattr("trio_sqlrepo.cli.demo.plan._READ_HEADER", "raise PermissionError")
    assert refusal_of(db_path) == f"{db_path} cannot be read; give another --path."
