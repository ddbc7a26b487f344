"""A disk whose power fails."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, final

import apsw
import attrs

from trio_sqlrepo.testing.disk._aftermath import Fate, Physics, Truncate, Write
from trio_sqlrepo.testing.disk._layer import File, Layer, open_file
from trio_sqlrepo.testing.disk._operations import (
    FileKind,
    Operation,
    kind_of_deleted,
    kind_of_flags,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTED: Final = (
    Operation.OPEN, Operation.WRITE, Operation.TRUNCATE, Operation.SYNC, Operation.DELETE,
)  # fmt: skip
_SMALLEST_SECTOR: Final = 512
_LARGEST_SECTOR: Final = 65536
_SHM_LOCK: Final = 2  # SQLITE_SHM_LOCK


@attrs.frozen(kw_only=True)
class Losses:
    """What a power loss has done to what was not synced.

    Attributes:
        kept, dropped, torn, garbled: how many writes and truncations met that fate.
        undone: how many files were created, deleted or replaced for nothing, because their
            directory was not synced.
    """

    kept: int
    dropped: int
    torn: int
    garbled: int
    undone: int


@final
class PowerCut:
    """A power loss that waits for its operation, made by `PowerLoss.crash_at`."""

    def __init__(self, disk: PowerLoss, nth: int, seed: int, operation: Operation | None) -> None:
        self.nth: Final = nth
        self.seed: Final = seed
        self.operation: Final = operation
        self._disk = disk
        self._seen = 0  # under the disk's lock
        self._fired = False  # under the disk's lock

    def __repr__(self) -> str:
        what = "any operation" if self.operation is None else self.operation.value
        return f"<PowerCut at {what} #{self.nth}, {'fired' if self.fired else 'waiting'}>"

    @property
    def fired(self) -> bool:
        """Whether it was this that cut the power."""
        with self._disk._lock:
            return self._fired


@attrs.define(eq=False)
class _Image:
    """One file: what a power loss can't touch, and what has been asked for since."""

    durable: bytearray
    changes: list[Write | Truncate] = attrs.field(factory=list[Write | Truncate])


@attrs.define
class _Entry:
    """What a name stands for: in the directory on the disk, and for programs. None: nothing."""

    durable: _Image | None
    current: _Image | None


class _VolatileFile(File):
    """An open file of a `PowerLoss`."""

    def __init__(self, layer: Layer, address: int, path: str | None, flags: int) -> None:
        super().__init__(layer, address, path, flags)
        self.image: _Image | None = None  # None: temporary
        # As SQLite's own VFS does: the first sync of a journal that may be new syncs its directory.
        self.syncs_directory = bool(flags & apsw.SQLITE_OPEN_CREATE) and self.kind in {
            FileKind.WAL, FileKind.JOURNAL,
        }  # fmt: skip

    @property
    def _disk(self) -> PowerLoss:
        return cast("PowerLoss", self.layer)

    def content(self) -> bytes:
        """What the real file holds. On error it is taken for empty."""
        size = ctypes.c_int64()
        super().file_size(ctypes.addressof(size))
        buffer = ctypes.create_string_buffer(size.value + 1)
        super().read(ctypes.addressof(buffer), size.value, 0)
        return buffer.raw[:-1]

    def _powered(self, failure: int, do: Callable[..., int], *arguments: int | None) -> int:
        return failure if self._disk.crashed else do(*arguments)

    def read(self, buffer: int, amount: int, offset: int) -> int:
        return self._powered(apsw.SQLITE_IOERR_READ, super().read, buffer, amount, offset)

    def write(self, buffer: int, amount: int, offset: int) -> int:
        change = Write(offset, ctypes.string_at(buffer, amount))
        if not self._disk._change(self, Operation.WRITE, change):
            return apsw.SQLITE_IOERR_WRITE
        return super().write(buffer, amount, offset)

    def truncate(self, size: int) -> int:
        if not self._disk._change(self, Operation.TRUNCATE, Truncate(size)):
            return apsw.SQLITE_IOERR_TRUNCATE
        return super().truncate(size)

    def sync(self, flags: int) -> int:  # noqa: ARG002  # a sync without metadata keeps as much
        return apsw.SQLITE_OK if self._disk._sync(self) else apsw.SQLITE_IOERR_FSYNC

    def file_size(self, size: int) -> int:
        return self._powered(apsw.SQLITE_IOERR_FSTAT, super().file_size, size)

    def lock(self, level: int) -> int:
        return self._powered(apsw.SQLITE_IOERR_LOCK, super().lock, level)

    def check_reserved_lock(self, found: int) -> int:
        return self._powered(
            apsw.SQLITE_IOERR_CHECKRESERVEDLOCK, super().check_reserved_lock, found
        )

    def sector_size(self) -> int:
        return self._disk._physics.sector_size

    def device_characteristics(self) -> int:
        # Nothing is promised that the file system beneath may promise: no atomic writes.
        safe = self._disk._physics.powersafe_overwrite
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE if safe else 0

    def shm_map(self, region: int, size: int, extend: int, found: int) -> int:
        return self._powered(apsw.SQLITE_IOERR_SHMMAP, super().shm_map, region, size, extend, found)

    def shm_lock(self, offset: int, count: int, flags: int) -> int:
        if not flags & _SHM_LOCK:
            return super().shm_lock(offset, count, flags)
        return self._powered(apsw.SQLITE_IOERR_SHMLOCK, super().shm_lock, offset, count, flags)


