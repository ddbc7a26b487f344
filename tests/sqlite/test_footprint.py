"""What is said of a statement is never finer than what it does, and mostly no coarser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import apsw.ext
import pytest

from tests.sqlite.support import FaultyDisk, Opener, reads, writes
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import CheckpointMode, Role
from trio_sqlrepo._base.errors import OutcomeUnknown, SqlError, TransactionAborted, UniqueViolation
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING, Footprint
from trio_sqlrepo._sqlite import SqliteDriver, open_driver
from trio_sqlrepo._sqlite.footprint import Footprints
from trio_sqlrepo._sqlite.link import Link

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT, extra TEXT);
CREATE TABLE child (
    id INTEGER PRIMARY KEY,
    parent INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE tag (name TEXT, code TEXT REFERENCES parent (code) ON DELETE SET NULL);
CREATE TABLE grandchild (child INTEGER REFERENCES child ON DELETE CASCADE);
CREATE TABLE log (line TEXT);
CREATE TABLE logged (id INTEGER PRIMARY KEY, a, b);
CREATE TRIGGER logs AFTER UPDATE OF b ON logged BEGIN INSERT INTO log VALUES (new.b); END;
CREATE TRIGGER logs_again AFTER DELETE ON grandchild BEGIN INSERT INTO log VALUES ('gone'); END;
CREATE TABLE sum (a INTEGER, b INTEGER, total INTEGER GENERATED ALWAYS AS (a + b));
CREATE TABLE pair (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
CREATE TABLE heap (v, w);
CREATE TABLE choosy (a, b, done);
CREATE UNIQUE INDEX one_open ON choosy (a) WHERE NOT done;
CREATE TABLE lower_case (name TEXT, x);
CREATE UNIQUE INDEX no_case ON lower_case (lower(name));
CREATE TABLE owner (name TEXT, room TEXT, age INTEGER);
CREATE TABLE room (room TEXT, size INTEGER);
CREATE TABLE indexed (room TEXT, size INTEGER, age INTEGER);
CREATE INDEX by_room ON indexed (room);
CREATE INDEX big ON indexed (age) WHERE size > 5;
INSERT INTO owner VALUES ('ann', 'lobby', 3), ('bob', 'attic', 4);
INSERT INTO room VALUES ('lobby', 1), ('attic', 2);
INSERT INTO indexed VALUES ('lobby', 1, 3), ('attic', 9, 4);
CREATE VIEW joined AS SELECT name FROM owner NATURAL JOIN room;
CREATE VIEW notes AS SELECT id, note FROM parent;
CREATE TRIGGER into_notes INSTEAD OF INSERT ON notes BEGIN
    INSERT INTO parent (id, note) VALUES (new.id, new.note);
END;
CREATE VIRTUAL TABLE words USING fts5 (body);
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1);
CREATE TABLE source (id INTEGER PRIMARY KEY, body TEXT);
CREATE VIRTUAL TABLE found USING fts5 (body, content = 'source', content_rowid = 'id');
INSERT INTO parent VALUES (1, 'a', 'x', NULL), (2, 'b', 'y', NULL), (3, 'c', 'z', NULL);
INSERT INTO child VALUES (10, 1), (20, 2), (30, 3);
INSERT INTO tag VALUES ('t', 'a'), ('u', 'b');
INSERT INTO grandchild VALUES (10), (20);
INSERT INTO logged VALUES (1, 'a', 'b');
INSERT INTO sum (a, b) VALUES (1, 2);
INSERT INTO pair VALUES ('k', 'v');
INSERT INTO numbered (v) VALUES (1);
INSERT INTO heap VALUES (1, 2), (3, 4);
INSERT INTO choosy VALUES ('a', 1, 1), ('a', 2, 0);
INSERT INTO lower_case VALUES ('A', 1), ('b', 2);
INSERT INTO words VALUES ('one two');
INSERT INTO boxes VALUES (1, 0, 1);
INSERT INTO source VALUES (1, 'one two');
INSERT INTO found (found) VALUES ('rebuild');
"""

