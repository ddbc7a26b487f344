"""What bytes are changed in a database file and its WAL, and a process that changes them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Final, final

import attrs

_HEADER: Final = 100  # bytes of the file's, in its first page
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
# What is done to one file: its path, what, where, and how many bytes or with which.
Change = tuple[str, str, int, int]


@attrs.frozen
class Sizes:
    """Bytes of the file, of its WAL (0: there is none or it is empty) and of a page."""

    file: int
    wal: int
    page: int


def draw(rng: random.Random, sizes: Sizes, file: str, wal: str) -> list[Change]:
    """Draw what is damaged: mostly a byte or a few, anywhere or where it hurts."""
    if sizes.wal > _WAL_HEADER and rng.random() < 0.4:
        return _draw_in_wal(rng, sizes, wal)
    page, other = (rng.randrange(sizes.file // sizes.page) * sizes.page for _ in range(2))
    draws: list[Callable[[], list[Change]]] = [
        lambda: _flips(rng, file, 0, _HEADER),  # with the freelist's first page and the size
        lambda: _flips(rng, file, _HEADER, sizes.page),  # the schema
        lambda: _flips(rng, file, page, page + 12),  # a page's type, what it says of its cells
        lambda: _flips(rng, file, page + 8, page + 40),  # the cells' places
        lambda: [(file, "truncate", rng.randrange(sizes.file), 0)],
        lambda: [(file, "zero", page, sizes.page)],
        lambda: [(file, f"copy {other}", page, sizes.page)],  # a page where another belongs
        *[lambda: _flips(rng, file, 0, sizes.file)] * 3,
    ]
    return rng.choice(draws)()


def _draw_in_wal(rng: random.Random, sizes: Sizes, wal: str) -> list[Change]:
    frames = max((sizes.wal - _WAL_HEADER) // (sizes.page + _FRAME_HEADER), 1)
    frame = _WAL_HEADER + rng.randrange(frames) * (sizes.page + _FRAME_HEADER)
    match rng.randrange(6):
        case 0:
            return _flips(rng, wal, 0, _WAL_HEADER)
        case 1:
            return _flips(rng, wal, frame, frame + _FRAME_HEADER)
        case 2:
            return _flips(rng, wal, frame + _FRAME_HEADER, frame + _FRAME_HEADER + 12)
        case 3:
            return [(wal, "truncate", rng.randrange(sizes.wal), 0)]
        case _:
            return _flips(rng, wal, 0, sizes.wal)


def _flips(rng: random.Random, path: str, start: int, end: int) -> list[Change]:
    times = rng.choice([1, 1, 1, 2, 8])
    return [(path, "flip", rng.randrange(start, end), rng.randrange(1, 256)) for _ in range(times)]


def vandalise(changes: list[Change]) -> None:
    """Make the changes. Not in a process that has the file open: that would drop its locks."""
    for path, what, offset, amount in changes:
        descriptor = os.open(path, os.O_RDWR)
        try:
            if what == "flip":
                byte = os.pread(descriptor, 1, offset) or b"\0"  # it may have been cut meanwhile
                os.pwrite(descriptor, bytes([byte[0] ^ amount]), offset)
            elif what == "truncate":
                os.truncate(descriptor, offset)
            elif what == "zero":
                os.pwrite(descriptor, bytes(amount), offset)
            else:
                source = int(what.removeprefix("copy "))
                os.pwrite(descriptor, os.pread(descriptor, amount, source), offset)
        finally:
            os.close(descriptor)


@final
class Vandal:
    """A process of its own for them. Made before there is a thread: it is forked."""

    def __init__(self) -> None:
        its_end, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(its_end)
            os.close(answers)
            return
        try:
            os.close(self._requests)
            with os.fdopen(its_end, encoding="utf-8") as requests:
                for line in requests:
                    vandalise(json.loads(line))
                    os.write(answers, b".")
        finally:
            os._exit(0)

    def do(self, changes: list[Change]) -> None:
        """Have them made; return when they are."""
        os.write(self._requests, json.dumps(changes).encode() + b"\n")
        assert os.read(self._answers, 1), "the vandal has died"

    def end(self) -> None:
        """The end of its requests is its end."""
        os.close(self._requests)
        os.close(self._answers)
        os.waitpid(self._pid, 0)