@final
class PowerLoss(Layer):
    """A VFS whose power can be cut, over SQLite's default one; after SQLite's own `test6.c`.

    Use it in a `with` block around the database, by name, and look at what is left through a plain
    connection, best in a child process::

        with PowerLoss() as disk:
            cut = disk.crash_at(7, seed=seed)  # at the seventh sync from now
            with suppress(SqlRepoError):
                async with open_database(path, sqlite=SQLiteConfig(vfs=disk.name)) as db:
                    ...
            assert cut.fired

    Writes go to the real file at once, so that reads and other processes see them, as they would
    in the cache of an operating system. Beside that each file's *durable* content is kept in
    memory, with the writes since its last sync. When the power fails, each of those is, by chance
    drawn from the seed, kept, dropped, torn (some first sectors) or garbled; later ones may be kept
    where earlier ones are not. Every file is then replaced by what is left of it, `-shm` files are
    removed, and all that the old connections ask for fails with SQLITE_IOERR, so that a pool can
    be closed. No real disk is waited for.

    A name in a directory is durable when its directory was synced: by the first sync of a new
    journal or WAL in it, or by a deletion that asks for it. Until then a power loss may take back
    that a file was created, deleted or replaced. What was there before belongs to the disk.

    Any thread may crash it and ask, while statements run; a lock of the disk's guards that state.
    Its methods run with the interpreter lock. Memory: twice the size of the files, so use it for
    small ones. Other processes may read meanwhile, but what they write is lost in a crash.
    """

    _file = _VolatileFile
    _prefix = "power-loss"

    def __init__(
        self, *, sector_size: int = 4096, powersafe_overwrite: bool = True, lying: bool = False
    ) -> None:
        """Register it.

        Args:
            sector_size: bytes the disk writes at a time: a power of two from 512 to 65536.
            powersafe_overwrite: a torn or garbled write harms only its own bytes, as SQLite
                assumes of disks (https://sqlite.org/psow.html). Otherwise it may make garbage of
                the whole sectors it lies in, and SQLite is told so.
            lying: a sync does nothing, and says that all went well. With such a disk a test of
                durability must fail; otherwise it proves nothing.

        Raises:
            ValueError: no disk has such sectors.
        """
        if sector_size not in {2**power for power in range(9, 17)}:
            message = (
                f"PowerLoss got sector_size={sector_size}; it is a power of two from"
                f" {_SMALLEST_SECTOR} to {_LARGEST_SECTOR} bytes."
            )
            raise ValueError(message)
        self._physics = Physics(sector_size=sector_size, powersafe_overwrite=powersafe_overwrite)
        self._lying = lying
        self._entries: dict[str, _Entry] = {}  # by path; under `_lock`
        self._cuts: list[PowerCut] = []  # under `_lock`
        self._losses: Losses | None = None  # set by the crash; under `_lock`
        # One file is opened at a time, so that only one of two sees that it is new.
        self._opening = threading.Lock()
        super().__init__()

    @property
    def crashed(self) -> bool:
        """Whether the power has failed."""
        with self._lock:
            return self._losses is not None

    @property
    def losses(self) -> Losses | None:
        """What the power loss has done; None before."""
        with self._lock:
            return self._losses

    def crash(self, seed: int) -> Losses:
        """Cut the power now. Blocks while the files are written.

        Raises:
            RuntimeError: it was cut before.
            OSError: a file could not be written as it must be left.
        """
        with self._lock:
            if self._losses is not None:
                message = f"{self.name} has no power any more; use a new PowerLoss."
                raise RuntimeError(message)
            return self._crash(seed)

    def crash_at(
        self, nth: int, *, seed: int, operation: Operation | None = Operation.SYNC
    ) -> PowerCut:
        """Cut the power at an operation, before it is done; a write may still be half-way.

        Args:
            nth: which one, counted from now, the next being 1.
            seed: for what becomes of the writes that are not synced.
            operation: of what sort: OPEN, WRITE, TRUNCATE, SYNC or DELETE, which are those that
                `count` counts; None is any of them.

        Raises:
            ValueError: there is no such operation.
        """
        if nth < 1:
            message = f"PowerLoss.crash_at got nth={nth}; the next operation is 1."
            raise ValueError(message)
        if operation not in {None, *_COUNTED}:
            message = f"PowerLoss.crash_at got {operation!r}, which changes nothing on the disk."
            raise ValueError(message)
        cut = PowerCut(self, nth, seed, operation)
        with self._lock:
            self._cuts.append(cut)
        return cut

    # -- what the files ask for ----------------------------------------------------------------

    def _goes_on(self, operation: Operation, kind: FileKind) -> bool:
        """Count an operation; False if the power has failed, now or before. Under `_lock`."""
        self._counts[operation, kind] += 1
        for cut in self._cuts:
            cut._seen += cut.operation in {None, operation}
            if self._losses is None and cut._seen >= cut.nth:
                cut._fired = True
                self._crash(cut.seed)
        return self._losses is None

    def _change(self, file: _VolatileFile, operation: Operation, change: Write | Truncate) -> bool:
        with self._lock:
            if self._losses is None and file.image is not None:
                file.image.changes.append(change)
            return self._goes_on(operation, file.kind)

    def _sync(self, file: _VolatileFile) -> bool:
        with self._lock:
            if not self._goes_on(Operation.SYNC, file.kind):
                return False
            if file.image is not None and not self._lying:
                for change in file.image.changes:
                    change.apply(file.image.durable)
                file.image.changes.clear()
                if file.syncs_directory:
                    self._sync_directory(str(file.path))
                    file.syncs_directory = False
            return True

    def _sync_directory(self, path: str) -> None:
        """Make durable what the names in a file's directory stand for. Under `_lock`."""
        for other, entry in self._entries.items():
            if os.path.dirname(other) == os.path.dirname(path):  # noqa: PTH120  # as SQLite names it
                entry.durable = entry.current

    def _open(
        self, name: int | None, path: str | None, address: int, flags: int, found: int | None
    ) -> int:
        kind = kind_of_flags(flags)
        with self._opening:
            with self._lock:
                if not self._goes_on(Operation.OPEN, kind):
                    return apsw.SQLITE_CANTOPEN
            existed = path is not None and os.path.exists(path)  # noqa: PTH110  # as SQLite names it
            code = super()._open(name, path, address, flags, found)
            if code == apsw.SQLITE_OK and path is not None and kind is not FileKind.TEMPORARY:
                file = cast("_VolatileFile", open_file(address))
                with self._lock:
                    file.image = self._image_of(path, file, existed=existed)
        return code

    def _image_of(self, path: str, file: _VolatileFile, *, existed: bool) -> _Image:
        """Give the image of an open file, which is new to this disk or not. Under `_lock`."""
        entry = self._entries.get(path)
        if entry is None:
            image = _Image(bytearray(file.content()))
            self._entries[path] = _Entry(image if existed else None, image)
            return image
        if entry.current is None:
            entry.current = _Image(bytearray())
        return entry.current

    def _delete(self, name: int, path: str, sync_directory: int) -> int:
        with self._lock:
            if not self._goes_on(Operation.DELETE, kind_of_deleted(path)):
                return apsw.SQLITE_IOERR_DELETE
            code = super()._delete(name, path, sync_directory)
            if code == apsw.SQLITE_OK and path in self._entries:
                self._entries[path].current = None
                if sync_directory and not self._lying:
                    self._sync_directory(path)
        return code

    # -- the crash -----------------------------------------------------------------------------

    def _crash(self, seed: int) -> Losses:
        """Leave on the real disk what survives. Under `_lock`."""
        chance = random.Random(seed)  # noqa: S311  # repeatable, no secret
        # Before anything else: if a file can't be written, the power is off all the same.
        self._losses = Losses(kept=0, dropped=0, torn=0, garbled=0, undone=0)
        fates: Counter[Fate] = Counter()
        undone = 0
        for path, entry in sorted(self._entries.items()):
            survivor = entry.current
            if entry.durable is not entry.current and chance.random() < 1 / 2:
                survivor = entry.durable
                undone += 1
            if survivor is None:
                with contextlib.suppress(FileNotFoundError):
                    Path(path).unlink()
            else:
                left, met = self._physics.settle(survivor.durable, survivor.changes, chance)
                fates += met
                _replace(path, left)
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}-shm").unlink()
        self._losses = Losses(
            kept=fates[Fate.KEPT],
            dropped=fates[Fate.DROPPED],
            torn=fates[Fate.TORN],
            garbled=fates[Fate.GARBLED],
            undone=undone,
        )
        return self._losses


def _replace(path: str, content: bytearray) -> None:
    """Put a new file in the place of one that old connections hold open.

    Never in the file itself: to close a descriptor of it would drop the locks that SQLite holds on
    it (https://sqlite.org/howtocorrupt.html, 2.2), and what they still do must not reach this one.
    """
    new = Path(f"{path}-after-power-loss")
    new.write_bytes(content)
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(path, new)
    new.replace(path)
