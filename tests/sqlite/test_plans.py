"""Plans and bytecode, as the driver's own connection compiles them."""

from __future__ import annotations

import pytest

from trio_sqlrepo import SqlError
from trio_sqlrepo._base.inspection import Index, PlanStep
from trio_sqlrepo._sqlite import SqliteDriver
from trio_sqlrepo._sqlite.plans import bytecode, indexes, query_plan


def test_a_plan_is_a_tree(writer: SqliteDriver) -> None:
    assert query_plan(writer, "SELECT * FROM message WHERE room IN (SELECT id FROM room)") == (
        PlanStep("SCAN message"),
        PlanStep("USING ROWID SEARCH ON TABLE room FOR IN-OPERATOR"),
    )
    (step,) = query_plan(writer, "SELECT * FROM (SELECT name FROM room LIMIT 3)")
    assert step.steps == ()
    steps = query_plan(writer, "SELECT 1 FROM room WHERE id = (SELECT max(body) FROM message)")
    assert steps[1] == PlanStep("SCALAR SUBQUERY 1", (PlanStep("SEARCH message"),))


def test_what_triggers_and_foreign_keys_do_follows(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.run_script(
        "CREATE TABLE child (room INTEGER REFERENCES room ON DELETE CASCADE);"
        "CREATE TRIGGER after_room AFTER DELETE ON room BEGIN"
        " UPDATE message SET stars = 0 WHERE body = old.name; END;"
    )
    writer.commit()
    steps = query_plan(writer, "DELETE FROM room WHERE id = :id")
    assert PlanStep("TRIGGER after_room", (PlanStep("SCAN message"),)) in steps
    assert PlanStep("FOREIGN KEY ACTION", (PlanStep("SCAN child"),)) in steps
    assert steps[0].detail.startswith("SEARCH room USING INTEGER PRIMARY KEY")


def test_nothing_is_run_and_nothing_left_behind(writer: SqliteDriver) -> None:
    before = writer.total_changes()
    query_plan(writer, "DELETE FROM message")
    bytecode(writer, "DELETE FROM room")
    assert writer.total_changes() == before
    assert writer.is_clean()


def test_bytecode_is_given_with_its_operands(writer: SqliteDriver) -> None:
    program = bytecode(writer, "SELECT name FROM room WHERE id = :id")
    assert (program[0].address, program[0].opcode) == (0, "Init")
    (sought,) = [each for each in program if each.opcode == "SeekRowid"]
    assert program[sought.p2].opcode == "Halt"
    assert any(each.p4 for each in program)


def test_what_does_not_compile_is_an_error(writer: SqliteDriver) -> None:
    with pytest.raises(SqlError, match="wat"):
        query_plan(writer, "SELECT wat")
    with pytest.raises(SqlError, match="wat"):
        bytecode(writer, "SELECT wat")


def test_the_gate_judges_as_it_does_of_declared_queries(writer: SqliteDriver) -> None:
    with pytest.raises(SqlError, match="ATTACH is not allowed"):
        query_plan(writer, "ATTACH 'x' AS y")


def test_indexes_are_those_that_somebody_made(writer: SqliteDriver) -> None:
    assert indexes(writer) == ()  # that of UNIQUE is none
    writer.begin_write()
    writer.run_script(
        "CREATE INDEX message_by_room ON message (room);"
        "CREATE UNIQUE INDEX message_by_body ON message (body) WHERE stars > 3;"
    )
    writer.commit()
    assert indexes(writer) == (
        Index("message_by_body", "message", unique=True),
        Index("message_by_room", "message", unique=False),
    )
