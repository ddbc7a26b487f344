"""A lease: the handle of one task's block on a worker that is lent to it. Dead after release."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, final

from trio_sqlrepo._base.errors import SessionEnded
from trio_sqlrepo._base.job import Job, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._pool.ahead import Ahead
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._worker.thread import Worker


class LeaseState(enum.Enum):
    """OPEN → ENDING → ENDED, never back."""

    OPEN = "open"
    ENDING = "ending"
    ENDED = "ended"


@final
class Lease:
    """A worker that works for one session until released. Loop thread only."""

    __slots__ = ("_pool", "_worker", "label", "state")

    def __init__(self, pool: Pool, worker: Worker, label: str) -> None:
        self._pool = pool
        self._worker = worker
        self.label = label
        self.state = LeaseState.OPEN

    def __repr__(self) -> str:
        return f"<Lease of {self._worker.name} for {self.label}, {self.state.value}>"

    @classmethod
    async def acquire(cls, pool: Pool, label: str, *, writes: bool) -> Lease:
        """Wait for a connection and for its transaction to begin."""
        job = Job(Kind.LEASE, label, writes=writes)
        return cls(pool, await pool.run(job), label)

    async def run(self, job: Job, *, shielded: bool = False) -> Any:
        """Have the worker run one job; jobs of several tasks run in the order they came."""
        if self.state is not LeaseState.OPEN:
            raise self.ended(job.label)
        return await self._pool.command(self._worker, job, shielded=shielded)

    def send_ahead(self, job: Job) -> Ahead:
        """Have the worker run one job in its turn, for somebody to wait for later."""
        if self.state is not LeaseState.OPEN:
            raise self.ended(job.label)
        return self._pool.send_ahead(self._worker, job)

    def ended(self, what: str) -> SessionEnded:
        """The refusal of what comes too late."""
        return SessionEnded(
            f"{what} was called on a {self.label} that has ended. Use it inside its"
            " `async with` block, and before rollback()."
        )

    async def release(self, ending: Callable[[Worker], None]) -> None:
        """End the transaction by `ending(worker)` on the thread, and give the worker back.

        Shielded: when it returns or raises, the connection is checked in. Not a checkpoint
        that can be cancelled, so an acknowledged COMMIT is never followed by `Cancelled`.
        """
        self.state = LeaseState.ENDING
        job = Job(Kind.RELEASE, self.label, writes=False, work=ending)
        try:
            await self._pool.command(self._worker, job, shielded=True)
        finally:
            self.state = LeaseState.ENDED
