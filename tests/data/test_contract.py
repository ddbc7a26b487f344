"""The check at opening: every problem of every class in one error."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs
import cattrs
import pytest

from tests.query.support import Database
from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._base.inspection import Inspection
from trio_sqlrepo._data.contract import check_repositories
from trio_sqlrepo._query.declare import declarations_of, overridden_in, transaction
from trio_sqlrepo._query.querying import query
from trio_sqlrepo._repository import Repository

T = TypeVar("T")
SCHEMA = "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER)"


@attrs.frozen
class User:
    id: int
    name: str


@attrs.frozen
class Money:
    cents: int


class Base:
    pass


class Users(Base):
    @query("SELECT * FROM user WHERE id = :id")
    async def get(self, id: int) -> User | None: ...

    @query("SELECT * FROM user")
    async def all(self) -> list[User]: ...

    again = all  # noqa: A003

    @transaction
    async def body(self) -> int:
        return 1

    async def plain(self) -> None: ...


class MoreUsers(Users):
    @query("SELECT name FROM user")
    async def all(self) -> list[str]: ...  # type: ignore[override]

    async def get(self, id: int) -> User | None:
        return await super().get(id)


class Table(Base, Generic[T]):
    @query("SELECT * FROM user")
    async def all(self) -> list[T]: ...


class UserTable(Table[User]):
    pass


class Wrong(Base):
    @query("SELECT * FROM usr")
    async def table(self) -> User: ...

    @query("SELECT id FROM user")
    async def columns(self, extra: int) -> User: ...

    @transaction
    def sync(self) -> int:
        return 1

    @query("SELECT 1")
    async def fine(self) -> int: ...


class AlsoWrong(Base):
    @query("DELETE FROM user")
    async def clear(self) -> int: ...


class Mended(AlsoWrong):
    """Overrides what does not fit."""

    @query("DELETE FROM user")
    async def clear(self) -> None: ...  # type: ignore[override]

    @transaction
    async def more(self) -> None: ...


class Bodies(Mended):
    async def more(self) -> None: ...


@pytest.fixture
def db() -> Database:
    return Database(SCHEMA)


def test_every_class_has_its_plans_and_all_statements_are_numbered(db: Database) -> None:
    contract = check_repositories([Users, UserTable], db.inspect, base=Base)
    assert [(s.number, s.name) for s in contract.statements] == [
        (0, "Users.get"),
        (1, "Users.all"),
        (2, "UserTable.all"),
    ]
    plans = contract.plans[Users]
    assert {d.name: p.statement.number for d, p in plans.items()} == {"get": 0, "all": 1}
    assert set(contract.plans) == {Users, UserTable}
    (plan,) = contract.plans[UserTable].values()
    assert plan.statement.sql == plans[declarations_of(Users)["all"]].statement.sql


def test_equal_sql_is_inspected_once(db: Database) -> None:
    asked: list[str] = []

    def inspect(sql: str) -> Inspection:
        asked.append(sql)
        return db.inspect(sql)

    check_repositories([Users, UserTable, Users], inspect)
    assert asked == ["SELECT * FROM user WHERE id = :id", "SELECT * FROM user"]


def test_what_super_reaches_has_a_plan_of_its_own(db: Database) -> None:
    contract = check_repositories([MoreUsers], db.inspect)
    # `again` still is Users.all.
    names = [statement.name for statement in contract.statements]
    assert names == ["MoreUsers.all", "MoreUsers.all", "MoreUsers.get of Users"]
    for _, declaration in overridden_in(MoreUsers):
        assert contract.plans[MoreUsers][declaration].statement.sql == declaration.sql


def test_what_is_overridden_may_be_unfit_until_it_is_called(db: Database) -> None:
    contract = check_repositories([Mended, Bodies], db.inspect)
    unfit = declarations_of(AlsoWrong)["clear"]
    for _ in range(2):
        with pytest.raises(DeclarationError, match=r"^Mended.clear of AlsoWrong .*RETURNING"):
            contract.plans[Mended][unfit]
    with pytest.raises(KeyError):
        contract.plans[Mended][declarations_of(Users)["get"]]


def test_all_problems_are_told_together(db: Database) -> None:
    repositories: list[Any] = [Wrong, Users, AlsoWrong, Table, 5, Table[User], dict]
    with pytest.raises(DeclarationError) as caught:
        check_repositories(repositories, db.inspect, base=Base)
    found = caught.value.problems
    starts = [
        f"Wrong.table ({__file__}:",
        f"Wrong.columns ({__file__}:",
        f"Wrong.columns ({__file__}:",
        f"Wrong.sync ({__file__}:",
        f"AlsoWrong.clear ({__file__}:",
        f"Table.all ({__file__}:",
        "repositories holds 5, which is no class; give the repository class itself",
        "repositories holds ",
        "repositories holds the class dict, which is no subclass of Base; derive it from Base",
    ]
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert problem.startswith(start)
        assert problem.endswith(".")
        assert f" {problem}" in str(caught.value)
    assert "no such table: usr" in found[0]
    assert "`:extra`" in found[1]
    assert "`User.name` has no column" in found[2]
    assert "(of a generic one, a subclass: `class Users(Table[User])`)" in found[7]


def test_the_converter_maps_user_types(db: Database) -> None:
    class Prices:
        @query("SELECT price FROM user")
        async def all(self) -> list[Money]: ...

    converter = cattrs.Converter()
    converter.register_structure_hook(Money, lambda value, _: Money(value))
    contract = check_repositories([Prices], db.inspect, converter)
    assert contract.statements[0].build is not None
    assert contract.statements[0].build((5,)) == Money(5)
    with pytest.raises(DeclarationError, match=r"`Money.cents` has no column"):
        check_repositories([Prices], db.inspect)


def test_there_may_be_no_repositories(db: Database) -> None:
    contract = check_repositories([], db.inspect)
    assert contract.statements == ()
    assert contract.plans == {}


class Hiding(Repository):
    @query("SELECT 1")
    async def using(self) -> int: ...  # type: ignore[override]  # what is refused

    @transaction
    async def session(self) -> None: ...  # type: ignore[override]  # what is refused

    @query("SELECT 1")
    async def sessions(self) -> int: ...


def test_an_attribute_of_every_repository_is_not_hidden(db: Database) -> None:
    with pytest.raises(DeclarationError) as caught:
        check_repositories([Hiding], db.inspect, base=Repository)
    assert [problem.partition(" (")[0] for problem in caught.value.problems] == [
        "Hiding.using",
        "Hiding.session",
    ]
    assert caught.value.problems[1].endswith(
        "): `session` is an attribute of every Repository; rename it."
    )


def make_users() -> type:
    class Users(Base):
        @query("SELECT count(*) FROM user")
        async def all(self) -> int: ...

    return Users


def test_classes_of_one_name_are_told_apart(db: Database) -> None:
    one, two = make_users(), make_users()
    contract = check_repositories([Users, one, UserTable, two, one], db.inspect, base=Base)
    here = __name__
    assert [statement.name for statement in contract.statements] == [
        f"{here}.Users.get",
        f"{here}.Users.all",
        f"{here}.make_users.<locals>.Users.all",
        "UserTable.all",
        f"{here}.make_users.<locals>.Users (2).all",
    ]


class Generated(Base):
    @query.find("user")
    async def all(self) -> list[User]: ...


def test_without_tables_none_is_known(db: Database) -> None:
    with pytest.raises(DeclarationError, match="there is no table `user`; correct the name"):
        check_repositories([Generated], db.inspect, base=Base)
