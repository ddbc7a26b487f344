"""How a test waits for what a thread or another task does: until it is so, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

PATIENCE: Final = 60.0  # seconds; a wait in a test that takes this long is a failure
_HANDOVER: Final = 1e-4  # seconds


async def until(condition: Callable[[], object]) -> None:
    """Let the loop and the threads run until the condition holds. Trio's clock stands meanwhile."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        await trio.lowlevel.checkpoint()
        _let_threads_run()


def _let_threads_run() -> None:
    """Without it a thread that needs the interpreter would wait 5 ms for it, each time it does.

    A file system of Python's needs it for every page.
    """
    time.sleep(_HANDOVER)
