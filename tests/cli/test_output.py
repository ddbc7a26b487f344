"""What the system refuses a command: a sentence and a code, never a traceback."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.cli.apps import App
from tests.support import run_child
from trio_sqlrepo.cli import main
from trio_sqlrepo.cli.output import fit_output

FULL = Path("/dev/full")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_output_is_none(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    monkeypatch.setattr(sys, closed, None)  # what `>&-` makes of it
    assert main(["--help"]) == 0
    assert main(["wat"]) == 2
    getattr(sys, closed).close()


@pytest.mark.parametrize("command", ["--help", "check chat", "check chat --json"])
@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_the_output_is_a_sentence(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(command.split()) == 1
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert said == (
        "trio-sqlrepo: The output cannot be written: No space left on device; make room, or print"
        " elsewhere.\n"
    )
    assert app.folder.exists()


def test_what_the_system_refuses_else_is_not_blamed_on_the_output(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", refuse)
    assert app.failure("check", "chat") == (
        "The system refused what the command needs: Too many open files; try again when it can."
    )


def test_a_reader_that_has_gone_is_no_error_to_tell_of(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["migrate", "no.db", "chat:MIGRATIONS", "--status"]) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == ""
    assert app.folder.exists()


def test_what_an_encoding_lacks_is_replaced(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert main(["check", "chat"]) == 0
    monkeypatch.undo()
    plain.seek(0)
    assert "id, room, body, stars ? Message" in plain.read()
    assert app.folder.exists()


def test_an_output_of_any_make_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # as contextlib.redirect_stdout puts there
    assert main(["--help"]) == 0


def test_the_output_is_the_callers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    assert main(["--help"]) == 0
    assert sys.stdout is before
    quiet = io.StringIO()
    with fit_output() as output:
        assert output.getvalue() == before.getvalue()
        monkeypatch.setattr(sys, "stdout", quiet)  # as typer does where nobody reads on
    assert sys.stdout is quiet


@pytest.mark.parametrize(
    "command",
    [
        "backup {} copy.db",
        "backup app.db {}",
        "migrate {} migrations",
        "migrate {} migrations --status",
        "migrate app.db {}",
        "stats app.db --svg {}",
        "check chat --migrations {}",
    ],
)
def test_a_path_that_may_not_be_looked_at_is_a_sentence(
    app: App, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A directory without `x`; who runs as root has none, so the look fails here."""
    app.write("app.db", "")
    app.write("migrations/0001_t.sql", "CREATE TABLE t (a)")
    genuine = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "hidden":
            raise PermissionError(13, "Permission denied", str(path))
        return genuine(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(Path, "is_file", lambda path: bool(path.stat()))
    monkeypatch.setattr(Path, "is_dir", lambda path: path.name != "app.db" and bool(path.stat()))
    monkeypatch.setattr(Path, "exists", lambda path: bool(path.stat()))
    said = app.refusal(*command.format("hidden").split())
    assert said == "hidden cannot be used: Permission denied; give another path."


def test_a_working_directory_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    source = "import os, sys; from trio_sqlrepo.cli import main; os.rmdir('.'); sys.exit(main())"
    here = tmp_path / "here"
    here.mkdir()
    child = run_child("-c", source.replace("'.'", repr(str(here))), "check", "chat", cwd=here)
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr == ("trio-sqlrepo: The working directory is gone; change to another one.\n")
