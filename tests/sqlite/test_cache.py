"""Declared statements stay compiled (guarantee 11), whatever else the connection runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.sqlite.support import reads, write, writes
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import SqliteDriver, open_driver
from trio_sqlrepo._sqlite.cache import CHUNK, RING, Kept, StatementCache

if TYPE_CHECKING:
    from trio_sqlrepo._base.job import Statement

RARE = reads("SELECT name, 'rare' FROM room", "name", "'rare'", name="T.rare")
HOT = reads("SELECT name, 'hot' FROM room", "name", "'hot'", name="T.hot")
INSERT = writes("INSERT INTO message (room) VALUES (?)", parameters=1, by_total=True)


def compiled_during(driver: SqliteDriver, statement: Statement) -> bool:
    before = driver.compilations
    driver.run(statement, ())
    return driver.compilations != before


def test_this_apsw_has_a_ring_of_512(writer: SqliteDriver) -> None:
    assert writer._connection.cache_stats()["size"] == RING


@pytest.mark.parametrize("uses", [100, 300, 511, 512, 513, 5_000])
def test_a_statement_outlives_any_number_of_others(writer: SqliteDriver, uses: int) -> None:
    writer.prepare([RARE, HOT])
    writer.run(RARE, ())
    for _ in range(uses):
        writer.run(HOT, ())
    assert writer.is_precompiled(RARE)
    assert not compiled_during(writer, RARE)


def test_it_outlives_batches(writer: SqliteDriver) -> None:
    writer.prepare([RARE, INSERT])
    writer.run(RARE, ())
    with write(writer):
        assert writer.run_many(INSERT, [(1,)] * 5_000) == 5_000
    assert writer.is_precompiled(RARE)
    assert not compiled_during(writer, RARE)


def test_it_outlives_scripts_functions_and_ad_hoc_sql(writer: SqliteDriver) -> None:
    writer.prepare([RARE])
    writer.run(RARE, ())

    def function(connection: apsw.Connection) -> None:
        for number in range(2 * RING):
            connection.execute(f"SELECT {number}").fetchall()

    writer.apply(function)
    assert not compiled_during(writer, RARE)
    for number in range(2 * RING):
        writer.execute(f"SELECT {number}")
    assert not compiled_during(writer, RARE)
    with write(writer):
        writer.run_script("SELECT 1;" * 2 * RING)
        writer.apply(function)
    assert not compiled_during(writer, RARE)


def test_more_statements_than_the_ring_has_slots(reader: SqliteDriver) -> None:
    many = [reads(f"SELECT {number} FROM room", str(number)) for number in range(2 * RING)]
    reader.prepare(many)
    before = reader.compilations
    for _ in range(3):
        for statement in many:
            assert reader.is_precompiled(statement)
            assert len(reader.run(statement, ())) == 2
    assert reader.compilations == before


def test_a_parked_statement_holds_no_view_and_no_lock(writer: SqliteDriver) -> None:
    writer.prepare([RARE, INSERT])
    parked = {kept.name for kept in writer._cache if "parked" in repr(kept)}
    assert {"T.rare", "T.write"} <= parked
    assert writer.is_clean()
    assert writer._connection.txn_state() == apsw.SQLITE_TXN_NONE
    writer.execute("VACUUM")


def test_the_drivers_own_statements_are_compiled_once(writer: SqliteDriver) -> None:
    writer.prepare([HOT, INSERT])
    writer.probe()  # the schema was made after it was compiled
    before = writer.compilations
    for _ in range(50):
        writer.begin_write()
        writer.savepoint()
        writer.run(INSERT, (1,))
        writer.undo()
        writer.savepoint()
        writer.release()
        writer.commit()
        writer.begin_read()
        writer.rollback()
        writer.probe()
        for _ in range(100):
            writer.run(HOT, ())
    assert writer.compilations == before


def test_preparing_again_compiles_nothing(writer: SqliteDriver) -> None:
    writer.prepare([RARE])
    before = writer.compilations
    writer.prepare([RARE])
    assert writer.compilations == before


def test_sql_that_was_run_before_it_was_declared(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.execute("INSERT INTO message (room) VALUES (?)", (1,))
    writer.execute("SELECT name, 'rare' FROM room")
    writer.execute("CREATE TABLE x (y)")  # what lies in the ring is stale
    writer.prepare([INSERT, RARE])
    for statement in (INSERT, RARE):
        assert writer.is_precompiled(statement)
    before = writer.compilations
    assert writer.run(INSERT, (1,)) == 1
    assert writer.run(RARE, ())
    assert writer.compilations == before
    writer.commit()


def test_a_reader_prepares_no_writes(reader: SqliteDriver) -> None:
    reader.prepare([INSERT, RARE])
    assert not reader.is_precompiled(INSERT)
    assert reader.is_precompiled(RARE)


def test_reprs(writer: SqliteDriver) -> None:
    cache = StatementCache()
    kept = Kept(writer._connection, "SELECT 1")
    assert repr(kept) == "<Kept 'SELECT 1' not compiled>"
    cache.keep(kept)
    assert repr(cache) == "<StatementCache 1 kept, 1 parked, 0 uses>"
    cache.use(kept)
    assert repr(kept) == "<Kept 'SELECT 1' in the ring>"
    cache.drop(kept)
    assert repr(cache) == "<StatementCache 0 kept, 0 parked, 2 uses>"


def test_what_no_longer_compiles_is_left_to_its_next_call(writer: SqliteDriver) -> None:
    kept = Kept(writer._connection, "SELECT name FROM room")
    writer._cache.keep(kept)
    kept.sql = "SELECT nope"
    kept.last_use = writer._cache.uses
    writer._cache.park_all()
    assert not writer._cache.holds(kept)


class Ring(RuleBasedStateMachine):
    """Random use of one connection: what it says of its statements is true."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
        self.reads = [reads(f"SELECT {number} AS n FROM t", "n") for number in range(40)]
        self.insert = writes("INSERT INTO t VALUES (?)", parameters=1, by_total=True)
        self.tables = 0

    @initialize()
    def make(self) -> None:
        with write(self.driver):
            self.driver.execute("CREATE TABLE t (a)")
        self.driver.prepare([*self.reads, self.insert])

    @rule(which=st.integers(0, 39), times=st.integers(1, 600))
    def read(self, which: int, times: int) -> None:
        for _ in range(times):
            self.driver.run(self.reads[which], ())

    @rule(spread=st.integers(1, 40), times=st.integers(1, 300))
    def read_many(self, spread: int, times: int) -> None:
        for number in range(times):
            self.driver.run(self.reads[number % spread], ())

    @rule(rows=st.integers(0, 3 * CHUNK + 1))
    def insert_many(self, rows: int) -> None:
        with write(self.driver):
            assert self.driver.run_many(self.insert, [(1,)] * rows) == rows

    @rule(times=st.integers(1, 600))
    def execute(self, times: int) -> None:
        self.driver.apply(
            lambda connection: [connection.execute(f"SELECT -{n}") for n in range(times)]
        )
        self.driver.execute(f"SELECT {times}")

    @rule()
    def fail(self) -> None:
        with pytest.raises(Exception, match="values"):
            self.driver.execute("SELECT ?", ())

    @precondition(lambda self: self.tables < 5)
    @rule()
    def change_the_schema(self) -> None:
        self.tables += 1
        with write(self.driver):
            self.driver.execute(f"CREATE TABLE t{self.tables} (a)")

    @rule(which=st.integers(0, 39))
    def look(self, which: int) -> None:
        statement = self.reads[which]
        said = self.driver.is_precompiled(statement)
        assert compiled_during(self.driver, statement) is not said

    def teardown(self) -> None:
        held = {entry["query"] for entry in self.entries()}
        cache: StatementCache = self.driver._cache
        for kept in cache:
            if cache.holds(kept) and "ring" in repr(kept):
                assert kept.sql in held
        self.driver.close()

    def entries(self) -> list[dict[str, Any]]:
        stats: dict[str, Any] = self.driver._connection.cache_stats(True)
        entries: list[dict[str, Any]] = stats["entries"]
        return entries


TestRing = Ring.TestCase
TestRing.settings = settings(stateful_step_count=15)
