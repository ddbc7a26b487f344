"""The command line. It needs typer and rich, which the library itself does not: `[cli]`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name (the process's own by default); give its exit code."""
    try:
        return _main(arguments)
    except KeyboardInterrupt:  # while modules are imported, or a message is printed
        print("trio-sqlrepo: interrupted.", file=sys.stderr)
        return 128 + signal.SIGINT


def _main(arguments: Sequence[str] | None) -> int:
    try:
        from trio_sqlrepo.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer"}:
            raise
        print(
            f"The command line needs {error.name}: pip install 'trio-sqlrepo[cli]'",
            file=sys.stderr,
        )
        return 2
    return run(arguments)
