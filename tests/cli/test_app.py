"""The command line: options, exit codes, and one sentence for what cannot be done."""

from __future__ import annotations

import builtins
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
import typer

from tests.cli.apps import App
from tests.support import CHILD_TIMEOUT, run_child
from trio_sqlrepo import OpenError
from trio_sqlrepo.cli import main
from trio_sqlrepo.cli.app import _with_help
from trio_sqlrepo.cli.app import app as command_line
from trio_sqlrepo.cli.demo import Plan


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("trio-sqlrepo: ")
    return err.removeprefix("trio-sqlrepo: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command: `demo`"),
        (["wat"], "No such command 'wat'"),
        (["--wat"], "No such option: --wat"),
        (["demo", "--wat"], "No such option: --wat"),
        (["demo", "extra"], "(extra). See `trio-sqlrepo demo --help`."),
        (["migrate"], "Missing argument 'database'. See `trio-sqlrepo migrate --help`."),
        (["demo", "extra"], "unexpected extra argument"),
        (["demo", "--seconds", "x"], "Invalid value for '--seconds'"),
        (["demo", "--seconds", "0"], "--seconds must be a number above 0; it is 0."),
        (["demo", "--seconds=-1"], "--seconds must be a number above 0; it is -1."),
        (["demo", "--users", "1.5"], "Invalid value for '--users'"),
        (["demo", "--users", "0"], "--users must be a number from 1 to 10000; it is 0."),
        (["demo", "--path"], "Option '--path' requires an argument"),
        (["demo", "--path", "/"], "/ is a directory; give --path the name of a file."),
        (["demo", "--path", ""], ". is a directory; give --path the name of a file."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("said", "shown"), [("That is wrong", "That is wrong."), ("Is it x?", "Is it x?")]
)
def test_a_mistake_of_the_call_is_told_with_the_help_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, shown: str
) -> None:
    def mistaken(_: Plan) -> NoReturn:
        raise typer.BadParameter(said)

    monkeypatch.setattr("trio_sqlrepo.cli.app.run_demo", mistaken)
    assert refusal(capsys, "demo") == f"Invalid value: {shown} See `trio-sqlrepo demo --help`.\n"
    assert _with_help(typer.BadParameter(said)) == f"Invalid value: {shown}"


def test_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "demo" in out
    assert "Example: trio-sqlrepo " in out
    assert main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--seconds", "--users", "--path"))


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [each.callback for each in command_line.registered_commands]
    names = [each.__name__ for each in commands if each is not None]
    assert {"check", "demo", "explain", "stats"} <= set(names)
    for name in names:
        assert main([name, "--help"]) == 0
        assert f"Example: trio-sqlrepo {name} " in capsys.readouterr().out


@pytest.mark.parametrize("raised", [KeyboardInterrupt, typer.Abort])
def test_ctrl_c_in_any_command_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: type[BaseException],
) -> None:
    def interrupt(_: Plan) -> None:
        raise raised

    monkeypatch.setattr("trio_sqlrepo.cli.app.run_demo", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "trio-sqlrepo: interrupted.\n"


def test_ctrl_c_while_modules_are_imported_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "typer", KeyboardInterrupt())
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "trio-sqlrepo: interrupted.\n"


def test_the_library_needs_neither_typer_nor_rich() -> None:
    source = (
        "import sys, trio_sqlrepo, trio_sqlrepo.testing;"
        " print(sorted({'rich', 'typer', 'click'} & set(sys.modules)))"
    )
    assert run_child("-c", source).stdout == "[]\n"


@pytest.mark.parametrize("code", [0, 1])
def test_the_options_reach_the_demo_and_its_code_comes_back(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    plans: list[Plan] = []

    def run_demo(plan: Plan) -> int:
        plans.append(plan)
        return code

    monkeypatch.setattr("trio_sqlrepo.cli.app.run_demo", run_demo)
    assert main(["demo"]) == code
    assert main(["demo", "--seconds", "2.5", "--users", "3", "--path", "x.db"]) == code
    monkeypatch.setattr(sys, "argv", ["trio-sqlrepo", "demo", "--users", "7"])
    assert main() == code
    assert plans == [
        Plan(seconds=10.0, users=50, path=Path("demo.db")),
        Plan(seconds=2.5, users=3, path=Path("x.db")),
        Plan(seconds=10.0, users=7, path=Path("demo.db")),
    ]


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    without(monkeypatch, missing)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        f"The command line needs {missing}: pip install 'trio-sqlrepo[cli]'\n"
    )


def test_another_missing_module_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "trio_sqlrepo.cli.demo.run")
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])


def without(
    monkeypatch: pytest.MonkeyPatch, missing: str, error: BaseException | None = None
) -> None:
    error = error or ModuleNotFoundError(f"No module named {missing!r}", name=missing)
    for name in list(sys.modules):
        if name.startswith("trio_sqlrepo.cli."):
            monkeypatch.delitem(sys.modules, name)
    genuine = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing or name.startswith(f"{missing}."):
            raise error
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_an_error_of_the_database_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], db_path: Path
) -> None:
    def run(*_: object) -> None:
        raise OpenError("It cannot be opened.")

    monkeypatch.setattr(trio, "run", run)
    assert main(["demo", "--path", str(db_path)]) == 1
    assert capsys.readouterr().err == "trio-sqlrepo: It cannot be opened.\n"


@pytest.mark.parametrize("command", ["stats", "migrate", "backup"])
def test_what_is_no_database_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    text, scripts = tmp_path / "text.db", tmp_path / "0001_a.sql"
    text.write_text("no database " * 100)
    scripts.write_text("CREATE TABLE a (x)")
    more = {"stats": (), "migrate": (str(tmp_path),), "backup": (str(tmp_path / "copy.db"),)}
    assert main([command, str(text), *more[command]]) == 1
    assert capsys.readouterr().err == (
        f"trio-sqlrepo: {text} is no SQLite database, or is encrypted. Correct the path; of an"
        " encrypted file give a decrypted copy.\n"
    )


def test_what_another_process_has_locked_is_told_with_what_to_do(app: App) -> None:
    app.write(
        "more.py", "from trio_sqlrepo import SQLiteConfig\nSQLITE = SQLiteConfig(busy_timeout=0)"
    )
    hold = (
        "import apsw, sys; c = apsw.Connection('app.db'); c.execute('CREATE TABLE t (x)');"
        "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=app.folder
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        told = app.failure("check", "chat", "--database", "app.db", "--sqlite", "more:SQLITE")
        child.communicate(timeout=CHILD_TIMEOUT)
    assert "another process has locked it for longer than" in told
    assert told.endswith(" Try again when the process that holds the lock has finished.")


def test_ctrl_c_outside_of_the_load_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], db_path: Path
) -> None:
    def run(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trio, "run", run)
    assert main(["demo", "--path", str(db_path)]) == 130
    assert capsys.readouterr().err == "trio-sqlrepo: interrupted.\n"


def test_the_package_is_a_command() -> None:
    importlib.import_module("trio_sqlrepo.__main__")  # as documentation tools do; runs nothing
    child = run_child("-m", "trio_sqlrepo", "wat")
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr == "trio-sqlrepo: No such command 'wat'. See `trio-sqlrepo --help`.\n"
