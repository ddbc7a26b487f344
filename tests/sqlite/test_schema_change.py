"""Declared statements after a change of the schema: compiled anew once, and checked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import by_name, reads, run_in, write, writes
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import (
    DeclarationError,
)
from trio_sqlrepo._base.job import Statement
from trio_sqlrepo._sqlite.cache import Kept
from trio_sqlrepo._sqlite.declared import DeclaredStatements

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

ROOM = reads("SELECT * FROM room WHERE id = :id", "id", "name", parameters=1, single=True)
ROOMS = reads("SELECT * FROM room ORDER BY id", "id", "name")


def assert_reset(driver: SqliteDriver) -> None:
    """No statement of it is half-way: that would show in the transaction's state."""
    driver.rollback()
    assert driver.is_clean()


# -- the schema changes --------------------------------------------------------------------

ALL = reads("SELECT * FROM room", "id", "name", name="Rooms.all")


def rebuilt(columns: tuple[str, ...]) -> Any:
    if not {"id", "name"} <= set(columns):
        raise DeclarationError(f"Rooms.all needs id and name; there are {columns}.")
    return by_name(columns)


ALL.rebuild = rebuilt
COUNT = reads("SELECT count(*) AS many FROM room", "many", name="Rooms.count")
TURNED = """
CREATE TABLE new (name, id);
INSERT INTO new SELECT name, id FROM room;
DROP TABLE room;
ALTER TABLE new RENAME TO room;
"""


def change(driver: SqliteDriver, script: str) -> None:
    with write(driver):
        driver.run_script(script)


def test_columns_in_a_new_order_are_mapped_in_that_order(
    opened: Opener, writer: SqliteDriver, reader: SqliteDriver
) -> None:
    for driver in (writer, reader):
        driver.prepare([ALL])
    change(opened(Role.MIGRATOR), TURNED)
    for driver in (writer, reader):
        assert not driver.is_precompiled(ALL)
        assert driver.run(ALL, ())[0] == {"id": 1, "name": "lobby"}
        assert driver.is_precompiled(ALL)
        before = driver.compilations
        assert driver.run(ALL, ())[1] == {"id": 2, "name": "attic"}
        assert driver.compilations == before


def test_a_change_that_does_not_concern_it_recompiles_it_once(
    writer: SqliteDriver, reader: SqliteDriver
) -> None:
    reader.prepare([ALL])
    change(writer, "CREATE TABLE other (a)")
    counts = []
    for _ in range(3):
        reader.run(ALL, ())
        counts.append(reader.compilations)
    assert counts[0] == counts[1] == counts[2]
    assert reader.is_precompiled(ALL)


