"""What the child processes of these tests run: `python -m tests.processes.child COMMAND ARGUMENTS`.

A child says a word on its standard output when it has got somewhere, and waits for a word on its
standard input where the test says when to go on. Neither side sleeps.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo import Database


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201  # what the test waits for


def hear() -> str:
    """The test's next word; empty when the test is gone."""
    return sys.stdin.readline().strip()


# Only some commands need the library, and it takes longer to import than the others to run.
# ruff: noqa: PLC0415


def write_notes(path: str, name: str, tasks: str, notes: str) -> None:
    """Open the database, with all who do so at this moment, and write from several tasks."""
    import trio

    from tests.notes import Notes, open_notes

    async def write(db: Database, task: int) -> None:
        for number in range(int(notes)):
            body = f"{name}/{task}/{number}"
            await Notes(db).put(name, body)
            if number % 3 == 0:
                async with db.transaction() as tx:
                    before = await Notes(tx).counted()
                    assert await Notes(tx).increment() == before + 1

    async def main() -> None:
        say("ready")
        hear()
        async with open_notes(path) as db:
            async with trio.open_nursery() as nursery:
                for task in range(int(tasks)):
                    nursery.start_soon(write, db, task)
            (mode,) = await db.execute("PRAGMA journal_mode")
            assert mode == ("wal",), mode
        say("done")

    trio.run(main)


def hold_lock(path: str, kind: str) -> None:
    """Hold a lock until told to let go, commit what was written under it, and so on."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(10_000)
    while (word := hear()) == "lock":
        connection.execute(f"BEGIN {kind}")
        say("locked")
        if hear() != "unlock":
            break
        connection.execute("COMMIT")
        say("unlocked")
    assert word in {"", "lock"}, word


def run_sql(path: str) -> None:
    """Run one statement per line."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(10_000)
    while sql := hear():
        connection.execute(sql).fetchall()
        say("done")


def be_interrupted(path: str, when: str) -> None:
    """Use a database and be sent Ctrl-C (see `tests.processes.interrupted`)."""
    from tests.processes.interrupted import main

    main(path, when)


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    command.__name__: command for command in (write_notes, hold_lock, run_sql, be_interrupted)
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