WRITES = [
    "INSERT INTO heap VALUES (5, 6)",
    "DELETE FROM heap",  # truncates, and no hook hears of it
    "DELETE FROM heap WHERE v = 1",
    "UPDATE heap SET v = v + 1",
    "UPDATE heap SET rowid = rowid + 10",
    "UPDATE heap SET v = 9 RETURNING w",
    "DELETE FROM pair",
    "UPDATE pair SET v = 'other'",
    "INSERT INTO pair VALUES ('k', 'w') ON CONFLICT (k) DO UPDATE SET v = excluded.v",
    "DELETE FROM parent",
    "DELETE FROM parent WHERE id = 1",
    "UPDATE parent SET id = 9 WHERE id = 1",
    "UPDATE parent SET rowid = 9 WHERE id = 1",
    "UPDATE parent SET note = 'new'",
    "UPDATE OR REPLACE parent SET code = 'a' WHERE id = 3",
    "REPLACE INTO parent VALUES (4, 'a', NULL, NULL)",
    "INSERT OR IGNORE INTO parent VALUES (4, 'a', NULL, NULL)",
    "UPDATE parent SET note = tag.name FROM tag WHERE tag.code = parent.code",
    "INSERT INTO notes VALUES (7, 'by a view')",
    "UPDATE logged SET a = 'new'",
    "UPDATE logged SET b = 'new'",
    "UPDATE sum SET a = 5",
    "INSERT INTO numbered (v) VALUES (2)",
    "UPDATE sqlite_sequence SET seq = 100",
    "UPDATE OR REPLACE choosy SET done = 0",
    "UPDATE OR REPLACE choosy SET b = 0",
    "UPDATE OR REPLACE lower_case SET name = 'B' WHERE x = 1",
    "INSERT INTO words VALUES ('three')",
    "DELETE FROM words",
    "INSERT INTO boxes VALUES (2, 5, 6)",
    "UPDATE source SET body = 'four'",
    "INSERT INTO found (found) VALUES ('delete-all')",
    "UPDATE room SET room = 'cellar'",
    "UPDATE room SET size = size + 1",
    "UPDATE owner SET room = 'cellar'",
    "UPDATE indexed SET room = 'cellar'",
    "UPDATE indexed SET size = 0",
    "UPDATE indexed SET age = age + 1",
    "DELETE FROM room",
    "DELETE FROM indexed",
    "CREATE TABLE new (a)",
    "ALTER TABLE heap ADD COLUMN more DEFAULT 1",
    "DROP TABLE log",
    "CREATE INDEX an_index ON heap (v)",
    "ANALYZE",
]
READS = [
    "SELECT count(*) FROM HEAP",
    "SELECT v FROM heap ORDER BY v",
    "SELECT w FROM heap ORDER BY w",
    "SELECT * FROM heap ORDER BY 1",
    "SELECT rowid FROM heap",
    "SELECT v FROM pair",
    "SELECT count(*) FROM pair",
    "SELECT id FROM parent",
    "SELECT rowid FROM parent",
    "SELECT code FROM parent ORDER BY code",
    "SELECT note FROM parent ORDER BY note",
    "SELECT note FROM notes ORDER BY note",
    "SELECT count(*) FROM notes",
    "SELECT count(*) FROM child",
    "SELECT parent FROM child",
    "SELECT code FROM tag",
    "SELECT count(*) FROM grandchild",
    "SELECT line FROM log",
    "SELECT 1 FROM parent WHERE EXISTS (SELECT 1 FROM log)",
    "SELECT a FROM logged",
    "SELECT total FROM sum",
    "SELECT b FROM sum",
    "SELECT v FROM numbered",
    "SELECT seq FROM sqlite_sequence",
    "SELECT count(*) FROM choosy",
    "SELECT b FROM choosy ORDER BY b",
    "SELECT x FROM lower_case",
    "SELECT body FROM words WHERE words MATCH 'three OR one'",
    "SELECT count(*) FROM words_docsize",
    "SELECT id FROM boxes",
    "SELECT count(*) FROM boxes_rowid",
    "SELECT rowid FROM found WHERE found MATCH 'one'",
    "SELECT body FROM found",
    "SELECT name FROM owner NATURAL JOIN room",
    "SELECT name FROM owner JOIN room USING (room)",
    "SELECT count(*) FROM owner JOIN room USING (room)",
    "SELECT size FROM room ORDER BY size",
    "SELECT name FROM joined",
    "SELECT count(*) FROM joined",
    "SELECT name FROM owner JOIN indexed USING (room)",
    "SELECT name FROM owner JOIN indexed USING (age) WHERE indexed.size > 5",
    "SELECT count(*) FROM indexed",
    "SELECT age FROM indexed WHERE size > 5",
    "SELECT name FROM owner NATURAL JOIN pair",
    "SELECT name FROM owner NATURAL JOIN words",
    "SELECT count(*) FROM owner NATURAL JOIN words, json_each('[1]')",
    "SELECT name FROM sqlite_schema ORDER BY name",
    "SELECT count(*) FROM pragma_table_list",
    "SELECT sum(pgsize) FROM dbstat",
    "WITH heap AS (SELECT 1) SELECT count(*) FROM heap",
    "SELECT value FROM json_each('[1]')",
    "SELECT count(*) FROM json_each('[1]'), (SELECT 1)",
    "SELECT 1",
]


