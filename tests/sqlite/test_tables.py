"""What the schema says of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from tests.sqlite.support import write
from trio_sqlrepo._base.errors import SqlRepoError
from trio_sqlrepo._base.inspection import NoTable, Table, TableColumn

if TYPE_CHECKING:
    from trio_sqlrepo._sqlite import SqliteDriver

SCHEMA = """
CREATE TABLE plain (a, b);
CREATE TABLE pair (b INTEGER, a TEXT, c UNIQUE, PRIMARY KEY (a, b));
CREATE TABLE compact (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE made (a, virtual AS (a + 1), stored AS (a + 2) STORED);
CREATE TABLE indexed (a, b, c);
CREATE UNIQUE INDEX whole ON indexed (b, a);
CREATE UNIQUE INDEX part ON indexed (a) WHERE b;
CREATE UNIQUE INDEX expression ON indexed (lower(a));
CREATE INDEX ordinary ON indexed (c);
CREATE TABLE "it's ""odd"" one" ("a b" UNIQUE);
CREATE VIEW seen AS SELECT a AS x FROM plain;
CREATE VIRTUAL TABLE text USING fts5(body);
"""


@pytest.fixture
def driver(writer: SqliteDriver) -> SqliteDriver:
    with write(writer):
        writer.run_script(SCHEMA)
    return writer


@pytest.mark.parametrize(
    ("name", "columns", "primary_key", "unique"),
    [
        ("plain", "a b", (), ()),
        ("room", "id name", ("id",), (("id",), ("name",))),
        ("pair", "b a c", ("a", "b"), (("a", "b"), ("c",))),
        ("compact", "id", ("id",), (("id",),)),
        ("indexed", "a b c", (), (("b", "a"),)),
        ("seen", "x", (), ()),
        ("text", "body", (), ()),
    ],
)
def test_a_table(
    driver: SqliteDriver,
    name: str,
    columns: str,
    primary_key: tuple[str, ...],
    unique: tuple[tuple[str, ...], ...],
) -> None:
    table = driver.describe_table(name)
    assert isinstance(table, Table)
    assert table.name == name
    assert [column.name for column in table.columns] == columns.split()
    assert table.primary_key == primary_key
    assert sorted(table.unique) == sorted(unique)


def test_generated_columns_are_told(driver: SqliteDriver) -> None:
    table = driver.describe_table("made")
    assert isinstance(table, Table)
    assert table.columns == (
        TableColumn("a"),
        TableColumn("virtual", generated=True),
        TableColumn("stored", generated=True),
    )


def test_any_name_will_do(driver: SqliteDriver) -> None:
    table = driver.describe_table('IT\'S "ODD" ONE')
    assert table == Table(name='it\'s "odd" one', columns=(TableColumn("a b"),), unique=(("a b",),))


def test_a_table_that_is_not_there(driver: SqliteDriver) -> None:
    missing = driver.describe_table("plane")
    assert isinstance(missing, NoTable)
    assert {"plain", "seen", "text"} <= set(missing.others)
    assert {"whole", "sqlite_schema", "sqlite_autoindex_pair_1"}.isdisjoint(missing.others)
    assert isinstance(driver.describe_table("sqlite_master"), NoTable)


def test_what_sqlite_raises_is_converted(driver: SqliteDriver) -> None:
    driver.close()
    with pytest.raises(SqlRepoError) as caught:
        driver.describe_table("plain")
    assert not isinstance(caught.value, apsw.Error)
