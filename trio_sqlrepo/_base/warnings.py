"""What `Stats.warnings` holds: frozen records of what deserves a look, each with its sentence."""

from __future__ import annotations

from typing import Any, ClassVar, final

import attrs


@attrs.frozen(kw_only=True)
class PoolWarning:
    """The root of all warnings. None is an error: the pool goes on.

    Attributes:
        kind: which it is, the same for all of a class, for whoever reads `as_dict`.
        message: a sentence: what was found, where, what to do. Holds no bound value.
    """

    kind: ClassVar[str]

    @property
    def message(self) -> str:
        """A sentence: what was found, where, what to do."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """What it is about: two of one kind and subject are the same warning, seen twice."""
        return ""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers and strings, with `kind` and `message`."""
        return {"kind": self.kind, "message": self.message, **attrs.asdict(self)}


@final
@attrs.frozen(kw_only=True)
class FewIdleReaders(PoolWarning):
    """Nearly all readers have been busy for a whole `PoolConfig.warning_window`.

    Attributes:
        idle: readers idle now, or not opened yet.
        readers: readers there may be, `PoolConfig.max_readers`.
        share: the share that should be idle, `PoolConfig.warning_idle_share`.
        seconds: for how long fewer were, at least.
    """

    kind: ClassVar[str] = "few_idle_readers"

    idle: int
    readers: int
    share: float
    seconds: float

    @property
    def message(self) -> str:
        """A sentence."""
        return (
            f"For {self.seconds:.3g} s less than {self.share:.3g} of the {self.readers} readers"
            f" were idle (now {self.idle}), so reads wait. Raise PoolConfig.max_readers, or hold"
            " snapshots and run db.read() for less long."
        )


@final
@attrs.frozen(kw_only=True)
class HighErrorRate(PoolWarning):
    """Many operations failed during the last `PoolConfig.warning_window`.

    Counted are calls of declared queries, in bodies too, and calls that were sent away
    (`PoolTimeout`, `PoolOverloaded`). A cancelled query counts as failed.

    Attributes:
        errors: operations that failed.
        operations: all of them.
        seconds: the window; less if the database was opened later.
        query: the declared query that failed most often; None if none did.
    """

    kind: ClassVar[str] = "high_error_rate"

    errors: int
    operations: int
    seconds: float
    query: str | None

    @property
    def message(self) -> str:
        """A sentence."""
        most = f", {self.query} most often" if self.query else ""
        return (
            f"{self.errors} of {self.operations} operations of the last {self.seconds:.3g} s failed"
            f" ({self.errors / self.operations:.2%}){most}. Look at what their callers were told."
        )


@final
@attrs.frozen(kw_only=True)
class SlowOperation(PoolWarning):
    """An operation takes, or took, longer than `PoolConfig.connection_timeout`.

    One that has ended is reported for a `PoolConfig.warning_window` more.

    Attributes:
        operation: the declared query, the body, or what was called, such as `"execute"`.
        seconds: how long: of one that runs since it was called, of one that has ended its running.
        running: whether it runs now.
        limit: `PoolConfig.connection_timeout`, in seconds.
    """

    kind: ClassVar[str] = "slow_operation"

    operation: str
    seconds: float
    running: bool
    limit: float

    @property
    def message(self) -> str:
        """A sentence."""
        what = "was called" if self.running else "took"
        since = " ago and still runs," if self.running else ","
        return (
            f"{self.operation} {what} {self.seconds:.3g} s{since} longer than others wait for a"
            f" connection (PoolConfig.connection_timeout is {self.limit:.3g} s). Look at its query"
            " plan, or let it do less at a time."
        )

    @property
    def subject(self) -> str:
        """The operation."""
        return self.operation


@final
@attrs.frozen(kw_only=True)
class LongStream(PoolWarning):
    """A row stream is open for longer than `PoolConfig.warning_stream_age`.

    Attributes:
        query: the declared query that it is of.
        task: the name of the task that entered it.
        seconds: how long it has been open.
        limit: `PoolConfig.warning_stream_age`, in seconds.
    """

    kind: ClassVar[str] = "long_stream"

    query: str
    task: str
    seconds: float
    limit: float

    @property
    def message(self) -> str:
        """A sentence."""
        return (
            f"Task {self.task!r} has had a stream of {self.query} open for {self.seconds:.3g} s"
            f" (PoolConfig.warning_stream_age is {self.limit:.3g} s); it holds a connection, and"
            " its view keeps the WAL from being cut back. Work on its rows faster, or read them in"
            " several calls, each from where the last one stopped."
        )

    @property
    def subject(self) -> str:
        """The query and the task."""
        return f"{self.query} of {self.task}"


@final
@attrs.frozen(kw_only=True)
class WalOverLimit(PoolWarning):
    """The WAL is longer than it should be, because somebody reads an old state.

    Attributes:
        size_bytes: how long the file is.
        limit_bytes: `SQLiteConfig.wal_size_limit`.
        blocked_by: who reads.
        seconds: for how long; None: not known.
    """

    kind: ClassVar[str] = "wal_over_limit"

    size_bytes: int
    limit_bytes: int
    blocked_by: str
    seconds: float | None

    @property
    def message(self) -> str:
        """A sentence."""
        since = "" if self.seconds is None else f" for {self.seconds:.3g} s"
        return (
            f"The WAL has {self.size_bytes} bytes, above SQLiteConfig.wal_size_limit"
            f" ({self.limit_bytes}), and can't be cut back: held{since} by {self.blocked_by}. End"
            " what reads there."
        )

    @property
    def subject(self) -> str:
        """Who reads."""
        return self.blocked_by


@final
@attrs.frozen(kw_only=True)
class ReplacedConnections(PoolWarning):
    """Connections were replaced during the last `PoolConfig.warning_window`: an error, or dirt.

    Those renewed because of their age do not count.

    Attributes:
        count: how many.
        connection: the last of them, such as `"reader 2"`.
        reason: why that one was.
    """

    kind: ClassVar[str] = "replaced_connections"

    count: int
    connection: str
    reason: str

    @property
    def message(self) -> str:
        """A sentence."""
        how_many = "1 connection was" if self.count == 1 else f"{self.count} connections were"
        return f"{how_many} replaced lately, the last {self.connection}: {self.reason}"


@final
@attrs.frozen(kw_only=True)
class DegradedSize(PoolWarning):
    """Fewer connections serve than are wanted; opening them is tried again by itself.

    Attributes:
        connections: `"reader"` or `"writer"`.
        size: how many are open.
        most: how many there may be.
        reason: why the last attempt to open one failed.
    """

    kind: ClassVar[str] = "degraded_size"

    connections: str
    size: int
    most: int
    reason: str

    @property
    def message(self) -> str:
        """A sentence."""
        return (
            f"Only {self.size} of up to {self.most} {self.connections} connections serve; opening"
            f" another one is tried again by itself: {self.reason}"
        )

    @property
    def subject(self) -> str:
        """Which connections."""
        return self.connections
