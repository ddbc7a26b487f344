"""Keeping declared statements compiled, whatever else the connection runs.

apsw's own cache is a ring of at most 512 slots: every use of a statement puts it into the next
slot and evicts what lies there, so a statement unused during the last 512 uses is gone however few
distinct statements exist (executemany counts each element as a use).

A statement in use lies in no slot. So each kept statement has a cursor of its own, and when its
slot is about to be overwritten the cursor takes it out and holds it, compiled and not started:
it is *parked*. A parked statement costs nothing, holds no snapshot and no lock, and goes back to
the ring by itself when its cursor next executes it. A statement is parked at most once after each
use, so however many are declared, a use costs at most one parking (3 µs).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_sqlrepo._base.footprint import Footprint
    from trio_sqlrepo._base.job import RowBuilder, Statement

RING = 512  # the most apsw allows
LONGEST = 16_382  # bytes of SQL that apsw keeps, less one for `keep`
CHUNK = 100  # elements of one executemany: uses that pass between two looks at the ring
# Older than this is parked at a look; a look follows after as many uses again.
_AGE = 200
assert 2 * _AGE + CHUNK < RING  # so a statement is parked before its slot is overwritten
PARKED = 1 << 62  # a last use in the future: never old
_GONE = -(1 << 62)  # a last use so long ago that the ring has forgotten it


def abort(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
    """Trace that lets a statement be compiled and not run (`apsw.ExecTraceAbort`)."""
    return False


def _none() -> int:
    return 0


@final
class Kept:
    """One statement that stays compiled on one connection, with the cursor that runs it.

    Declared statements bring `statement`; the driver's own ones don't.
    """

    __slots__ = (
        "build", "by_total", "columns", "connection", "count", "cursor", "epoch", "execute",
        "footprint", "footprint_epoch", "last_use", "name", "nulls", "seen", "single", "sql",
        "statement", "writes",
    )  # fmt: skip

    def __init__(
        self,
        connection: apsw.Connection,
        sql: str,
        statement: Statement | None = None,
    ) -> None:
        self.connection = connection
        self.sql = sql
        self.nulls = (None,) * (statement.parameter_count if statement else 0)
        # The number of the use that put it into the ring; PARKED or _GONE when it isn't there.
        self.last_use = _GONE
        # Copied from the statement, because each hop costs 20 ns in `run`:
        self.statement = statement
        self.name = statement.name if statement else None
        self.writes = statement.writes if statement else False
        self.single = statement.single if statement else False
        # This connection's own: another one may have met a schema change earlier or later.
        self.build: RowBuilder | None = statement.build if statement else None
        self.columns: tuple[str, ...] = statement.columns if statement else ()
        self.count: Callable[[], int] = _none  # rows changed by the last run
        self.by_total = False  # whether total_changes() counts them as well
        self.seen = -1  # the gate's count of calls when the columns were last known to be right
        self.epoch: object = None  # the schema it was compiled for, as far as is known
        self.footprint: Footprint | None = None  # see `Footprints.of`
        self.footprint_epoch: object = None  # the schema it is of
        self.cursor: apsw.Cursor
        self.execute: Callable[..., Any]
        self.open()

    def __repr__(self) -> str:
        place = {PARKED: "parked", _GONE: "not compiled"}.get(self.last_use, "in the ring")
        return f"<Kept {self.name or self.sql!r} {place}>"

    def open(self) -> None:
        """Give it a fresh cursor, untraced whatever the connection's own trace is."""
        self.cursor = self.connection.cursor()
        self.cursor.exec_trace = None
        self.execute = self.cursor.execute

    def reset(self) -> None:
        """End what the cursor runs, however far it got."""
        # apsw reports the error of the failed run a second time here.
        with contextlib.suppress(apsw.Error):
            self.cursor.close(force=True)
        self.open()

    def park(self, trace: Callable[[apsw.Cursor, str, Any], bool] = abort) -> None:
        """Take it out of the ring, compiling it if it isn't there.

        Raises `apsw.Error` if it does not compile.
        """
        self.cursor.exec_trace = trace
        try:
            self.execute(self.sql, self.nulls)
        except apsw.ExecTraceAbort:
            self.last_use = PARKED
        except BaseException:
            self.last_use = _GONE
            raise
        finally:
            self.cursor.exec_trace = None

    def forget(self) -> None:
        """Note that it is not compiled: its last run did not get so far."""
        self.last_use = _GONE

    def close(self) -> None:
        """Give the statement and the cursor back."""
        self.reset()
        self.cursor.close(force=True)


