"""The command line: options, exit codes, and one sentence for what cannot be done."""

from __future__ import annotations

import builtins
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import typer

from tests.support import run_child
from trio_sqlrepo import OpenError
from trio_sqlrepo.cli import main
from trio_sqlrepo.cli.app import app
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


def test_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "demo" in out
    assert "Example: trio-sqlrepo " in out
    assert main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--seconds", "--users", "--path"))


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [each.callback for each in app.registered_commands]
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


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in list(sys.modules):
        if name.startswith("trio_sqlrepo.cli."):
            monkeypatch.delitem(sys.modules, name)
    genuine = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing or name.startswith(f"{missing}."):
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
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
    assert child.stderr == "trio-sqlrepo: No such command 'wat'.\n"
