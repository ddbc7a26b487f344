"""A child process that opens one database after the other, as after a restart, and reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self, final

# One line of JSON for each line of JSON. The file is opened read-write: recovery is what is asked
# for. A table that is not there has no rows.
_CHILD: Final = """\
import json, sys
import apsw

for line in sys.stdin:
    path, sql = json.loads(line)
    try:
        connection = apsw.Connection(path)
        connection.set_busy_timeout(10_000)
        health = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        try:
            rows = connection.execute(sql).fetchall()
        except apsw.SQLError:
            rows = []
        connection.close()
        answer = {"health": health, "rows": rows}
    except apsw.Error as error:
        answer = {"health": [repr(error)], "rows": []}
    print(json.dumps(answer), flush=True)
"""


class Damaged(AssertionError):
    """A database that can't be read, or whose integrity check finds something."""


@final
class Recovery:
    """One child for many databases; starting a process for each takes most of a run's time."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()  # the end of its input is its end

    def rows(self, path: Path, sql: str) -> list[Any]:
        """Recover the database and give the rows of `sql`.

        Raises:
            Damaged: it is corrupt, with what SQLite says.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps([str(path), sql]), file=self._child.stdin, flush=True)
        answer = json.loads(self._child.stdout.readline())
        if answer["health"] != ["ok"]:
            message = f"{path}: {answer['health']}"
            raise Damaged(message)
        return [tuple(row) for row in answer["rows"]]
