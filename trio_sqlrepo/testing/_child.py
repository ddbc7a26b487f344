"""A child process that reads database files.

A process must not open a file that its own pool has open, other than through that pool: closing
any other descriptor of the file drops the POSIX locks SQLite holds on it, and acknowledged commits
can vanish (https://sqlite.org/howtocorrupt.html, 2.2). Whoever wants to see what is in the file
asks a child.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, final

if TYPE_CHECKING:
    from types import TracebackType

    from trio_sqlrepo._base.job import SqlValue

_PATIENCE: Final = 60.0  # seconds; an answer that takes so long will not come

# One request a line, one answer a line. The reader leaves the directory as it was. Where there is a
# WAL it opens read-only: a read-write connection that closes last would checkpoint the WAL and
# delete it. Where there is none it opens read-write: a read-only connection would leave an empty
# one behind. JSON has no bytes: {"blob": hex} stands for them.
_READER: Final = """\
import json, os, sys, traceback

def plain(value):
    return bytes.fromhex(value["blob"]) if isinstance(value, dict) else value

def read(path, sql, bindings):
    import apsw
    has_wal = os.path.exists(path + "-wal")
    flags = apsw.SQLITE_OPEN_READONLY if has_wal else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(path, flags=flags)
    try:
        connection.set_busy_timeout(10_000)
        return connection.execute(sql, tuple(map(plain, bindings))).fetchall()
    finally:
        connection.close()

for line in sys.stdin:
    try:
        answer = {"rows": read(*json.loads(line))}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer, default=lambda value: {"blob": value.hex()}), flush=True)
"""


@final
class ChildReader:
    """A child process that reads database files, one query after another, until it is closed.

    It opens the file anew for each query, so it holds no lock between two, and leaves the files
    beside it (`-wal`, `-shm`) as they were. Starting it takes as long as starting Python does, a
    query about a millisecond. Every method blocks its thread: in a trio task call
    `trio.to_thread.run_sync(reader.read, path, sql)` if other tasks must go on meanwhile.
    Not for use by two threads at once.
    """

    def __init__(self) -> None:
        """Start the child."""
        # `-P`: what lies in the working directory must not stand in for a module of Python's.
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter and the text above
            [sys.executable, "-P", "-c", _READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        self._heard = b""

    def __repr__(self) -> str:
        code = self._process.poll()
        state = "running" if code is None else f"ended with {code}"
        return f"<ChildReader, process {self._process.pid}, {state}>"

    def __enter__(self) -> Self:
        """Give itself; the block's end closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def read(
        self, path: str | os.PathLike[str], sql: str, *bindings: SqlValue
    ) -> list[tuple[Any, ...]]:
        """Give the rows of one statement on the database file at `path`.

        Args:
            path: the file. It must be there.
            sql: one statement; where the file has a WAL, one that only reads.
            bindings: a value for each `?` in it.

        Raises:
            AssertionError: the child met an error, whose traceback is in the message; or it ended,
                or did not answer within a minute and was killed.
        """
        request = json.dumps([os.path.abspath(path), sql, bindings], default=_blob)  # noqa: PTH100  # a link stays a link
        answer = json.loads(self._ask(path, request.encode() + b"\n"))
        if "error" in answer:
            message = f"The child that reads {os.fspath(path)} failed:\n{answer['error']}"
            raise AssertionError(message)
        return [tuple(map(_plain, row)) for row in answer["rows"]]

    def close(self) -> None:
        """End the child and wait for its end; a second call does nothing."""
        self._process.kill()  # it holds nothing between two queries
        with suppress(BrokenPipeError), self._process:  # a request that it never read
            pass

    def _ask(self, path: object, request: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        deadline = time.monotonic() + _PATIENCE
        more = b""
        try:
            stdin.write(request)
            stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(stdout, selectors.EVENT_READ)
                while b"\n" not in self._heard and selector.select(deadline - time.monotonic()):
                    more = os.read(stdout.fileno(), 1 << 16)
                    self._heard += more
                    if not more:
                        break
        except (OSError, ValueError):
            pass  # the pipe is broken, or closed: said below
        line, newline, self._heard = self._heard.partition(b"\n")
        if not newline:
            self._process.kill()
            code = self._process.wait()
            message = (
                f"The child that reads {path} gave no answer; it was killed, or had ended before"
                f" ({code}). A ChildReader can't be used after its end: make a new one."
            )
            raise AssertionError(message)
        return line


def read_in_child(
    path: str | os.PathLike[str], sql: str, *bindings: SqlValue
) -> list[tuple[Any, ...]]:
    """Give the rows of one statement on a database file, read by a child process.

    As `ChildReader.read`, with a child of its own. Blocks for as long as Python takes to start.
    """
    with ChildReader() as reader:
        return reader.read(path, sql, *bindings)


def _blob(value: object) -> object:
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    message = f"A ChildReader binds None, int, float, str and bytes, not {type(value).__name__}."
    raise TypeError(message)


def _plain(value: Any) -> Any:
    return bytes.fromhex(value["blob"]) if isinstance(value, dict) else value
