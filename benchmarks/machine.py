"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import median
from time import perf_counter

import attrs

_SYNCS = 25
_PAGE = 4096
# Faster than any device: what was written is in memory.
_NO_DEVICE = 15e-6


@attrs.frozen
class Machine:
    """The machine, and the place of the files."""

    system: str
    processor: str
    cores: int
    load: float  # others' work, at the start: the mean of the last minute
    directory: str
    file_system: str
    fsync_us: float
    memory_gb: float
    python: str

    def facts(self) -> dict[str, object]:
        """All but where the files were, which is nobody else's business."""
        return attrs.asdict(self, filter=lambda field, _: field.name != "directory")

    @property
    def syncs(self) -> bool:
        """Whether an fsync there reaches a device."""
        return self.fsync_us > _NO_DEVICE * 1e6

    @classmethod
    def look(cls, directory: Path) -> Machine:
        """Look at this one; files will lie in `directory`."""
        return cls(
            system=f"{platform.system()} {platform.release()}",
            processor=_processor(),
            cores=len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1,
            load=os.getloadavg()[0],
            directory=str(directory),
            file_system=_file_system(directory),
            fsync_us=_fsync(directory) * 1e6,
            memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
            python=platform.python_version(),
        )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _file_system(directory: Path) -> str:
    """The type of the mount that holds the directory, as Linux calls it."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    best = ("", "unknown")
    for line in lines:
        _, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def _fsync(directory: Path) -> float:
    """Seconds that it takes until a written page is on the device: the median of some."""
    path = directory / "fsync"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    taken = []
    try:
        for _ in range(_SYNCS):
            os.pwrite(descriptor, os.urandom(_PAGE), 0)
            started = perf_counter()
            os.fsync(descriptor)
            taken.append(perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(taken)
