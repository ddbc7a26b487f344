"""What `Database.check()` gives: frozen records of what probes have found."""

from __future__ import annotations

from typing import Any, Literal

import attrs

ConnectionState = Literal["well", "busy", "failed", "stuck"]


@attrs.frozen(kw_only=True)
class ConnectionHealth:
    """One connection.

    Attributes:
        name: as in the log and in `PoolTimeout`, such as `"reader 2"`.
        lane: `"reader"`, `"writer"`, `"checkpointer"` (see `SQLiteConfig.wal_size_limit`),
            `"observer"` (see `Database.live`) or `"backup"` (while one is made).
        state: `"well"`: it read a page, and its files are those it opened. `"busy"`: it was at
            work, which is not interrupted to look at it. `"failed"`: the probe failed, and the
            connection is replaced. `"stuck"`: it did not answer within `health_check_timeout`, and
            is replaced.
        seconds: how long the probe took; for a busy one, for how long its call has run or its
            transaction is held.
        detail: what it is busy with, or what the probe met; None where it is well.
    """

    name: str
    lane: str
    state: ConnectionState
    seconds: float
    detail: str | None


@attrs.frozen(kw_only=True)
class Health:
    """All connections, looked at now.

    Attributes:
        path: the database file, or `":memory:"`.
        state: as in `Stats`: `"open"`, `"failed"`, `"draining"`, `"closed"` or `"stopped"`.
        outage: None, or why calls are refused.
        connections: each that was open.
    """

    path: str
    state: str
    outage: str | None
    connections: tuple[ConnectionHealth, ...]

    @property
    def well(self) -> bool:
        """Whether the database serves and no probe has failed."""
        found = {connection.state for connection in self.connections}
        return self.state == "open" and found <= {"well", "busy"}

    def as_dict(self) -> dict[str, Any]:
        """The same as plain dictionaries, numbers and strings, for JSON."""
        return {**attrs.asdict(self), "well": self.well}