@pytest.fixture
def driver() -> Iterator[SqliteDriver]:
    driver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
    driver.begin_write()
    driver.run_script(SCHEMA)
    driver.commit()
    assert not driver.watching()
    driver.watching = lambda: True
    driver.take_changes()
    yield driver
    driver.close()


def run_declared(driver: SqliteDriver, sql: str) -> None:
    columns = ("w",) if "RETURNING" in sql else ()
    driver.run(writes(sql, *columns), ())


def run_ad_hoc(driver: SqliteDriver, sql: str) -> None:
    driver.execute(sql, ())


def run_raw(driver: SqliteDriver, sql: str) -> None:
    driver.apply(lambda connection: connection.execute(sql).fetchall(), ())


WAYS = {"declared": run_declared, "ad hoc": run_ad_hoc, "raw": run_raw}


def written(driver: SqliteDriver, sql: str, way: str = "declared") -> Footprint:
    driver.begin_write()
    WAYS[way](driver, sql)
    driver.commit()
    changes = driver.take_changes()
    assert changes is not None
    assert driver.take_changes() is None
    return changes


def results(driver: SqliteDriver) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for sql in READS:
        try:
            found[sql] = driver.execute(sql, ())
        except SqlError:  # its table is gone
            found[sql] = None
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sql", WRITES)
def test_whatever_gives_something_else_is_met(driver: SqliteDriver, sql: str, way: str) -> None:
    before = results(driver)
    read = {query: driver.read_by(query) for query in READS}
    changes = written(driver, sql, way)
    after = results(driver)
    changed = {query for query in READS if before[query] != after[query]}
    assert changed <= {query for query in READS if read[query].is_met_by(changes)}


def test_every_write_of_these_is_seen_by_one_of_these_reads(driver: SqliteDriver) -> None:
    """Otherwise the test above would prove nothing."""
    unseen = []
    for sql in WRITES:
        driver.begin_write()
        before = results(driver)
        try:
            driver.execute(sql, ())
            if results(driver) == before:
                unseen.append(sql)
        finally:
            driver.rollback()
    # An ignored row, and an index, which is the schema's alone.
    assert unseen == ["INSERT OR IGNORE INTO parent VALUES (4, 'a', NULL, NULL)"]


def rows(*tables: str) -> Footprint:
    return Footprint(dict.fromkeys(tables))


