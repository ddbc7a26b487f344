"""Where a schedule's threads stop at their driver, and what is noted of its calls there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.testing.faults._driver import Call, WatchedDriver, watched_opener
from trio_sqlrepo.testing.faults._plan import FaultWatch
from trio_sqlrepo.testing.schedules._baton import this_thread
from trio_sqlrepo.testing.schedules._record import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Job
    from trio_sqlrepo._sqlite import SqliteDriver
    from trio_sqlrepo.testing.faults import Faults, Fired
    from trio_sqlrepo.testing.schedules._conductor import Conductor

# How long a thread waits for a lock before it looks again, by the schedule's clock. Seconds.
_LOCK_WAIT: Final = 0.001
_TEXTS: Final = {
    "begin_read": "BEGIN",
    "begin_write": "BEGIN IMMEDIATE",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "savepoint": "SAVEPOINT",
    "release": "RELEASE",
    "undo": "ROLLBACK TO",
}


@final
class Journal:
    """What has happened until now. One thread at a time writes."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self.events: list[Event] = []

    def note(self, text: str, *tasks: int, connection: str | None = None) -> None:
        """Note what happens now, while the program runs."""
        if self._conductor.armed:
            event = Event(self._conductor.moves, self._conductor.clock.now, tasks, connection, text)
            self.events.append(event)


@final
class Stops:
    """A watch: each call of a driver is a stop before, and an event after."""

    def __init__(self, conductor: Conductor, journal: Journal) -> None:
        self._conductor = conductor
        self._journal = journal

    def before(self, driver: WatchedDriver | None, call: Call) -> None:
        if driver is not None and call.what != "check_in":
            self._conductor.pause()

    def after(self, call: Call, error: BaseException | None) -> None:
        thread = this_thread()
        assert thread is not None, "a driver is called by its own thread only"
        if call.what == "begin_write":
            thread.members.clear()
        job: Job | None = thread.worker.ticket.current
        index = None if job is None else self._conductor.index_of(job.task)
        if index is not None and index not in thread.members and call.lane != "reader":
            thread.members.append(index)
        text = call.query or _TEXTS.get(call.what, call.what)
        if error is not None:
            text += f" raises {type(error).__name__}"
        # The end of a transaction is the affair of all who wrote in it.
        shared = index is None and call.at in {"commit", "rollback"}
        tasks = sorted(thread.members) if shared else [] if index is None else [index]
        self._journal.note(text, *tasks, connection=thread.name)


def stepped_opener(
    conductor: Conductor, journal: Journal, faults: Faults
) -> Callable[..., WatchedDriver]:
    """An opener whose connections stop at each of their calls, and meet faults."""

    def open_stepped(path: str, config: Any, role: Any, **more: Any) -> SqliteDriver:
        give_up: Callable[[], bool] = more.pop("give_up")

        def ask() -> bool:
            conductor.wait_until(conductor.clock.now + _LOCK_WAIT)
            return give_up()

        return open_driver(path, config, role, give_up=ask, **more)

    def pass_time(driver: WatchedDriver | None, seconds: float) -> None:
        released = faults._released
        due = conductor.clock.now + seconds
        conductor.wait_until(
            due, lambda: released.is_set() or (driver is not None and driver.interrupted)
        )

    def fired(fired: Fired) -> None:
        thread = this_thread()
        name = None if thread is None else thread.name
        job = None if thread is None else thread.worker.ticket.current
        index = None if job is None else conductor.index_of(job.task)
        tasks = [] if index is None else [index]
        journal.note(f"fault: {fired.fault.failure}", *tasks, connection=name)

    faults._pass_time = pass_time
    faults._on_fired = fired
    opener = watched_opener(open_stepped, Stops(conductor, journal), FaultWatch(faults))

    def open_watched(*args: Any, **more: Any) -> WatchedDriver:
        driver = opener(*args, **more)

        def between_looks(ask: Callable[[], bool]) -> Callable[[], bool]:
            def ask_later() -> bool:
                # Otherwise it is asked between two chunks of a batch: nobody holds a lock.
                if driver.doing != "run":
                    conductor.wait_until(conductor.clock.now + _LOCK_WAIT)
                return ask()

            return ask_later

        driver.between_looks = between_looks
        return driver

    return open_watched
