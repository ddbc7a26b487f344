"""Whose schema it is where a test gives none."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from trio_sqlrepo import DeclarationError, Repository, query
from trio_sqlrepo.testing import assert_no_full_scans, memory_database

MIGRATIONS = ["CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL) STRICT"]


class Messages(Repository):
    @query("INSERT INTO message (room) VALUES (:room)")
    async def post(self, room: str) -> None: ...

    @query("SELECT count(*) FROM message WHERE room = :room")
    async def count(self, room: str) -> int: ...


def of(module: str) -> type[Messages]:
    """One that is declared elsewhere."""
    return type("Elsewhere", (Messages,), {"__module__": module})


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package with a module in it."""
    for name in ("shop", "shop.orders"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    return sys.modules["shop"]


async def test_it_is_what_their_module_calls_migrations() -> None:
    async with memory_database(Messages) as db:
        await Messages(db).post("lobby")
        assert await Messages(db).count("lobby") == 1
    assert_no_full_scans(Messages, allow=[Messages.count])
    with pytest.raises(AssertionError, match=r"Messages\.count"):
        assert_no_full_scans(Messages)


async def test_or_a_package_around_it(shop: ModuleType) -> None:
    shop.MIGRATIONS = MIGRATIONS  # type: ignore[attr-defined]
    async with memory_database(Messages, of("shop.orders"), of("shop")) as db:
        assert await Messages(db).count("lobby") == 0


async def test_what_is_given_goes_first() -> None:
    with pytest.raises(DeclarationError, match="no such table: message"):
        async with memory_database(Messages, migrations=None):
            raise AssertionError("never reached")


async def test_without_classes_there_is_none() -> None:
    async with memory_database() as db:
        assert await db.execute("SELECT name FROM sqlite_schema") == []


def test_where_there_is_none_it_must_be_given(shop: ModuleType) -> None:
    assert not hasattr(shop, "MIGRATIONS")
    with pytest.raises(TypeError) as caught:
        memory_database(of("shop.orders"))
    assert str(caught.value) == (
        "memory_database() knows no schema for Elsewhere: its module shop.orders has no MIGRATIONS,"
        " nor has a package around it. Give it as migrations=…"
    )


def test_two_are_one_too_many(shop: ModuleType) -> None:
    shop.MIGRATIONS = list(MIGRATIONS)  # type: ignore[attr-defined]
    with pytest.raises(TypeError) as caught:
        assert_no_full_scans(Messages, of("shop.orders"))
    assert str(caught.value) == (
        "assert_no_full_scans() knows two schemas: Messages of tests.testing.test_schema and"
        " Elsewhere of shop.orders have different MIGRATIONS. Give the one that is meant as"
        " migrations=…"
    )


def test_no_class_at_all_is_no_test() -> None:
    with pytest.raises(ValueError, match="was given no repository, so it would pass"):
        assert_no_full_scans(migrations=MIGRATIONS)
