"""No call leaves a circle behind: what it held is freed when it ends, not when the collector comes.

A circle would keep rows, and whatever a caller gave along, for some hundred calls more; for ever
where a program has switched the collector off.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.cancellation.calls import CALLS, open_ticking
from tests.cancellation.stepping import Ticker
from tests.cancellation.test_every_checkpoint import POOLS
from trio_sqlrepo import Database

# These end by an exception, or swallow one: its traceback holds frames that hold it.
_CIRCLES_OF_PYTHON = {"failing transaction", "savepoint", "@transaction stubborn"}


@contextmanager
def collecting(found: list[object]) -> Iterator[None]:
    """Keep what only the collector would have freed."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
    finally:
        gc.set_debug(0)
        gc.enable()
        found += gc.garbage
        gc.garbage.clear()


async def settle(db: Database) -> None:
    """Wait until no thread works, and none holds the job it did last."""
    while db._pool.outstanding:
        await trio.sleep(0.001)
    await db.check()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", sorted(CALLS.keys() - _CIRCLES_OF_PYTHON))
async def test_nothing_is_left_for_the_collector(name: str, pool: str, db_path: Path) -> None:
    found: list[object] = []
    async with open_ticking(db_path, Ticker(), POOLS[pool]) as db:
        for turn in range(2):  # what is made once is made by now
            await CALLS[name].run(db, f"before/{turn}")
        await settle(db)
        with collecting(found):
            for turn in range(3):
                await CALLS[name].run(db, f"then/{turn}")
            await settle(db)
    assert Counter(type(each).__qualname__ for each in found) == {}
