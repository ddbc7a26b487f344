"""Where the rows of a stream come from: a held connection on the loop, the thread in a body."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from trio.lowlevel import checkpoint, current_task, enable_ki_protection, in_trio_task

from trio_sqlrepo._base.errors import (
    DatabaseError,
    PoolError,
    SessionEnded,
    SessionError,
    SqlRepoError,
)
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.ahead import Holding
from trio_sqlrepo._pool.lease import Lease, LeaseState
from trio_sqlrepo._worker.stream import AIM, MOST_ROWS, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Parameters, Statement
    from trio_sqlrepo._pool.ahead import Ahead
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.stream import Chunk
    from trio_sqlrepo._worker.thread import Worker

_FIRST: Final = 64  # rows of the first chunk: it should be there at once
_GROWTH: Final = 4  # one quick chunk may be chance
# Reading is hidden behind work that takes at least this part of it.
_WORTH: Final = 1 / 4
_IN_A_BODY: Final = 16  # rows


@final
class Pace:
    """When the next chunk is sent for and how long it is, by how fast the last ones went.

    A chunk that takes as long to work on as to read is enough to hide the reading; more would lie
    about, and keep the loop from other tasks. Behind a consumer that is much faster nothing can
    hide: loop and thread would fight for the interpreter lock and win nothing. It gets one chunk
    after the other, of as many rows as two would have. Loop thread only.
    """

    __slots__ = ("_given", "_now", "_reading", "_rows", "ahead", "most")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._given = 0.0  # when the last chunk was given
        self._rows = 0  # how many it had
        self._reading = 0.0  # seconds that it took to read
        self.most = _FIRST
        self.ahead = True  # whether the next one is sent for as soon as one is given

    def give(self, rows: int, reading: float) -> None:
        """The consumer gets so many rows now, which took so many seconds to read."""
        self._given = self._now()
        self._rows = rows
        self._reading = reading

    def ask(self) -> None:
        """The consumer asks for the next chunk now."""
        if self._rows:
            took = self._now() - self._given
            self.ahead = took > _WORTH * self._reading
            grown = min(self.most * _GROWTH, MOST_ROWS // 2 if self.ahead else MOST_ROWS)
            self.most = grown if took * grown <= AIM * self._rows else self._fitting(took)

    def _fitting(self, took: float) -> int:
        return max(round(AIM * self._rows / took), 1)


class LoopFeed:
    """A stream on a lent connection: one chunk in hand, the next one fetched ahead, or when asked.

    Loop thread only. At most two chunks are in memory: a fetch is sent when the one before it is
    given away, which is when the consumer has worked off the one before that; or not until it has
    worked off that too.
    """

    __slots__ = (
        "_ended", "_has_more", "_holding", "_lease", "_next", "_pace", "_pool", "_stream",
        "_waiting", "label",
    )  # fmt: skip

    def __init__(
        self, pool: Pool, lease: Lease | None, statement: Statement, parameters: Parameters
    ) -> None:
        self.label = statement.name
        self._pool = pool
        self._lease = lease
        self._stream = Stream(statement, parameters)
        self._pace = Pace(pool.now)
        self._next: Ahead | None = None  # the next chunk, if it was sent for
        self._has_more = True  # whether one is to be sent for
        self._holding: Holding | None = None
        self._waiting = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label}, {self._next or 'nothing under way'}>"

    def _start(self) -> None:
        self._holding = Holding(self.label, current_task().name, self._pool.now())
        self._pool.streams.add(self._holding)
        self._fetch()

    def _fetch(self) -> Ahead:
        """Send for the next chunk."""
        assert self._lease is not None
        work = partial(self._stream.fetch, self._pace.most)
        self._next = self._lease.send_ahead(Job(Kind.ADHOC, self.label, writes=False, work=work))
        self._has_more = False  # until it is known
        return self._next

    @enable_ki_protection
    async def take(self) -> list[Any]:
        """Wait for the next chunk. A checkpoint; cancelled, it gives the same one next time."""
        if self._ended:
            raise ended(self.label)
        if self._waiting:
            message = (
                f"Two tasks wait for rows of the same {self.label}; a stream is iterated by one"
                " task at a time. Call the query once for each, or share the rows out by a memory"
                " channel."
            )
            raise SessionError(message)
        if self._next is None and not self._has_more:
            await checkpoint()
            return []
        self._pace.ask()
        following = self._next or self._fetch()
        self._waiting = True
        try:
            await following.wait()
        finally:
            self._waiting = False
        if self._ended:  # the block was left meanwhile
            raise ended(self.label)
        self._next = None
        chunk: Chunk = following.result()
        self._has_more = chunk.has_more
        if chunk.has_more and self._pace.ahead:
            with suppress(SqlRepoError):  # it is raised when it is asked for
                self._fetch()
        self._pace.give(len(chunk.rows), chunk.seconds)
        return chunk.rows

    @enable_ki_protection
    async def close(self) -> None:
        """Interrupt what runs and give back what is held."""
        self._ended = True
        if self._holding is not None:
            self._pool.streams.discard(self._holding)
        following, self._next = self._next, None
        if following is not None:
            following.stop()
        if self._lease is not None and self._lease.state is LeaseState.OPEN:
            # Otherwise, or if it is lost meanwhile, the statement went with it.
            with suppress(SessionError, PoolError, DatabaseError):
                await self._give_back(self._lease)

    async def _give_back(self, lease: Lease) -> None:
        job = Job(Kind.ADHOC, self.label, writes=False, work=self._stream.close)
        await lease.run(job, shielded=True)


@final
class OwnFeed(LoopFeed):
    """A stream of a `Database`: it holds a reader of its own."""

    __slots__ = ()

    def __init__(self, pool: Pool, statement: Statement, parameters: Parameters) -> None:
        super().__init__(pool, None, statement, parameters)

    @enable_ki_protection
    async def open(self) -> None:
        """Wait for a reader and for its view."""
        self._lease = await Lease.acquire(self._pool, self.label, writes=False)
        self._start()

    async def _give_back(self, lease: Lease) -> None:
        await lease.release(_roll_back)


@final
class LentFeed(LoopFeed):
    """A stream of a `Snapshot` or `Transaction`, on its connection."""

    __slots__ = ()

    _lease: Lease

    @enable_ki_protection
    async def open(self) -> None:
        """Have the query started in its turn, behind what was called before."""
        if not in_trio_task():
            raise self._pool.explain_outside(self.label)
        await checkpoint()
        self._start()


@final
class BodyFeed:
    """A stream in a body: rows are stepped as they are taken. Worker thread only."""

    __slots__ = ("_do", "_ended", "_hands", "_stream", "label")

    def __init__(
        self,
        hands: Hands,
        do: Callable[..., Any],
        statement: Statement,
        parameters: Parameters,
    ) -> None:
        self.label = statement.name
        self._hands = hands
        self._do = do  # runs a step of the body, unless it may not go on
        self._stream = Stream(statement, parameters)
        self._ended = False

    def __repr__(self) -> str:
        return f"<BodyFeed of {self.label}>"

    async def open(self) -> None:
        """Start the query."""
        self._do(self._stream.open, self._hands)

    async def take(self) -> list[Any]:
        """Step a few rows."""
        if self._ended:
            raise ended(self.label)
        chunk: Chunk = self._do(self._stream.fetch, _IN_A_BODY, self._hands)
        return chunk.rows

    async def close(self) -> None:
        """Reset the statement."""
        self._ended = True
        self._stream.close(self._hands)


def ended(label: str) -> SessionEnded:
    """The refusal of rows after their block."""
    return SessionEnded(
        f"The `async with` block of {label} has ended, and its rows with it. Iterate inside the"
        " block; what is needed longer belongs into a list."
    )


def _roll_back(worker: Worker) -> None:
    worker.hands.driver.rollback()