def test_what_was_checked_is_not_checked_again(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[object] = []
    check = DeclaredStatements._check

    def counting(driver: DeclaredStatements, kept: Kept, *found: Any) -> None:
        checked.append(kept.name)
        check(driver, kept, *found)

    monkeypatch.setattr(DeclaredStatements, "_check", counting)
    writer.prepare([ALL, COUNT])
    for _ in range(3):
        writer.run(ALL, ())
        writer.run(COUNT, ())
    assert checked == ["Rooms.all", "Rooms.count"]


def test_preparing_others_does_not_vouch_for_what_was_compiled_meanwhile(
    writer: SqliteDriver, reader: SqliteDriver
) -> None:
    reader.prepare([ALL])
    before = reader.run(ALL, ())
    change(writer, TURNED)
    # As a function with the raw connection may: the very statement is compiled anew, unseen.
    reader._connection.execute(ALL.sql).fetchall()
    reader.prepare([COUNT])
    assert reader.run(ALL, ()) == before


def test_no_rows_after_the_change_and_rows_later(
    writer: SqliteDriver, reader: SqliteDriver
) -> None:
    found = reads("SELECT * FROM room WHERE name = :name", "id", "name", parameters=1)
    reader.prepare([found])
    change(writer, "ALTER TABLE room ADD COLUMN size DEFAULT 7")
    assert reader.run(found, ("nobody",)) == []
    assert reader.run(found, ("lobby",)) == [{"id": 1, "name": "lobby", "size": 7}]
    assert reader.run(found, ("nobody",)) == []


def test_columns_that_no_longer_fit_are_a_declaration_error(
    writer: SqliteDriver, reader: SqliteDriver
) -> None:
    reader.prepare([ALL, ROOM])
    change(writer, "ALTER TABLE room RENAME COLUMN name TO title")
    for _ in range(2):
        with pytest.raises(DeclarationError, match=r"Rooms\.all needs id and name"):
            reader.run(ALL, ())
    assert not reader.is_precompiled(ALL)
    assert reader.run(reads("SELECT 1", "1"), ()) == [{"1": 1}]
    change(writer, "ALTER TABLE room RENAME COLUMN title TO name")
    assert reader.run(ALL, ())[0] == {"id": 1, "name": "lobby"}
    assert reader.is_precompiled(ALL)


def test_sql_that_no_longer_compiles_is_a_declaration_error(
    writer: SqliteDriver, reader: SqliteDriver
) -> None:
    named = reads("SELECT name FROM room", "name", name="Rooms.names")
    reader.prepare([named])
    change(writer, "ALTER TABLE room RENAME COLUMN name TO title")
    for _ in range(2):
        with pytest.raises(
            DeclarationError, match=r"Rooms\.names no longer fits .* no such column: name\."
        ):
            reader.run(named, ())
        assert not reader.is_precompiled(named)
    change(writer, "ALTER TABLE room RENAME COLUMN title TO name")
    assert len(reader.run(named, ())) == 2
    assert_reset(reader)


def test_preparing_names_all_that_do_not_fit(writer: SqliteDriver) -> None:
    bad = [reads("SELECT nope FROM room", "nope", name="A.a"), reads("SELECT", name="B.b")]
    with pytest.raises(DeclarationError) as caught:
        writer.prepare([bad[0], ROOMS, bad[1]])
    assert [problem[:3] for problem in caught.value.problems] == ["A.a", "B.b"]
    assert writer.is_precompiled(ROOMS)
    assert not writer.is_precompiled(bad[0])
    unfit = Statement(
        number=0, name="Rooms.all", sql="SELECT id FROM room", parameter_count=0, writes=False,
        columns=("id", "name"), build=tuple, rebuild=rebuilt,
    )  # fmt: skip
    with pytest.raises(DeclarationError, match="needs id and name"):
        writer.prepare([unfit])


def test_sql_too_long_to_be_kept_is_refused(writer: SqliteDriver) -> None:
    longest = "SELECT 1 AS n --".ljust(16_382, "x")
    statement = reads(longest, "n")
    writer.prepare([statement])
    before = writer.compilations
    assert writer.run(statement, ()) == writer.run(statement, ()) == [{"n": 1}]
    assert writer.compilations == before
    with pytest.raises(DeclarationError, match=r"T\.read is longer than 16382 bytes"):
        writer.prepare([reads(longest + "x", "n")])


def test_the_same_sql_recompiled_by_a_function_is_checked_too(
    writer: SqliteDriver, opened: Opener
) -> None:
    writer.run(ALL, ())
    change(opened(Role.MIGRATOR), TURNED)
    # A function's own copy of the statement meets the change first.
    writer.apply(lambda connection: connection.execute(ALL.sql).fetchall())
    assert writer.run(ALL, ())[0] == {"id": 1, "name": "lobby"}


def test_a_change_undone_leaves_what_it_says_true(writer: SqliteDriver) -> None:
    for end in (writer.rollback, writer.undo):
        writer.prepare([ALL])
        assert writer.is_precompiled(ALL)
        writer.begin_write()
        writer.savepoint()
        writer.execute("ALTER TABLE room ADD COLUMN size")
        end()
        said = writer.is_precompiled(ALL)
        before = writer.compilations
        writer.run(ALL, ())
        assert (writer.compilations == before) is said
        writer.rollback()


def test_a_rollback_with_nothing_to_undo_makes_nothing_stale(writer: SqliteDriver) -> None:
    """Each job ends with one, also after its COMMIT."""
    change(writer, "CREATE TABLE other (a)")
    writer.prepare([ALL])
    writer.rollback()
    assert writer.is_precompiled(ALL)
    before = writer.compilations
    writer.run(ALL, ())
    assert writer.compilations == before


@pytest.mark.parametrize("sql", ["ANALYZE", "PRAGMA optimize", "VACUUM"])
def test_statements_made_stale_by_other_means(writer: SqliteDriver, sql: str) -> None:
    def do() -> None:
        if sql == "VACUUM":
            writer.execute(sql)
        else:
            run_in(writer, writes(sql))

    do()  # the first ANALYZE makes tables, which would be seen anyway
    writer.prepare([ALL])
    do()
    said = writer.is_precompiled(ALL)
    before = writer.compilations
    writer.run(ALL, ())
    assert (writer.compilations == before) is said


def test_a_statement_without_tables_survives_a_change(writer: SqliteDriver) -> None:
    one = reads("SELECT 1", "1")
    writer.prepare([one])
    change(writer, "CREATE TABLE x (y)")
    writer.is_precompiled(one)  # notices the change
    before = writer.compilations
    writer.run(one, ())
    assert writer.compilations == before
    assert writer.is_precompiled(one)


def test_full_text_search_of_a_declared_query(writer: SqliteDriver, opened: Opener) -> None:
    change(writer, "CREATE VIRTUAL TABLE t USING fts5(a)")
    add = writes("INSERT INTO t VALUES (:a)", parameters=1)
    find = reads("SELECT a FROM t WHERE t MATCH :q", "a", parameters=1)
    reader = opened(Role.READER)
    for number in range(3):
        run_in(writer, add, f"word{number}")
        for driver in (writer, reader):
            assert driver.run(find, (f"word{number}",)) == [{"a": f"word{number}"}]
            assert driver.is_precompiled(find)


def test_a_statement_of_the_schema_table_counts_nothing(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.run(writes("UPDATE room SET name = name"), ())
    assert writer.run(writes("CREATE INDEX i ON room (name)"), ()) == 0
    assert isinstance(writer._connection, apsw.Connection)
