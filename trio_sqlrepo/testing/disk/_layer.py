"""A VFS that lies over SQLite's default one and sees every call that goes through it.

`apsw.VFS` registers it, but its calls do not go through `apsw.VFSFile`, for three reasons, each
measured with apsw 3.54.1:

- There an error can only be an exception, and apsw raises that from the *statement*, whatever
  SQLite made of the error code. A sync that fails in the checkpoint after a COMMIT is no error to
  SQLite: the write is durable in the WAL and `execute` returns. Through a `VFSFile` the same
  `execute` raises IOError, for a row that is there. And what SQLite turns into another code
  (IOERR_NOMEM into NOMEM) keeps the exception's. A test would see errors that no disk can
  make, and would never see a connection go on after one that SQLite tolerates.
- `xShmMap` and `xShmLock` go from SQLite straight to the VFS beneath; a `VFSFile` has no such
  methods. `xFetch` does not exist there: its files have version 2 of the methods.
- It holds the interpreter lock during each read, write and sync of the VFS beneath.

So the methods here are ctypes callbacks that return codes. They take the interpreter lock, and let
go of it while the VFS beneath works. `xFetch` is there and maps nothing, so that with any
`mmap_size` every read is an `xRead`.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import apsw

from trio_sqlrepo._base.errors import InternalError
from trio_sqlrepo.testing.disk._abi import HEADER, IoMethods, SqliteFile, Vfs, vfs_address
from trio_sqlrepo.testing.disk._operations import FileKind, kind_of_flags

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from trio_sqlrepo.testing.disk._operations import Operation

_numbers: Final = itertools.count(1)
# What callbacks look things up in. One dictionary operation at a time, so the interpreter lock
# guards them.
_layers: Final[dict[int, Layer]] = {}  # by the address of their `sqlite3_vfs`
_files: Final[dict[int, File]] = {}  # by the address of their `sqlite3_file`; open ones
# A connection to ":memory:" points at its VFS and opens no file of it, so nobody can say when the
# last one has gone. The few hundred bytes of each VFS stay until the process ends.
_kept: Final[list[apsw.VFS]] = []


class File:
    """One open file. Its methods give SQLite's result codes; these hand on to the VFS beneath.

    Used on the thread of the connection that opened it. Addresses are integers.
    """

    def __init__(self, layer: Layer, address: int, path: str | None, flags: int) -> None:
        self.layer = layer
        self.path = path  # None for a temporary file that SQLite gave no name
        self.kind = kind_of_flags(flags)
        self._address = address + HEADER
        self._beneath = _methods_at(SqliteFile.from_address(self._address).pMethods)

    def close(self) -> int:
        return int(self._beneath.xClose(self._address))

    def read(self, buffer: int, amount: int, offset: int) -> int:
        return int(self._beneath.xRead(self._address, buffer, amount, offset))

    def write(self, buffer: int, amount: int, offset: int) -> int:
        return int(self._beneath.xWrite(self._address, buffer, amount, offset))

    def truncate(self, size: int) -> int:
        return int(self._beneath.xTruncate(self._address, size))

    def sync(self, flags: int) -> int:
        return int(self._beneath.xSync(self._address, flags))

    def file_size(self, size: int) -> int:
        return int(self._beneath.xFileSize(self._address, size))

    def lock(self, level: int) -> int:
        return int(self._beneath.xLock(self._address, level))

    def unlock(self, level: int) -> int:
        return int(self._beneath.xUnlock(self._address, level))

    def check_reserved_lock(self, found: int) -> int:
        return int(self._beneath.xCheckReservedLock(self._address, found))

    def file_control(self, control: int, argument: int | None) -> int:
        return int(self._beneath.xFileControl(self._address, control, argument))

    def sector_size(self) -> int:
        return int(self._beneath.xSectorSize(self._address))

    def device_characteristics(self) -> int:
        return int(self._beneath.xDeviceCharacteristics(self._address))

    def shm_map(self, region: int, size: int, extend: int, found: int) -> int:
        return int(self._beneath.xShmMap(self._address, region, size, extend, found))

    def shm_lock(self, offset: int, count: int, flags: int) -> int:
        return int(self._beneath.xShmLock(self._address, offset, count, flags))

    def shm_barrier(self) -> None:
        self._beneath.xShmBarrier(self._address)

    def shm_unmap(self, delete: int) -> int:
        return int(self._beneath.xShmUnmap(self._address, delete))

    def fetch(self, _offset: int, _amount: int, found: int) -> int:
        ctypes.c_void_p.from_address(found).value = None  # "use xRead"
        return apsw.SQLITE_OK

    def unfetch(self, _offset: int, _page: int | None) -> int:
        return apsw.SQLITE_OK


class Layer:
    """A VFS under a name of its own, from its making until it is closed. A context manager.

    Any thread may use it. Files that are open when it is closed go on through it.
    """

    _file: ClassVar[type[File]]  # what it opens
    _prefix: ClassVar[str]

    def __init__(self) -> None:
        self.name: Final = f"{self._prefix}-{next(_numbers)}"
        # Guards the counts and whatever a kind of disk decides by. Nothing beneath calls back, so
        # it may be held during I/O there.
        self._lock = threading.Lock()
        self._counts: Counter[tuple[Operation, FileKind]] = Counter()
        self._bugs: list[BaseException] = []  # what callbacks raised
        self._open_files = 0  # under `_lock`
        self._closed = False  # under `_lock`
        self._vfs = apsw.VFS(self.name, "", maxpathname=0)
        self._address = vfs_address(self.name)
        self._base_address = vfs_address(None)
        self._base = Vfs.from_address(self._base_address)
        _layers[self._address] = self
        _kept.append(self._vfs)
        structure = Vfs.from_address(self._address)
        structure.szOsFile = HEADER + self._base.szOsFile
        structure.xOpen = _OPEN
        structure.xDelete = _DELETE

    def __repr__(self) -> str:
        with self._lock:
            state = "closed" if self._closed else "open"
            return f"<{type(self).__name__} {self.name} {state}, {self._open_files} open files>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def open_files(self) -> int:
        """How many files SQLite has open through it."""
        with self._lock:
            return self._open_files

    def count(self, operation: Operation | None = None, kind: FileKind | None = None) -> int:
        """How many operations SQLite has asked for; None counts every operation, or file.

        Those that were made to fail count too.
        """
        with self._lock:
            return sum(
                times
                for (one, of), times in self._counts.items()
                if operation in {None, one} and kind in {None, of}
            )

    def close(self) -> None:
        """Take the name back. A second call does nothing.

        Raises:
            InternalError: a method of this VFS has raised; SQLite was told SQLITE_INTERNAL.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            unused = not self._open_files
        self._vfs.unregister()
        if unused:
            del _layers[self._address]
        if self._bugs:
            message = f"{self.name}: a method of this VFS raised {self._bugs[0]!r}."
            raise InternalError(message) from self._bugs[0]

    # -- called back by SQLite -----------------------------------------------------------------

    def _open(
        self, name: int | None, path: str | None, address: int, flags: int, found: int | None
    ) -> int:
        code = int(self._base.xOpen(self._base_address, name, address + HEADER, flags, found))
        if code == apsw.SQLITE_OK:
            _files[address] = self._file(self, address, path, flags)
            SqliteFile.from_address(address).pMethods = ctypes.addressof(_IO_METHODS)
            with self._lock:
                self._open_files += 1
        return code

    def _delete(self, name: int, _path: str, sync_directory: int) -> int:
        return int(self._base.xDelete(self._base_address, name, sync_directory))

    def _forget(self, address: int) -> None:
        """Let go of a file that is closed."""
        del _files[address]
        with self._lock:
            self._open_files -= 1
            last = self._closed and not self._open_files
        if last:
            del _layers[self._address]

    def _report(self, error: BaseException) -> int:
        """Keep what a callback raised: SQLite is told a code, `close` raises it."""
        self._bugs.append(error)
        return apsw.SQLITE_INTERNAL


