"""Cancel every public call at its n-th checkpoint, for every n, and in every SQL statement.

Cancelled: nothing of it is in the database. Returned: all of it is. Either way every connection is
back, unharmed, and serves at once.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.cancellation.calls import CALLS, Ticking, open_ticking
from tests.cancellation.stepping import Attempt, Ticker, When, attempt
from tests.notes import Notes, assert_healthy
from tests.support import read_in_child
from trio_sqlrepo import Database, PoolConfig

# Far more steps than any call has: if a call gets this far, the count is broken.
MANY = 200

# Other processes are not asked for: a question that is under way would count as a call that waits.
_SETTINGS: Final[dict[str, Any]] = {"live_poll_interval": math.inf}
POOLS = {
    "readers": PoolConfig(min_readers=1, max_readers=2, **_SETTINGS),
    "one connection": PoolConfig(max_readers=0, **_SETTINGS),
    "no groups": PoolConfig(min_readers=1, max_readers=1, group_commit=1, **_SETTINGS),
}


async def cancel_everywhere(
    db: Database, ticker: Ticker, name: str, when: When
) -> tuple[list[str], list[Attempt]]:
    """What must be in the database afterwards, and what came of each attempt."""
    call = CALLS[name]
    present: list[str] = []
    outcomes = []
    for at in range(MANY):
        mark = f"{name}/{when.value}/{at}/"
        done = await attempt(lambda mark=mark: call.run(db, mark), ticker, when, at)  # type: ignore[misc]  # mypy#15459
        outcomes.append(done)
        if not done.cancelled:
            present += call.leaves(mark)
        await assert_healthy(db)
        if not done.fired:
            break
    # Before it starts it is cancelled, and when no cancellation comes it returns.
    assert outcomes[0].fired
    assert outcomes[0].cancelled
    assert not outcomes[-1].fired
    if when is When.BLOCKED:
        assert len(outcomes) > 2, "no checkpoint was found"
    return present, outcomes


async def check_contents(db: Database, present: list[str]) -> None:
    # Not in order: other tasks wrote in between.
    assert sorted(await Notes(db).bodies()) == sorted(present)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("pool", POOLS)
async def test_cancelled_means_nothing_and_returned_means_all(
    name: str, pool: str, db_path: Path
) -> None:
    ticker = Ticker()
    present: list[str] = []
    async with open_ticking(db_path, ticker, POOLS[pool]) as db:
        for when in When:
            present += (await cancel_everywhere(db, ticker, name, when))[0]
            await check_contents(db, present)
    assert sorted(read_in_child(db_path, "SELECT body FROM note")) == sorted(
        (body,) for body in present
    )


async def view(db: Database, mark: str) -> None:
    del mark
    async with db.snapshot() as snap:
        await Ticking(snap).read_twice()


BODIES = {
    "@transaction": CALLS["@transaction"].run,
    "@transaction stubborn": CALLS["@transaction stubborn"].run,
    "@snapshot": view,
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_cancelled_body_runs_no_further_statement(name: str, db_path: Path) -> None:
    """Also if the interrupt came too late for the statement that ran: one row is soon done."""
    ticker = Ticker()
    async with open_ticking(db_path, ticker, POOLS["readers"]) as db:
        done = await attempt(lambda: BODIES[name](db, "never"), ticker, When.TICKING, 1)
        assert done.cancelled
        assert done.steps == 1
        await assert_healthy(db)
        assert await Notes(db).bodies() == []


async def test_the_same_under_the_load_of_others(db_path: Path) -> None:
    ticker = Ticker()
    present: list[str] = []
    over = False

    async def load(task: int, db: Database) -> None:
        notes = Notes(db)
        number = 0
        while not over:
            number += 1
            body = f"load/{task}/{number}"
            if number % 3:
                await notes.put("load", body)
            else:
                assert await notes.put_two("load", body, body + "x") > 1
                present.append(body + "x")
            present.append(body)
            await notes.counted()

    async with open_ticking(db_path, ticker, POOLS["readers"]) as db:
        async with trio.open_nursery() as nursery:
            for task in range(4):
                nursery.start_soon(load, task, db)
            for name, call in CALLS.items():
                for when in (When.BLOCKED, When.RESUMED):
                    for at in range(MANY):
                        mark = f"{name}/{when.value}/{at}/"
                        done = await attempt(
                            lambda call=call, mark=mark: call.run(db, mark),  # type: ignore[misc]
                            ticker, when, at,
                        )  # fmt: skip
                        if not done.cancelled:
                            present += call.leaves(mark)
                        if not done.fired:
                            break
            over = True
        await assert_healthy(db)
        await check_contents(db, present)
    assert sorted(read_in_child(db_path, "SELECT body FROM note")) == sorted(
        (body,) for body in present
    )
