"""Where a pool stands in its life, and where the code that calls it runs."""

from __future__ import annotations

import contextvars
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_sqlrepo._pool.lane import Lane

# The lane whose connection runs the code that asks: set in the context of bodies and functions,
# so that a call smuggled back to the loop (trio.from_thread) is refused, not dead-locked.
running_on: contextvars.ContextVar[Lane | None] = contextvars.ContextVar(
    "trio_sqlrepo.running_on", default=None
)


class State(enum.Enum):
    """A pool's life. Each goes only to the next, or to FAILED or FORKED, which are final."""

    OPEN = "open"
    DRAINING = "draining"  # no new calls; those under way go on
    CLOSED = "closed"
    FAILED = "failed"  # a bug in this library, or the database is lost
    FORKED = "forked"  # this process is a child of the one that opened it


class OutsideTrio(RuntimeError):
    """A call was made where no trio task runs."""