def columns(**tables: tuple[str, ...]) -> Footprint:
    return Footprint({table: frozenset(names) for table, names in tables.items()})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM heap", rows("heap")),
        ("DELETE FROM pair", rows("pair")),
        ("UPDATE heap SET v = 1", columns(heap=("v",))),
        ("UPDATE heap SET v = 1, w = 2", columns(heap=("v", "w"))),
        ("UPDATE heap SET rowid = rowid + 10", rows("heap")),
        ("UPDATE parent SET note = 'new'", columns(parent=("note",))),
        ("UPDATE pair SET v = 'other'", columns(pair=("v",))),
        (
            "UPDATE logged SET b = 'new'",
            Footprint({"logged": frozenset(("b",)), "log": None}),
        ),
        ("UPDATE sum SET a = 5", rows("sum")),
        ("UPDATE choosy SET b = 0", rows("choosy")),
        ("UPDATE lower_case SET x = 0", rows("lower_case")),
        ("INSERT INTO notes VALUES (7, 'by a view')", rows("parent")),
        (
            "DELETE FROM parent WHERE id = 1",
            rows("parent", "child", "grandchild", "log") | columns(tag=("code",)),
        ),
        (
            "INSERT INTO boxes VALUES (2, 5, 6)",
            rows("boxes", "boxes_node", "boxes_parent", "boxes_rowid"),
        ),
    ],
)
@pytest.mark.parametrize("way", ["declared", "ad hoc"])
def test_a_write_names_what_it_touches(
    driver: SqliteDriver, sql: str, expected: Footprint, way: str
) -> None:
    assert written(driver, sql, way) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM HEAP", columns(heap=())),
        ("SELECT v FROM heap", columns(heap=("v",))),
        ("SELECT rowid FROM heap", rows("heap")),
        ("SELECT rowid FROM parent", columns(parent=("id",))),
        ("SELECT note FROM notes", columns(parent=("id", "note"))),
        ("SELECT b FROM sum", rows("sum")),
        ("SELECT 1 FROM parent JOIN tag USING (code)", columns(parent=("code",), tag=("code",))),
        (
            "SELECT name FROM owner JOIN room USING (room)",
            columns(owner=("name", "room"), room=("room",)),
        ),
        ("SELECT name FROM joined", columns(owner=("name", "room"), room=("room",))),
        ("SELECT room FROM indexed", columns(indexed=("room",))),
        ("SELECT count(*) FROM indexed", columns(indexed=())),
        ("SELECT v FROM pair", rows("pair")),
        (
            "SELECT name FROM owner NATURAL JOIN words",
            Footprint(columns(owner=("name",)).tables, everything=True),
        ),
        ("SELECT body FROM words", EVERYTHING),
        (
            "SELECT seq FROM sqlite_sequence",
            Footprint(columns(sqlite_sequence=("seq",)).tables, everything=True),
        ),
        ("SELECT count(*) FROM pragma_table_list", EVERYTHING),
        ("SELECT count(*) FROM dbstat", EVERYTHING),
        ("SELECT value FROM json_each('[1]')", NOTHING),
        ("WITH few AS (SELECT 1) SELECT count(*) FROM few", NOTHING),
        ("PRAGMA user_version", EVERYTHING),
        ("SELECT 1", NOTHING),
    ],
)
def test_a_read_names_what_it_looks_at(driver: SqliteDriver, sql: str, expected: Footprint) -> None:
    assert driver.read_by(sql) == expected


def test_what_is_fetched_says_what_it_read(driver: SqliteDriver) -> None:
    fetched = driver.fetch(reads("SELECT v FROM heap ORDER BY v", "v"), ())
    assert fetched.rows == [(1,), (3,)]
    assert fetched.columns == ("v",)
    assert fetched.footprint == columns(heap=("v",))
    assert [fetched.build(row) for row in fetched.rows] == [{"v": 1}, {"v": 3}]
    assert len(driver.fetch(reads("SELECT v FROM heap", "v", single=True), ()).rows) == 2


def test_what_is_fetched_follows_the_schema(driver: SqliteDriver) -> None:
    query = reads("SELECT * FROM notes", "id", "note")
    assert driver.fetch(query, ()).footprint == columns(parent=("id", "note"))
    driver.begin_write()
    driver.run_script("DROP VIEW notes; CREATE VIEW notes AS SELECT v FROM heap")
    driver.commit()
    fetched = driver.fetch(query, ())
    assert fetched.footprint == columns(heap=("v",))
    assert fetched.columns == ("v",)
    assert [fetched.build(row) for row in fetched.rows] == [{"v": 1}, {"v": 3}]


def test_a_failing_fetch_leaves_nothing_open(driver: SqliteDriver) -> None:
    with pytest.raises(SqlError, match="malformed JSON"):
        driver.fetch(reads("SELECT json('{') FROM heap", "j"), ())
    with pytest.raises(SqlError, match="No such table"):
        driver.read_by("SELECT * FROM nowhere")
    assert driver.is_clean()


