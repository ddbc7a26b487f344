"""What a database was asked to keep, what it answered, and whether what is found agrees."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from trio_sqlrepo import (
    Database,
    DatabaseReplaced,
    OutcomeUnknown,
    Repository,
    SqlRepoError,
    query,
    transaction,
)

SCHEMA: Final = (
    """
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY, number INTEGER NOT NULL, part INTEGER NOT NULL, body TEXT NOT NULL,
        UNIQUE (number, part)
    ) STRICT;
    """,
)
# What a child reads; see `recovery`.
ROWS: Final = "SELECT id, number, part, body FROM entry ORDER BY id"
Row = tuple[int, int, int, str]


class Entries(Repository):
    """Rows that a write adds one of, or two together."""

    @query("INSERT INTO entry (number, part, body) VALUES (:number, :part, :body) RETURNING id")
    async def add(self, number: int, part: int, body: str) -> int: ...

    @query("SELECT body FROM entry WHERE number = :number AND part = 0")
    async def get(self, number: int) -> str | None: ...

    @query("SELECT count(*) FROM entry")
    async def count(self) -> int: ...

    @transaction
    async def add_two(self, number: int, body: str) -> tuple[int, int]:
        return await self.add(number, 0, body), await self.add(number, 1, body)


def parts_of(number: int) -> int:
    """How many rows a write of this number adds."""
    return 1 if number % 3 == 0 else 2


@attrs.define
class Ledger:
    """The writes of one run, by what their callers were told. Loop thread only."""

    size: int = 100  # bytes of each row's body, about
    numbers: int = 0
    acknowledged: dict[int, tuple[int, ...]] = attrs.field(factory=dict)  # number: its rows' ids
    unknown: set[int] = attrs.field(factory=set)
    refused: set[int] = attrs.field(factory=set)
    errors: list[SqlRepoError] = attrs.field(factory=list)

    def body(self, number: int) -> str:
        return f"{number}:".ljust(self.size, "x")

    async def write(self, db: Database) -> bool:
        """Make one write and note what came of it. False: a typed error, any other is raised."""
        self.numbers += 1
        number = self.numbers
        try:
            ids = await self._write(db, number)
        except (OutcomeUnknown, DatabaseReplaced) as error:  # the COMMIT failed, or came too late
            self.unknown.add(number)
            self.errors.append(error)
        except SqlRepoError as error:
            self.refused.add(number)
            self.errors.append(error)
        except trio.Cancelled:  # nothing of it was or will be committed
            self.refused.add(number)
            raise
        else:
            self.acknowledged[number] = ids
            return True
        return False

    async def _write(self, db: Database, number: int) -> tuple[int, ...]:
        """A declared write, a body, or a transaction held by this task, in turn."""
        body = self.body(number)
        if number % 3 == 0:
            return (await Entries(db).add(number, 0, body),)
        if number % 3 == 1:
            return await Entries(db).add_two(number, body)
        async with db.transaction() as tx:
            entries = Entries(tx)
            return await entries.add(number, 0, body), await entries.add(number, 1, body)

    async def read(self, db: Database) -> bool:
        """Read an acknowledged write back. False: a typed error, any other is raised."""
        number = max(self.acknowledged, default=0)
        try:
            body = await Entries(db).get(number)
        except SqlRepoError as error:
            self.errors.append(error)
            return False
        expected = self.body(number) if number in self.acknowledged else None
        assert body == expected, f"write {number} was acknowledged, and a read gave {body!r}"
        return True

    def lost(self, rows: list[Row]) -> set[int]:
        """Which acknowledged writes are not found."""
        return set(self.acknowledged) - {number for _, number, _, _ in rows}

    def verify(self, rows: list[Row]) -> None:
        """All that must hold of what is found, whatever may be lost.

        Raises:
            AssertionError: with what was found and what was told.
        """
        ids = [id for id, _, _, _ in rows]
        assert ids == list(range(1, len(rows) + 1)), f"not a prefix of the history: {ids}"
        found: dict[int, list[int]] = {}
        for id, number, part, body in rows:
            assert body == self.body(number), f"row {id} holds {body[:20]!r}, not write {number}"
            assert part == len(found.setdefault(number, [])), f"write {number} is there twice"
            found[number].append(id)
        for number, of_it in found.items():
            assert len(of_it) == parts_of(number), f"half of write {number} is there"
            told = self.acknowledged.get(number, tuple(of_it))
            assert told == tuple(of_it), f"write {number} was told {told} and lies at {of_it}"
        if wrong := self.refused & set(found):
            message = f"writes {sorted(wrong)} failed before their COMMIT and are there"
            raise AssertionError(message)
