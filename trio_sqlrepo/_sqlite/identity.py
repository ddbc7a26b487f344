"""Whether the file that bears the path is still the one that was opened.

After a deletion or replacement SQLite goes on with the old file: commits succeed and are lost,
`SELECT 1` succeeds. `os.stat` tells, and unlike opening the file it is safe: closing any other
descriptor of a database drops SQLite's locks (https://sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
from typing import final

from trio_sqlrepo._base.errors import DatabaseReplaced


@final
class FileIdentity:
    """Device and inode of the database file and its WAL, as they were at opening."""

    __slots__ = ("_files",)

    def __init__(self, *paths: str) -> None:
        self._files = [(path, file_number(path)) for path in paths]

    def __repr__(self) -> str:
        return f"<FileIdentity {', '.join(path for path, _ in self._files)}>"

    @property
    def has_moved(self) -> bool:
        """Whether another file than the database that was opened bears its path, or none."""
        path, number = self._files[0]
        return file_number(path) != number

    @property
    def is_in_place(self) -> bool:
        """Whether both files still bear their names."""
        return all(number in {None, file_number(path)} for path, number in self._files)

    def leaves_wal(self) -> str | None:
        """Give the path of a WAL with content that belongs to a database no longer beside it.

        SQLite would take it for the WAL of the new file and apply it there.
        """
        path, number = self._files[1]
        if not self.has_moved or file_number(path) != number or number is None:
            return None
        return path if os.stat(path).st_size else None  # noqa: PTH116  # as below

    def check(self) -> None:
        """Compare. A few microseconds, no descriptor opened.

        Raises:
            DatabaseReplaced: a file is gone, or another one bears its name.
        """
        self._compare(self._files)

    def check_database(self) -> None:
        """Compare the database alone: its WAL goes with the last connection, comes with the next.

        Raises:
            DatabaseReplaced: as above.
        """
        self._compare(self._files[:1])

    @staticmethod
    def _compare(files: list[tuple[str, tuple[int, int] | None]]) -> None:
        for path, number in files:
            now = file_number(path)
            if now == number:
                continue
            found = "is gone" if now is None else "is another file than the one opened"
            raise DatabaseReplaced(
                f"{path} {found}. What was written may be lost; restore the file or open the"
                " database again."
            )


def file_number(path: str) -> tuple[int, int] | None:
    """Give device and inode of what bears the path; None if nothing does."""
    try:
        status = os.stat(path)  # noqa: PTH116  # half the time of Path.stat
    except OSError:
        return None
    return status.st_dev, status.st_ino
