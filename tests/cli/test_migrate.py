"""`trio-sqlrepo migrate`: what is applied, what is pending, and what would fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from tests.support import read_in_child, run_child
from trio_sqlrepo import MigrationError
from trio_sqlrepo.cli import main

Run = Callable[..., tuple[int, str, str]]

MODULE = """\
from pathlib import Path
from trio_sqlrepo import Migration, MigrationSet, SQLiteConfig, SqlFunction

JOBS = MigrationSet("jobs", ["CREATE TABLE job (x)"])
ALL = [JOBS, Path("migrations")]
WITH_FUNCTION = ["CREATE TABLE t AS SELECT twice(21) AS x"]
CONFIG = SQLiteConfig(functions={"twice": SqlFunction(call=lambda x: 2 * x)})
class Holder:
    few = ["CREATE TABLE few (x)"]
WRONG = 5
TEXT = "migrations"
NOTHING = None
EMPTY = []
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with migrations and a module that names some."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_a.sql").write_text("CREATE TABLE a (x)")
    (tmp_path / "migrations" / "0002_b.sql").write_text("CREATE TABLE b (x)")
    (tmp_path / "empty").mkdir()
    (tmp_path / "schema_of_a_test.py").write_text(MODULE)
    (tmp_path / "broken_of_a_test.py").write_text("raise LookupError('here')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "schema_of_a_test", raising=False)
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    del here

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["migrate", "app.db", *arguments])
        return code, *capsys.readouterr()

    return run


def test_what_is_pending_is_applied_and_told(run: Run, here: Path) -> None:
    assert run("migrations") == (0, "applied 0001_a\napplied 0002_b\n", "")
    assert run("migrations") == (0, "Nothing to do: app.db has had all 2.\n", "")
    (here / "migrations" / "0003_c.py").write_text("def run(connection): pass")
    assert run("migrations") == (0, "applied 0003_c\n", "")
    assert len(read_in_child(here / "app.db", "SELECT * FROM _trio_sqlrepo_migration")) == 3


def test_the_status_of_a_missing_file_makes_none(run: Run, here: Path) -> None:
    code, out, _ = run("migrations", "--status")
    assert code == 0
    assert out.splitlines() == [
        "pending                      0001_a",
        "pending                      0002_b",
        "0 applied, 2 pending.",
    ]
    assert not (here / "app.db").exists()


def test_the_status_says_when_each_was_applied(run: Run, here: Path) -> None:
    run("migrations")
    (here / "migrations" / "0003_c.sql").write_text("CREATE TABLE c (x)")
    code, out, _ = run("migrations", "--status")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("applied 20")
    assert [line.split()[-1] for line in lines[:3]] == ["0001_a", "0002_b", "0003_c"]
    assert lines[2].startswith("pending")
    assert lines[3] == "2 applied, 1 pending."


@pytest.mark.parametrize("option", ["--status", "--dry-run"])
def test_a_file_is_looked_at_in_its_own_journal_mode(run: Run, here: Path, option: str) -> None:
    make = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('CREATE TABLE other (x)')"
    assert run_child("-c", make, here / "app.db").returncode == 0
    before = (here / "app.db").read_bytes()
    assert run("migrations", option)[0] == 0
    assert (here / "app.db").read_bytes() == before


