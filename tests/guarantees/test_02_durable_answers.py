"""Guarantee 2: a write returns after its COMMIT is on disk, in the file that bears the path."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.guarantees.support import bodies_in
from tests.notes import NewNote, Notes, open_notes
from tests.support import run_child
from tests.waiting import until
from trio_sqlrepo import Database, DatabaseReplaced, SqlRepoError, open_database


async def put_in_block(db: Database, body: str) -> None:
    async with db.transaction() as tx:
        await Notes(tx).put("", body)


async def put_raw(db: Database, body: str) -> None:
    def insert(connection: Any) -> None:
        connection.execute("INSERT INTO note (box, body) VALUES ('', ?)", (body,)).fetchall()

    await db.write(insert)


WRITES: Final[dict[str, Callable[[Database, str], Awaitable[object]]]] = {
    "write": lambda db, body: Notes(db).put("", body),
    "returning": lambda db, body: Notes(db).add("", body),
    "batch": lambda db, body: Notes(db).put_all([NewNote("", body)]),
    "@transaction": lambda db, body: Notes(db).put_two("", body, body + "b"),
    "transaction": put_in_block,
    "Database.write": put_raw,
    "execute": lambda db, body: db.execute(
        "INSERT INTO note (box, body) VALUES ('', ?)", (body,)
    ),
}  # fmt: skip


def take_away(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    os.replace(path.with_name("other.db"), path)  # noqa: PTH105  # as a deployment does it


def take_wal_away(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


async def test_what_was_answered_is_in_the_file(db_path: Path) -> None:
    """Another process sees it at once, and still after the block."""
    answered: list[str] = []
    async with open_notes(db_path, synchronous="full") as db:
        for kind, write in WRITES.items():
            await write(db, kind)
            answered += [kind, "@transactionb"] if kind == "@transaction" else [kind]
            assert await bodies_in(db_path) == answered
    assert await bodies_in(db_path) == answered


_DIES: Final = """\
import os, sys
import trio
from tests.notes import Notes, open_notes

async def main():
    async with open_notes(sys.argv[1], synchronous="full") as db:
        async def put(number):
            await Notes(db).put("", str(number))
            print(number, flush=True)
            if number == 30:
                os._exit(7)

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(put, number)

trio.run(main)
"""


async def test_what_was_answered_outlives_the_process(db_path: Path) -> None:
    child = await trio.to_thread.run_sync(lambda: run_child("-c", _DIES, db_path))
    assert child.returncode == 7, child.stderr
    answered = set(child.stdout.split())
    assert "30" in answered
    assert answered <= set(await bodies_in(db_path))


async def test_commits_wait_for_the_disk(db_path: Path) -> None:
    """No power can be cut here: what is asked of SQLite is `PRAGMA synchronous=FULL`."""
    asked: list[int] = []

    def ask(connection: Any) -> None:
        asked.extend(connection.execute("PRAGMA synchronous").fetchall()[0])

    async with open_database(db_path) as db:  # by default
        await db.write(ask)
    assert asked == [2]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("change", [take_away, replace, take_wal_away])
async def test_no_write_to_a_lost_file_is_answered(
    change: Callable[[Path], None],
    write: Callable[[Database, str], Awaitable[object]],
    db_path: Path,
) -> None:
    async with open_notes(db_path.with_name("other.db")):
        pass
    answered: list[str] = []
    errors: list[SqlRepoError] = []
    async with open_notes(db_path, synchronous="full") as db:
        await Notes(db).put("", "before")
        change(db_path)
        with pytest.raises(DatabaseReplaced):
            await write(db, "lost")
        for turn in range(3):  # whatever has been done about it since
            try:
                await write(db, f"later {turn}")
            except SqlRepoError as error:
                errors.append(error)
            else:
                answered.append(f"later {turn}")
    if db_path.exists():
        assert set(answered) <= set(await bodies_in(db_path))
    else:
        assert not answered
    assert not db_path.with_name("other.db-wal").exists()


async def test_nobody_of_a_group_is_answered(db_path: Path) -> None:
    """The comparison comes after the COMMIT they share, and before the first answer."""
    async with open_notes(db_path.with_name("other.db")):
        pass
    outcomes: list[str] = []

    async def put(number: int) -> None:
        try:
            await Notes(db).put("", str(number))
        except DatabaseReplaced:
            outcomes.append("replaced")
        else:
            outcomes.append("answered")

    async with (
        open_notes(db_path) as db,
        trio.open_nursery() as nursery,
        db.transaction() as tx,
    ):
        for number in range(10):
            nursery.start_soon(put, number)
        await until(lambda: db.stats().writers.waiting >= 10)
        replace(db_path)
        await tx.rollback()
    assert outcomes == ["replaced"] * 10
