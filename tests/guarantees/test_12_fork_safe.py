"""Guarantee 12: in a forked child every use is refused; the parent is unharmed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.guarantees.support import read_file
from tests.support import run_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# A program that opens a database, forks while many tasks read and write, and goes on.
PROGRAM: Final = """\
import gc, multiprocessing, os, sys, warnings
import trio
from tests.notes import Notes, open_notes
from tests.waiting import until
from trio_sqlrepo import ForkedProcess, PoolConfig

warnings.simplefilter("ignore", DeprecationWarning)  # that of os.fork() beside threads
path, leave = sys.argv[1], sys.argv[2]
FORKS = 8
fork = multiprocessing.get_context("fork")


def use_in_child(db):
    # The loop is the parent's: its epoll set is shared, so nothing here may run it.
    notes = Notes(db)

    async def transaction():
        async with db.transaction():
            pass

    async def snapshot():
        async with db.snapshot():
            pass

    refused = 0
    uses = [
        notes.count, lambda: notes.put("child", "child"), notes.count_twice,
        lambda: notes.put_two("child", "child", "child 2"), lambda: db.execute("SELECT 1"),
        lambda: db.read(lambda c: None), lambda: db.write(lambda c: None), transaction, snapshot,
    ]
    for use in uses:
        try:
            use().send(None)
        except ForkedProcess:
            refused += 1
    gc.collect()  # what is let go of here is not closed
    return 42 if refused == len(uses) else refused


async def main():
    forking = True
    written = 0
    async with open_notes(path, pool=PoolConfig(min_readers=2, max_writers=2)) as db:
        async def load(number):
            nonlocal written
            turn = 0
            while forking:
                turn += 1
                await Notes(db).put(str(number), f"{number}-{turn}")
                written += 1
                await Notes(db).count()

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(load, number)
            for turn in range(FORKS):
                await until(lambda: written >= 30 * (turn + 1))
                if leave == "at once":
                    pid = os.fork()
                    if pid == 0:
                        os._exit(use_in_child(db))

                    def exit_code():
                        done, status = os.waitpid(pid, os.WNOHANG)
                        return os.waitstatus_to_exitcode(status) if done else None
                else:
                    child = fork.Process(target=lambda: sys.exit(use_in_child(db)))
                    child.start()

                    def exit_code():
                        return child.exitcode
                while (code := exit_code()) is None:  # the load goes on meanwhile
                    await trio.lowlevel.checkpoint()
                assert code == 42, code
            forking = False
        assert await Notes(db).count() == written
        stats = db.stats()
        assert stats.readers.replaced == stats.writers.replaced == 0, stats
    print(written)


trio.run(main)
"""


@pytest.mark.parametrize("leave", ["at once", "normally"])
async def test_a_forked_child_is_refused_and_the_parent_goes_on(leave: str, db_path: Path) -> None:
    child = await trio.to_thread.run_sync(lambda: run_child("-c", PROGRAM, db_path, leave))
    assert child.returncode == 0, child.stderr
    written = int(child.stdout)
    assert await read_file(db_path, "SELECT count(*) FROM note") == [(written,)]
    assert await read_file(db_path, "SELECT count(*) FROM note WHERE box = 'child'") == [(0,)]
    assert await read_file(db_path, "PRAGMA integrity_check") == [("ok",)]
