"""A real driver whose calls are watched: each watch hears of a call before and after it.

All of it runs on the connection's own thread, save `abort`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, final

import attrs

from trio_sqlrepo._base.driver import Role, Verdict
from trio_sqlrepo.testing.faults import _sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trio_sqlrepo._base.driver import Fetched, OpenRows
    from trio_sqlrepo._base.job import Parameters, Row, SqlValue, Statement
    from trio_sqlrepo._sqlite import SqliteDriver

R = TypeVar("R")

At = Literal["open", "begin", "run", "execute", "apply", "commit", "rollback", "savepoint", "probe"]
Lane = Literal["reader", "writer", "migrator", "checkpointer"]

# What SQLite can be interrupted in.
_STATEMENTS: Final = frozenset({"run", "execute", "apply"})
_LANES: Final[Mapping[Role, Lane]] = {
    Role.READER: "reader",
    Role.WRITER: "writer",
    Role.SOLE: "writer",
    Role.MIGRATOR: "migrator",
    Role.CHECKPOINTER: "checkpointer",
}


@attrs.frozen
class Call:
    """One call of a driver."""

    at: At
    lane: Lane
    query: str | None = None  # a declared query, "Accounts.deposit"; or the SQL given to `execute`
    writes: bool = False
    what: str = ""  # more exactly than `at`: "release", "begin_read"; the path that is opened

    @property
    def subject(self) -> dict[str, str | None]:
        """What an error of it is about, as `Link.converted` takes it."""
        return {"sql" if self.at == "execute" else "name": self.query}


class Watch(Protocol):
    """Hears of every call of the drivers it watches."""

    def before(self, driver: WatchedDriver | None, call: Call) -> None:
        """Before a call; may wait, and may raise in its place. No driver: it is being opened."""
        ...

    def after(self, call: Call, error: BaseException | None) -> None:
        """After a call that returned, or raised `error`."""
        ...


@final
class WatchedDriver:
    """Conforms to `Driver`. What is not watched goes straight to the real one."""

    def __init__(self, real: SqliteDriver, lane: Lane, watches: Sequence[Watch]) -> None:
        self.real = real
        self.lane = lane
        self._watches = watches
        self.doing: At | None = None  # the watched call that runs
        self.doom: BaseException | None = None  # what ends the thread after its next error
        # What becomes of a `give_up`: a schedule lets other threads go on before it is asked.
        self.between_looks: Callable[[Callable[[], bool]], Callable[[], bool]] = _as_it_is
        # Any thread sets it, by `abort`; the next statement clears it. So an interrupt that comes
        # while a watch holds up a statement ends that statement, as SQLite would.
        self.interrupted = False

    def __repr__(self) -> str:
        return f"<WatchedDriver of {self.real!r}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @property
    def give_up(self) -> Callable[[], bool]:
        return self.real.give_up

    @give_up.setter
    def give_up(self, ask: Callable[[], bool]) -> None:
        self.real.give_up = self.between_looks(ask)

    @property
    def watching(self) -> Callable[[], bool]:
        return self.real.watching

    @watching.setter
    def watching(self, ask: Callable[[], bool]) -> None:
        self.real.watching = ask

    def verdict(self, error: BaseException) -> Verdict:
        """What the real one says; or the end of the thread, which nothing catches here."""
        if self.doom is not None:
            raise self.doom
        return self.real.verdict(error)

    def abort(self) -> None:
        self.interrupted = True
        self.real.abort()

    # -- watched -------------------------------------------------------------------------------

    def run(self, statement: Statement, parameters: Parameters) -> Any:
        call = Call("run", self.lane, statement.name, statement.writes, "run")
        return self._watched(call, self.real.run, statement, parameters)

    def fetch(self, statement: Statement, parameters: Parameters) -> Fetched:
        call = Call("run", self.lane, statement.name, statement.writes, "fetch")
        return self._watched(call, self.real.fetch, statement, parameters)

    def run_many(self, statement: Statement, batch: Sequence[Parameters]) -> Any:
        call = Call("run", self.lane, statement.name, statement.writes, "run_many")
        return self._watched(call, self.real.run_many, statement, batch)

    def stream(self, statement: Statement, parameters: Parameters) -> OpenRows:
        call = Call("run", self.lane, statement.name, statement.writes, "stream")
        rows: OpenRows = self._watched(call, self.real.stream, statement, parameters)
        return _WatchedRows(rows, lambda *args: self._watched(call, rows.fetch, *args))

    def execute(
        self, sql: str, parameters: Sequence[SqlValue] | Mapping[str, SqlValue] = ()
    ) -> list[Row]:
        call = Call("execute", self.lane, sql, not self.real.is_read_only(sql), "execute")
        rows: list[Row] = self._watched(call, self.real.execute, sql, parameters)
        return rows

    def apply(self, function: Callable[..., R], args: tuple[Any, ...] = ()) -> R:
        call = Call("apply", self.lane, None, self.lane == "writer", "apply")
        result: R = self._watched(call, self.real.apply, function, args)
        return result

    def begin_read(self) -> None:
        self._control("begin", "begin_read", self.real.begin_read)

    def begin_write(self) -> None:
        self._control("begin", "begin_write", self.real.begin_write)

    def commit(self) -> None:
        self._control("commit", "commit", self.real.commit)

    def rollback(self) -> None:
        # Asked after every job; only the end of an open transaction is an event.
        if self.real.in_transaction:
            self._control("rollback", "rollback", self.real.rollback)
        else:
            self._before(Call("rollback", self.lane, what="check_in"))
            self.real.rollback()

    def savepoint(self) -> None:
        self._control("savepoint", "savepoint", self.real.savepoint)

    def release(self) -> None:
        self._control("savepoint", "release", self.real.release)

    def undo(self) -> None:
        self._control("savepoint", "undo", self.real.undo)

    def probe(self) -> None:
        self._control("probe", "probe", self.real.probe)

    # -- how -----------------------------------------------------------------------------------

    def _control(self, at: At, what: str, work: Callable[[], None]) -> None:
        writes = self.lane != "reader" and what != "begin_read"
        self._watched(Call(at, self.lane, None, writes, what), work)

    def _before(self, call: Call) -> None:
        for watch in self._watches:
            watch.before(self, call)

    def _watched(self, call: Call, work: Callable[..., R], *args: Any) -> R:
        self.interrupted = False
        self.doing = call.at
        error: BaseException | None = None
        try:
            self._before(call)
            self._stop_if_interrupted(call)
            return work(*args)
        except BaseException as failure:
            error = failure
            raise
        finally:
            self.doing = None
            for watch in self._watches:
                watch.after(call, error)
            del error  # its traceback holds this frame

    def _stop_if_interrupted(self, call: Call) -> None:
        if self.interrupted and call.at in _STATEMENTS:
            raise _sqlite.interruption(self.real, **call.subject, writes=call.writes)


@final
class _WatchedRows:
    """Conforms to `OpenRows`: each fetch is a call like the one that opened it."""

    def __init__(self, real: OpenRows, fetch: Callable[[int, int, float], list[Any]]) -> None:
        self._real = real
        self.fetch = fetch

    @property
    def has_more(self) -> bool:
        return self._real.has_more

    def close(self) -> None:
        self._real.close()


def _as_it_is(ask: Callable[[], bool]) -> Callable[[], bool]:
    return ask


def watched_opener(
    open_driver: Callable[..., SqliteDriver], *watches: Watch
) -> Callable[..., WatchedDriver]:
    """An opener whose connections are watched."""

    def open_watched(path: str, config: object, role: Role, **more: Any) -> WatchedDriver:
        lane = _LANES[role]
        for watch in watches:
            watch.before(None, Call("open", lane, what=path))
        return WatchedDriver(open_driver(path, config, role, **more), lane, watches)

    return open_watched
