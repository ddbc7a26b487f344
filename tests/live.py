"""What tests of live queries share."""

from __future__ import annotations

from typing import Any

from tests.waiting import until
from trio_sqlrepo import ChangeFeed, Database, Live
from trio_sqlrepo._pool.pool import Pool


async def settled(db: Database | Pool) -> None:
    """Wait until nothing is left to look at."""
    live = (db if isinstance(db, Pool) else db._pool).live
    # Without a first number of its connection, all is looked at once more.
    asks = live._asks_others
    await until(lambda: live._version is not None or not (asks and live._asks.armed))
    await until(lambda: not live._dirty and live._meanwhile is None)


def has_item(iteration: Live[Any] | ChangeFeed) -> bool:
    """Whether the next step would not wait."""
    return iteration._subscription._has_item()


def calls(db: Database, query: str) -> int:
    """How often a query has run, wherever."""
    return db.stats().statements[query].calls
