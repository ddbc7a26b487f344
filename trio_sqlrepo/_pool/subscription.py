"""What one `live` or `changes` block waits for. Loop thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import trio
from trio.lowlevel import checkpoint, current_task, enable_ki_protection

from trio_sqlrepo._base.errors import ReentrantUse, SessionEnded, SessionError
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING, Changes, Footprint
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.live import Reads, Watched, footprint_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._pool.hub import Hub
    from trio_sqlrepo._worker.live import Found, View

_WELL: Final = frozenset({State.OPEN, State.FAILED})  # it serves, or it will again


class Subscription:
    """What one block waits for. One task at a time takes from it."""

    def __init__(self, pool: Hub, label: str) -> None:
        self._pool = pool
        self.label = label
        self._bell = trio.Event()
        self._taken_by: trio.lowlevel.Task | None = None
        self._has_ended = False

    def ring(self) -> None:
        """Have whoever waits look again."""
        self._bell.set()

    def end(self) -> None:
        """The block is being left."""
        self._has_ended = True
        self.ring()

    @enable_ki_protection
    async def take(self) -> Any:
        """Wait for the next item. A checkpoint; cancelled, it has taken nothing.

        Raises:
            StopAsyncIteration: an error has ended it before.
            PoolClosed, ForkedProcess: the pool has.
            SessionEnded: the block has.
            SessionError: another task waits already.
        """
        if self._taken_by is not None:
            message = (
                f"Two tasks wait on the same {self.label}: it is iterated by one task at a time."
                " Open a block for each task; calls that are the same share their work."
            )
            raise SessionError(message)
        self._taken_by = current_task()
        try:
            if self._is_due():
                await checkpoint()
            while not self._is_due():
                self._refuse_to_wait()
                self._bell = trio.Event()
                await self._bell.wait()
        finally:
            self._taken_by = None
        return self._next()

    def _is_due(self) -> bool:
        pool = self._pool
        if pool.state not in _WELL:
            raise pool.refusal()
        if self._has_ended:
            message = (
                f"The `async with` block of {self.label} has ended, and with it what it gives."
                " Iterate inside the block."
            )
            raise SessionEnded(message)
        return self._has_item()

    def _refuse_to_wait(self) -> None:
        """Refuse to wait for what only this task could let happen."""
        lane = self._pool.writers
        if self._pool.readers is lane and lane.blocked_by(current_task(), lease=False):
            message = (
                f"{self.label} waits for the only connection, but this task holds it in an open"
                " transaction or snapshot: it would wait for ever. Leave that block first."
            )
            raise ReentrantUse(message)

    def _has_item(self) -> bool:
        raise NotImplementedError

    def _next(self) -> Any:
        raise NotImplementedError


class _Ready(NamedTuple):
    """A value that waits to be taken."""

    reads: Reads
    value: Any


@final
class Watcher(Subscription):
    """A call that is watched: its latest value, if it differs from the one that was taken."""

    def __init__(self, pool: Hub, label: str, make: Callable[[View], Any]) -> None:
        super().__init__(pool, label)
        self.make = make
        self.footprint: Footprint = EVERYTHING  # until it has been looked at
        self._given: Reads | None = None  # what the value rests on that was taken last
        self._ready: _Ready | None = None
        self._error: BaseException | None = None
        self._is_over = False

    def __repr__(self) -> str:
        state = "has a value" if self._ready else "waits"
        return f"<Watcher of {self.label}, {state}>"

    def as_watched(self) -> Watched:
        """What the thread needs to look at it."""
        known = (self._ready.reads,) if self._ready else ()
        return Watched(self.make, known if self._given is None else (*known, self._given))

    def hear(self, found: Found) -> bool:
        """Take what a look has found. False: it must be looked at again."""
        if self.has_failed:
            return True  # a look was under way when an earlier one brought the error
        self.footprint = footprint_of(found.reads)
        if found.error is not None:
            self._error = found.error
            self._ready = None
            self.ring()
        elif found.reads == self._given:
            self._given, self._ready = found.reads, None
        elif self._ready is not None and found.reads == self._ready.reads:
            self._ready = self._ready._replace(reads=found.reads)
        elif found.is_made:
            self._ready = _Ready(found.reads, found.value)
            self.ring()
        else:
            return False  # another value was taken meanwhile than the one it has found again
        return True

    @property
    def has_failed(self) -> bool:
        """Whether an error has ended it."""
        return self._error is not None or self._is_over

    def _has_item(self) -> bool:
        return self._ready is not None or self.has_failed

    def _next(self) -> Any:
        if self._ready is not None:
            (self._given, value), self._ready = self._ready, None
            return value
        error, self._error = self._error, None
        self._is_over = True
        if error is None:
            raise StopAsyncIteration
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


@final
class Feed(Subscription):
    """What was committed, put together until it is taken."""

    def __init__(self, pool: Hub, label: str) -> None:
        super().__init__(pool, label)
        self._changes: Footprint = NOTHING
        self._elsewhere = False

    def __repr__(self) -> str:
        return f"<Feed {self._changes}>"

    def add(self, changes: Footprint, *, elsewhere: bool) -> None:
        """Something was committed."""
        self._changes |= changes
        self._elsewhere |= elsewhere
        self.ring()

    def _has_item(self) -> bool:
        return bool(self._changes)

    def _next(self) -> Changes:
        changes, self._changes = self._changes, NOTHING
        elsewhere, self._elsewhere = self._elsewhere, False
        return Changes(tables=changes.tables, everything=changes.everything, elsewhere=elsewhere)
