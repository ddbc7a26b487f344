"""What SQLite asks of a disk, and of which file."""

from __future__ import annotations

import enum
from typing import Final

import apsw


class Operation(enum.Enum):
    """One call of SQLite's to its VFS. The value is the name of the method."""

    OPEN = "xOpen"
    READ = "xRead"
    WRITE = "xWrite"
    TRUNCATE = "xTruncate"
    SYNC = "xSync"
    DELETE = "xDelete"
    LOCK = "xLock"
    FILE_SIZE = "xFileSize"
    FILE_CONTROL = "xFileControl"
    SHM_MAP = "xShmMap"
    SHM_LOCK = "xShmLock"

    def __repr__(self) -> str:
        return f"Operation.{self.name}"


class FileKind(enum.Enum):
    """What SQLite uses a file for. The shared memory of a WAL belongs to its DATABASE."""

    DATABASE = "database"
    WAL = "wal"
    JOURNAL = "journal"
    TEMPORARY = "temporary"

    def __repr__(self) -> str:
        return f"FileKind.{self.name}"


_JOURNALS: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


def kind_of_flags(flags: int) -> FileKind:
    """What a file is that SQLite opens with these flags."""
    if flags & apsw.SQLITE_OPEN_MAIN_DB:
        return FileKind.DATABASE
    if flags & apsw.SQLITE_OPEN_WAL:
        return FileKind.WAL
    return FileKind.JOURNAL if flags & _JOURNALS else FileKind.TEMPORARY


def kind_of_deleted(path: str) -> FileKind:
    """What a file is that SQLite deletes: it deletes WALs and journals alone."""
    return FileKind.WAL if path.endswith("-wal") else FileKind.JOURNAL
