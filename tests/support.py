"""Helpers of the tests that are no fixtures: child processes, above all.

The test process never opens a pool's database file itself: closing any other descriptor of the
file drops the POSIX locks SQLite holds on it, and acknowledged commits can vanish. Whoever wants
to see what is in the file asks a child.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from trio_sqlrepo.testing import read_in_child

__all__ = ["CHILD_TIMEOUT", "PACKAGE", "ROOT", "read_in_child", "run_child"]

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "trio_sqlrepo"

CHILD_TIMEOUT: Final = 60.0  # seconds; a child that takes this long hangs


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
