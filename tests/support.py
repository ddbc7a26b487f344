"""Helpers of the tests that are no fixtures: child processes, above all.

The test process never opens a pool's database file itself: closing any other descriptor of the
file drops the POSIX locks SQLite holds on it, and acknowledged commits can vanish. Whoever wants
to see what is in the file asks a child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "trio_sqlrepo"

CHILD_TIMEOUT: Final = 60.0  # seconds; a child that takes this long hangs

# The reader leaves the directory as it was. Where there is a WAL it opens read-only: a read-write
# connection that closes last would checkpoint the WAL and delete it. Where there is none it opens
# read-write: a read-only connection would leave an empty one behind. Rows cross as JSON, which has
# no bytes: {"blob": hex} stands for them.
_READER: Final = """\
import json, os, sys
import apsw

path, sql, bindings = json.loads(sys.stdin.read())
has_wal = os.path.exists(path + "-wal")
flags = apsw.SQLITE_OPEN_READONLY if has_wal else apsw.SQLITE_OPEN_READWRITE
connection = apsw.Connection(path, flags=flags)
connection.set_busy_timeout(10_000)
rows = connection.execute(sql, bindings).fetchall()
connection.close()
json.dump(rows, sys.stdout, default=lambda value: {"blob": value.hex()})
"""


def run_child(
    *arguments: str | Path,
    stdin: str = "",
    cwd: Path | None = None,
    timeout: float = CHILD_TIMEOUT,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with `arguments` (`"-c", source` or a script) and wait for its end.

    Blocks the calling thread: inside a trio test nothing else of the loop runs meanwhile. `env`
    adds to the environment, in which this checkout is importable from anywhere. A child that
    outlives `timeout` seconds is killed, and `subprocess.TimeoutExpired` carries what it had
    printed.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": path, **(env or {})},
        check=False,
    )


def read_in_child(
    path: Path | str, sql: str, *bindings: str | float | None
) -> list[tuple[Any, ...]]:
    """The rows of `sql` on the database at `path`, read by a child process.

    An error in the child, whatever it is, fails the test with the child's traceback.
    """
    request = json.dumps([os.fspath(path), sql, bindings])
    child = run_child("-c", _READER, stdin=request)
    if child.returncode:
        message = f"the child that reads {path} failed:\n{child.stderr}"
        raise AssertionError(message)
    return [tuple(map(_from_json, row)) for row in json.loads(child.stdout)]


def _from_json(value: Any) -> Any:
    return bytes.fromhex(value["blob"]) if isinstance(value, dict) else value
