"""What the tests of several guarantees need: queries without end, and a child that holds a lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from tests.notes import open_notes
from tests.support import CHILD_TIMEOUT, read_in_child, run_child
from trio_sqlrepo import PoolConfig, Repository, SqlFunction, query


class Endless(Repository):
    """Queries that run until they are interrupted; they say when they have begun.

    One that nobody interrupts ends by itself, after minutes: a failing test fails, it never hangs.
    """

    @query("WITH RECURSIVE e(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM e"
           " WHERE n < 1000000000) SELECT count(*) FROM e")  # fmt: skip
    async def read(self) -> int: ...

    @query("WITH RECURSIVE e(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM e"
           " WHERE n < 1000000000)"
           " INSERT INTO note (box, body) SELECT 'endless', n FROM e WHERE n < 4")  # fmt: skip
    async def write(self) -> None: ...


class Begun:
    """Counts the beginnings of endless queries."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return 1


def open_endless(
    path: Path,
    begun: Begun,
    *more: type[Repository],
    pool: PoolConfig | None = None,
    **more_of: Any,
) -> Any:
    functions = {"begun": SqlFunction(call=begun, arguments=0)}
    return open_notes(path, Endless, *more, pool=pool, functions=functions, **more_of)


async def read_file(path: Path, sql: str, *bindings: str | float | None) -> list[tuple[Any, ...]]:
    """What a child process finds in the file."""
    return await trio.to_thread.run_sync(lambda: read_in_child(path, sql, *bindings))


async def bodies_in(path: Path) -> list[str]:
    return [body for (body,) in await read_file(path, "SELECT body FROM note ORDER BY id")]


_LOCKER: Final = """\
import sys
import apsw

connection = apsw.Connection(sys.argv[1])
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""


@contextmanager
def write_lock_held(path: Path) -> Iterator[None]:
    """Have a child process hold the write lock, which it takes at once or not at all."""
    with _held(path, "BEGIN IMMEDIATE"):
        yield


@contextmanager
def view_held(path: Path) -> Iterator[None]:
    """Have a child process read, so that the WAL of this moment stays in use."""
    with _held(path, "BEGIN", "SELECT * FROM sqlite_schema"):
        yield


@contextmanager
def _held(path: Path, *statements: str) -> Iterator[None]:
    child = subprocess.Popen(
        [sys.executable, "-c", _LOCKER, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            assert child.stdout.readline() == "held\n"
            yield
        finally:
            child.stdin.close()
            child.wait(CHILD_TIMEOUT)


def run_script(source: str, *arguments: str | Path) -> str:
    """Run a program in a child, and give what it printed."""
    child = run_child("-c", source, *arguments)
    assert child.returncode == 0, child.stderr
    return child.stdout
