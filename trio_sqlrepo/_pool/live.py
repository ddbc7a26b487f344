"""Who watches what, and when it is looked at again. Loop thread only.

A writer says with its answers what it has committed (`Message.changes`). Whoever watches something
of that becomes dirty, and all that are dirty are looked at together, by one job at a time, on a
connection of their own. So watching takes nothing from the pool: a write costs nobody more than a
note, whoever falls behind is served the latest state, and everybody else is left alone.

No commit is missed (L the loop, W the writer's thread):

  1. L registers the watcher, sets `watched`, and marks the watcher dirty. Only then is the job sent
     that looks for it.
  2. W reads `watched` when it has begun a transaction (then it notes what it writes) and again when
     COMMIT has returned (then it tells).
  3. If the second one finds it unset, COMMIT had returned before step 1: the job sees that commit.
     If only the first one did, nothing was noted: it tells that everything may have changed.

Nor while a look is under way: what is told meanwhile is kept, and compared with what the values
that come of it rest on. Its view may be older, and a body may have read what it did not read
before.

Nor where nobody can say what was written: a writer that ended by an error may have committed, and
one that was given up may do so later. Then everything may have changed.

Other processes tell nobody. While anybody watches, the writer's connection is asked now and then
whether another one has committed (`PRAGMA data_version`). The number means something only beside
an earlier one of the same connection; without one, it may.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import trio

from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING, Footprint
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.alarm import Alarm
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._pool.subscription import Feed, Watcher
from trio_sqlrepo._worker.live import look

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._pool.hub import Hub
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.live import Found, View
    from trio_sqlrepo._worker.thread import Worker

logger: Final = logging.getLogger("trio_sqlrepo")

# Seconds before a look that failed is tried again; the first time none, then doubled each time.
_FIRST_PAUSE: Final = 0.05
_LAST_PAUSE: Final = 5.0
_MOST_DOUBLINGS: Final = 10  # without an end the power would overflow


@final
class LiveQueries:
    """All watchers and feeds of a pool, and the tasks that serve them."""

    def __init__(self, *, own_connection: bool, others: bool) -> None:
        """Make it for one pool.

        Args:
            own_connection: whether it may open one; otherwise it looks on the writer's, in turn.
            others: whether other processes can have the database open.
        """
        self.lane: Lane | None = None
        if own_connection:
            self.lane = Lane("observer", smallest=0, largest=1, reserved=0)
        self._others = others
        self._asks_others = False  # and whether they are asked for
        self._pool: Hub
        self._watchers: dict[Watcher, Footprint] = {}  # as they stand in the index
        self._feeds: dict[Feed, None] = {}
        # Watchers by what they read.
        self._of_table: dict[str, dict[Watcher, None]] = {}
        self._of_everything: dict[Watcher, None] = {}
        self._dirty: dict[Watcher, None] = {}
        self._alarm = Alarm()  # some are dirty
        self._meanwhile: Footprint | None = None  # committed during the look under way
        self._failures = 0  # of looks, in a row
        self._asks = Alarm()  # somebody watches
        self._version: tuple[str, int] | None = None  # the writer's name, and its data_version

    def __repr__(self) -> str:
        return (
            f"<LiveQueries {len(self._watchers)} watchers, {len(self._dirty)} dirty,"
            f" {len(self._feeds)} feeds>"
        )

    def attach(self, pool: Hub) -> tuple[Lane, ...]:
        """Belong to this pool; the lanes that it gets by that."""
        self._pool = pool
        return () if self.lane is None else (self.lane,)

    # -- who watches -------------------------------------------------------------------------

    def watch(self, label: str, make: Callable[[View], Any]) -> Watcher:
        """Register a watcher. `make` runs on the connection's thread."""
        watcher = Watcher(self._pool, label, make)
        self._watchers[watcher] = EVERYTHING
        self._of_everything[watcher] = None
        self._see_who_watches()
        self._mark(watcher)
        return watcher

    def feed(self, label: str) -> Feed:
        """Register a feed."""
        feed = Feed(self._pool, label)
        self._feeds[feed] = None
        self._see_who_watches()
        return feed

    def forget(self, subscription: Watcher | Feed) -> None:
        """Its block is left."""
        subscription.end()
        if isinstance(subscription, Watcher):
            self._unindex(subscription)
            del self._watchers[subscription]
            self._dirty.pop(subscription, None)
        else:
            del self._feeds[subscription]
        self._see_who_watches()

    def _see_who_watches(self) -> None:
        watched = bool(self._watchers or self._feeds)
        self._pool.writers.watched = watched
        if watched and not self._asks.armed:
            self._version = None  # what was committed since the last one nobody has missed
            self._asks.arm()
        elif not watched:
            self._asks.disarm()

    # -- what was committed ------------------------------------------------------------------

    def note(self, changes: Footprint, *, elsewhere: bool = False) -> None:
        """Something was committed, or may have been."""
        if not changes:
            return
        if self._meanwhile is not None:
            self._meanwhile |= changes
        for feed in self._feeds:
            feed.add(changes, elsewhere=elsewhere)
        if changes.everything:
            for watcher in self._watchers:
                self._mark(watcher)
            return
        for watcher in self._of_everything:
            self._mark(watcher)
        for table in changes.tables:
            for watcher in self._of_table.get(table, ()):
                if watcher.footprint.is_met_by(changes):
                    self._mark(watcher)

    def doubt(self) -> None:
        """Nobody knows what was committed."""
        self.note(EVERYTHING)

    def opened(self, lane: Lane) -> None:
        """A connection is open: perhaps the one that is waited for."""
        if lane is self.lane:
            self._go_on()

    def lost(self, lane: Lane, error: BaseException | None) -> None:
        """A connection has ended."""
        if lane is self.lane:
            self._go_on()
        elif lane is self._pool.writers and error is not None:
            self.doubt()

    def stop(self) -> None:
        """The pool takes no more calls: whoever waits is told so."""
        for subscription in (*self._watchers, *self._feeds):
            subscription.ring()

    def _mark(self, watcher: Watcher) -> None:
        if not watcher.has_failed:
            self._dirty[watcher] = None
            self._go_on()

    def _go_on(self) -> None:
        if self._dirty and not self._alarm.armed:
            self._alarm.arm()

    # -- looking -----------------------------------------------------------------------------

    async def run(self, pool: Pool) -> None:
        """Look at what is dirty until the pool ends."""
        while True:
            await self._alarm.wait()
            self._alarm.disarm()
            if pool.state is not State.OPEN:
                continue  # `doubt` comes when it is again
            try:
                await self._look(pool)
            except (SqlRepoError, MemoryError) as error:  # about the connection, which is seen to
                logger.debug("a look for live queries of %s failed: %s", pool.name, error)
                await trio.sleep(self._pause())
                self._failures += 1
                self._go_on()

    def _pause(self) -> float:
        if not self._failures:
            return 0.0
        return min(_FIRST_PAUSE * 2.0 ** min(self._failures, _MOST_DOUBLINGS), _LAST_PAUSE)

    async def _look(self, pool: Pool) -> None:
        """Look at all that is dirty now."""
        place = self._place(pool)
        if place is None or not self._dirty:
            return  # `opened` comes
        watchers, self._dirty = self._dirty, {}
        self._meanwhile = NOTHING
        work = partial(look, [watcher.as_watched() for watcher in watchers])
        job = Job(Kind.UPKEEP, "live queries", writes=False, work=work)
        try:
            found: list[Found] = await run_on(pool, place, job)
        except BaseException:
            self._dirty.update((each, None) for each in watchers if each in self._watchers)
            raise
        finally:
            meanwhile, self._meanwhile = self._meanwhile, None
        self._failures = 0
        for watcher, each in zip(watchers, found, strict=True):
            if watcher in self._watchers:
                self._hear(watcher, each, meanwhile)

    def _place(self, pool: Pool) -> Lane | Worker | None:
        """Where to look: on the connection of its own, if there is one and it is open."""
        lane = self.lane
        if lane is None:
            return pool.writers
        worker = next((worker for worker in lane.workers if not worker.leaving), None)
        if worker is None and lane.can_grow and not lane.opening:
            pool.grow(lane)
        return worker

    def _hear(self, watcher: Watcher, found: Found, meanwhile: Footprint) -> None:
        is_well = watcher.hear(found)
        self._unindex(watcher)
        footprint = self._watchers[watcher] = watcher.footprint
        if footprint.everything:
            self._of_everything[watcher] = None
        for table in footprint.tables:
            self._of_table.setdefault(table, {})[watcher] = None
        if not is_well or footprint.is_met_by(meanwhile):
            self._mark(watcher)

    def _unindex(self, watcher: Watcher) -> None:
        self._of_everything.pop(watcher, None)
        for table in self._watchers[watcher].tables:
            entry = self._of_table.get(table, {})
            entry.pop(watcher, None)
            if not entry:
                self._of_table.pop(table, None)

    # -- other processes ---------------------------------------------------------------------

    async def ask(self, pool: Pool) -> None:
        """Ask again and again, while anybody watches, whether others have committed."""
        interval = pool.config.live_poll_interval
        self._asks_others = self._others and interval < math.inf
        if not self._asks_others:
            return
        while True:
            await self._asks.wait()
            if pool.state is State.OPEN:
                await self._ask(pool)
            await trio.sleep(interval)

    async def _ask(self, pool: Pool) -> None:
        job = Job(Kind.UPKEEP, "PRAGMA data_version", writes=True, work=_data_version)
        try:
            number: int = await run_on(pool, pool.writers, job)
        except SqlRepoError as error:  # the next one may do better
            logger.debug("%s could not be asked for commits of others: %s", pool.name, error)
            return
        before, self._version = self._version, (job.worker.name, number)
        if before is None:
            for watcher in self._watchers:
                self._mark(watcher)
        elif before != self._version:
            self.note(EVERYTHING, elsewhere=True)


def _data_version(hands: Hands) -> int:
    return hands.driver.data_version()
