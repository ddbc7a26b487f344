"""What programs are made of: each operation on the model, and the same through the public API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from tests.cancellation.stepping import Ticker, When, attempt
from tests.notes import NewNote, Note, Notes
from tests.stateful.model import Abort, Fail, Model, ModelError, Operation, Outcome
from trio_sqlrepo import (
    Database,
    RowCount,
    SqlRepoError,
    TransactionAborted,
    query,
    snapshot,
    transaction,
)


class Machine(Notes):
    """Notes, with bodies that run scripts."""

    @query("UPDATE note SET box = :box WHERE id = :id")
    async def set_box(self, id: int, box: str) -> RowCount: ...

    @query("SELECT * FROM note ORDER BY id")
    async def rows(self) -> list[dict[str, Any]]: ...

    @query("SELECT id FROM note WHERE box = :box")
    async def only_one_in(self, box: str) -> int: ...

    @query("DELETE FROM note WHERE box = :box RETURNING id")
    async def take_only_one(self, box: str) -> int: ...

    @transaction
    async def move(self, ids: Sequence[int], box: str) -> int:
        return sum([await self.set_box(id, box) for id in ids])

    @transaction
    async def play(self, script: list[Operation], *, fails: bool) -> list[Outcome]:
        outcomes = [await perform(step, self.session) for step in script]
        if fails:
            raise Fail
        return outcomes

    @snapshot
    async def look(self, script: list[Operation]) -> list[Outcome]:
        return [await perform(step, self.session) for step in script]


async def perform(step: Operation, session: Any) -> Outcome:
    """Run an operation through the public API; what it gave, as the model says it."""
    try:
        return "value", await step.run(session)
    except (SqlRepoError, Fail) as error:
        return "error", type(error).__name__


# -- writes --------------------------------------------------------------------------------------


@attrs.frozen
class Put(Operation):
    box: str
    body: str

    def apply(self, model: Model) -> None:
        model.state.insert(self.box, self.body)

    async def run(self, session: Any) -> None:
        await Machine(session).put(self.box, self.body)


@attrs.frozen
class Add(Operation):
    box: str
    body: str

    def apply(self, model: Model) -> Note:
        return Note(self.box, self.body, model.state.insert(self.box, self.body))

    async def run(self, session: Any) -> Note:
        return await Machine(session).add(self.box, self.body)


@attrs.frozen
class PutAll(Operation):
    box: str
    bodies: tuple[str, ...]

    def apply(self, model: Model) -> int:
        for body in self.bodies:
            model.state.insert(self.box, body)
        return len(self.bodies)

    async def run(self, session: Any) -> int:
        return await Machine(session).put_all([NewNote(self.box, body) for body in self.bodies])


@attrs.frozen
class AddAll(PutAll):
    def apply(self, model: Model) -> Any:
        return [Note(self.box, body, model.state.insert(self.box, body)) for body in self.bodies]

    async def run(self, session: Any) -> Any:
        return await Machine(session).add_all([NewNote(self.box, body) for body in self.bodies])


@attrs.frozen
class Move(Operation):
    ids: tuple[int, ...]
    box: str

    def apply(self, model: Model) -> int:
        notes = model.state.notes
        found = [number for number in self.ids if number in notes]
        for number in found:
            notes[number] = (self.box, notes[number][1])
        return len(found)

    async def run(self, session: Any) -> int:
        return await Machine(session).move(self.ids, self.box)


@attrs.frozen
class Empty(Operation):
    box: str

    def apply(self, model: Model) -> int:
        found = [number for number, (box, _) in model.state.notes.items() if box == self.box]
        for number in found:
            del model.state.notes[number]
        return len(found)

    async def run(self, session: Any) -> int:
        return await Machine(session).empty(self.box)


@attrs.frozen
class TakeOnlyOne(Operation):
    """A write that has happened before it is clear that its result does not fit."""

    box: str

    def apply(self, model: Model) -> int:
        (found, problem) = _only_one(model, self.box)
        if problem:
            raise problem
        del model.state.notes[found]
        return found

    async def run(self, session: Any) -> int:
        return await Machine(session).take_only_one(self.box)


def _only_one(model: Model, box: str) -> tuple[int, Exception | None]:
    found = [number for number, (its, _) in model.state.notes.items() if its == box]
    if not found:
        return 0, ModelError("NoResult")
    return found[0], ModelError("MultipleResults") if len(found) > 1 else None


@attrs.frozen
class PutStrictly(Operation):
    """A conflict here ends the transaction, and is its group's trouble."""

    body: str

    def apply(self, model: Model) -> None:
        if self.body in model.state.strict:
            raise Abort
        model.state.strict.add(self.body)

    async def run(self, session: Any) -> None:
        await Machine(session).put_strictly(self.body)


@attrs.frozen
class Increment(Operation):
    def apply(self, model: Model) -> int:
        model.state.counter += 1
        return model.state.counter

    async def run(self, session: Any) -> int:
        return await Machine(session).increment()


