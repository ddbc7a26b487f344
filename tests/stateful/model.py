"""A model of the database, and what each operation does to it.

The model is a few dictionaries. A transaction works on a copy and puts it in place if it commits;
a savepoint and a body inside another do the same with the copy. What an operation gives, a value or
the name of an error, must be what the library gives.
"""

from __future__ import annotations

import copy
from typing import Any, final

import attrs

Outcome = tuple[str, Any]  # ("value", what it gave) or ("error", the name of its type)


class ModelError(Exception):
    """An error of the library, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Fail(Exception):
    """What a block or a body raises of its own accord."""


@final
@attrs.define
class State:
    """What is in the database."""

    notes: dict[int, tuple[str, str]] = attrs.Factory(dict)  # id -> box, body
    strict: set[str] = attrs.Factory(set)
    counter: int = 0
    columns: list[str] = attrs.Factory(list)  # that were added to `note`, in order

    def insert(self, box: str, body: str) -> int:
        if body in self.bodies():
            raise ModelError("UniqueViolation")
        number = max(self.notes, default=0) + 1  # as SQLite chooses a rowid
        self.notes[number] = (box, body)
        return number

    def bodies(self) -> list[str]:
        return [body for _, (_, body) in sorted(self.notes.items())]

    def in_box(self, box: str) -> list[str]:
        return [body for _, (its, body) in sorted(self.notes.items()) if its == box]

    def rows(self) -> list[dict[str, Any]]:
        extra = dict.fromkeys(self.columns, "default")
        return [
            {"id": number, "box": box, "body": body, **extra}
            for number, (box, body) in sorted(self.notes.items())
        ]


@final
class Model:
    """The database, or the inside of a transaction of it."""

    def __init__(self, state: State | None = None, *, inside: bool = False) -> None:
        self.state = state or State()
        self.inside = inside
        self.aborted = False  # SQLite has ended the transaction this is the inside of

    def perform(self, operation: Operation) -> Outcome:
        """Run an operation as one call: wholly or, if it raises, not at all."""
        before = copy.deepcopy(self.state)
        try:
            operation.check(self)
            return "value", operation.apply(self)
        except (ModelError, Fail) as error:
            self.state = before
            if self.inside and isinstance(error, Abort):
                self.aborted = True
            return "error", getattr(error, "name", "Fail")

    def check(self) -> None:
        if self.aborted:
            raise ModelError("TransactionAborted")

    def rehearse(self, script: list[Operation]) -> list[Outcome]:
        """Run a script in a transaction that is rolled back."""
        inner = Model(copy.deepcopy(self.state), inside=True)
        return [inner.perform(operation) for operation in script]

    def block(self, script: list[Operation], *, fails: bool) -> list[Outcome]:
        """Run a script in a transaction, or as a savepoint of the one this is the inside of."""
        inner = Model(copy.deepcopy(self.state), inside=True)
        outcomes = [inner.perform(operation) for operation in script]
        if inner.aborted and self.inside:
            self.aborted = True  # the outer one is gone as well
        if fails:
            raise Fail
        inner.check()
        self.state = inner.state
        return outcomes


class Abort(ModelError):
    """A conflict that ends the whole transaction, if there is one."""

    def __init__(self) -> None:
        super().__init__("UniqueViolation")


class Operation:
    """One call. `apply` says what it does to the model; `run`, in `operations`, does it."""

    def check(self, model: Model) -> None:
        """Raise if it is refused where the model stands."""
        model.check()

    def apply(self, model: Model) -> Any:
        raise NotImplementedError

    async def run(self, session: Any) -> Any:
        raise NotImplementedError
