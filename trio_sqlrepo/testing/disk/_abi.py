"""SQLite's C interface to files, as ctypes sees it (https://sqlite.org/c3ref/io_methods.html).

The layouts are part of SQLite's stable interface: members are only ever added at the end, and
`iVersion` says how many there are.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import apsw

_INT: Final = ctypes.c_int
_INT64: Final = ctypes.c_int64
# Addresses pass as plain integers, or None for NULL.
_POINTER: Final = ctypes.c_void_p


def _function(*arguments: Any, result: Any = _INT) -> Any:
    # Calls made through these let go of the interpreter lock; calls that arrive take it.
    return ctypes.CFUNCTYPE(result, *arguments)


class IoMethods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3. The first argument of each is the open file."""

    _fields_ = (
        ("iVersion", _INT),
        ("xClose", _function(_POINTER)),
        ("xRead", _function(_POINTER, _POINTER, _INT, _INT64)),
        ("xWrite", _function(_POINTER, _POINTER, _INT, _INT64)),
        ("xTruncate", _function(_POINTER, _INT64)),
        ("xSync", _function(_POINTER, _INT)),
        ("xFileSize", _function(_POINTER, _POINTER)),
        ("xLock", _function(_POINTER, _INT)),
        ("xUnlock", _function(_POINTER, _INT)),
        ("xCheckReservedLock", _function(_POINTER, _POINTER)),
        ("xFileControl", _function(_POINTER, _INT, _POINTER)),
        ("xSectorSize", _function(_POINTER)),
        ("xDeviceCharacteristics", _function(_POINTER)),
        ("xShmMap", _function(_POINTER, _INT, _INT, _INT, _POINTER)),
        ("xShmLock", _function(_POINTER, _INT, _INT, _INT)),
        ("xShmBarrier", _function(_POINTER, result=None)),
        ("xShmUnmap", _function(_POINTER, _INT)),
        ("xFetch", _function(_POINTER, _INT64, _INT, _POINTER)),
        ("xUnfetch", _function(_POINTER, _INT64, _POINTER)),
    )


class Vfs(ctypes.Structure):
    """`sqlite3_vfs`, as far as it is read or changed here."""

    _fields_ = (
        ("iVersion", _INT),
        ("szOsFile", _INT),
        ("mxPathname", _INT),
        ("pNext", _POINTER),
        ("zName", _POINTER),
        ("pAppData", _POINTER),
        ("xOpen", _function(_POINTER, _POINTER, _POINTER, _INT, _POINTER)),
        ("xDelete", _function(_POINTER, _POINTER, _INT)),
    )


class SqliteFile(ctypes.Structure):
    """`sqlite3_file`: what a VFS opens begins with the address of its methods."""

    _fields_ = (("pMethods", _POINTER),)


# Behind our `SqliteFile` lies the one of the VFS beneath, aligned for anything.
HEADER: Final = 16


def vfs_address(name: str | None) -> int:
    """Where the `sqlite3_vfs` of this name lies; None is SQLite's default one."""
    found = ctypes.c_void_p()
    connection = apsw.Connection(":memory:", vfs=name)
    try:
        connection.file_control("main", apsw.SQLITE_FCNTL_VFS_POINTER, ctypes.addressof(found))
    finally:
        connection.close()
    assert found.value is not None
    return found.value
