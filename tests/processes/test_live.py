"""What other processes commit is seen too: coarsely, and within the interval."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live import has_item, settled
from tests.notes import Notes, open_notes
from tests.processes.support import Child, child
from trio_sqlrepo import Changes, Database, PoolConfig

# Seconds. A test is over as soon as it has seen what it waits for.
INTERVAL = 0.01
POOLS = {
    "readers": PoolConfig(max_readers=1, live_poll_interval=INTERVAL),
    "one connection": PoolConfig(max_readers=0, live_poll_interval=INTERVAL),
    "two writers": PoolConfig(max_readers=1, max_writers=2, live_poll_interval=INTERVAL),
}
FOREIGN = Changes(everything=True, elsewhere=True)


@pytest.fixture(params=POOLS)
async def db(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[Database]:
    async with open_notes(db_path, pool=POOLS[request.param]) as database:
        yield database


@pytest.fixture
async def other(db: Database, db_path: Path) -> AsyncIterator[Child]:
    """Another process that runs SQL."""
    async with child("run_sql", db_path) as process:
        yield process


async def test_its_commits_are_seen(db: Database, other: Child) -> None:
    async with db.live(Notes(db).count_twice) as count, db.changes() as changes:
        assert await anext(count) == (0, 0)
        await settled(db)
        await other.ask("INSERT INTO note (box, body) VALUES ('a', 'foreign')", "done")
        assert await anext(changes) == FOREIGN
        assert await anext(count) == (1, 1)
        await other.ask("DELETE FROM note", "done")
        assert await anext(count) == (0, 0)


async def test_what_came_between_the_first_look_and_the_first_question(
    db: Database, other: Child
) -> None:
    async with db.live(Notes(db).count) as count:
        assert await anext(count) == 0
        await other.ask("INSERT INTO note (box, body) VALUES ('a', 'foreign')", "done")
        assert await anext(count) == 1


async def test_own_commits_are_not_taken_for_others(db: Database) -> None:
    async with db.changes() as changes:
        await settled(db)
        version = db._pool.live._version
        for number in range(5):
            await Notes(db).put("a", f"{number}")
            assert await anext(changes) == Changes(tables={"note": None})
        await db._pool.live._ask(db._pool)
        assert db._pool.live._version == version
        assert not has_item(changes)


async def test_another_schema_is_followed(db: Database, other: Child) -> None:
    async with db.live(Notes(db).bodies) as bodies:
        assert await anext(bodies) == []
        await other.ask(
            "BEGIN; ALTER TABLE note RENAME TO paper;"
            " CREATE VIEW note AS SELECT id, box, 'seen' AS body FROM paper;"
            " INSERT INTO paper (box, body) VALUES ('a', 'x'); COMMIT",
            "done",
        )
        assert await anext(bodies) == ["seen"]
        await settled(db)
        await db.execute("INSERT INTO paper (box, body) VALUES ('a', 'y')")
        assert await anext(bodies) == ["seen", "seen"]
