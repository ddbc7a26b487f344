"""Runs a schedule: the whole library, a real SQLite file, and one thread at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import trio

from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._opening import Parts, open_of_parts
from trio_sqlrepo.testing.faults import Faults
from trio_sqlrepo.testing.schedules._clock import steered_trio
from trio_sqlrepo.testing.schedules._conductor import Conductor
from trio_sqlrepo.testing.schedules._program import Cancelled, Deadline
from trio_sqlrepo.testing.schedules._record import Done, Ending, Run
from trio_sqlrepo.testing.schedules._watch import Journal, stepped_opener

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._database import Database
    from trio_sqlrepo.testing.faults._driver import WatchedDriver
    from trio_sqlrepo.testing.schedules._program import Call, Operation, Schedule, Step
    from trio_sqlrepo.testing.schedules._scenario import Scenario

_FAULTY: Final = (SqlRepoError, MemoryError)


def run_schedule(scenario: Scenario, schedule: Schedule) -> Run:
    """Run a schedule on a new database, and check what it leaves. Blocks; not within trio.

    The same schedule takes the same course each time. What fails bears a note with the timeline
    and the expression that repeats it.

    Args:
        scenario: the database and what must hold.
        schedule: what is done with it, and in which order.

    Returns:
        What happened.

    Raises:
        AssertionError: the scenario's `check` failed, or a connection was left leased.
        StuckError: the tasks wait for each other.
        Exception: what an operation raised that the scenario does not expect.
    """
    return run_planted(_sound, scenario, schedule)


def _sound(driver: WatchedDriver) -> Any:
    return driver


def run_planted(
    plant: Callable[[WatchedDriver], Any], scenario: Scenario, schedule: Schedule
) -> Run:
    """As `run_schedule`, on connections that `plant` has put something wrong into."""
    runner = _Runner(plant, scenario, schedule)
    try:
        return runner.run()
    except BaseException as error:
        error.add_note(runner.story())
        raise


@final
class _Runner:
    """One run."""

    def __init__(
        self, plant: Callable[[WatchedDriver], Any], scenario: Scenario, schedule: Schedule
    ) -> None:
        self._scenario = scenario
        self._schedule = schedule
        self._everything = trio.CancelScope()
        self._conductor = Conductor(schedule.switches)
        self._conductor.index_of = self._index_of
        self._conductor.describe = self._describe
        self._conductor.on_failure = self._everything.cancel
        self._journal = Journal(self._conductor)
        self._faults = Faults()
        opener = stepped_opener(self._conductor, self._journal, self._faults)
        self._parts = Parts(
            open_driver=lambda *args, **more: plant(opener(*args, **more)),
            equip=self._conductor.equip,
            run_thread=self._conductor.run_thread,
        )
        self._indexes: dict[trio.lowlevel.Task, int] = {}
        self._doing: dict[int, str] = {}  # what each task does now, for `StuckError`
        self._calls: list[Done] = []
        self._unexpected: list[BaseException] = []

    def story(self) -> str:
        """What happened, and how to repeat it."""
        run = self._run()
        literal = self._schedule.literal(indent="    ")
        return (
            f"What happened:\n\n{run.timeline()}\n\n"
            f"To repeat it:\n\nrun_schedule(\n    scenario,\n{literal},\n)"
        )

    def run(self) -> Run:
        with tempfile.TemporaryDirectory(prefix="schedule-") as place:
            try:
                with steered_trio(self._conductor.arrange):
                    trio.run(
                        self._main,
                        Path(place) / "schedule.db",
                        clock=self._conductor.clock,
                        instruments=[self._conductor],
                    )
            except trio.TrioInternalError as error:
                raise self._conductor.failure or error from None
            finally:
                self._conductor.unwind()
        return self._run()

    def _run(self) -> Run:
        return Run(
            self._schedule,
            tuple(self._calls),
            tuple(self._journal.events),
            self._faults.fired,
            self._conductor.clock.now,
        )

    async def _main(self, path: Path) -> None:
        scenario = self._scenario
        self._conductor.main = trio.lowlevel.current_task()
        with self._everything:
            async with open_of_parts(
                self._parts,
                path,
                tuple(scenario.repositories),
                scenario.migrations,
                scenario.pool,
                scenario.sqlite,
                scenario.converter,
            ) as database:
                if scenario.prepare is not None:
                    await scenario.prepare(database)
                await self._tasks(database)
                self._raise_unexpected()
                if database.stats().state == "failed":
                    await database.check()  # the faults are over: have the file found well
                stats = database.stats()
                leased = stats.readers.leased + stats.writers.leased
                assert not leased, f"{leased} connections are still leased after the last call."
                if scenario.check is not None:
                    await scenario.check(database, self._run())
        self._raise_unexpected()

    def _raise_unexpected(self) -> None:
        if self._conductor.failure is not None:
            raise self._conductor.failure
        if self._unexpected:
            raise self._unexpected[0]

    # -- the tasks -----------------------------------------------------------------------------

    async def _tasks(self, database: Database) -> None:
        self._conductor.armed = True
        self._faults.arm(*self._schedule.faults)
        try:
            async with trio.open_nursery() as nursery:
                for index, steps in enumerate(self._schedule.tasks):
                    before = nursery.child_tasks
                    nursery.start_soon(self._task, database, index, steps, name=f"task {index}")
                    # Known before its first step, so that the schedule orders that too.
                    self._indexes |= dict.fromkeys(nursery.child_tasks - before, index)
        finally:
            self._conductor.armed = False
            self._faults.disarm()

    async def _task(self, database: Database, index: int, steps: tuple[Step, ...]) -> None:
        for step in steps:
            await self._step(database, index, step)
        self._doing.pop(index, None)

    async def _step(self, database: Database, index: int, step: Step) -> None:
        conductor = self._conductor
        operation: Operation | Call
        with trio.CancelScope() as scope:
            told: list[float] = []
            running = True

            def cancel() -> None:
                if running:
                    told.append(conductor.clock.now)
                    self._journal.note("is cancelled", index)
                    scope.cancel()

            operation = step.operation if isinstance(step, (Cancelled, Deadline)) else step
            self._journal.note(f"{operation!r}", index)
            self._doing[index] = f"{step!r}"
            started = conductor.moves
            if isinstance(step, Cancelled) and step.after:
                conductor.after_moves(step.after, cancel)
            elif isinstance(step, Cancelled):
                cancel()
            elif isinstance(step, Deadline):
                scope.deadline = conductor.clock.now + step.seconds
            value, error = None, None
            ending = Ending.CANCELLED
            try:
                value = await self._scenario.bind(operation, database)
                ending = Ending.RETURNED
            except Exception as raised:  # noqa: BLE001  # judged below
                error = raised
                ending = Ending.RAISED
            finally:
                running = False
                if not told and scope.cancel_called:
                    told.append(scope.deadline)
                self._end(
                    Done(
                        task=index,
                        operation=operation,
                        ending=ending,
                        value=value,
                        error=error,
                        started=started,
                        ended=conductor.moves,
                        cancelled_at=told[0] if told else None,
                        ended_at=conductor.clock.now,
                    )
                )

    def _end(self, done: Done) -> None:
        self._calls.append(done)
        text = f"returns {done.value!r}"
        if done.error is not None:
            text = f"raises {type(done.error).__name__}"
            expected = (*self._scenario.expects, *(_FAULTY if self._schedule.faults else ()))
            if not isinstance(done.error, expected):
                self._unexpected.append(done.error)
        elif not done.acknowledged:
            text = "raises Cancelled"
        self._journal.note(text, done.task)

    def _index_of(self, task: trio.lowlevel.Task | None) -> int | None:
        while task is not None:
            if task in self._indexes:
                return self._indexes[task]
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return None

    def _describe(self) -> str:
        doing = "".join(f"\n  task {index}: {what}" for index, what in sorted(self._doing.items()))
        return doing or " No task is left: `prepare` or `check` waits."