def _park_and_look(kept: Kept) -> tuple[str, ...]:
    names: tuple[str, ...] = ()

    def look(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        nonlocal names
        names = tuple([name for name, _ in cursor.get_description()])
        return False

    kept.park(look)
    return names


@final
class StatementCache:
    """The ring of one connection as this library counts it, and what is kept out of its way.

    The count runs ahead of apsw's where a statement fails to compile; so a statement is at worst
    parked too early. Used on the connection's thread only.
    """

    __slots__ = ("_kept", "look_at", "uses")

    def __init__(self) -> None:
        self.uses = 0  # how often a statement was put into the ring
        self.look_at = _AGE
        self._kept: list[Kept] = []

    def __repr__(self) -> str:
        parked = sum(kept.last_use == PARKED for kept in self._kept)
        return f"<StatementCache {len(self._kept)} kept, {parked} parked, {self.uses} uses>"

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    def keep(self, kept: Kept) -> tuple[str, ...]:
        """Compile it now and keep it so; give the names of its columns."""
        self._kept.append(kept)
        misses = kept.connection.cache_stats()["misses"]
        names = _park_and_look(kept)
        # The same SQL lay in the ring, perhaps compiled for a schema that is no more. apsw goes by
        # the text, so with a blank behind it becomes another.
        while kept.connection.cache_stats()["misses"] == misses:
            kept.sql += " "
            names = _park_and_look(kept)
        return names

    def drop(self, kept: Kept) -> None:
        """Keep it no longer."""
        self._kept.remove(kept)
        kept.close()

    def describe(self, kept: Kept) -> tuple[str, ...]:
        """Park it, and give the names of its columns as it is compiled now."""
        self.uses += kept.last_use == PARKED
        return _park_and_look(kept)

    def holds(self, kept: Kept) -> bool:
        """Whether it is compiled: parked, or in a slot not yet overwritten."""
        return self.uses - kept.last_use < RING

    def use(self, kept: Kept, times: int = 1) -> None:
        """Count a run of it. `SqliteDriver.run` has the same lines for one use."""
        # A parked one is put into the ring and taken out again before it runs.
        self.uses = kept.last_use = self.uses + times + (kept.last_use == PARKED)
        if self.uses >= self.look_at:
            self.look()

    def use_other(self) -> None:
        """Count a run of a statement that is not kept."""
        self.uses += 1
        if self.uses >= self.look_at:
            self.look()

    def lend(self, kept: Kept) -> None:
        """Count the start of a run that stays half-way: until its end it lies in no slot."""
        self.use(kept, times=0)  # a parked one goes through the ring
        kept.last_use = PARKED

    def take_back(self, kept: Kept) -> None:
        """Note that a run which stayed half-way has ended: it goes into the next slot."""
        kept.last_use = _GONE
        self.use(kept)

    def look(self, older_than: int = _AGE) -> None:
        """Park what would be overwritten before the next look."""
        uses = self.uses
        self.look_at = uses + _AGE
        for kept in self._kept:
            if older_than <= uses - kept.last_use < RING:
                # It no longer compiles: the call that needs it will say so.
                with contextlib.suppress(apsw.Error):
                    kept.park()

    def park_all(self) -> None:
        """Park everything, before code runs whose uses nobody counts."""
        self.look(older_than=0)
