"""Interrupts are prompt, and hit nobody else."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

import attrs
import trio

from tests.faults.figure import Figure
from tests.guarantees.support import Begun, Endless, open_endless, write_lock_held
from tests.notes import NewNote, Notes, assert_healthy
from trio_sqlrepo import Database, PoolConfig, Repository, query
from trio_sqlrepo._worker.ticket import Ticket
from trio_sqlrepo.testing import ChildReader, LeakGuard

PROMISE: Final = "a cancelled query or lock wait ends within 100 ms, and no other call is disturbed"

_PROMPT: Final = 0.1  # seconds
_VICTIMS: Final = 4
_NEIGHBOURS: Final = 3
_LENGTHS: Final = (1, 1, 300, 10_000)  # rows of a short query
_NEIGHBOURLY: Final = 1000  # as many as make a call that is still cheap
_PASSES: Final = (0, 0, 1, 2, 4, 8)  # of the loop, from the claim to the cancellation


class Short(Repository):
    """Queries as long as it takes to cancel them."""

    @query("WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < :upto)"
           " SELECT sum(x) FROM n")  # fmt: skip
    async def add_up(self, upto: int) -> int: ...

    @query("WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < :upto)"
           " UPDATE counter SET n = n + (SELECT count(*) - :upto FROM n) + 1"
           " RETURNING n")  # fmt: skip
    async def step(self, upto: int) -> int: ...


@attrs.define
class _Race:
    """What came of the cancellations that raced."""

    cancels: int = 0
    too_late: int = 0  # the call returned all the same
    steps: int = 0  # of the counter, by calls that returned
    interrupts: int = 0  # sent while the job ran
    others: int = 0  # calls nobody cancelled; all of them succeeded


def run(seed: int, *, full: bool) -> Figure:
    """Measure how soon cancelled calls end; then race cancellations against completions."""
    rng = random.Random(seed)
    samples, races = (200, 100_000) if full else (6, 400)
    delays: dict[str, list[float]] = {}
    race = _Race()
    with tempfile.TemporaryDirectory() as directory, ChildReader() as reader:
        path = Path(directory, "prompt.db")
        for kind in ("read", "write"):
            delays[f"running {kind}"] = trio.run(_cancel_running, path, kind, samples)
        with write_lock_held(path):
            for kind in _LOCKED:
                delays[f"waiting {kind}"] = trio.run(_cancel_waiting, path, kind, samples)
        # One connection for all is where an interrupt has most to hit.
        for number, readers in enumerate((0, 2)):
            path = Path(directory, f"race {number}.db")
            before = race.steps
            trio.run(_race, path, readers, rng, race, races * (number + 1) // 2)
            assert reader.read(path, "SELECT n FROM counter") == [(race.steps - before,)]
    worst = {kind: _p99(found) for kind, found in delays.items()}
    if full:  # a small run has too few for a percentile
        late = {kind: p99 for kind, p99 in worst.items() if p99 > _PROMPT}
        assert not late, f"p99 above {_PROMPT} s: {late}"
    assert race.interrupts, "no cancellation met a running call"
    told = ", ".join(
        f"{kind} {statistics.median(found) * 1000:.1f}/{worst[kind] * 1000:.1f} ms"
        for kind, found in delays.items()
    )
    return Figure(
        f"cancelled calls ended within (median/p99 of {samples}): {told}; {race.cancels}"
        f" cancellations raced completion ({race.interrupts} interrupts sent, {race.too_late} came"
        f" too late) beside {race.others} other calls: 0 stray, 0 sticky",
        {
            "p99": max(worst.values()),
            "cancels": race.cancels,
            "interrupts": race.interrupts,
            "too_late": race.too_late,
            "stray": 0,
            "sticky": 0,
        },
    )


def _p99(found: list[float]) -> float:
    return sorted(found)[min(len(found) - 1, round(len(found) * 0.99))]


# -- prompt ----------------------------------------------------------------------------------------


async def _cancel_running(path: Path, kind: str, samples: int) -> list[float]:
    begun = Begun()
    async with open_endless(path, begun) as db:
        call = Endless(db).read if kind == "read" else Endless(db).write
        found: list[float] = []
        for _ in range(samples):
            found.append(await _measure(call, lambda: begun.count > len(found)))
        return found


async def _in_transaction(db: Database) -> None:
    async with db.transaction():
        raise AssertionError


_LOCKED: Final[dict[str, Callable[[Database], Awaitable[Any]]]] = {
    "query": lambda db: Notes(db).put("b", "never"),
    "batch": lambda db: Notes(db).put_all([NewNote("b", "never")]),
    "body": lambda db: Notes(db).put_two("b", "never", "never 2"),
    "transaction": _in_transaction,
    "function": lambda db: db.write(lambda _: None),
}


async def _cancel_waiting(path: Path, kind: str, samples: int) -> list[float]:
    async with open_endless(path, Begun(), busy_timeout=3600.0) as db:

        def waits() -> bool:
            writers = db.stats().writers
            return writers.waiting == 1 and not writers.idle

        found = [await _measure(lambda: _LOCKED[kind](db), waits) for _ in range(samples)]
        assert await Notes(db).bodies() == []
        return found


async def _measure(
    call: Callable[[], Awaitable[object]], is_under_way: Callable[[], bool]
) -> float:
    """Cancel the call once it is under way; how long it takes to end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while not is_under_way():
            await trio.lowlevel.checkpoint()
        started = time.perf_counter()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    return time.perf_counter() - started


