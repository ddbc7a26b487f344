"""The wait for locks that other processes hold: short, fair, and ended by a cancelled call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

# Constant: processes that all wait like this share a lock fairly; with an exponential back-off
# the unlucky one waits for seconds.
PAUSE = 0.001  # seconds


def never() -> bool:
    """Nobody has given up. What a driver asks until its worker gives it something better."""
    return False


@final
class BusyHandler:
    """What SQLite calls, on the connection's thread, each time it finds a lock taken.

    It is Python and not `sqlite3_busy_timeout` because `sqlite3_interrupt` ends no busy wait:
    only an answer of False does. The interpreter lock is free while it sleeps.
    """

    __slots__ = ("_deadline", "gave_up", "give_up", "timeout")

    def __init__(self, timeout: float, give_up: Callable[[], bool] = never) -> None:
        self.timeout = timeout  # seconds
        self.give_up = give_up
        # Whether the last wait ended because `give_up` said so: then SQLite's BUSY stands for a
        # cancelled call and not for a lock that was held too long.
        self.gave_up = False
        self._deadline = 0.0

    def __call__(self, calls: int) -> bool:
        """Wait a millisecond and ask SQLite to try again; False after the timeout."""
        if calls == 0:
            self._deadline = time.monotonic() + self.timeout
        self.gave_up = self.give_up()
        if self.gave_up or time.monotonic() >= self._deadline:
            return False
        time.sleep(PAUSE)
        return True
