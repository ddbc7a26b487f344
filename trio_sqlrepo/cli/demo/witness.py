"""A process of its own that looks at the file when the demo has closed it.

What the demo's own process believes of its file proves little; this one has only the file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import attrs
import trio

import trio_sqlrepo
from trio_sqlrepo import SqlRepoError, open_database

_PACKAGES: Final = Path(trio_sqlrepo.__file__).parents[1]
_MOST_COMPLAINTS: Final = 5

_INTEGRITY: Final = "PRAGMA integrity_check"
_VERSION: Final = "SELECT sqlite_version()"
_MESSAGES: Final = "SELECT count(*) FROM message WHERE run = ?"
_WRONG_ROOMS: Final = (
    "SELECT count(*) FROM room"
    " WHERE threads <> (SELECT count(*) FROM thread WHERE thread.room = room.id)"
)


@attrs.frozen(kw_only=True)
class Findings:
    """What is in the file.

    Attributes:
        integrity: what `PRAGMA integrity_check` says: `ok`, or what is wrong.
        messages: how many of the run are there.
        wrong_rooms: how many rooms have another number of threads than they say.
        sqlite: the version that was asked.
    """

    integrity: str
    messages: int
    wrong_rooms: int
    sqlite: str


async def ask_witness(path: Path, run: int) -> Findings | str:
    """Have a child process look at the file; its findings, or why there is none."""
    # `-P`: what lies in the working directory must not stand in for a module of ours.
    command = [sys.executable, "-P", "-m", "trio_sqlrepo.cli.demo.witness", str(path), str(run)]
    search = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
    child = await trio.run_process(
        command,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    if child.returncode:
        lines = child.stderr.decode(errors="replace").splitlines()
        return lines[-1] if lines else f"the child process ended with {child.returncode}"
    return Findings(**json.loads(child.stdout))


async def _testify(path: str, run: int) -> dict[str, Any]:
    async with open_database(path) as db, db.snapshot() as snapshot:
        # Row by row what is wrong, or the one row "ok".
        complaints = [str(text) for (text,) in await snapshot.execute(_INTEGRITY)]
        return attrs.asdict(
            Findings(
                integrity="; ".join(complaints[:_MOST_COMPLAINTS]),
                messages=_whole(await snapshot.execute(_MESSAGES, (run,))),
                wrong_rooms=_whole(await snapshot.execute(_WRONG_ROOMS)),
                sqlite=str((await snapshot.execute(_VERSION))[0][0]),
            )
        )


def _whole(rows: list[tuple[Any, ...]]) -> int:
    return int(rows[0][0])


def main(path: str, run: str) -> int:
    """Print the findings as JSON."""
    if not Path(path).exists():  # opening it would make a new one
        print(f"{path} is gone", file=sys.stderr)
        return 1
    try:
        findings = trio.run(_testify, path, int(run))
    except SqlRepoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    json.dump(findings, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
