"""The demo's options, checked; and a look at the file before anything opens it."""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import attrs

from trio_sqlrepo.cli.demo.chat import APPLICATION_ID
from trio_sqlrepo.cli.refusal import Refused

_MOST_USERS: Final = 10_000

# The SQLite file format, https://sqlite.org/fileformat2.html#the_database_header
_HEADER_SIZE: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_SCHEMA_COOKIE: Final = slice(40, 44)  # how often the schema has changed
_APPLICATION_ID: Final = slice(68, 72)

_READ_HEADER: Final = (
    f"import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read({_HEADER_SIZE}))"
)


@attrs.frozen(kw_only=True)
class Plan:
    """What to run.

    Attributes:
        seconds: how long the load lasts.
        users: how many chat at once.
        path: the database file.
    """

    seconds: float
    users: int
    path: Path

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not 0 < self.seconds < math.inf:
            raise Refused(f"--seconds must be a number above 0; it is {self.seconds:g}.")
        if not 1 <= self.users <= _MOST_USERS:
            raise Refused(f"--users must be a number from 1 to {_MOST_USERS}; it is {self.users}.")
        if str(self.path) == ":memory:":
            raise Refused("--path must be a file: the demo shows what a real disk costs.")

    @property
    def crowd(self) -> str:
        """How many users, in words."""
        return "1 user" if self.users == 1 else f"{self.users} users"

    @property
    def retention(self) -> float:
        """Seconds that a message is kept: short, so that a short demo prunes as well."""
        return min(5.0, self.seconds / 2)


def check_file(path: Path) -> None:
    """Refuse a path at which the demo cannot work, or that holds something else than its own.

    Raises:
        Refused: with one sentence; the file is as it was.
    """
    try:
        found = _status(path)
        if found is None:
            _check_writable(path.parent, f"{path} cannot be made", "its directory")
            return
        if stat.S_ISDIR(found.st_mode):
            raise Refused(f"{path} is a directory; give --path the name of a file.")
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"{path} is not a regular file; give another --path.")
        _check_writable(path, f"{path} cannot be written", "it")
        # SQLite keeps the write-ahead log beside the file.
        _check_writable(path.parent, f"{path} cannot be written", "its directory")
        if found.st_size:
            _check_content(path)
    except OSError as error:
        raise Refused(f"{path} cannot be used: {error.strerror or error}.") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Refused(
                f"{path} cannot be made: there is no directory {path.parent}; give another --path."
            ) from None
        return None


def _check_writable(path: Path, consequence: str, what: str) -> None:
    if not os.access(path, os.W_OK):
        raise Refused(f"{consequence}: {what} may not be written; give another --path.")


def _check_content(path: Path) -> None:
    header = _header(path)
    if not header.startswith(_MAGIC):
        raise Refused(f"{path} is no SQLite database; it was left as it is. Give another --path.")
    if int.from_bytes(header[_APPLICATION_ID], "big") == APPLICATION_ID:
        return
    # One that never had a table is nobody's, unless they are in the write-ahead log still.
    if any(header[_SCHEMA_COOKIE]) or Path(f"{path}-wal").exists():
        raise Refused(
            f"{path} is a database, but not one made by this demo; it was left as it is."
            " Give another --path."
        )


def _header(path: Path) -> bytes:
    # In a child: if this process held a connection to the file, closing another descriptor of it
    # would drop SQLite's locks (https://sqlite.org/howtocorrupt.html, 2.2).
    child = subprocess.run(  # noqa: S603  # our own interpreter, our own program
        [sys.executable, "-I", "-S", "-c", _READ_HEADER, str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if child.returncode:
        raise Refused(f"{path} cannot be read; give another --path.")
    return child.stdout