def test_the_status_needs_no_permission_to_write(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs as root may always write: so what it opens is looked at."""
    run("migrations")
    opened: list[int] = []

    class Connection(apsw.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(self.open_flags)

    before = sorted(here.iterdir())
    monkeypatch.setattr(apsw, "Connection", Connection)
    assert run("migrations", "--status")[1].endswith("2 applied, 0 pending.\n")
    assert [flags & apsw.SQLITE_OPEN_READWRITE for flags in opened] == [0]
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("exists", [True, False])
def test_a_dry_run_finds_what_would_fail(run: Run, here: Path, exists: bool) -> None:
    if exists:
        run("migrations")
    (here / "migrations" / "0003_c.sql").write_text("CREATE TABLE c (x)")
    (here / "migrations" / "0004_d.sql").write_text("\n\nCREATE TABEL d (x)")
    code, out, err = run("migrations", "--dry-run")
    assert (code, out) == (1, "")
    assert "Migration 0004_d failed: Statement 1, line 3: " in err
    (here / "migrations" / "0004_d.sql").unlink()
    code, out, _ = run("migrations", "--dry-run")
    pending = ["0003_c"] if exists else ["0001_a", "0002_b", "0003_c"]
    assert (code, out.split("would apply ")) == (0, ["", *(f"{name}\n" for name in pending)])
    if exists:
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('b', 'c')"
        assert read_in_child(here / "app.db", tables) == [("b",)]
    else:
        assert not (here / "app.db").exists()


def test_a_dry_run_of_nothing_says_so(run: Run) -> None:
    run("migrations")
    assert run("migrations", "--dry-run")[1] == "Nothing to do: app.db has had all 2.\n"


def test_migrations_are_imported_from_the_working_directory(run: Run) -> None:
    assert run("schema_of_a_test:ALL")[1].split("applied ") == [
        "",
        "jobs/0001\n",
        "0001_a\n",
        "0002_b\n",
    ]
    assert run("schema_of_a_test:JOBS")[1] == "Nothing to do: app.db has had all 1.\n"


def test_a_name_may_lead_into_a_class(run: Run) -> None:
    assert run("schema_of_a_test:Holder.few")[1] == "applied 0001\n"


def test_a_config_brings_functions_along(run: Run, here: Path) -> None:
    code, _, err = run("schema_of_a_test:WITH_FUNCTION")
    assert (code, "no such function: twice" in err) == (1, True)
    config = ("--sqlite", "schema_of_a_test:CONFIG")
    assert run("schema_of_a_test:WITH_FUNCTION", *config)[0] == 0
    assert read_in_child(here / "app.db", "SELECT x FROM t") == [(42,)]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["migrations", "--status", "--dry-run"], 2, "Give --status or --dry-run, not both."),
        (["nowhere"], 2, "'nowhere' is neither a directory nor a name like yourapp.schema:MIGR"),
        ([":x"], 2, "':x' is no import path"),
        (["no_module_of_a_test:x"], 2, "There is no module 'no_module_of_a_test'"),
        (["broken_of_a_test:x"], 1, "broken_of_a_test cannot be used, it raises LookupError: here"),
        (["schema_of_a_test:NONE"], 2, "'schema_of_a_test:NONE' leads nowhere"),
        (["schema_of_a_test:Holder.no"], 2, "'schema_of_a_test:Holder.no' leads nowhere"),
        (["schema_of_a_test:WRONG"], 2, "migrations must be a directory"),
        (["schema_of_a_test:NOTHING"], 2, "'schema_of_a_test:NOTHING' names no migrations, it is"),
        (["schema_of_a_test:EMPTY"], 2, "names no migrations, it is None or empty; correct the"),
        (["empty"], 2, "The directory empty holds no NNNN_name.sql or NNNN_name.py file; give"),
        (["schema_of_a_test:TEXT"], 2, "migrations='migrations' is a bare str"),
        (["migrations", "--sqlite", "schema_of_a_test:ALL"], 2, "not a SQLiteConfig"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    run: Run, arguments: list[str], code: int, sentence: str
) -> None:
    ended, out, err = run(*arguments)
    assert (ended, out) == (code, "")
    assert err.startswith("trio-sqlrepo: ")
    assert sentence in err
    assert not Path("app.db").exists()


@pytest.mark.parametrize("option", [[], ["--status"], ["--dry-run"]])
@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ("migrations", "migrations is no regular file; give the name of a database."),
        ("no/x.db", "no/x.db can't be made: there is no directory no; make it, or correct the na"),
    ],
)
def test_what_can_be_no_database_is_promised_nothing(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    option: list[str],
    database: str,
    sentence: str,
) -> None:
    assert main(["migrate", database, str(here / "migrations"), *option]) == 2
    out, err = capsys.readouterr()
    assert (out, sentence in err) == ("", True)


def test_what_was_applied_before_one_that_fails_is_told(run: Run, here: Path) -> None:
    (here / "migrations" / "0003_c.sql").write_text("CREATE TABEL c (x)")
    code, out, err = run("migrations")
    assert (code, out) == (1, "applied 0001_a\napplied 0002_b\n")
    assert err.startswith("trio-sqlrepo: Migration 0003_c failed: ")
    code, out, _ = run("migrations")
    assert (code, out) == (1, "")


def test_a_database_that_is_broken_by_then_hides_no_error(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(*_: object) -> None:
        (here / "app.db").write_text("no database " * 100)
        raise MigrationError("The sentence.")

    monkeypatch.setattr(trio, "run", spoil)
    assert run("migrations") == (1, "", "trio-sqlrepo: The sentence.\n")


def test_a_script_of_python_that_ends_the_program_has_failed(run: Run, here: Path) -> None:
    (here / "migrations" / "0003_c.py").write_text("import sys\nsys.exit(4)")
    for option in ([], ["--dry-run"]):
        code, _, err = run("migrations", *option)
        assert code == 1
        assert err.startswith("trio-sqlrepo: Migration 0003_c failed: ")
        assert "0003_c.py, line 2: SystemExit raised." in err


def test_a_newer_database_is_refused(run: Run, here: Path) -> None:
    run("migrations")
    (here / "migrations" / "0002_b.sql").unlink()
    for option in ([], ["--status"], ["--dry-run"]):
        code, _, err = run("migrations", *option)
        assert code == 1
        assert "This database belongs to a newer version of the application" in err


def test_a_database_in_memory_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", ":memory:", str(here / "migrations")]) == 2
    assert "DATABASE must be a file" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trio, "run", interrupted)
    assert run("migrations") == (130, "", "trio-sqlrepo: interrupted.\n")
