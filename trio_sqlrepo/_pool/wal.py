"""The governor of the write-ahead log: keeps it below `SQLiteConfig.wal_size_limit`.

A commit that leaves many frames in the WAL is told to the loop (`Event.WAL`), and then, in this
order:

1. PASSIVE, on a connection and thread of its own, which is opened when it is needed first: what
   no reader needs any more goes into the file, and nobody waits. If nothing was written meanwhile
   and no reader uses the WAL, the next writer starts it anew and it never grows.
2. Where writes went on, theirs are still missing in the file, and the next one would be appended
   behind them; so it would go on. The writer moves those few itself (RESTART), in a turn of its
   own: nothing is added meanwhile. It pays: an fsync of a file that grows takes half as long
   again as one of a file that is written over.
3. Where readers overlap there is always one that uses it, and it grows all the same. Near the limit
   the writer gets a TRUNCATE to do next. It holds the write turn, so no writer of this pool meets a
   lock; it waits for the readers under way, while those that come later read the file alone. It
   waits for milliseconds, as every write waits with it.
4. If a reader stays longer, the TRUNCATE gives up and the governor says who it is. As long as it
   stays no other is sent. If a PASSIVE one has come further it was not one long reader but many
   that follow each other, and the next TRUNCATE is more patient.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Final, final

import attrs
import trio

from trio_sqlrepo._base.driver import CheckpointMode
from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.alarm import Alarm
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.lane import Lane
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._worker.thread import NEVER

if TYPE_CHECKING:
    from trio_sqlrepo._base.driver import Checkpoint, Driver
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.thread import Worker

logger: Final = logging.getLogger("trio_sqlrepo")

# Frames after which a PASSIVE checkpoint is due: SQLite's own number. Less where the limit is low.
_STEP: Final = 1000
_STEPS: Final = 4  # at least so many in the limit
# What was written during a PASSIVE checkpoint is moved by the writer if it is at most this part of
# a step; otherwise another PASSIVE one comes first, so often at most.
_FEW: Final = 4
_ROUNDS: Final = 3
# How long that RESTART waits for readers, and all writes with it: cheap calls end sooner. Seconds.
_MOMENT: Final = 0.003
# Bytes of a frame until a writer's connection has told: of the largest page.
_LARGEST_FRAME: Final = 65536 + 24
# From this share of the limit on the WAL is cut. What is left is for what is written meanwhile.
_NEAR: Final = 0.75
# How long a TRUNCATE waits for readers, and all writes with it. Seconds.
_PATIENCE: Final = 0.05
# The next one follows after so many times its patience, or when so large a share of the limit has
# been written meanwhile: readers that follow each other must not win by their number.
_REST: Final = 10
_GROWTH: Final = 1 / 32
# Both are doubled each time, so many times, that other readers were in the way: the most patient
# attempt comes before the limit.
_MOST_DOUBLINGS: Final = 3
assert _NEAR + _GROWTH * (2**_MOST_DOUBLINGS - 1) < 1
# Seconds until another look at a WAL that a reader blocks, or a retry after an error; doubled each
# time.
_FIRST_PAUSE: Final = 0.05
_LAST_LOOK: Final = 1.0
_LAST_RETRY: Final = 30.0
_MOST_LOOKS: Final = 10  # that are counted; without an end the power would overflow
ANOTHER: Final = "another process"  # reads, as nobody here does


@attrs.frozen(kw_only=True)
class WalState:
    """The WAL at a moment. All 0 and None for a database in memory.

    Attributes:
        size_bytes: size of the file.
        limit_bytes: `SQLiteConfig.wal_size_limit`.
        blocked_by: who keeps the WAL from being cut though it is near its limit, as far as is
            known: a task and its snapshot, a call, or `"another process"`. None: nobody.
        blocked_since: when that began, in seconds of trio's clock.
    """

    size_bytes: int = 0
    limit_bytes: int = 0
    blocked_by: str | None = None
    blocked_since: float | None = None


@final
class Governor:
    """Has the WAL of one database checkpointed. Loop thread only."""

    def __init__(self, path: str, limit: int) -> None:
        """`path` is the database's, `limit` the bytes that its WAL may have."""
        self.lane = Lane("checkpointer", smallest=0, largest=1, reserved=0)
        # SQLite resolves links and puts the WAL beside the file itself.
        self._path = os.path.realpath(path) + "-wal"
        self._limit = limit
        self._alarm = Alarm()
        self._driver: Driver | None = None  # of the writer that reported last
        self._seen = 0  # frames in the WAL at the last checkpoint
        # When to look next: after so long, or when the WAL has so many frames.
        self._pause = math.inf
        self._at = 0
        self._doublings = 0
        self._blocked_by: str | None = None
        self._blocked_since: float | None = None
        self._stuck = 0  # frames that were in the file when a TRUNCATE was blocked
        self._refused = 0.0  # when that was
        self._looks = 0  # in vain, one after the other
        self._warned = False  # that the WAL is above its limit
        self._failed = False  # the last checkpoint

    def __repr__(self) -> str:
        state = f"blocked by {self._blocked_by}" if self._blocked_by else "free"
        return f"<Governor of {self._path!r}, {self._limit} bytes, {state}>"

    def state(self) -> WalState:
        """Look at the file and say what is known."""
        return WalState(
            size_bytes=self._size(),
            limit_bytes=self._limit,
            blocked_by=self._blocked_by,
            blocked_since=self._blocked_since,
        )

    def notice(self, worker: Worker) -> None:
        """Look at the WAL: a writer says that it is due, or the checkpointer has opened."""
        if worker.inbox is not self.lane:
            self._driver = worker.driver
        self._alarm.arm()

    async def run(self, pool: Pool) -> None:
        """Keep the WAL short until the pool ends."""
        pool.writers.checkpoint_at = self._at = self._step
        while True:
            with trio.move_on_after(self._pause):
                await self._alarm.wait()
            self._alarm.disarm()
            pool.writers.checkpoint_at = NEVER
            try:
                await self._look(pool)
            except SqlRepoError as error:  # a later attempt may do better; no call is concerned
                self._note_failure(pool, error)
            pool.writers.checkpoint_at = self._at
            if pool.state is State.OPEN and self._frames >= self._at and self._has_grown:
                self._alarm.arm()  # that was while nobody was to be told

    # -- numbers -----------------------------------------------------------------------------

    @property
    def _frame(self) -> int:
        return _LARGEST_FRAME if self._driver is None else self._driver.wal_frame_bytes

    @property
    def _frames(self) -> int:
        return 0 if self._driver is None else self._driver.wal_frames

    @property
    def _has_grown(self) -> bool:
        return self._frames > min(self._seen, self._near - 1)

    @property
    def _step(self) -> int:
        return max(min(_STEP, self._limit // self._frame // _STEPS), 1)

    @property
    def _near(self) -> int:
        return max(int(self._limit * _NEAR) // self._frame, 1)

    def _next(self) -> int:
        """The number of frames at which to look again, if nothing is in the way.

        Nobody knows here if the next writer starts the WAL anew, as it may where all is in the
        file. The first commit that leaves it longer than a step tells: then, if it was not, the
        step counts from what was there at the last checkpoint.
        """
        following = self._seen + self._step if self._frames > self._seen else self._step
        return min(following, self._near)

    def _after(self, share: float) -> int:
        """The number of frames when the WAL has grown by a share of the limit."""
        return self._frames + int(self._limit * share) // self._frame + 1

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size  # noqa: PTH116  # half the time of Path.stat
        except OSError:  # there is none any more
            return 0

    # -- what is done ------------------------------------------------------------------------

    async def _look(self, pool: Pool) -> None:
        """Do what is due now, and say by `_pause` and `_at` when to look again."""
        if self._frames < self._seen:
            self._seen = 0  # it was started anew
        if pool.state is not State.OPEN:
            self._free(self._next())
        elif self._is_near:
            await self._cut(pool, await self._checkpoint_aside(pool))
        elif self._frames - self._seen < self._step:
            self._free(self._next())
        elif (found := await self._checkpoint_aside(pool)) is None:
            self._free(min(self._frames + self._step, self._near))
        else:
            self._looks = 0
            await self._catch_up(pool, found)
            self._free(self._next())

    @property
    def _is_near(self) -> bool:
        return self._frames >= self._near or self._blocked_by is not None

    def _free(self, at: int) -> None:
        """Nothing is in the way: rest until the WAL has so many frames."""
        self._pause, self._at = math.inf, at

    async def _checkpoint_aside(self, pool: Pool) -> Checkpoint | None:
        """Move on without anybody waiting. None: no connection is there, or another is at it."""
        lane = self.lane
        worker = next((worker for worker in lane.workers if not worker.leaving), None)
        if worker is None:
            if lane.can_grow and not lane.opening:
                pool.grow(lane)  # and `notice` comes
            return None
        job = _checkpoint(CheckpointMode.PASSIVE)
        found: Checkpoint = await run_on(pool, worker, job)
        self._failed = False
        if found.busy:
            return None
        self._seen = found.frames
        return found

    async def _checkpoint_in_turn(
        self, pool: Pool, mode: CheckpointMode, patience: float
    ) -> Checkpoint:
        """Have a writer do it, before all that waits."""
        job = _checkpoint(mode, patience)
        found: Checkpoint = await run_on(pool, pool.writers, job, urgent=True)
        self._seen, self._driver = found.frames, job.worker.driver
        self._failed = False
        return found

    async def _catch_up(self, pool: Pool, found: Checkpoint) -> None:
        """Move what was written during a PASSIVE checkpoint, so that the WAL begins anew.

        Unless a reader needs more than that: then it would be in vain.
        """
        rounds = _ROUNDS
        while found.done == found.frames and (added := self._frames - found.frames) > 0:
            if added <= self._step // _FEW:
                await self._checkpoint_in_turn(pool, CheckpointMode.RESTART, _MOMENT)
                return
            if not rounds or (again := await self._checkpoint_aside(pool)) is None:
                return
            rounds -= 1
            found = again

    async def _cut(self, pool: Pool, passive: Checkpoint | None) -> None:
        """Empty the WAL in a write turn, unless the reader that blocks it is still there."""
        if self._blocked_by and passive is not None and not self._has_moved(passive):
            self._blame(pool)
            self._wait_longer(_LAST_LOOK)
            self._at = self._after(_GROWTH / 2)  # nobody waits for a look: it may come often
            return
        reading = oldest_reader(pool)
        patience = _PATIENCE * 2**self._doublings
        found = await self._checkpoint_in_turn(pool, CheckpointMode.TRUNCATE, patience)
        self._looks = 0
        if found.busy:
            self._stuck, self._refused = found.done, trio.current_time()
            self._blame(pool, reading)
            self._pause = patience * _REST
            self._at = self._after(_GROWTH * 2**self._doublings)
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
            return
        if self._warned:
            logger.info("the WAL of %s is short again", pool.name)
        self._blocked_by = self._blocked_since = None
        self._warned = False
        self._doublings = 0
        self._free(self._next())

    def _has_moved(self, passive: Checkpoint) -> bool:
        return self._stuck < passive.done or 0 < passive.frames == passive.done

    def _wait_longer(self, most: float) -> None:
        self._pause, self._at = min(_FIRST_PAUSE * 2**self._looks, most), NEVER
        self._looks = min(self._looks + 1, _MOST_LOOKS)

    def _note_failure(self, pool: Pool, error: SqlRepoError) -> None:
        """Try again later. The worker has seen to its connection."""
        if not self._failed and pool.state is State.OPEN:
            logger.warning("a checkpoint of %s failed: %s", pool.name, error)
        self._failed = True
        self._wait_longer(_LAST_RETRY)

    # -- who is to blame ---------------------------------------------------------------------

    def _blame(self, pool: Pool, reading: tuple[str, float] | None = None) -> None:
        """Note the reader that was there when a TRUNCATE gave up; or else when it was sent."""
        found = oldest_reader(pool, self._refused) or reading
        if found is not None:
            self._blocked_by, self._blocked_since = found
        elif self._blocked_by != ANOTHER:
            self._blocked_by, self._blocked_since = ANOTHER, trio.current_time()
        if not self._warned and self._size() > self._limit:
            self._warned = True
            pool.observer.look()  # it says so in the log, and does not wait for its hour


def _checkpoint(mode: CheckpointMode, patience: float = 0.0) -> Job:
    def work(hands: Hands) -> Checkpoint:
        return hands.driver.checkpoint(mode, patience=patience)

    return Job(Kind.UPKEEP, "checkpoint", writes=mode is not CheckpointMode.PASSIVE, work=work)


def oldest_reader(pool: Pool, before: float = math.inf) -> tuple[str, float] | None:
    """Of this pool's readers the one at work longest, if since `before`: who, and since when."""
    oldest: tuple[str, float] | None = None
    lanes = [pool.backups.lane] if pool.backups is not None and pool.backups.lane else []
    if pool.readers is not pool.writers:  # otherwise the connection that reads is the one that asks
        lanes.append(pool.readers)
    for worker in (worker for lane in lanes for worker in lane.workers):
        job = pool.lane_of(worker).held.get(worker) or worker.ticket.current
        if job is None or job.enqueued > before or (oldest and oldest[1] <= job.enqueued):
            continue
        task = job.holder or job.task
        who = f"{job.label} of task {task.name!r}" if task is not None else job.label
        oldest = who, job.enqueued
    return oldest
