"""A disk that fails when it is told to."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final, cast, final

import apsw

from trio_sqlrepo.testing.disk._layer import File, Layer
from trio_sqlrepo.testing.disk._operations import (
    FileKind,
    Operation,
    kind_of_deleted,
    kind_of_flags,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What SQLite's own VFS reports when the operation fails.
_CODES: Final = {
    Operation.OPEN: apsw.SQLITE_CANTOPEN,
    Operation.READ: apsw.SQLITE_IOERR_READ,
    Operation.WRITE: apsw.SQLITE_IOERR_WRITE,
    Operation.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Operation.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Operation.DELETE: apsw.SQLITE_IOERR_DELETE,
    Operation.LOCK: apsw.SQLITE_IOERR_LOCK,
    Operation.FILE_SIZE: apsw.SQLITE_IOERR_FSTAT,
    Operation.FILE_CONTROL: apsw.SQLITE_IOERR,
    Operation.SHM_MAP: apsw.SQLITE_IOERR_SHMMAP,
    Operation.SHM_LOCK: apsw.SQLITE_IOERR_SHMLOCK,
}
_SHORT: Final = (Operation.READ, Operation.WRITE)
_NO_ERRORS: Final = (apsw.SQLITE_OK, apsw.SQLITE_ROW, apsw.SQLITE_DONE)
_SHM_LOCK: Final = 2  # SQLITE_SHM_LOCK: one of the two things that xShmLock does


@final
class Fault:
    """One fault of a `FaultyDisk`, made by its `arm`. Any thread may ask it."""

    def __init__(
        self,
        disk: FaultyDisk,
        *,
        operation: Operation | None,
        nth: int,
        kind: FileKind | None,
        code: int | None,
        short: bool,
        sticky: bool,
    ) -> None:
        self.operation: Final = operation
        self.nth: Final = nth
        self.kind: Final = kind
        self.code: Final = code
        self.short: Final = short
        self.sticky: Final = sticky
        self._disk = disk
        self._seen = 0  # under the disk's lock
        self._fired = 0  # under the disk's lock

    def __repr__(self) -> str:
        what = "any operation" if self.operation is None else self.operation.value
        where = "" if self.kind is None else f" of the {self.kind.value}"
        state = "armed" if self.armed else "mended" if self.sticky or not self.fired else "spent"
        return f"<Fault {what}{where} #{self.nth}, {state}, fired {self.fired} times>"

    @property
    def fired(self) -> int:
        """How many operations it has made fail."""
        with self._disk._lock:
            return self._fired

    @property
    def armed(self) -> bool:
        """Whether it may still make one fail."""
        with self._disk._lock:
            return self in self._disk._faults

    def mend(self) -> None:
        """Disarm it. A second call does nothing."""
        with self._disk._lock:
            if self in self._disk._faults:
                self._disk._faults.remove(self)

    def _is_due(self, operation: Operation, kind: FileKind) -> bool:
        """Count an operation. Under the disk's lock."""
        if self.operation not in {None, operation} or self.kind not in {None, kind}:
            return False
        self._seen += 1
        return self._seen >= self.nth

    def _code_of(self, operation: Operation) -> int:
        return _CODES[operation] if self.code is None else self.code


