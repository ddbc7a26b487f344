"""The table of jobs, and every step that a job can take.

A job is `ready` until it is done, and then its row is gone; or until it has failed too often, and
then it is `dead` and stays to be looked at. One column drives everything: `due`, when the job may
be taken. A claim moves it to the end of the claim's lease. So a worker that dies needs nobody to
notice: its job becomes due again by itself, like one that waits for its next attempt.

    enqueue ──▶ ready ──claim──▶ ready, due at the lease's end ──finish──▶ (deleted)
                  ▲                  │            │
                  └── fail: later ───┘            └── too many attempts ──▶ dead ──revive──▶ ready

A job may run more than once (its worker may die after the work and before `finish`), so what it
does must bear that.
"""

from datetime import datetime, timedelta
from typing import Literal

import attrs

from trio_sqlrepo import Repository, RowCount, query, transaction

SCHEMA = """
    CREATE TABLE job (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        due TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'dead')),
        attempts INTEGER NOT NULL DEFAULT 0,  -- claims so far
        error TEXT                            -- of the last attempt that failed
    ) STRICT;
    CREATE INDEX job_by_due ON job (state, due, id);
"""


@attrs.frozen
class Job:
    id: int
    kind: str
    payload: dict[str, str]
    due: datetime
    state: Literal["ready", "dead"]
    attempts: int
    error: str | None


@attrs.frozen
class Policy:
    """How often and how long a job is tried."""

    lease: timedelta = timedelta(seconds=30)  # a worker that has not finished by then has lost it
    max_attempts: int = 5
    back_off: timedelta = timedelta(seconds=1)  # before the second attempt; then 2, 4, 8 times it

    def pause(self, attempts: int) -> timedelta:
        return self.back_off * int(2 ** (attempts - 1))


class Jobs(Repository):
    # All times are arguments. SQLite has a clock too, but tests can't turn that one.

    @query.insert("job")
    async def enqueue(self, kind: str, payload: dict[str, str], due: datetime) -> int: ...

    @query.find("job")
    async def get(self, id: int) -> Job | None: ...

    @query("SELECT min(due) FROM job WHERE state = 'ready'")
    async def next_due(self) -> datetime | None: ...

    @query("SELECT * FROM job WHERE state = 'dead' ORDER BY due, id LIMIT :limit")
    async def dead(self, limit: int = 50) -> list[Job]: ...

    @transaction
    async def claim(self, now: datetime, policy: Policy) -> Job | None:
        """Take the job that has been due the longest, for the time of the lease; None if none is.

        One statement finds and marks it, and there is one writer: no two workers get the same.
        """
        # Its workers died so often that the job itself is the likely cause: don't let it kill more.
        await self.bury_overdue(now, policy.max_attempts)
        return await self.take_next(now, now + policy.lease)

    @query("""
        UPDATE job SET attempts = attempts + 1, due = :lease_end
        WHERE id = (
            SELECT id FROM job WHERE state = 'ready' AND due <= :now ORDER BY due, id LIMIT 1
        )
        RETURNING *
    """)
    async def take_next(self, now: datetime, lease_end: datetime) -> Job | None: ...

    @query("""
        UPDATE job SET state = 'dead', error = coalesce(error, 'no worker lived to tell')
        WHERE state = 'ready' AND due <= :now AND attempts >= :max_attempts
    """)
    async def bury_overdue(self, now: datetime, max_attempts: int) -> None: ...

    # `attempts` tells the claims of a job apart. A worker that was too slow, and whose job another
    # has claimed meanwhile, comes with an old number and changes nothing.

    @query("DELETE FROM job WHERE id = :id AND attempts = :attempts AND state = 'ready'")
    async def finish(self, id: int, attempts: int) -> RowCount: ...

    async def fail(self, job: Job, error: str, now: datetime, policy: Policy) -> bool:
        """Try the job again later, or never. False if it is not this claim's any more."""
        dead = job.attempts >= policy.max_attempts
        due = now if dead else now + policy.pause(job.attempts)
        state: Literal["ready", "dead"] = "dead" if dead else "ready"
        return await self.set_failed(job.id, job.attempts, error, due, state) == 1

    @query("""
        UPDATE job SET state = :state, due = :due, error = :error
        WHERE id = :id AND attempts = :attempts AND state = 'ready'
    """)
    async def set_failed(
        self, id: int, attempts: int, error: str, due: datetime, state: Literal["ready", "dead"]
    ) -> RowCount: ...

    @query("""
        UPDATE job SET state = 'ready', attempts = 0, due = :now WHERE id = :id AND state = 'dead'
    """)
    async def revive(self, id: int, now: datetime) -> RowCount: ...
