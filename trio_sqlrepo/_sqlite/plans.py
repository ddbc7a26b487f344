"""How SQLite would run a statement: its plan, its bytecode; and which indexes there are.

The statement is compiled as `inspect` compiles it, under the settings of its connection. Nothing is
run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import apsw
import attrs

from trio_sqlrepo._base.inspection import Index, Instruction, PlanStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite.driver import SqliteDriver

# As apsw's `explain` has them.
_BYTECODE: Final = 1
_PLAN: Final = 2

_INDEXES: Final = """
    SELECT list.name, tables.name, list."unique"
    FROM pragma_table_list AS tables, pragma_index_list(tables.name) AS list
    WHERE tables.schema = 'main' AND tables.type = 'table' AND list.origin = 'c'
    ORDER BY tables.name, list.name
"""


def query_plan(driver: SqliteDriver, sql: str) -> tuple[PlanStep, ...]:
    """Give the plan as a tree (https://sqlite.org/eqp.html).

    What triggers and foreign-key actions do follows, each as a step of its own. Raises `SqlError`
    if it does not compile.
    """
    connection = driver._link.connection
    connection.config(apsw.SQLITE_DBCONFIG_TRIGGER_EQP, 1)
    try:
        return _tree(_explain(driver, sql, _PLAN))
    finally:
        connection.config(apsw.SQLITE_DBCONFIG_TRIGGER_EQP, 0)


def bytecode(driver: SqliteDriver, sql: str) -> tuple[Instruction, ...]:
    """Give the instructions, those of triggers behind the statement's own. Raises `SqlError`."""
    return tuple(
        Instruction(
            int(address), str(opcode), int(p1), int(p2), int(p3), _text(p4), int(p5), _text(comment)
        )
        for address, opcode, p1, p2, p3, p4, p5, comment in _explain(driver, sql, _BYTECODE)
    )


def indexes(driver: SqliteDriver) -> tuple[Index, ...]:
    """Give the indexes that were made by CREATE INDEX, by table and name."""
    link = driver._link
    with link.as_own():
        rows = link.connection.execute(_INDEXES, can_cache=False).fetchall()
    return tuple(Index(str(name), str(table), bool(unique)) for name, table, unique in rows)


def _explain(driver: SqliteDriver, sql: str, how: int) -> list[Any]:
    link = driver._link
    try:
        return link.explain(sql, how)
    except apsw.Error as error:
        failure = link.converted(error, sql=sql)
    raise failure


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@attrs.define
class _Node:
    detail: str
    steps: list[_Node]

    def frozen(self) -> PlanStep:
        return PlanStep(self.detail, tuple(step.frozen() for step in self.steps))


def _tree(rows: Iterable[Row]) -> tuple[PlanStep, ...]:
    """Make a tree of steps that name their parents. Numbers begin anew with each program."""
    root = _Node("", [])
    by_number: dict[object, _Node] = {0: root}
    for number, parent, _, detail in rows:
        if number == 0:  # the head of a program: a trigger's bears its name, an action's none
            head = "FOREIGN KEY ACTION" if detail is None else str(detail).removeprefix("-- ")
            node = _Node(head, [])
            root.steps.append(node)
            by_number = {0: node}
        else:
            node = by_number[number] = _Node(str(detail), [])
            by_number[parent].steps.append(node)
    return root.frozen().steps
