"""Generated SQL against a model: any table, whatever its columns are called."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_sqlrepo import UNSET, Repository, RowCount, SQLiteConfig, Unset, query
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import UniqueViolation
from trio_sqlrepo._data.contract import Contract, check_repositories
from trio_sqlrepo._query.declare import declarations_of
from trio_sqlrepo._query.generated import quoted
from trio_sqlrepo._sqlite import SqliteDriver, open_driver

# Identifiers of Python, which fields can be called: SQL's words and other traps among them.
FIELD_NAMES = [
    "order", "select", "group", "table", "set", "where", "values", "index", "key", "row", "rowid",
    "NULL", "set_order", "set_x", "x", "été", "self_", "new", "excluded", "bind", "UNSET", "rows",
]  # fmt: skip
ODD_NAMES = ['a "quoted" one', "it's", "a b", "{x}", ":x", "--", "]", "[", "`", "/*", "1st", "%s"]
VALUES = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from(["", "a", "'", "{x}", ":x"]))


@attrs.frozen
class Shape:
    """A table, and which of its columns the row class has."""

    table: str
    key: tuple[str, ...]
    others: tuple[str, ...]
    odd: tuple[str, ...]
    trigger: str | None  # a column with one of its own

    def schema(self) -> str:
        columns = [*self.key, *self.others, *self.odd]
        text = ", ".join(map(quoted, columns))
        keys = ", ".join(map(quoted, self.key))
        sql = f"CREATE TABLE {quoted(self.table)} ({text}, PRIMARY KEY ({keys}));"
        sql += "CREATE TABLE fired (n);"
        if self.trigger is not None:
            sql += (
                f"CREATE TRIGGER told AFTER UPDATE OF {quoted(self.trigger)} ON"
                f" {quoted(self.table)} BEGIN INSERT INTO fired VALUES (1); END;"
            )
        return sql


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    names = draw(st.lists(st.sampled_from(FIELD_NAMES), min_size=2, max_size=6, unique=True))
    count = draw(st.integers(1, len(names) - 1))
    others = tuple(names[count:])
    return Shape(
        table=draw(st.sampled_from(FIELD_NAMES + ODD_NAMES)),
        key=tuple(names[:count]),
        others=others,
        odd=tuple(draw(st.lists(st.sampled_from(ODD_NAMES), max_size=2, unique=True))),
        trigger=draw(st.none() | st.sampled_from(others)),
    )


class Subject:
    """The generated queries of one shape, run on a database in memory."""

    def __init__(self, shape: Shape) -> None:
        value: Any = int | str | None
        self.row = attrs.make_class(
            "Row", {n: attrs.field(type=value) for n in (*shape.key, *shape.others)}, frozen=True
        )
        self.key = attrs.make_class(
            "Key", {n: attrs.field(type=value) for n in shape.key}, frozen=True
        )
        self.patch = attrs.make_class(
            "Patch",
            {n: attrs.field(type=value | Unset, default=UNSET) for n in shape.others},
            frozen=True,
        )
        self.repository = type(
            "Rows",
            (Repository,),
            {
                "insert": stub(query.insert(shape.table), self.row, a0=self.row),
                "upsert": stub(
                    query.upsert(shape.table, conflict=shape.key), self.row, a0=self.row
                ),
                "update": stub(query.update(shape.table, key=shape.key), RowCount, a0=self.row),
                "patch": stub(
                    query.update(shape.table), self.row | None, a0=self.key, a1=self.patch
                ),
                "delete": stub(query.delete(shape.table), RowCount, a0=self.key),
                "find": stub(query.find(shape.table), self.row | None, a0=self.key),
                "all": stub(query.find(shape.table), list[self.row]),  # type: ignore[name-defined]
            },
        )
        self.driver: SqliteDriver = open_driver(":memory:", SQLiteConfig(), Role.SOLE)
        self.driver.begin_write()
        self.driver.run_script(shape.schema())
        self.driver.commit()
        self.contract: Contract = check_repositories(
            [self.repository], self.driver.inspect, base=Repository,
            describe=self.driver.describe_table,
        )  # fmt: skip

    def call(self, name: str, *args: Any) -> Any:
        plan = self.contract.plans[self.repository][declarations_of(self.repository)[name]]
        if plan.choose is not None:
            plan = plan.choose(*args)
        self.driver.begin_write()
        try:
            result = self.driver.run(plan.statement, plan.bind(*args))
            self.driver.commit()
        finally:
            self.driver.rollback()
        return result if plan.statement.finish is None else plan.statement.finish(result)

    def fired(self) -> int:
        ((count,),) = self.driver.execute("SELECT count(*) FROM fired")
        assert isinstance(count, int)
        return count


def stub(decorator: Any, result: Any, **parameters: Any) -> Any:
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(f"async def q(self{''.join(f', {name}' for name in parameters)}): ...", namespace)
    made = namespace["q"]
    made.__annotations__ = {**parameters, "return": result}
    return decorator(made)


@settings(max_examples=30)
@given(st.data())
def test_rows_come_back_as_they_were_put(data: st.DataObject) -> None:
    shape = data.draw(shapes())
    subject = Subject(shape)
    try:
        check(subject, shape, data)
    finally:
        subject.driver.close()


def check(subject: Subject, shape: Shape, data: st.DataObject) -> None:
    model: dict[Any, Any] = {}
    fired = 0
    keys = st.tuples(*[st.integers(0, 1)] * len(shape.key))
    others = st.fixed_dictionaries(dict.fromkeys(shape.others, VALUES))
    patches = st.fixed_dictionaries({}, optional=dict.fromkeys(shape.others, VALUES))
    for _ in range(data.draw(st.integers(1, 8))):
        key = data.draw(keys)
        fields = dict(zip(shape.key, key, strict=True))
        row = subject.row(**fields, **data.draw(others))
        there = key in model
        operation = data.draw(st.sampled_from(["insert", "upsert", "update", "patch", "delete"]))
        if operation == "insert":
            try:
                assert subject.call("insert", row) == row
            except UniqueViolation:
                assert there
                continue
            assert not there
            model[key] = row
        elif operation == "upsert":
            assert subject.call("upsert", row) == row
            model[key] = row
            fired += there and shape.trigger is not None
        elif operation == "update":
            assert subject.call("update", row) == there
            fired += there and shape.trigger is not None
            if there:
                model[key] = row
        elif operation == "patch":
            changes = data.draw(patches)
            found = subject.call("patch", subject.key(**fields), subject.patch(**changes))
            if there:
                model[key] = attrs.evolve(model[key], **changes)
                fired += shape.trigger in changes
            assert found == model.get(key)
        else:
            assert subject.call("delete", subject.key(**fields)) == there
            model.pop(key, None)
        assert subject.call("find", subject.key(**fields)) == model.get(key)
        assert subject.fired() == fired
    assert subject.call("all") == [model[key] for key in sorted(model)]
