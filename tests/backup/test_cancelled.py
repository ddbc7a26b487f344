"""A backup that is cancelled, or whose process is killed, leaves nothing under its name."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from tests.backup.support import assert_nothing, assert_serves, assert_sound, fill, leftovers
from tests.cancellation.stepping import Ticker, When, attempt
from tests.notes import open_notes
from tests.support import CHILD_TIMEOUT, ROOT, read_in_child
from trio_sqlrepo import BackupProgress, SqlFunction

MANY = 60  # more steps than a backup has


@pytest.mark.parametrize("when", [When.BLOCKED, When.RESUMED])
@pytest.mark.parametrize("path", [":memory:", "file"])
async def test_at_every_checkpoint(path: str, when: When, tmp_path: Path) -> None:
    async with open_notes(tmp_path / path if path == "file" else path) as db:
        outcomes = []
        for at in range(MANY):
            copy = tmp_path / f"{at}.db"
            done = await attempt(lambda: db.backup(copy), Ticker(), when, at)  # noqa: B023  # awaited
            outcomes.append(done)
            if done.cancelled:
                assert_nothing(copy)
            else:
                assert_sound(copy)
            await assert_serves(db)
            if not done.fired:
                break
    assert outcomes[0].cancelled
    assert not outcomes[-1].fired
    assert len(outcomes) > 3


@pytest.mark.parametrize("path", [":memory:", "file"])
async def test_between_two_steps(path: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with open_notes(tmp_path / path if path == "file" else path) as db:
        await db.write(fill)
        for stage in ("copying", "verifying"):
            with trio.CancelScope() as scope:

                def cancel(progress: BackupProgress) -> None:
                    if progress.stage == stage:  # noqa: B023  # called in this round
                        scope.cancel()  # likewise

                await db.backup(copy, progress=cancel)
            assert scope.cancelled_caught
            assert_nothing(copy)
            await assert_serves(db)
        await db.backup(copy)
        assert_sound(copy)


async def test_in_the_check_of_the_copy(db_path: Path, tmp_path: Path) -> None:
    """A CHECK constraint calls back out of `integrity_check`, far from its end."""
    copy = tmp_path / "copy.db"
    calls = 0
    scope = trio.CancelScope()
    token = trio.lowlevel.current_trio_token()

    def tick(_: object) -> bool:
        nonlocal calls
        if threading.current_thread().name.startswith("trio_sqlrepo backup"):
            calls += 1
            if calls == 3:
                trio.from_thread.run_sync(scope.cancel, trio_token=token)
        return True

    def prepare(connection: object) -> None:
        connection.execute("CREATE TABLE t (x CHECK (tick(x)))")  # type: ignore[attr-defined]
        connection.execute(  # type: ignore[attr-defined]
            "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
            " INSERT INTO t SELECT i FROM n"
        )

    functions = {"tick": SqlFunction(call=tick, deterministic=True, innocuous=True)}
    async with open_notes(db_path, functions=functions) as db:
        await db.write(prepare)
        with scope:
            await db.backup(copy)
        assert scope.cancelled_caught
        assert 3 <= calls < 20_000
        assert_nothing(copy)
        await assert_serves(db)


KILLED = """
import sys, trio
from tests.backup.support import fill
from tests.notes import Notes, open_notes

def stay(progress):
    if progress.stage == sys.argv[3]:
        print("now", flush=True)
        sys.stdin.read()

async def main():
    async with open_notes(sys.argv[1], synchronous="full") as db:
        await db.write(fill)
        await Notes(db).put("box", "acknowledged")
        await db.backup(sys.argv[2], progress=stay)

trio.run(main)
"""


@pytest.mark.parametrize("stage", ["copying", "verifying"])
def test_a_killed_process_leaves_no_copy(stage: str, db_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(db_path), str(copy), stage],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        child.kill()
        child.wait(CHILD_TIMEOUT)
    assert not os.path.lexists(copy)
    # What is left says what it is, and may be deleted.
    assert len(leftovers(tmp_path)) == 1
    assert read_in_child(db_path, "SELECT body FROM note") == [("acknowledged",)]
