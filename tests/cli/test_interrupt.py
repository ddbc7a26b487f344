"""Ctrl-C while SQLite works: it ends the command, in the middle of a statement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import NoReturn

import pytest

from tests.cli.apps import App
from tests.support import CHILD_TIMEOUT, ROOT, read_in_child, run_child
from trio_sqlrepo import OpenError
from trio_sqlrepo.cli.interrupt import ctrl_c_calls

ENDLESS = """
    CREATE TABLE c AS
    WITH RECURSIVE n (x) AS (SELECT started() UNION ALL SELECT x FROM n) SELECT count(*) FROM n
"""
# Told when the function has returned, from when on the main thread runs no Python any more.
TELLING = """
import sys, threading, time
from trio_sqlrepo import SqlFunction, SQLiteConfig
def frames():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back
def tell():
    while started.__code__ in frames():
        time.sleep(0.001)
    print("started", flush=True)
def started():
    threading.Thread(target=tell, daemon=True).start()
SQLITE = SQLiteConfig(functions={"started": SqlFunction(call=started)})
"""


@pytest.mark.parametrize(
    "command",
    [
        "migrate app.db migrations --dry-run",
        "migrate new.db migrations --dry-run",
        "check chat --migrations migrations",
        "explain chat:Messages.get --migrations migrations",
    ],
)
def test_ctrl_c_ends_a_command_in_the_middle_of_a_statement(app: App, command: str) -> None:
    make = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('CREATE TABLE other (x)')"
    assert run_child("-c", make, app.folder / "app.db").returncode == 0
    app.write("migrations/0001_endless.sql", ENDLESS)
    app.write("telling.py", TELLING)
    with subprocess.Popen(
        [sys.executable, "-m", "trio_sqlrepo", *command.split(), "--sqlite", "telling:SQLITE"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=app.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "started\n"
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=CHILD_TIMEOUT)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (130, "", "trio-sqlrepo: interrupted.\n")
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    assert read_in_child(app.folder / "app.db", tables) == [("other",)]
    assert not (app.folder / "new.db").exists()


def test_ctrl_c_ends_stats_while_a_large_file_is_read(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the main thread               another
    # waits for                     reads the file, in SQLite
    # hears Ctrl-C, and ends
    #                               reads on
    ended, readers = threading.Event(), []

    def read(*_: object, **__: object) -> NoReturn:
        readers.append(threading.current_thread())
        signal.raise_signal(signal.SIGINT)
        assert ended.wait(CHILD_TIMEOUT)
        raise OpenError("Nobody hears this.")

    monkeypatch.setattr("trio_sqlrepo.cli.stats.page_usage", read)
    assert app.run("stats", "chat.py") == (130, "", "trio-sqlrepo: interrupted.\n")
    ended.set()
    assert readers != [threading.main_thread()]


def test_another_signal_does_not_make_it_deaf() -> None:
    called = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with ctrl_c_calls(called.set):
            signal.raise_signal(signal.SIGUSR1)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert called.wait(CHILD_TIMEOUT)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.set_wakeup_fd(-1) == -1  # as it was