@attrs.frozen
class AddColumn(Operation):
    """A change of the schema, in SQL or, on a `Database`, by a function."""

    name: str
    by_function: bool = False

    def apply(self, model: Model) -> None:
        if self.name in model.state.columns:
            raise ModelError("SqlError")
        model.state.columns.append(self.name)

    async def run(self, session: Any) -> None:
        sql = f"ALTER TABLE note ADD COLUMN {self.name} TEXT DEFAULT 'default'"
        if self.by_function and isinstance(session, Database):
            await session.write(lambda connection: connection.execute(sql).fetchall())
        else:
            assert await session.execute(sql) == []


# -- reads ---------------------------------------------------------------------------------------


@attrs.frozen
class Rows(Operation):
    def apply(self, model: Model) -> Any:
        return model.state.rows()

    async def run(self, session: Any) -> Any:
        return await Machine(session).rows()


@attrs.frozen
class InBox(Operation):
    box: str

    def apply(self, model: Model) -> list[str]:
        return model.state.in_box(self.box)

    async def run(self, session: Any) -> list[str]:
        return await Machine(session).in_box(self.box)


@attrs.frozen
class OnlyOneIn(Operation):
    box: str

    def apply(self, model: Model) -> int:
        found, problem = _only_one(model, self.box)
        if problem:
            raise problem
        return found

    async def run(self, session: Any) -> int:
        return await Machine(session).only_one_in(self.box)


@attrs.frozen
class Get(Operation):
    id: int

    def apply(self, model: Model) -> Note | None:
        found = model.state.notes.get(self.id)
        return found and Note(*found, self.id)

    async def run(self, session: Any) -> Note | None:
        return await Machine(session).get(self.id)


@attrs.frozen
class AdHocCount(Operation):
    def apply(self, model: Model) -> Any:
        return [(len(model.state.notes), model.state.counter)]

    async def run(self, session: Any) -> Any:
        return await session.execute("SELECT (SELECT count(*) FROM note), n FROM counter")


# -- blocks --------------------------------------------------------------------------------------


@attrs.frozen
class Body(Operation):
    """A `@transaction` body; inside another block it is a savepoint."""

    script: list[Operation]
    fails: bool = False

    def apply(self, model: Model) -> list[Outcome]:
        return model.block(self.script, fails=self.fails)

    async def run(self, session: Any) -> list[Outcome]:
        return await Machine(session).play(self.script, fails=self.fails)


@attrs.frozen
class Look(Operation):
    """A `@snapshot` body: it only reads."""

    script: list[Operation]

    def apply(self, model: Model) -> list[Outcome]:
        return [model.perform(step) for step in self.script]

    async def run(self, session: Any) -> list[Outcome]:
        return await Machine(session).look(self.script)


@attrs.frozen
class Transaction(Operation):
    """A `db.transaction()` block; `ending` is "commit", "raise" or "rollback"."""

    script: list[Operation]
    ending: str

    def apply(self, model: Model) -> list[Outcome]:
        if self.ending == "rollback":
            return model.rehearse(self.script)
        return model.block(self.script, fails=self.ending == "raise")

    async def run(self, session: Any) -> list[Outcome]:
        async with session.transaction() as tx:
            outcomes = [await perform(step, tx) for step in self.script]
            if self.ending == "raise":
                raise Fail
            if self.ending == "rollback":
                await tx.rollback()
        return outcomes


@attrs.frozen
class Savepoint(Operation):
    """A `tx.savepoint()` block."""

    script: list[Operation]
    fails: bool = False

    def apply(self, model: Model) -> list[Outcome]:
        return model.block(self.script, fails=self.fails)

    async def run(self, session: Any) -> list[Outcome]:
        async with session.savepoint():
            outcomes = [await perform(step, session) for step in self.script]
            if self.fails:
                raise Fail
        return outcomes


@attrs.frozen
class Snapshot(Operation):
    """A `db.snapshot()` block."""

    script: list[Operation]

    def apply(self, model: Model) -> list[Outcome]:
        return [model.perform(step) for step in self.script]

    async def run(self, session: Any) -> list[Outcome]:
        async with session.snapshot() as snap:
            return [await perform(step, snap) for step in self.script]


@attrs.frozen(eq=False)
class CancelledInside(Operation):
    """A call in an open transaction that is cancelled, while the block goes on.

    What has become of it, the model is told: it may have been done; it may have left nothing; or
    SQLite was interrupted in a write, and the whole transaction is gone.
    """

    step: Operation
    when: When
    at: int
    happened: list[str] = attrs.field(factory=list, repr=False)

    def check(self, model: Model) -> None:
        """Only its step may be refused: `apply` asks, unless it was cancelled before that."""

    def apply(self, model: Model) -> Outcome | str:
        if self.happened[-1] == "done":
            return model.perform(self.step)
        model.aborted = self.happened[-1] == "aborted"
        return "cancelled"

    async def run(self, session: Any) -> Outcome | str:
        outcomes: list[Outcome] = []

        async def call() -> None:
            outcomes.append(await perform(self.step, session))

        if not (await attempt(call, Ticker(), self.when, self.at)).cancelled:
            self.happened.append("done")
            return outcomes[0]
        try:
            await session.execute("SELECT 1")
        except TransactionAborted:
            self.happened.append("aborted")
        else:
            self.happened.append("left nothing")
        return "cancelled"
