"""Descriptors that wake: a thread that blocks in a read, or the loop that awaits readability.

One hop through an eventfd costs half of one through a queue and a trio token (no lock is handed
over, the loop makes no extra pass). Where there is no eventfd, a pipe does as well.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final, final

_EVENTFD: Final = hasattr(os, "eventfd")
_PIPE_CHUNK: Final = 65536


@final
class Signal:
    """A counter behind a descriptor. `set` from any thread; one reader.

    The descriptor lives as long as this object, or until `close`: whoever may still write (an
    abandoned thread) holds a reference, so its number is never given to another file under its
    feet.
    """

    __slots__ = ("_read_end", "_write_end")

    def __init__(self, *, blocking: bool, eventfd: bool = _EVENTFD) -> None:
        """Open it. `blocking`: `wait` blocks its thread; otherwise `take` never does."""
        self._read_end = self._write_end = -1
        if eventfd:
            flags = os.EFD_CLOEXEC if blocking else os.EFD_CLOEXEC | os.EFD_NONBLOCK
            self._read_end = self._write_end = os.eventfd(0, flags)
        else:
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._read_end, blocking)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Signal on descriptor {self._read_end}>"

    def fileno(self) -> int:
        """The descriptor that becomes readable once set."""
        return self._read_end

    def close(self) -> None:
        """Give the descriptor back. For whoever knows that nobody will use it any more."""
        ends = {self._read_end, self._write_end} - {-1}
        self._read_end = self._write_end = -1  # a use from here on is an error, not a stray write
        for descriptor in ends:
            os.close(descriptor)

    def renew(self) -> None:
        """Put a descriptor of its own behind the same number. For the child of a fork.

        What it inherits is shared with the parent: a count that the child takes the parent misses,
        and an epoll that the child tells to forget the number forgets the parent's.
        """
        fresh = Signal(blocking=os.get_blocking(self._read_end), eventfd=self._is_eventfd)
        os.dup2(fresh._read_end, self._read_end, inheritable=False)
        if not self._is_eventfd:
            os.dup2(fresh._write_end, self._write_end, inheritable=False)
        fresh.close()

    @property
    def _is_eventfd(self) -> bool:
        return self._read_end == self._write_end

    def set(self) -> None:
        """Count one and wake the reader. Any thread."""
        if self._read_end == self._write_end:
            os.eventfd_write(self._write_end, 1)
        else:
            os.write(self._write_end, b"\0")

    def wait(self) -> int:
        """Block this thread until set; give the count since the last read."""
        if self._read_end == self._write_end:
            return os.eventfd_read(self._read_end)
        return len(os.read(self._read_end, _PIPE_CHUNK))

    def clear(self) -> None:
        """Forget the count, without blocking. For the loop, before it drains what was posted."""
        # Otherwise an earlier read has taken the count.
        with contextlib.suppress(BlockingIOError):
            self.wait()