# -- never stray -----------------------------------------------------------------------------------


async def _race(path: Path, readers: int, rng: random.Random, race: _Race, cancels: int) -> None:
    def cancel(ticket: Ticket, job: Any) -> None:
        race.interrupts += ticket.current is job
        original(ticket, job)

    original = Ticket.cancel
    pool = PoolConfig(max_readers=readers)
    with mock.patch.object(Ticket, "cancel", cancel):
        async with open_endless(path, Begun(), Short, pool=pool) as db:
            async with LeakGuard(db), trio.open_nursery() as nursery:
                for number in range(_NEIGHBOURS):
                    nursery.start_soon(_go_on, db, number, race, cancels)
                for _ in range(_VICTIMS):
                    nursery.start_soon(_be_cancelled, db, rng, race, cancels)
            await assert_healthy(db)
            race.steps += 1  # `assert_healthy` counts one on


async def _be_cancelled(db: Database, rng: random.Random, race: _Race, cancels: int) -> None:
    """Call and be cancelled, then call without that: an old interrupt would hit the second."""
    short = Short(db)
    while race.cancels < cancels:
        upto = rng.choice(_LENGTHS)
        writes = rng.random() < 0.5
        call = short.step if writes else short.add_up
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            if rng.random() < 0.7:
                task, passes = trio.lowlevel.current_task(), rng.choice(_PASSES)
                nursery.start_soon(_cancel_once_claimed, db, task, scope, passes)
            else:  # a row takes a tenth of a microsecond, and others run before
                scope.deadline = trio.current_time() + rng.uniform(0, 0.001 + upto * 3e-7)
            with scope:
                result = await call(upto)
                if not writes:
                    assert result == upto * (upto + 1) // 2
                race.steps += writes
                race.too_late += scope.cancel_called
            nursery.cancel_scope.cancel()
        race.cancels += scope.cancel_called
        if rng.random() < 0.3:
            assert await short.add_up(3) == 6
            await short.step(3)
            race.steps += 1
            race.others += 2


async def _cancel_once_claimed(
    db: Database, task: trio.lowlevel.Task, scope: trio.CancelScope, passes: int
) -> None:
    """Cancel so many passes of the loop after a thread has taken the task's call."""
    while not any(job.task is task and not job.claim for job in db._pool.outstanding):
        await trio.lowlevel.checkpoint()  # until then, or until the call has ended
    for _ in range(passes):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def _go_on(db: Database, number: int, race: _Race, cancels: int) -> None:
    """Whatever a call of these raises ends the run: it was meant for another."""
    short, notes = Short(db), Notes(db)
    turn = 0
    while race.cancels < cancels:
        turn += 1
        for _ in range(5):
            assert await short.add_up(_NEIGHBOURLY) == _NEIGHBOURLY * (_NEIGHBOURLY + 1) // 2
        await short.step(_NEIGHBOURLY)
        async with db.transaction() as tx:
            await Short(tx).step(50)
        async with db.snapshot() as snap:
            assert await Short(snap).add_up(4) == 10
        assert await notes.put_two("pair", f"{number}/{turn}/x", f"{number}/{turn}/y") > 1
        race.steps += 2
        race.others += 9
