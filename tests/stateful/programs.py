"""Programs: what Hypothesis draws, and how one is run against the library and the model."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any, final

import attrs
import trio
from hypothesis import strategies as st

from tests.cancellation.stepping import Ticker, When, attempt
from tests.notes import Notes, assert_healthy, open_notes
from tests.stateful import operations as ops
from tests.stateful.model import Model, Operation, State
from trio_sqlrepo import Database, PoolConfig


@attrs.frozen
class Cancel:
    when: When
    at: int


@attrs.frozen
class Step:
    """One call, perhaps cancelled."""

    operation: Operation
    cancel: Cancel | None = None


@attrs.frozen
class Together:
    """Tasks that run at the same time, each with names of its own, and a counter of them all."""

    tasks: list[list[Step]]


# -- what is drawn -------------------------------------------------------------------------------


@attrs.frozen
class Names:
    """What the operations of one task may touch."""

    boxes: tuple[str, ...]
    bodies: tuple[str, ...]
    strict: tuple[str, ...]
    columns: tuple[str, ...]
    alone: bool  # nobody else writes: ids and whole tables can be foretold


ALONE = Names(("a", "b"), tuple("12345678"), ("s", "t"), ("x", "y", "z"), alone=True)


def names_of_task(number: int) -> Names:
    return Names(
        boxes=(f"task {number}", f"task {number}, other"),
        bodies=tuple(f"{number}-{name}" for name in "12345678"),
        strict=(f"{number}-s",),
        # One task changes the schema: the order of columns can be foretold.
        columns=("p", "q") if number == 0 else (),
        alone=False,
    )


@cache
def reads(names: Names) -> st.SearchStrategy[Operation]:
    box = st.sampled_from(names.boxes)
    drawn: list[st.SearchStrategy[Operation]] = [st.builds(ops.InBox, box)]
    if names.alone:
        drawn += [
            st.builds(ops.Rows),
            st.builds(ops.Get, st.integers(1, 9)),
            st.builds(ops.OnlyOneIn, box),
            st.builds(ops.AdHocCount),
        ]
    return st.one_of(drawn)


@cache
def writes(names: Names) -> st.SearchStrategy[Operation]:
    box, body = st.sampled_from(names.boxes), st.sampled_from(names.bodies)
    bodies = st.lists(body, max_size=3).map(tuple)
    drawn: list[st.SearchStrategy[Operation]] = [
        st.builds(ops.Put, box, body),
        st.builds(ops.PutAll, box, bodies),
        st.builds(ops.Empty, box),
        st.builds(ops.PutStrictly, st.sampled_from(names.strict)),
    ]
    if names.columns:
        drawn.append(st.builds(ops.AddColumn, st.sampled_from(names.columns), st.booleans()))
    if names.alone:
        drawn += [
            st.builds(ops.Add, box, body),
            st.builds(ops.AddAll, box, bodies),
            st.builds(ops.Move, st.lists(st.integers(1, 9), max_size=3).map(tuple), box),
            st.builds(ops.TakeOnlyOne, box),
            st.builds(ops.Increment),
        ]
    return st.one_of(drawn)


def scripts(of: st.SearchStrategy[Operation], most: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=most)


@cache
def bodies(names: Names, depth: int = 2) -> st.SearchStrategy[Operation]:
    inside = writes(names) | reads(names) | st.builds(ops.Look, scripts(reads(names), 2))
    if depth:
        inside |= bodies(names, depth - 1)
    return st.builds(ops.Body, scripts(inside), st.booleans())


def moments() -> st.SearchStrategy[Cancel]:
    return st.builds(Cancel, st.sampled_from([When.BLOCKED, When.RESUMED]), st.integers(0, 8))


@cache
def inside_transaction(names: Names, depth: int = 2) -> st.SearchStrategy[Operation]:
    """What may stand in a `db.transaction()` block."""
    calls = writes(names) | reads(names) | bodies(names)
    drawn = calls | st.builds(
        lambda step, moment: ops.CancelledInside(step, moment.when, moment.at), calls, moments()
    )
    if depth:
        deeper = inside_transaction(names, depth - 1)
        drawn |= st.builds(ops.Savepoint, scripts(deeper, 3), st.booleans())
    return drawn


@cache
def calls(names: Names) -> st.SearchStrategy[Operation]:
    """What may be done on a `Database`."""
    endings = st.sampled_from(["commit", "raise", "rollback"])
    return st.one_of(
        writes(names),
        reads(names),
        bodies(names),
        st.builds(ops.Transaction, scripts(inside_transaction(names)), endings),
        st.builds(ops.Look, scripts(reads(names))),
        st.builds(ops.Snapshot, scripts(reads(names) | st.builds(ops.Look, scripts(reads(names))))),
    )


@cache
def steps(names: Names) -> st.SearchStrategy[Step]:
    drawn = calls(names)
    if not names.alone:
        drawn |= st.builds(ops.Increment)
    return st.builds(Step, drawn, st.none() | moments())


def together() -> st.SearchStrategy[Together]:
    tasks = [st.lists(steps(names_of_task(number)), max_size=3) for number in range(4)]
    return st.tuples(*tasks).map(lambda drawn: Together([task for task in drawn if task]))


PROGRAMS = st.lists(steps(ALONE) | together(), min_size=1, max_size=8)
POOLS = st.builds(
    PoolConfig,
    min_readers=st.just(0),
    max_readers=st.sampled_from([0, 1, 3]),
    max_writers=st.sampled_from([1, 2]),
    group_commit=st.sampled_from([1, 2, 128]),
)


# -- how it is run -------------------------------------------------------------------------------


@final
@attrs.define
class Counted:
    """One call that saw the counter, and when: between two moments of a clock that all share."""

    start: int
    end: int
    value: int
    increments: bool


@final
class Run:
    """One program against one database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.model = Model()
        self._clock = itertools.count()
        self._counted: list[Counted] = []

    async def program(self, program: list[Step | Together]) -> None:
        for each in program:
            if isinstance(each, Together):
                await self.together(each)
            else:
                await self.step(each, self.model)
            stats = self.db.stats()
            for lane in (stats.readers, stats.writers):
                assert (lane.leased, lane.waiting, lane.replaced) == (0, 0, 0), lane
        await assert_healthy(self.db)
        self.model.state.counter += 1

    async def step(self, step: Step, model: Model) -> bool:
        """Do it here and in the model. False: it was cancelled, and is in neither."""
        outcome: Any = None

        async def call() -> None:
            nonlocal outcome
            outcome = await ops.perform(step.operation, self.db)

        if step.cancel is None:
            await call()
        elif (await attempt(call, Ticker(), step.cancel.when, step.cancel.at)).cancelled:
            return False
        expected = model.perform(step.operation)
        assert outcome == expected, (step, outcome, expected)
        return True

    async def together(self, together: Together) -> None:
        before = self.model.state.counter
        self._counted = []
        models = [Model(State(columns=list(self.model.state.columns))) for _ in together.tasks]
        async with trio.open_nursery() as nursery:
            for number, task in enumerate(together.tasks):
                nursery.start_soon(self.task, task, models[number])
        await self.count(increments=False)
        self.check_counter(before)
        await self.merge([model.state for model in models])

    async def task(self, steps: list[Step], model: Model) -> None:
        for step in steps:
            if isinstance(step.operation, ops.Increment):
                if step.cancel is None:
                    await self.count(increments=True)
                else:
                    call = lambda: self.count(increments=True)  # noqa: E731
                    await attempt(call, Ticker(), step.cancel.when, step.cancel.at)
            else:
                # Another task's strict conflict is not ours, nor is its rollback.
                await self.step(step, model)
                await self.count(increments=False)

    async def count(self, *, increments: bool) -> None:
        notes, start = Notes(self.db), next(self._clock)
        value = await (notes.increment() if increments else notes.counted())
        self._counted.append(Counted(start, next(self._clock), value, increments))

    def check_counter(self, before: int) -> None:
        """Each increment happened at one moment within its call, and each read saw that moment."""
        values = [each.value for each in self._counted if each.increments]
        assert sorted(values) == list(range(before + 1, before + 1 + len(values)))
        for one, other in itertools.permutations(self._counted, 2):
            if one.end < other.start:  # one was over before the other began
                assert one.value + other.increments <= other.value, (one, other)
        self.model.state.counter = before + len(values)

    async def merge(self, states: list[State]) -> None:
        """Compare each task's notes with what is there, and learn the ids."""
        mine = self.model.state
        found = {row["id"]: (row["box"], row["body"]) for row in await ops.Machine(self.db).rows()}
        theirs: dict[int, tuple[str, str]] = {}
        for state in states:
            boxes = {box for box, _ in state.notes.values()}
            got = {number: note for number, note in found.items() if note[0] in boxes}
            assert list(got.values()) == [state.notes[number] for number in sorted(state.notes)]
            theirs |= got
            mine.strict |= state.strict
            mine.columns += [name for name in state.columns if name not in mine.columns]
        left = {number: note for number, note in found.items() if number not in theirs}
        assert left == mine.notes
        mine.notes = found
        # What a later `together` finds there would not be in its tasks' models.
        for box in sorted({box for box, _ in theirs.values()}):
            await self.step(Step(ops.Empty(box)), self.model)
        names = [name for name in mine.strict if "-" in name]
        for name in names:
            await self.db.execute("DELETE FROM strict_note WHERE body = ?", (name,))
            mine.strict.remove(name)


async def run(program: list[Step | Together], pool: PoolConfig, path: Path) -> State:
    """Run a program; what must be in the file afterwards."""
    async with open_notes(path, ops.Machine, pool=pool) as db:
        one = Run(db)
        await one.program(program)
    return one.model.state
