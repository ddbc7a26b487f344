"""Ctrl-C while SQLite works for a command that has no trio around it."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AGAIN: Final = 0.05  # seconds: one that comes just before a statement begins hits nothing


@contextmanager
def ctrl_c_calls(abort: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C end the statement that runs, for a `with` block of the main thread.

    Python raises KeyboardInterrupt between two instructions of its own, and while SQLite works
    there are none:
      1. Python's handler in C notes the signal and writes its number to the wakeup descriptor.
      2. The thread here reads it and calls `abort`, again and again until the block has ended.
      3. SQLite returns, and the main thread raises KeyboardInterrupt.
    """
    heard, told = socket.socketpair()
    ended = threading.Event()

    def listen() -> None:
        while number := heard.recv(1):
            if number[0] == signal.SIGINT:
                while not ended.wait(_AGAIN):
                    abort()

    thread = threading.Thread(target=listen, name="trio-sqlrepo Ctrl-C", daemon=True)
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        told.close()  # which ends `recv`
        thread.join()
        heard.close()
