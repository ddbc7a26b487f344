"""Repositories without a database: inspections by hand, and by a small apsw helper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import apsw
import apsw.ext
import pytest

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._base.inspection import Column, Inspection
from trio_sqlrepo._query.declare import declarations_of, query
from trio_sqlrepo._query.plan import Plan, make_plan
from trio_sqlrepo._query.spec import make_spec

if TYPE_CHECKING:
    import cattrs

    from trio_sqlrepo._base.job import SqlValue


def inspection(sql: str, columns: str | tuple[str, ...] = (), **more: Any) -> Inspection:
    """What SQLite might say of `sql`. Columns are "name" or "name:DECLARED TYPE"."""
    if isinstance(columns, str):
        columns = tuple(columns.split())
    made = [column.partition(":") for column in columns]
    return Inspection(
        parameters=more.pop("parameters", tuple(dict.fromkeys(re.findall(r":\w+", sql)))),
        columns=tuple(Column(name, declared or None, None, None) for name, _, declared in made),
        **more,
    )


def plan(
    owner: type,
    method: str,
    columns: str | tuple[str, ...] = (),
    *,
    converter: cattrs.BaseConverter | None = None,
    **more: Any,
) -> Plan:
    """The plan of `owner.method`, whose SQL gives `columns`."""
    spec = make_spec(declarations_of(owner)[method], owner)
    found = inspection(spec.sql, columns, **more)
    return make_plan(spec, found, number=0, converter=converter)


def problems(owner: type, method: str, *columns: Any, **more: Any) -> str:
    """All that is wrong with `owner.method`, one problem to a line."""
    with pytest.raises(DeclarationError) as caught:
        plan(owner, method, *columns, **more)
    return "\n".join(caught.value.problems)


def repository(sql: str, result: Any, **parameters: Any) -> type:
    """A class with one query `q`, whose annotations are given as objects."""
    signature = "".join(f", {name}" for name in parameters)
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(f"async def q(self{signature}): ...", namespace)
    stub = namespace["q"]
    stub.__annotations__ = {**parameters, "return": result}
    stub.__qualname__ = "Repo.q"
    return type("Repo", (), {"q": query(sql)(stub)})


class Echo:
    """One type, bound and read as one column."""

    def __init__(self, hint: Any, converter: cattrs.BaseConverter | None = None) -> None:
        made = plan(repository("SELECT :x", tuple[hint], x=hint), "q", "x", converter=converter)
        self._bind, self._build = made.bind, made.statement.build
        self._connection = apsw.Connection(":memory:")

    def bind(self, value: Any) -> SqlValue:
        bound: SqlValue
        (bound,) = self._bind(value)
        return bound

    def read(self, value: SqlValue) -> Any:
        assert self._build is not None
        (built,) = self._build((value,))
        return built

    def through_sqlite(self, value: Any) -> Any:
        """Bound, stored in a table by SQLite, and read back."""
        bound = self.bind(value)
        assert type(bound) in {type(None), int, float, str, bytes}
        ((stored,),) = self._connection.execute("SELECT ?", (bound,)).fetchall()
        assert stored == bound
        return self.read(stored)


class Database:
    """A database in memory and what SQLite says of statements."""

    def __init__(self, *schema: str) -> None:
        self.connection = apsw.Connection(":memory:")
        for statement in schema:
            self.connection.execute(statement)

    def inspect(self, sql: str) -> Inspection:
        try:
            info = apsw.ext.query_info(self.connection, sql, actions=True)
        except apsw.SQLError as error:
            return Inspection(error=str(error).removeprefix("SQLError: "), error_position=(1, 8))
        return Inspection(
            parameters=tuple(dict.fromkeys(re.findall(r":\w+", sql))),
            columns=tuple(
                Column(column, declared, table, origin)
                for column, declared, _, table, origin in info.description_full or ()
            ),
            read_only=info.is_readonly,
        )

    def call(self, plan: Plan, *args: Any) -> Any:
        """What a driver does with a plan."""
        statement = plan.statement
        batch = plan.bind(*args)
        rows: list[Any] = []
        changed = 0
        for parameters in batch if plan.batch else [batch]:
            before = self.connection.total_changes()
            for row in self.connection.execute(statement.sql, parameters):
                assert statement.build is not None
                rows.append(statement.build(row))
            changed += self.connection.total_changes() - before
        result: Any = rows if statement.build is not None else changed
        return result if statement.finish is None else statement.finish(result)