def test_a_trigger_made_later_counts(driver: SqliteDriver) -> None:
    statement = writes("UPDATE heap SET v = 1")
    driver.begin_write()
    driver.run(statement, ())
    driver.commit()
    assert driver.take_changes() == columns(heap=("v",))
    made = written(
        driver,
        "CREATE TRIGGER late AFTER UPDATE ON heap BEGIN DELETE FROM pair; END",
        "ad hoc",
    )
    assert made == EVERYTHING
    driver.begin_write()
    driver.run(statement, ())
    driver.commit()
    assert driver.take_changes() == Footprint({"heap": frozenset(("v",)), "pair": None})


def test_a_schema_may_change_without_compiling(driver: SqliteDriver) -> None:
    """The statement is compiled already."""
    statement = writes("DROP TRIGGER IF EXISTS logs")
    driver.prepare([statement])
    driver.begin_write()
    driver.execute("UPDATE logged SET b = 1", ())
    before = driver.compilations
    driver.run(statement, ())
    assert driver.compilations == before
    driver.commit()
    assert driver.take_changes() == EVERYTHING


def test_a_trigger_dropped_after_it_fired_counts(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.execute("UPDATE logged SET b = 1", ())
    driver.execute("DROP TRIGGER logs", ())
    driver.commit()
    assert driver.take_changes() == EVERYTHING


def test_a_batch_is_noted_whichever_way_it_runs(driver: SqliteDriver) -> None:
    for by_total in (True, False):
        statement = writes("INSERT INTO heap VALUES (?, ?)", parameters=2, by_total=by_total)
        driver.begin_write()
        driver.run_many(statement, [(1, 2), (3, 4)])
        driver.commit()
        assert driver.take_changes() == rows("heap")


def test_a_function_is_not_trusted_but_named(driver: SqliteDriver) -> None:
    def write(connection: apsw.Connection) -> None:
        connection.executemany("INSERT INTO heap VALUES (?, 1)", [(1,), (2,)])
        connection.execute("DELETE FROM pair; SELECT * FROM tag; UPDATE sum SET a = 3").fetchall()

    driver.begin_write()
    driver.apply(write, ())
    driver.commit()
    changes = driver.take_changes()
    assert changes == Footprint(dict.fromkeys(("heap", "pair", "sum")), everything=True)


def test_a_function_may_write_without_sql(driver: SqliteDriver) -> None:
    def write(connection: apsw.Connection) -> None:
        with connection.blob_open("main", "parent", "note", 1, True) as blob:
            blob.write(b"X")

    driver.begin_write()
    driver.apply(write, ())
    driver.commit()
    assert driver.execute("SELECT note FROM parent WHERE id = 1", ()) == [("X",)]
    assert driver.take_changes() == EVERYTHING


def test_what_was_begun_unwatched_is_everything(driver: SqliteDriver) -> None:
    driver.watching = lambda: False
    driver.begin_write()
    driver.run(writes("UPDATE heap SET v = 1"), ())
    driver.watching = lambda: True
    driver.commit()
    assert driver.take_changes() == EVERYTHING


def test_what_is_undone_is_not_told(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.run(writes("UPDATE heap SET v = 1"), ())
    driver.rollback()
    assert driver.take_changes() is None
    assert written(driver, "DELETE FROM pair") == rows("pair")


def test_what_a_savepoint_has_undone_is_not_told(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.execute("DELETE FROM pair", ())
    driver.savepoint()
    driver.run(writes("UPDATE heap SET v = 1"), ())
    driver.execute("DELETE FROM room", ())
    driver.savepoint()
    driver.execute("DELETE FROM owner", ())
    driver.release()
    driver.undo()
    driver.savepoint()
    driver.run(writes("UPDATE indexed SET age = 1"), ())
    driver.release()
    driver.commit()
    assert driver.take_changes() == rows("pair") | columns(indexed=("age",))


def test_a_transaction_without_writes_tells_nothing(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.run(reads("SELECT v FROM heap", "v"), ())
    driver.commit()
    assert driver.take_changes() == NOTHING


def test_a_read_transaction_is_none(driver: SqliteDriver) -> None:
    driver.begin_read()
    driver.commit()
    assert driver.take_changes() is None


def test_temporary_tables_are_nobody_s(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.execute("CREATE TEMP TABLE mine (a)", ())
    driver.commit()
    driver.take_changes()
    assert written(driver, "INSERT INTO mine VALUES (1)", "ad hoc") == NOTHING


def test_vacuum_may_change_everything(opened: Opener) -> None:
    driver = opened(Role.WRITER)
    driver.execute("VACUUM", ())
    assert driver.take_changes() == EVERYTHING


def test_statistics_are_told_as_well(opened: Opener) -> None:
    driver = opened(Role.WRITER)
    driver.watching = lambda: True
    driver.begin_write()
    driver.run_script("CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1)")
    driver.commit()
    assert driver.take_changes() == EVERYTHING  # the schema
    driver.optimize()
    assert driver.take_changes() == EVERYTHING


def test_an_interrupt_just_after_begin_loses_nothing(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Link) -> None:
        raise apsw.InterruptError

    with monkeypatch.context() as patch:
        patch.setattr(Link, "epoch", interrupted)
        driver.begin_write()
    driver.execute("DELETE FROM pair", ())
    driver.commit()
    assert driver.take_changes() == EVERYTHING


def test_what_no_longer_compiles_is_everything(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise apsw.SQLError("it does not compile")

    monkeypatch.setattr(Footprints, "actions_of", fail)
    assert written(driver, "DELETE FROM pair") == EVERYTHING


def test_a_transaction_that_vanished_tells_nothing(driver: SqliteDriver) -> None:
    driver.begin_write()
    driver.execute("DELETE FROM pair", ())
    with pytest.raises(UniqueViolation):
        driver.execute("INSERT OR ROLLBACK INTO parent (id) VALUES (1)", ())
    with pytest.raises(TransactionAborted):
        driver.commit()
    assert driver.take_changes() is None


def test_a_commit_that_failed_half_way_tells_nothing(opened: Opener, disk: FaultyDisk) -> None:
    """It may be on disk: its connection ends, and that says so."""
    driver = opened(Role.WRITER)
    driver.watching = lambda: True
    driver.begin_write()
    driver.execute("CREATE TABLE t (a)", ())
    disk.fail_sync = apsw.SQLITE_IOERR_FSYNC
    with pytest.raises(OutcomeUnknown):
        driver.commit()
    disk.fail_sync = 0
    assert driver.take_changes() is None


def test_the_data_version_moves_by_others_alone(opened: Opener) -> None:
    mine, other = opened(Role.WRITER), opened(Role.WRITER)
    compiled = mine.compilations
    version = mine.data_version()
    compiled_once = mine.compilations
    assert compiled_once > compiled
    mine.begin_write()
    mine.run_script("CREATE TABLE t (a)")
    mine.commit()
    assert mine.data_version() == version
    other.begin_write()
    other.execute("INSERT INTO t VALUES (1)", ())
    other.rollback()
    assert mine.data_version() == version
    other.checkpoint(CheckpointMode.PASSIVE)
    assert mine.data_version() == version
    other.begin_write()
    other.execute("INSERT INTO t VALUES (1)", ())
    other.commit()
    assert mine.data_version() != version
    other.close()
    mine.close()


def test_the_data_version_s_error_is_converted(opened: Opener) -> None:
    driver = opened(Role.WRITER)
    driver.data_version()
    driver.close()
    with pytest.raises(Exception, match="Apsw refused a call"):
        driver.data_version()


def test_a_module_that_is_no_table_of_the_schema(opened: Opener) -> None:
    """A table-valued function of the user's may read what it likes."""

    def none(*args: Any, **kwargs: Any) -> Iterator[tuple[int]]:
        yield from ()

    numbers: Any = none
    numbers.parameters = ()  # where apsw looks for them
    numbers.columns = ("number",)
    numbers.column_access = apsw.ext.VTColumnAccess.By_Index
    driver = opened(Role.WRITER)
    apsw.ext.make_virtual_module(driver._connection, "mine", numbers)
    assert driver.read_by("SELECT count(*) FROM mine") == EVERYTHING
    assert driver._footprints._btree(1 << 30) is None
    assert repr(driver._footprints).startswith("<Footprints of ")
