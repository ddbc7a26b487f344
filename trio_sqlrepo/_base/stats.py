"""What `Database.stats()` gives: frozen records of counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_sqlrepo._base.warnings import PoolWarning


@attrs.frozen(kw_only=True)
class LaneStats:
    """The connections of one lane. Times are seconds; counters run since opening.

    Attributes:
        size: connections open now.
        idle: connections waiting for work now.
        leased: connections held by a transaction, snapshot or stream now.
        waiting: calls waiting for a connection now.
        created: connections opened.
        replaced: connections closed because of an error, dirt or age, and opened anew.
        failed: attempts to open a connection that failed.
        acquisitions: calls given a connection.
        timeouts: calls that waited for `connection_timeout` in vain.
        overloads: calls refused because `max_waiting` waited already.
        busy_seconds: time that the lane's connections have worked, added up.
        degraded: None, or why fewer connections serve than are wanted.
    """

    size: int
    idle: int
    leased: int
    waiting: int
    created: int
    replaced: int
    failed: int
    acquisitions: int
    timeouts: int
    overloads: int
    busy_seconds: float
    degraded: str | None


@attrs.frozen(kw_only=True)
class StatementStats:
    """One declared query. Times are seconds of running, without waiting.

    Attributes:
        calls: how often it ran; a batch counts once, and so does a stream.
        errors: how many of these raised, unless they were cancelled.
        rows: rows returned, or changed where none are returned.
        total_seconds: time of all calls together.
        max_seconds: time of the longest; of streams, of the longest chunk.
        precompiled: whether every open connection that serves its calls (readers, or the writer)
            has it compiled. False after a change of the schema, until it has been called.
    """

    calls: int
    errors: int
    rows: int
    total_seconds: float
    max_seconds: float
    precompiled: bool


@attrs.frozen(kw_only=True)
class Stats:
    """A moment of a pool.

    Attributes:
        path: the database file, or `":memory:"`.
        state: `"open"`, `"failed"` (out of service, until the file is well again), `"draining"`,
            `"closed"` or `"stopped"` (for good: a bug, or a database in memory was lost).
        outage: None, or why calls are refused while the state is `"failed"`.
        readers, writers: the lanes. With `max_readers=0` reads are counted in `writers`.
        commits: transactions committed.
        writes: calls whose writes these held.
        writes_per_commit: their ratio; 0.0 before the first.
        statements: by query name, such as `"Messages.get"`.
        warnings: what deserves a look now; empty where all is well.
    """

    path: str
    state: str
    outage: str | None
    readers: LaneStats
    writers: LaneStats
    commits: int
    writes: int
    statements: Mapping[str, StatementStats]
    warnings: tuple[PoolWarning, ...] = ()

    @property
    def writes_per_commit(self) -> float:
        """How many writes shared one COMMIT on average."""
        return self.writes / self.commits if self.commits else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dictionaries, numbers and strings, for JSON."""
        plain = attrs.asdict(self)
        plain["writes_per_commit"] = self.writes_per_commit
        plain["warnings"] = [warning.as_dict() for warning in self.warnings]
        return plain