class _FaultyFile(File):
    """An open file of a `FaultyDisk`."""

    @property
    def _disk(self) -> FaultyDisk:
        return cast("FaultyDisk", self.layer)

    def _tried(self, operation: Operation, do: Callable[..., int], *arguments: int | None) -> int:
        fault = self._disk._meet(operation, self.kind)
        return do(*arguments) if fault is None else fault._code_of(operation)

    def read(self, buffer: int, amount: int, offset: int) -> int:
        fault = self._disk._meet(Operation.READ, self.kind)
        if fault is None:
            return super().read(buffer, amount, offset)
        if not fault.short:
            return fault._code_of(Operation.READ)
        # https://sqlite.org/c3ref/io_methods.html: what could not be read is filled with zeros.
        ctypes.memset(buffer, 0, amount)
        super().read(buffer, amount // 2, offset)
        return apsw.SQLITE_IOERR_SHORT_READ

    def write(self, buffer: int, amount: int, offset: int) -> int:
        fault = self._disk._meet(Operation.WRITE, self.kind)
        if fault is None:
            return super().write(buffer, amount, offset)
        if fault.short:
            super().write(buffer, amount // 2, offset)
        return fault._code_of(Operation.WRITE)

    def truncate(self, size: int) -> int:
        return self._tried(Operation.TRUNCATE, super().truncate, size)

    def sync(self, flags: int) -> int:
        return self._tried(Operation.SYNC, super().sync, flags)

    def file_size(self, size: int) -> int:
        return self._tried(Operation.FILE_SIZE, super().file_size, size)

    def lock(self, level: int) -> int:
        return self._tried(Operation.LOCK, super().lock, level)

    def file_control(self, control: int, argument: int | None) -> int:
        return self._tried(Operation.FILE_CONTROL, super().file_control, control, argument)

    def shm_map(self, region: int, size: int, extend: int, found: int) -> int:
        return self._tried(Operation.SHM_MAP, super().shm_map, region, size, extend, found)

    def shm_lock(self, offset: int, count: int, flags: int) -> int:
        if not flags & _SHM_LOCK:  # an unlock: SQLite does not look at its result
            return super().shm_lock(offset, count, flags)
        return self._tried(Operation.SHM_LOCK, super().shm_lock, offset, count, flags)


@final
class FaultyDisk(Layer):
    """A VFS whose n-th operation fails, over SQLite's default one.

    Use it in a `with` block around the database, by name::

        with FaultyDisk() as disk:
            async with open_database(path, sqlite=SQLiteConfig(vfs=disk.name)) as db:
                fault = disk.arm(Operation.SYNC, kind=FileKind.WAL)
                with pytest.raises(OutcomeUnknown):
                    await messages.post(...)
                assert fault.fired

    To fail each operation of a program once, run it without faults, take `disk.count()`, and run
    it again for each n up to it.

    An operation that is made to fail does not happen: nothing is written, synced, locked or
    deleted. SQLite gets the code, as from a real disk, and decides what it means; what it
    tolerates (a sync that fails in a checkpoint after COMMIT) is no error to anybody.

    Any thread may arm, mend and ask, while statements run; a lock of the disk's guards that state.
    Its methods run with the interpreter lock, and without it while the real disk works. There is
    no memory mapping through it: every read is an `xRead`, whatever `mmap_size` says. Unlocking,
    closing and the shared memory's own content cannot be made to fail.
    """

    _file = _FaultyFile
    _prefix = "faulty-disk"

    def __init__(self) -> None:
        self._faults: list[Fault] = []  # armed ones, in their order; under `_lock`
        super().__init__()

    def arm(
        self,
        operation: Operation | None = None,
        nth: int = 1,
        *,
        kind: FileKind | None = None,
        code: int | None = None,
        short: bool = False,
        sticky: bool = False,
    ) -> Fault:
        """Make an operation fail.

        Args:
            operation: of what sort; None is any.
            nth: which one, counted from now, the next being 1.
            kind: of which file; None is any.
            code: the result code SQLite gets, such as `apsw.SQLITE_IOERR_WRITE`,
                `apsw.SQLITE_FULL` or `apsw.SQLITE_NOMEM`. By default the one that SQLite's own
                VFS reports for the operation.
            short: half of it is done before it fails. A short read gives zeros for the rest and
                SQLITE_IOERR_SHORT_READ; SQLite's own VFS reports a short write as SQLITE_FULL.
            sticky: all that follow fail too, until it is mended.

        Raises:
            ValueError: such a fault could never fire, or is none.
        """
        if nth < 1:
            message = f"FaultyDisk.arm got nth={nth}; the next operation is 1."
            raise ValueError(message)
        if code is not None and (code & 0xFF) in _NO_ERRORS:
            message = f"FaultyDisk.arm got code={code}, which is no error to SQLite."
            raise ValueError(message)
        if short and operation not in _SHORT:
            message = f"FaultyDisk.arm got short=True for {operation}; only a READ or WRITE can be."
            raise ValueError(message)
        if operation is Operation.READ and short and code is not None:
            message = "FaultyDisk.arm got a code for a short read; it is SQLITE_IOERR_SHORT_READ."
            raise ValueError(message)
        fault = Fault(
            self, operation=operation, nth=nth, kind=kind, code=code, short=short, sticky=sticky
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Disarm every fault."""
        with self._lock:
            self._faults.clear()

    def _meet(self, operation: Operation, kind: FileKind) -> Fault | None:
        """Count an operation and give the fault that it meets."""
        with self._lock:
            self._counts[operation, kind] += 1
            # Every armed fault counts it; the first that is due makes it fail, others the next.
            due = [fault for fault in self._faults if fault._is_due(operation, kind)]
            if not due:
                return None
            due[0]._fired += 1
            if not due[0].sticky:
                self._faults.remove(due[0])
            return due[0]

    def _open(
        self, name: int | None, path: str | None, address: int, flags: int, found: int | None
    ) -> int:
        fault = self._meet(Operation.OPEN, kind_of_flags(flags))
        if fault is not None:
            return fault._code_of(Operation.OPEN)
        return super()._open(name, path, address, flags, found)

    def _delete(self, name: int, path: str, sync_directory: int) -> int:
        fault = self._meet(Operation.DELETE, kind_of_deleted(path))
        if fault is not None:
            return fault._code_of(Operation.DELETE)
        return super()._delete(name, path, sync_directory)
