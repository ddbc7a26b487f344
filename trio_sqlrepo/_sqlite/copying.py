"""A copy of a file's schema in memory, with the statistics the planner goes by, and no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw
import attrs

from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import OpenError
from trio_sqlrepo._base.job import Row
from trio_sqlrepo._sqlite.looking import look
from trio_sqlrepo._sqlite.opening import MEMORY, open_driver

if TYPE_CHECKING:
    from trio_sqlrepo._base.config import SQLiteConfig
    from trio_sqlrepo._sqlite.driver import SqliteDriver

# What others need comes first. What has no SQL, an index of a constraint, comes with its table, and
# so do the shadow tables of a virtual one.
_OBJECTS: Final = """
    SELECT name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
    ORDER BY CASE
        WHEN type = 'table' THEN sql LIKE 'CREATE VIRTUAL%' WHEN type = 'index' THEN 2
        WHEN type = 'view' THEN 3 ELSE 4
    END, rowid
"""
_STATISTICS: Final = ("sqlite_stat1", "sqlite_stat4")
_EXISTS: Final = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"


@attrs.frozen
class _Schema:
    objects: tuple[tuple[str, str], ...]
    statistics: dict[str, list[Row]]


def open_copy(path: str, config: SQLiteConfig) -> SqliteDriver:
    """Open a private database in memory whose schema and statistics are those of the file.

    The file is read in one transaction of some milliseconds, and let go. Blocks as `look` does.

    Raises:
        OpenError: as `look`; or something of the schema can't be made in memory.
        DatabaseLocked, DatabaseCorrupt: as `look`.
    """
    schema = look(path, config, _read)
    driver = open_driver(MEMORY, config, Role.SOLE)
    try:
        link = driver._link
        with link.as_own():
            _make(link.connection, schema, path)
    except BaseException:
        driver.close()
        raise
    return driver


def _read(connection: apsw.Connection) -> _Schema:
    objects = tuple((str(name), str(sql)) for name, sql in connection.execute(_OBJECTS))
    statistics = {}
    for table in _STATISTICS:
        if connection.execute(_EXISTS, (table,)).fetchall()[0][0]:
            statistics[table] = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # a constant
    return _Schema(objects, statistics)


def _make(connection: apsw.Connection, schema: _Schema, path: str) -> None:
    # Older schemas may hold texts in double quotes. In a file SQLite takes them as they are.
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 1)
    for name, sql in schema.objects:
        try:
            connection.execute(sql).fetchall()
        except apsw.Error as error:
            raise OpenError(
                f"{name} of {path} can't be made in memory to check against: {error}. If a function"
                " or an extension is missing, name the SQLiteConfig that has it."
            ) from error
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    if not schema.statistics:
        return
    connection.execute("ANALYZE")  # makes the tables; there is nothing to put into them
    for table, rows in schema.statistics.items():
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608  # a constant
    connection.execute("ANALYZE sqlite_schema")  # the planner reads them now
