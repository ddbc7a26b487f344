"""Which call fails, and how: a fault, and a set of them that is armed together."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final, Literal, final, get_args

import attrs

from trio_sqlrepo.testing.faults import _sqlite
from trio_sqlrepo.testing.faults._driver import At, Call, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo.testing.faults._driver import WatchedDriver

Failure = Literal["busy", "ioerr", "full", "corrupt", "slow", "death", "bug"]

_CODES: Final = {
    "busy": _sqlite.BUSY,
    "ioerr": _sqlite.IOERR_READ,
    "full": _sqlite.FULL,
    "corrupt": _sqlite.CORRUPT,
}
_POLL: Final = 0.001  # seconds between two looks of a slow statement


def _one_of(choices: object) -> Callable[[object, attrs.Attribute[str], str | None], None]:
    allowed = get_args(choices)

    def check(_: object, field: attrs.Attribute[str], value: str | None) -> None:
        if value is not None and value not in allowed:
            raise ValueError(
                f"Fault.{field.name} must be one of {', '.join(allowed)}; it is {value!r}."
            )

    return check


@attrs.frozen
class Fault:
    """What goes wrong, and at which call of a connection.

    Attributes:
        failure: what happens, see below.
        at: the kind of call: `"open"` (a connection), `"begin"`, `"run"` (a declared query; of a
            row stream its opening, and each fetch of a chunk), `"execute"` (SQL given to
            `execute`), `"apply"` (`Database.read` and `write`), `"commit"`, `"rollback"` (also the
            look at a connection after each job that could leave something behind), `"savepoint"`
            (opening, keeping or undoing one), `"probe"`.
        nth: which of the calls that fit, from 1, counted from when the fault was armed.
        lane: only connections of this kind.
        query: only this declared query, as `"Accounts.deposit"`, or this SQL given to `execute`.
        times: how many calls in a row meet it from the n-th on; `math.inf` for all.
        applied: of a COMMIT whose outcome is unknown: it is on the disk all the same.
        seconds: how long a slow call takes. Infinite: until `Faults.release`, or its end by
            cancellation.

    The failures, each raised as the real driver raises it:

    - `"busy"`: a lock of another process was held for too long. Nothing was applied.
    - `"ioerr"`, `"corrupt"`: the connection must be replaced. At a COMMIT the outcome is unknown.
      An I/O error ends the open transaction.
    - `"full"`: no room on the disk. It ends the open transaction; the connection is kept.
    - `"slow"`: the call waits before it begins; a statement may be interrupted meanwhile.
    - `"death"`: out of memory; the connection's thread ends at once, whatever it has in hand.
      The pool replaces it.
    - `"bug"`: the same with an error that nobody expects. The pool stops, and its block raises it.
    """

    failure: Failure = attrs.field(validator=_one_of(Failure))
    at: At = attrs.field(validator=_one_of(At))
    nth: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    lane: Lane | None = attrs.field(default=None, kw_only=True, validator=_one_of(Lane))
    query: str | None = attrs.field(default=None, kw_only=True)
    times: float = attrs.field(default=1, kw_only=True, validator=attrs.validators.ge(1))
    applied: bool = attrs.field(default=False, kw_only=True)
    seconds: float = attrs.field(default=math.inf, kw_only=True, validator=attrs.validators.ge(0.0))

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        shown = [repr(self.failure), f"at={self.at!r}"]
        shown += [
            f"{field.name}={value!r}"
            for field in fields[2:]
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"Fault({', '.join(shown)})"

    def _fits(self, call: Call) -> bool:
        """Whether the call is one of those that are counted."""
        return (
            self.at == call.at
            and self.lane in {None, call.lane}
            and self.query in {None, call.query}
        )


@attrs.frozen
class Fired:
    """A fault that a call has met."""

    fault: Fault
    lane: Lane
    query: str | None  # the declared query, or the SQL given to `execute`


@attrs.define(eq=False)
class _Armed:
    fault: Fault
    seen: int = 0  # calls that fit


@final
class Faults:
    """The faults of one database; each fires at its call and says so. Any thread.

    Where two are due at one call, the one that was armed first fires.
    """

    def __init__(self, *faults: Fault) -> None:
        """Arm these; `arm` can add others later."""
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._fired: list[Fired] = []
        self._ever: list[Fault] = []
        self._released = threading.Event()
        # How a slow call passes its time; a schedule has its own way.
        self._pass_time: Callable[[WatchedDriver | None, float], None] = self._wait
        self._on_fired: Callable[[Fired], object] = id
        self.arm(*faults)

    def __repr__(self) -> str:
        return f"<Faults {len(self.fired)} fired, {len(self.unfired)} not yet>"

    def arm(self, *faults: Fault) -> None:
        """Add faults; their calls are counted from now."""
        with self._lock:
            self._armed += map(_Armed, faults)
            self._ever += faults

    def disarm(self) -> None:
        """From here nothing fails. Slow calls go on."""
        with self._lock:
            self._armed.clear()
        self.release()

    def release(self) -> None:
        """Let every slow call go on, those to come too."""
        self._released.set()

    @property
    def fired(self) -> tuple[Fired, ...]:
        """What has been met until now, in order."""
        with self._lock:
            return tuple(self._fired)

    @property
    def unfired(self) -> tuple[Fault, ...]:
        """Those that no call has met."""
        met = [fired.fault for fired in self.fired]
        with self._lock:
            return tuple(fault for fault in self._ever if fault not in met)

    def check(self) -> None:
        """See that every fault has fired.

        Raises:
            AssertionError: one has not: the test was not the one it was meant to be.
        """
        missing = self.unfired
        if missing:
            raise AssertionError(
                f"These faults have not fired: {', '.join(map(repr, missing))}. No such call was"
                " made, or not so many; look at their `at`, `nth`, `lane` and `query`."
            )

    # -- on the connection's thread --------------------------------------------------------------

    def _meet(self, driver: WatchedDriver | None, call: Call) -> None:
        """Fail the call, if it is the one."""
        with self._lock:
            fault = self._due(call)
            if fault is None:
                return
            self._fired.append(fired := Fired(fault, call.lane, call.query))
        self._on_fired(fired)
        if fault.failure == "slow":
            self._pass_time(driver, fault.seconds)
            return
        raise self._failure(fault, driver, call)

    def _due(self, call: Call) -> Fault | None:
        due = None
        for armed in self._armed:
            fault = armed.fault
            if fault._fits(call):
                armed.seen += 1
                if due is None and fault.nth <= armed.seen < fault.nth + fault.times:
                    due = fault
        return due

    def _failure(self, fault: Fault, driver: WatchedDriver | None, call: Call) -> BaseException:
        if fault.failure in {"death", "bug"}:
            return self._end(fault, driver, call)
        code = _CODES[fault.failure]
        if driver is None:
            return _sqlite.opening_error(call.what, code)
        if call.at == "commit":
            code = _sqlite.IOERR_FSYNC if fault.failure == "ioerr" else code
            return _sqlite.commit_error(driver.real, code, applied=fault.applied)
        return _sqlite.statement_error(driver.real, code, **call.subject)

    @staticmethod
    def _end(fault: Fault, driver: WatchedDriver | None, call: Call) -> BaseException:
        text = "A fault of the test kit ends this thread."
        doom = MemoryError(text) if fault.failure == "death" else RuntimeError(text)
        if driver is None:
            return doom
        # The call's error goes to its caller, and the thread would go on. It ends where it judges
        # that error.
        driver.doom = doom
        if call.at == "commit":
            return _sqlite.commit_error(driver.real, _sqlite.NOMEM, applied=fault.applied)
        return _sqlite.statement_error(driver.real, _sqlite.NOMEM, **call.subject)

    def _wait(self, driver: WatchedDriver | None, seconds: float) -> None:
        waited = 0.0
        while not (self._released.wait(_POLL) or (driver is not None and driver.interrupted)):
            waited += _POLL
            if waited >= seconds:
                return


@final
class FaultWatch:
    """Has the calls of drivers meet faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def before(self, driver: WatchedDriver | None, call: Call) -> None:
        self._faults._meet(driver, call)

    def after(self, call: Call, error: BaseException | None) -> None:
        """Nothing: faults come before a call has an effect."""
