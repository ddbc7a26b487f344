"""`trio-sqlrepo backup`: a copy of a file that another process serves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio
from rich.console import Console

from tests.notes import Notes, open_notes
from tests.support import read_in_child, run_child
from trio_sqlrepo import BackupProgress, open_database
from trio_sqlrepo.cli import backup as command
from trio_sqlrepo.cli import main


async def test_a_database_that_is_served_is_copied(db_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with open_notes(db_path) as db:
        await Notes(db).put("box", "before")
        child = await trio.to_thread.run_sync(
            lambda: run_child("-m", "trio_sqlrepo", "backup", db_path, copy)
        )
        await Notes(db).put("box", "after")
        assert await Notes(db).bodies() == ["before", "after"]
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith(f"{copy}: ")
    assert child.stdout.endswith(f" pages, {copy.stat().st_size:,} bytes, verified.\n")
    assert read_in_child(copy, "SELECT body FROM note") == [("before",)]


@pytest.fixture
def database(db_path: Path) -> Path:
    """One that nobody serves."""

    async def make() -> None:
        async with open_database(db_path, migrations=["CREATE TABLE t (x)"]):
            pass

    trio.run(make)
    return db_path


def test_an_existing_file_is_replaced_only_on_demand(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    assert main(["backup", str(database), str(copy)]) == 2
    assert capsys.readouterr().err == (
        f"trio-sqlrepo: {copy} exists already; give another name, or --overwrite.\n"
    )
    assert copy.read_text() == "precious"
    assert main(["backup", str(database), str(copy), "--overwrite"]) == 0
    assert read_in_child(copy, "SELECT * FROM t") == []


def test_what_cannot_be_copied_is_a_sentence(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(source: Path, target: Path, *options: str) -> tuple[int, str]:
        code = main(["backup", str(source), str(target), *options])
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("trio-sqlrepo: ")
        return code, err

    copy = tmp_path / "copy.db"
    code, said = refusal(tmp_path / "missing.db", copy)
    assert (code, "is no file; there is nothing to copy" in said) == (2, True)
    assert not (tmp_path / "missing.db").exists()
    code, said = refusal(database, tmp_path / "no" / "copy.db")
    assert (code, "there is no directory" in said) == (2, True)
    code, said = refusal(database, Path(":memory:"))
    assert (code, "':memory:' is no file name." in said) == (2, True)
    code, said = refusal(database, database, "--overwrite")
    assert (code, "would be the database itself; give another name" in said) == (2, True)
    assert main(["backup", str(database), str(copy)]) == 0
    capsys.readouterr()
    # The copy is in no application's journal mode, and stays in it.
    code, said = refusal(copy, tmp_path / "again.db")
    assert (code, "is in journal mode delete" in said) == (2, True)
    assert not (tmp_path / "again.db").exists()
    assert copy.read_bytes()[18:20] == b"\1\1"


def test_a_copy_that_is_not_sound_is_found_to_be_broken(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make = """if True:
        import apsw, sys
        connection = apsw.Connection(sys.argv[1])
        connection.execute("INSERT INTO t VALUES (1); CREATE INDEX i ON t (x)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'i'")  # its page is nobody's
    """
    assert run_child("-c", make, database).returncode == 0
    copy = tmp_path / "copy.db"
    assert main(["backup", str(database), str(copy)]) == 1
    assert f"The backup {copy} is damaged;" in capsys.readouterr().err
    assert not copy.exists()


def test_ctrl_c_is_no_traceback(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trio, "run", interrupted)
    assert main(["backup", str(database), "x.db"]) == 130
    assert capsys.readouterr().err == "trio-sqlrepo: interrupted.\n"


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def console(*, stderr: bool) -> Console:
        assert stderr
        return Console(file=screen, force_terminal=True, width=60)

    monkeypatch.setattr(command, "Console", console)
    with command._bar() as show:
        show(BackupProgress(stage="copying", pages_done=1, pages_total=4))
        show(BackupProgress(stage="verifying", pages_done=4, pages_total=4))
    assert "copying" in screen.getvalue()
    assert " 25%" in screen.getvalue()
    assert "verifying" in screen.getvalue()
