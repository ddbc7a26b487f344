"""In a child process: small databases with flipped bytes, one after the other, met by a pool."""

from __future__ import annotations

import json
import random
import shutil
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
import trio

from tests.faults.files_vandal import Sizes, Vandal, draw, vandalise
from tests.faults.ledger import SCHEMA as LEDGER
from tests.faults.ledger import Entries, Ledger
from tests.faults.zygote import say
from trio_sqlrepo import (
    Database,
    DatabaseCorrupt,
    OutcomeUnknown,
    PoolConfig,
    Repository,
    RowCount,
    SQLiteConfig,
    SqlRepoError,
    open_database,
    query,
    snapshot,
)

GUARD: Final = 20.0  # seconds; a case that takes so long hangs
_PAGE: Final = 512
_TASKS: Final = 3
_OPERATIONS: Final = 12
_MOST_AGAIN: Final = 10
_FIRST_NUMBER: Final = 1000  # of the writes to a damaged file
IMAGES: Final = ("closed", "open")  # without a WAL, and as one that was killed leaves it
SCHEMA: Final = (
    *LEDGER,
    """
    CREATE INDEX entry_body ON entry (body);
    CREATE TABLE pair (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
    CREATE VIRTUAL TABLE text USING fts5 (body);
    """,
)


class Things(Repository):
    """One query for each sort of page."""

    @query("SELECT count(*) FROM entry WHERE body BETWEEN :low AND :high")
    async def between(self, low: str, high: str) -> int: ...

    @query("SELECT id, body FROM entry ORDER BY id")
    async def entries(self) -> list[tuple[int, str]]: ...

    @query("SELECT value FROM pair WHERE key >= :key")
    async def pairs(self, key: str) -> list[bytes]: ...

    @query("INSERT OR REPLACE INTO pair VALUES (:key, :value)")
    async def put_pair(self, key: str, value: bytes) -> None: ...

    @query("DELETE FROM pair WHERE key > :key")
    async def drop_pairs(self, key: str) -> RowCount: ...

    @query("SELECT rowid FROM text WHERE text MATCH :word")
    async def find(self, word: str) -> list[int]: ...

    @query("INSERT INTO text (body) VALUES (:body)")
    async def put_text(self, body: str) -> None: ...

    @snapshot
    async def read_all(self) -> int:
        rows = len(await self.entries()) + len(await self.pairs("")) + len(await self.find("and"))
        return rows + await self.between("", "~")


def _open(path: Path, pool: PoolConfig, **settings: Any) -> Any:
    return open_database(
        path,
        repositories=[Entries, Things],
        migrations=SCHEMA,
        pool=pool,
        sqlite=SQLiteConfig(page_size=_PAGE, synchronous="off", **settings),
    )


def prepare_files(directory: str) -> None:
    """Make what is damaged later: a few dozen pages of all sorts, some of them free."""

    async def main() -> None:
        path = Path(directory, "made.db")
        async with _open(path, PoolConfig()) as db:
            ledger, things = Ledger(size=30), Things(db)
            for number in range(20):
                await ledger.write(db)
                await things.put_pair(f"{number:0>3}", bytes(60 * number))
                await things.put_text(f"word{number} and all the others")
            ledger.size = 3000  # pages of overflow
            await ledger.write(db)
            await things.drop_pairs("010")
        shutil.copy(path, Path(directory, "closed.db"))
        async with _open(path, PoolConfig()) as db:
            ledger.size = 30
            for _ in range(10):
                await ledger.write(db)
            for number in range(20, 30):
                await Things(db).put_pair(f"{number:0>3}", bytes(60))
            # No other process has it open, and this one does no more with it.
            shutil.copy(path, Path(directory, "open.db"))
            shutil.copy(f"{path}-wal", Path(directory, "open.db-wal"))

    trio.run(main)


