"""Cancelled calls leave nothing, returned ones are there, no connection is lost."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.cancellation.calls import CALLS, open_ticking
from tests.cancellation.stepping import Ticker, When
from tests.cancellation.test_every_checkpoint import POOLS, cancel_everywhere
from tests.faults.figure import Figure
from tests.notes import Notes, assert_healthy
from trio_sqlrepo import Database
from trio_sqlrepo.testing import ChildReader, LeakGuard

PROMISE: Final = "cancellation leaks nothing: cancelled means nothing, returned means all"

_TASKS: Final = 8
_CALLS_PER_FILE: Final = 1000
# A call's length is a fraction of a millisecond; under the load of the others some.
_MEAN_DELAYS: Final = (0.0, 0.0005, 0.002, 0.01)


@attrs.define
class _Tally:
    """What came of the calls."""

    attempts: int = 0
    cancelled: int = 0
    returned: int = 0
    present: list[str] = attrs.field(factory=list)  # what must be in the file, and nothing else


def run(seed: int, *, full: bool) -> Figure:
    """Cancel calls at random, many at once; then each call at each checkpoint, one by one."""
    rng = random.Random(seed)
    tally = _Tally()
    wanted = 10_000 if full else 150
    indices = 0
    with tempfile.TemporaryDirectory() as directory, ChildReader() as reader:
        number = 0
        while tally.cancelled < wanted:
            pool = sorted(POOLS)[number % len(POOLS)]
            path = Path(directory, f"random {number}.db")
            number += 1
            tally.present.clear()
            most = tally.cancelled + min(_CALLS_PER_FILE, wanted - tally.cancelled)
            trio.run(_cancel_at_random, path, pool, rng, tally, most)
            _compare(reader, path, tally.present)
        names = sorted(CALLS) if full else rng.sample(sorted(CALLS), 2)
        for pool in sorted(POOLS) if full else rng.sample(sorted(POOLS), 1):
            for name in names:
                path = Path(directory, f"every {pool} {name}.db")
                present, steps = trio.run(_cancel_at_each_step, path, pool, name)
                indices += steps
                _compare(reader, path, present)
    return Figure(
        f"{tally.attempts} calls of {len(CALLS)} kinds at once, {tally.cancelled} of them cancelled"
        f" at random, and {indices} cancelled each at one more step of its way: 0 transactions or"
        " statements left open, 0 connections lost, 0 in doubt",
        {
            "random_cancels": tally.cancelled,
            "returned": tally.returned,
            "indices": indices,
            "leaks": 0,
            "lost_connections": 0,
            "in_doubt": 0,
        },
    )


async def _cancel_at_random(
    path: Path, pool: str, rng: random.Random, tally: _Tally, most: int
) -> None:
    with LeakGuard():
        async with open_ticking(path, Ticker(), POOLS[pool]) as db:
            async with LeakGuard(db), trio.open_nursery() as nursery:
                for task in range(_TASKS):
                    nursery.start_soon(_call_and_cancel, db, f"{task}", rng, tally, most)
            await assert_healthy(db)


async def _call_and_cancel(
    db: Database, name: str, rng: random.Random, tally: _Tally, most: int
) -> None:
    turn = 0
    while tally.cancelled < most:
        turn += 1
        kind = rng.choice(list(CALLS))
        if kind == "execute VACUUM" and rng.random() < 0.9:
            continue  # it takes as long as a hundred others
        call, mark = CALLS[kind], f"{name}/{turn}/"
        returned = False
        delay = rng.choice(_MEAN_DELAYS)
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + (rng.expovariate(1 / delay) if delay else 0)
            await call.run(db, mark)
            returned = True
        tally.attempts += 1
        if returned:
            tally.returned += 1
            tally.present += call.leaves(mark)
        else:
            assert scope.cancelled_caught
            tally.cancelled += 1
        await trio.lowlevel.checkpoint()


async def _cancel_at_each_step(path: Path, pool: str, name: str) -> tuple[list[str], int]:
    ticker = Ticker()
    present: list[str] = []
    steps = 0
    async with open_ticking(path, ticker, POOLS[pool]) as db, LeakGuard(db):
        for when in When:
            more, outcomes = await cancel_everywhere(db, ticker, name, when)
            present += more
            steps += sum(outcome.fired for outcome in outcomes)
        assert sorted(await Notes(db).bodies()) == sorted(present)
    return present, steps


def _compare(reader: ChildReader, path: Path, present: list[str]) -> None:
    found = sorted(body for (body,) in reader.read(path, "SELECT body FROM note"))
    present = sorted(present)
    assert found == present, (
        f"{path.name}: cancelled and there: {sorted(set(found) - set(present))[:5]}; returned and"
        f" not there: {sorted(set(present) - set(found))[:5]}"
    )
    assert reader.read(path, "PRAGMA integrity_check") == [("ok",)]
    path.unlink()