def open_file(address: int) -> File:
    """Give the file whose `sqlite3_file` lies there."""
    return _files[address]


# -- callbacks: one set for the process, told apart by addresses ---------------------------------


def _text(name: int | None) -> str | None:
    return None if name is None else os.fsdecode(ctypes.string_at(name))


def _on_open(vfs: int, name: int | None, file: int, flags: int, found: int | None) -> int:
    # Without methods SQLite does not close what could not be opened.
    SqliteFile.from_address(file).pMethods = None
    layer = _layers.get(vfs)
    if layer is None:  # closed, but a connection to ":memory:" goes on
        return apsw.SQLITE_CANTOPEN
    try:
        return layer._open(name, _text(name), file, flags, found)
    except BaseException as error:  # noqa: BLE001  # kept, and raised by `close`
        return layer._report(error)


def _on_delete(vfs: int, name: int, sync_directory: int) -> int:
    layer = _layers[vfs]  # SQLite deletes a file beside one that is open
    try:
        return layer._delete(name, str(_text(name)), sync_directory)
    except BaseException as error:  # noqa: BLE001  # as above
        return layer._report(error)


def _on_close(address: int) -> int:
    file = _files[address]
    try:
        return file.close()
    except BaseException as error:  # noqa: BLE001  # as above
        return file.layer._report(error)
    finally:
        file.layer._forget(address)


def _callback(name: str) -> Callable[..., int]:
    def call(address: int, *arguments: Any) -> int:
        file = _files[address]
        try:
            code: int = getattr(file, name)(*arguments)
        except BaseException as error:  # noqa: BLE001  # as above
            return file.layer._report(error)
        return code

    return call


def _make_io_methods() -> IoMethods:
    named = {
        "xRead": "read", "xWrite": "write", "xTruncate": "truncate", "xSync": "sync",
        "xFileSize": "file_size", "xLock": "lock", "xUnlock": "unlock",
        "xCheckReservedLock": "check_reserved_lock", "xFileControl": "file_control",
        "xSectorSize": "sector_size", "xDeviceCharacteristics": "device_characteristics",
        "xShmMap": "shm_map", "xShmLock": "shm_lock", "xShmBarrier": "shm_barrier",
        "xShmUnmap": "shm_unmap", "xFetch": "fetch", "xUnfetch": "unfetch",
    }  # fmt: skip
    calls: dict[str, Callable[..., int]] = {x: _callback(name) for x, name in named.items()}
    calls["xClose"] = _on_close
    types = dict(IoMethods._fields_)
    return IoMethods(iVersion=3, **{x: types[x](call) for x, call in calls.items()})


_methods: Final[dict[int, SimpleNamespace]] = {}


def _methods_at(address: int) -> SimpleNamespace:
    """Give the methods of a VFS beneath; reading each from its structure again takes longer."""
    methods = _methods.get(address)
    if methods is None:
        structure = IoMethods.from_address(address)
        names = [name for name, _ in IoMethods._fields_]
        methods = SimpleNamespace(**{name: getattr(structure, name) for name in names})
        _methods[address] = methods
    return methods


_VFS_TYPES: Final[dict[str, Any]] = dict(Vfs._fields_)
_OPEN: Final = _VFS_TYPES["xOpen"](_on_open)
_DELETE: Final = _VFS_TYPES["xDelete"](_on_delete)
_IO_METHODS: Final = _make_io_methods()