@attrs.define
class _Case:
    """One damaged file, until its pool is closed."""

    directory: Path
    number: int
    rng: random.Random
    vandal: Vandal
    opened: bool = False
    noticed: bool = False  # the pool was out of service
    restored: bool = False
    resumed: bool = False  # in service in the end, without that
    after: dict[int, tuple[int, ...]] = attrs.field(factory=dict)  # acknowledged, begun after that
    errors: Counter[str] = attrs.field(factory=Counter)
    reopened: int = 0  # in a row
    ledger: Ledger = attrs.field(factory=lambda: Ledger(size=30, numbers=_FIRST_NUMBER))
    left: int = _OPERATIONS

    @property
    def path(self) -> Path:
        return self.directory / f"case {self.number}.db"

    @property
    def wal(self) -> Path:
        return Path(f"{self.path}-wal")

    def run(self) -> dict[str, Any]:
        image = self.rng.choice(IMAGES)
        shutil.copy(self.directory / f"{image}.db", self.path)
        if image == "open":
            shutil.copy(self.directory / "open.db-wal", self.wal)
        serving = self.rng.random() < 0.4
        if not serving:
            vandalise(self.damage())
        broken = None
        try:
            trio.run(self.main, serving)
        except Exception:
            broken = traceback.format_exc()
        if not (self.after or self.resumed):
            self.clean()
        return {
            "broken": broken,
            "opened": self.opened,
            "noticed": self.noticed,
            "restored": self.restored,
            "resumed": self.resumed,
            "serving": serving,
            "after": list(self.after),
            "errors": self.errors,
            "reopened": self.reopened,
        }

    def clean(self) -> None:
        for suffix in ("", "-wal", "-shm", "-good"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def damage(self) -> list[Any]:
        wal = self.wal.stat().st_size if self.wal.exists() else 0
        sizes = Sizes(self.path.stat().st_size, wal, _PAGE)
        return draw(self.rng, sizes, str(self.path), str(self.wal))

    async def main(self, serving: bool) -> None:
        pool = PoolConfig(max_readers=1, connection_timeout=5.0)
        settings = {"wal_size_limit": self.rng.choice([8192, 1 << 20])}
        with trio.fail_after(GUARD):
            try:
                async with _open(self.path, pool, **settings) as db:
                    self.opened = True
                    if serving:
                        await self.operate(db, 3)
                        self.vandal.do(self.damage())
                    await self.work(db)
                    for turn in range(_MOST_AGAIN):
                        await self.attempt(db, 7)
                        await self.attempt(db, 0)
                        # Faults that come again and again put it out of service in the end.
                        if turn and (self.noticed or not self.errors["SqlError"]):
                            break
                    if self.noticed:
                        await self.rng.choice([self.restore, self.linger, self.leave])(db)
                    self.count(db)
            except SqlRepoError as error:
                self.errors[type(error).__name__] += 1
                if self.opened:
                    raise

    async def work(self, db: Database) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(_TASKS):
                nursery.start_soon(self.operate, db, _OPERATIONS // _TASKS)

    async def operate(self, db: Database, times: int) -> None:
        for _ in range(times):
            await self.attempt(db, self.rng.randrange(10))

    async def attempt(self, db: Database, what: int) -> None:
        """Make one call; note what became of it. Whatever is not typed is raised."""
        begun_after = self.noticed
        number = self.ledger.numbers + 1
        things = Things(db)
        try:
            if what < 4:
                if await self.ledger.write(db):
                    if begun_after:
                        self.after[number] = self.ledger.acknowledged[number]
                else:
                    self.note(db, self.ledger.errors[-1])
            elif what == 4:
                await things.put_pair(f"{number}", bytes(self.rng.randrange(900)))
            elif what == 5:
                await things.find(f"word{self.rng.randrange(20)}")
            elif what == 6:
                await things.put_text(f"word{number}")
            elif what == 7:
                await things.read_all()
            elif what == 8:
                await things.entries()
            else:
                await things.drop_pairs(f"{self.rng.randrange(40):0>3}")
        except SqlRepoError as error:
            self.note(db, error)
        self.count(db)

    def note(self, db: Database, error: SqlRepoError) -> None:
        """Damage, but that of an index of words, stops all answers before a call hears of it."""
        self.errors[type(error).__name__] += 1
        damaged = isinstance(error, OutcomeUnknown) and error.is_damaged
        if isinstance(error, DatabaseCorrupt):
            damaged = error.extended_code != apsw.SQLITE_CORRUPT_VTAB
        if damaged:
            assert db.stats().state == "failed", f"in service after {error!r}"

    def count(self, db: Database) -> None:
        """Note how often a lane's only connection was opened again until the pool gave that up."""
        stats = db.stats()
        if not self.noticed:
            self.reopened = max(stats.readers.created, stats.writers.created) - 1
            self.noticed = stats.state == "failed"

    async def leave(self, db: Database) -> None:
        """Leave the block as it is."""

    async def linger(self, db: Database) -> None:
        """Have it try to come back, which only a file that is well after all allows."""
        for _ in range(3):
            await db.check()
            await self.attempt(db, 0)
            await self.attempt(db, 7)
        self.resumed = db.stats().state == "open"

    async def restore(self, db: Database) -> None:
        """Move a well file to the path: service comes back by itself."""
        good = Path(f"{self.path}-good")
        shutil.copy(self.directory / "closed.db", good)
        good.replace(self.path)
        self.after.clear()  # that was in the damaged one
        while not await self.ledger.write(db):
            outage = db._pool.outage
            if outage is not None and "belongs to" in str(outage.latest):
                # What was damaged keeps it from being moved where it belongs: the error says this.
                self.wal.unlink(missing_ok=True)
            await trio.sleep(0.01)
        self.restored = True
        before = set(self.ledger.acknowledged)
        for _ in range(4):
            assert await self.ledger.write(db), self.ledger.errors[-1]
        self.after = {
            number: ids
            for number, ids in self.ledger.acknowledged.items()
            if number not in before or number == max(before)
        }


def meet_damage(directory: str, seed: int, first: int, end: int) -> None:
    """Meet the cases of these numbers; tell which is met, and what came of it."""
    vandal = Vandal()
    for number in range(first, end):
        say(f"case {number}")
        rng = random.Random(f"flips {seed}/{number}")
        outcome = _Case(Path(directory), number, rng, vandal).run()
        say("done " + json.dumps(outcome))
    vandal.end()
