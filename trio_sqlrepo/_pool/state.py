"""Where a pool stands in its life, and where the code that calls it runs."""

from __future__ import annotations

import contextvars
import enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from trio_sqlrepo._pool.lane import Lane

# The lane whose connection runs the code that asks: set in the context of bodies and functions,
# so that a call smuggled back to the loop (trio.from_thread) is refused, not dead-locked.
running_on: contextvars.ContextVar[Lane | None] = contextvars.ContextVar(
    "trio_sqlrepo.running_on", default=None
)


class State(enum.Enum):
    """A pool's life: OPEN and FAILED may alternate, then DRAINING, CLOSED.

    STOPPED and FORKED may come at any time, and are final.
    """

    OPEN = "open"
    FAILED = "failed"  # out of service because of its file; probes go on
    DRAINING = "draining"  # no new calls; those under way go on
    CLOSED = "closed"
    STOPPED = "stopped"  # a bug in this library, or a database in memory is lost
    FORKED = "forked"  # this process is a child of the one that opened it


@attrs.define
class Outage:
    """Why a pool is FAILED. Loop thread only."""

    cause: BaseException
    since: float  # seconds of trio's clock
    attempts: int = 0  # to come back, in vain
    latest: BaseException | None = None  # what the last of them met


class OutsideTrio(RuntimeError):
    """A call was made where no trio task runs."""
