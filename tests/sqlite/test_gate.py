"""The authorizer: what may be compiled, and how often SQLite compiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from tests.sqlite.support import reads, write, writes
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import DatabaseReadOnly
from trio_sqlrepo._sqlite.gate import Gate, Mode

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

WRITES = [
    "INSERT INTO room (name) VALUES ('x')",
    "UPDATE room SET name = 'x'",
    "DELETE FROM room",
    "REPLACE INTO room (id, name) VALUES (1, 'x')",
    "CREATE TABLE x (y)",
    "CREATE TEMP TABLE x (y)",
    "CREATE INDEX i ON room (name)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER t AFTER INSERT ON room BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "ALTER TABLE room RENAME TO hall",
    "DROP TABLE room",
    "ANALYZE",
    "REINDEX room",
    "PRAGMA optimize",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_reader_cannot_write(reader: SqliteDriver, sql: str) -> None:
    def function(connection: apsw.Connection) -> None:
        connection.execute(sql).fetchall()

    with pytest.raises(DatabaseReadOnly, match="A read connection cannot write: ") as caught:
        reader.apply(function)
    assert caught.value.code == apsw.SQLITE_AUTH
    with pytest.raises(DatabaseReadOnly):
        reader.execute(sql)
    with pytest.raises(DatabaseReadOnly):
        reader.run(writes(sql), ())
    assert reader.is_clean()
    assert not reader.is_read_only(sql)


def test_sqlite_itself_forbids_a_reader_to_write(reader: SqliteDriver) -> None:
    reader._gate.mode = Mode.OWN  # as if the authorizer had a hole
    with pytest.raises(apsw.ReadOnlyError):
        reader._connection.execute(WRITES[0])


def test_a_reader_reads_whatever_can_be_read(writer: SqliteDriver, opened: Opener) -> None:
    with write(writer):
        writer.run_script("""
            CREATE VIRTUAL TABLE text USING fts5(body);
            CREATE VIRTUAL TABLE old USING fts4(body);
            CREATE VIRTUAL TABLE box USING rtree(id, low, high);
            CREATE VIEW v AS SELECT name FROM room;
            INSERT INTO text VALUES ('hello'); INSERT INTO old VALUES ('hello');
            INSERT INTO box VALUES (1, 2, 3);
        """)
    reader = opened(Role.READER)
    for sql, rows in {
        "SELECT body FROM text WHERE text MATCH 'hello'": 1,
        "SELECT body FROM old WHERE old MATCH 'hello'": 1,
        "SELECT id FROM box WHERE low < 5": 1,
        "SELECT name FROM v": 2,
        "SELECT value FROM json_each('[1, 2]')": 2,
        "SELECT name FROM pragma_table_info('room')": 2,
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT i FROM n": 3,
        "PRAGMA table_info(room)": 2,
        "PRAGMA data_version": 1,
    }.items():
        statement = reads(sql, *(column.name for column in reader.inspect(sql).columns))
        if not sql.startswith("PRAGMA"):
            assert len(reader.run(statement, ())) == rows
        assert len(reader.execute(sql)) == rows


def test_fts3_may_optimize_itself(writer: SqliteDriver) -> None:
    with write(writer):
        writer.run_script("CREATE VIRTUAL TABLE old USING fts4(body)")
        for word in ("one", "two"):
            writer.execute("INSERT INTO old VALUES (?)", (word,))
        writer.run(writes("INSERT INTO old (old) VALUES ('optimize')"), ())
        writer.execute("SELECT optimize(old) FROM old LIMIT 1")


def test_the_drivers_own_statements_are_no_bodys_else(writer: SqliteDriver) -> None:
    # apsw's cache goes by the text and asks no authorizer.
    writer.begin_write()
    writer.rollback()
    for sql in ("BEGIN IMMEDIATE", "ROLLBACK"):
        with pytest.raises(apsw.AuthError):
            writer._connection.execute(sql)


def test_compiling_moves_the_count_and_running_does_not(writer: SqliteDriver) -> None:
    statement = reads("SELECT name FROM room", "name")
    before = writer.compilations
    writer.prepare([statement])
    compiled = writer.compilations
    assert compiled > before
    for _ in range(3):
        writer.run(statement, ())
    assert writer.compilations == compiled


def test_it_tells_why_only_once() -> None:
    gate = Gate(reader=True)
    gate.mode = Mode.QUERY
    assert gate(apsw.SQLITE_SELECT, None, None, None, None) == apsw.SQLITE_OK
    assert gate.take_objection() is None
    assert gate(apsw.SQLITE_DROP_TABLE, "room", None, "main", None) == apsw.SQLITE_DENY
    assert gate.take_objection() == ("A read connection cannot write: DROP TABLE room.", True)
    assert gate.take_objection() is None
    assert repr(gate) == "<Gate reader query>"
    assert repr(Gate(reader=False)) == "<Gate writer own>"
