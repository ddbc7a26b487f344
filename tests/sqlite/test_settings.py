"""Every connection is hardened, and every setting read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import reads, run_in, write, writes
from tests.support import read_in_child
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import (
    DatabaseReadOnly,
    DeclarationError,
    OpenError,
    SqlError,
)
from trio_sqlrepo._sqlite.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

FILE_ROLES = [Role.WRITER, Role.READER, Role.SOLE, Role.MIGRATOR]


@pytest.mark.parametrize("role", FILE_ROLES)
def test_every_role_is_hardened(opened: Opener, writer: SqliteDriver, role: Role) -> None:
    connection = opened(role)._connection
    for option, value in {
        apsw.SQLITE_DBCONFIG_DEFENSIVE: 1,
        apsw.SQLITE_DBCONFIG_DQS_DDL: 0,
        apsw.SQLITE_DBCONFIG_DQS_DML: 0,
        apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0,
        apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,
        apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA: 0,
    }.items():
        assert connection.config(option, -1) == value
    assert connection.limit(apsw.SQLITE_LIMIT_ATTACHED) == 0


PRAGMAS = {
    "synchronous": 2,
    "foreign_keys": 1,
    "trusted_schema": 0,
    "recursive_triggers": 0,
    "journal_size_limit": 64 << 20,
    "journal_mode": "wal",
    "wal_autocheckpoint": 1000,
    "query_only": 0,
}


@pytest.mark.parametrize(
    ("role", "different"),
    [
        (Role.WRITER, {}),
        (Role.SOLE, {}),
        (Role.READER, {"query_only": 1}),
        (Role.MIGRATOR, {"foreign_keys": 0}),
    ],
)
def test_defaults(
    opened: Opener, writer: SqliteDriver, role: Role, different: dict[str, object]
) -> None:
    driver = opened(role)
    for name, value in (PRAGMAS | different).items():
        assert driver.execute(f"PRAGMA {name}") == [(value,)]


@pytest.mark.parametrize(
    ("config", "pragma", "value"),
    [
        (SQLiteConfig(synchronous="off"), "synchronous", 0),
        (SQLiteConfig(synchronous="normal"), "synchronous", 1),
        (SQLiteConfig(synchronous="extra"), "synchronous", 3),
        (SQLiteConfig(foreign_keys=False), "foreign_keys", 0),
        (SQLiteConfig(trusted_schema=True), "trusted_schema", 1),
        (SQLiteConfig(recursive_triggers=True), "recursive_triggers", 1),
        (SQLiteConfig(cache_size=10 << 20), "cache_size", -(10 << 10)),
        (SQLiteConfig(cache_size=1), "cache_size", -1),
        (SQLiteConfig(cache_size=0), "cache_size", 0),
        (SQLiteConfig(mmap_size=1 << 20), "mmap_size", 1 << 20),
        (SQLiteConfig(temp_store="default"), "temp_store", 0),
        (SQLiteConfig(temp_store="file"), "temp_store", 1),
        (SQLiteConfig(temp_store="memory"), "temp_store", 2),
        (SQLiteConfig(wal_size_limit=12345), "journal_size_limit", 12345),
        (SQLiteConfig(page_size=8192), "page_size", 8192),
        (SQLiteConfig(pragmas={"cell_size_check": "on"}), "cell_size_check", 1),
        (SQLiteConfig(pragmas={"auto_vacuum": 2}), "auto_vacuum", 2),
        (SQLiteConfig(pragmas={"secure_delete": "fast"}), "secure_delete", 2),
    ],
)
def test_each_setting(opened: Opener, config: SQLiteConfig, pragma: str, value: int) -> None:
    assert opened(Role.WRITER, config).execute(f"PRAGMA {pragma}") == [(value,)]


def test_the_page_size_of_an_existing_file_stays(opened: Opener) -> None:
    opened(Role.WRITER)
    driver = opened(Role.WRITER, SQLiteConfig(page_size=1024))
    assert driver.execute("PRAGMA page_size") == [(4096,)]


def test_a_page_size_that_is_not_taken_is_refused(opened: Opener, db_path: Path) -> None:
    # An auto_vacuum pragma of the user's has made the file's first page before.
    config = SQLiteConfig(page_size=1024)
    object.__setattr__(config, "page_size", 1000)  # past the validator; SQLite ignores it
    with pytest.raises(OpenError, match=r"was not made with SQLiteConfig\.page_size, 1000"):
        opened(Role.WRITER, config)


def test_a_pragma_without_an_answer_is_taken_on_trust(opened: Opener) -> None:
    driver = opened(Role.WRITER, SQLiteConfig(pragmas={"case_sensitive_like": 1}))
    assert driver.execute("SELECT 'a' LIKE 'A'") == [(0,)]


@pytest.mark.parametrize(
    ("pragmas", "says"),
    [
        ({"no_such_thing": 1}, "names 'no_such_thing', which SQLite does not know"),
        ({"encoding": "UTF-8"}, None),
        ({"max_page_count": 1}, "did not take PRAGMA max_page_count = 1: it is"),
    ],
)
def test_a_setting_that_is_not_taken_is_refused(
    opened: Opener, writer: SqliteDriver, pragmas: dict[str, Any], says: str | None
) -> None:
    config = SQLiteConfig(pragmas=pragmas)
    if says is None:
        opened(Role.WRITER, config)
    else:
        with pytest.raises(OpenError, match=says):
            opened(Role.WRITER, config)


def test_a_switch_that_does_not_stay_is_refused(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "deviation", lambda _: "it moved")
    with pytest.raises(OpenError, match="did not take a setting: it moved"):
        opened(Role.WRITER)


def test_settings_tell_their_role(writer: SqliteDriver) -> None:
    assert repr(writer._settings) == "<Settings of a writer>"
    assert writer._settings.deviation() is None


# -- what hardening does -------------------------------------------------------------------


def test_a_misspelt_column_in_double_quotes_is_no_string(writer: SqliteDriver) -> None:
    with pytest.raises(SqlError, match="no such column"):
        writer.execute('SELECT "nope" FROM room')


def test_the_schema_cannot_be_written_to(writer: SqliteDriver) -> None:
    with write(writer), pytest.raises(SqlError, match="may not be modified"):
        writer.execute("UPDATE sqlite_schema SET sql = ''")


def test_nothing_can_be_attached(writer: SqliteDriver) -> None:
    writer._gate.mode = type(writer._gate.mode).OWN  # as if the authorizer had a hole
    with pytest.raises(apsw.SQLError, match="too many attached"):
        writer._connection.execute("ATTACH ':memory:' AS x")


def test_extensions_cannot_be_loaded(writer: SqliteDriver) -> None:
    with pytest.raises(SqlError, match=r"(?i)not authorized"):
        writer.execute("SELECT load_extension('x')")


def test_a_migrator_lets_children_survive_a_rebuild(opened: Opener, db_path: Path) -> None:
    with write(opened(Role.WRITER)) as writer:
        writer.run_script(
            "CREATE TABLE p (id INTEGER PRIMARY KEY);"
            "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE);"
            "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)"
        )
    with write(opened(Role.MIGRATOR)) as migrator:
        migrator.run_script(
            "CREATE TABLE n (id INTEGER PRIMARY KEY, x); INSERT INTO n (id) SELECT id FROM p;"
            "DROP TABLE p; ALTER TABLE n RENAME TO p"
        )
        assert migrator.foreign_key_violations() == []
    assert read_in_child(db_path, "SELECT count(*) FROM c") == [(1,)]


def test_foreign_keys_of_a_memory_database_can_be_suspended(opened: Opener) -> None:
    driver = opened(Role.SOLE, path=":memory:")
    driver.prepare([reads("SELECT 1", "1")])
    driver.enforce_foreign_keys(on=False)
    assert driver.execute("PRAGMA foreign_keys") == [(0,)]
    driver.enforce_foreign_keys(on=True)
    assert driver.execute("PRAGMA foreign_keys") == [(1,)]
    driver.begin_write()
    with pytest.raises(OpenError, match="did not take PRAGMA foreign_keys"):
        driver.enforce_foreign_keys(on=False)  # SQLite ignores it inside a transaction


# -- functions and extensions --------------------------------------------------------------


def double(value: int) -> int:
    return 2 * value


@pytest.mark.parametrize("role", FILE_ROLES)
def test_functions_are_there_on_every_connection(opened: Opener, role: Role) -> None:
    config = SQLiteConfig(functions={"double": SqlFunction(call=double, arguments=1)})
    opened(Role.WRITER)
    assert opened(role, config).execute("SELECT double(21)") == [(42,)]


def test_deterministic_functions_may_be_indexed(opened: Opener) -> None:
    for deterministic in (True, False):
        function = SqlFunction(
            call=double, arguments=1, deterministic=deterministic, innocuous=True
        )
        driver = opened(Role.WRITER, SQLiteConfig(functions={"double": function}))
        driver.begin_write()
        driver.execute("CREATE TABLE t (a)")
        if deterministic:
            driver.execute("CREATE INDEX i ON t (double(a))")
        else:
            with pytest.raises(SqlError, match="non-deterministic"):
                driver.execute("CREATE INDEX i ON t (double(a))")
        driver.rollback()


@pytest.mark.parametrize("innocuous", [True, False])
def test_views_call_innocuous_functions_only(opened: Opener, *, innocuous: bool) -> None:
    function = SqlFunction(call=double, arguments=1, innocuous=innocuous)
    driver = opened(Role.WRITER, SQLiteConfig(functions={"double": function}))
    run_in(driver, writes("CREATE VIEW v AS SELECT double(21) AS x"))
    if innocuous:
        assert driver.execute("SELECT x FROM v") == [(42,)]
    else:
        with pytest.raises(SqlError, match="unsafe use of double"):
            driver.execute("SELECT x FROM v")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (SQLiteConfig(extensions=("/nowhere/nope",)), "can't load"),
        (SQLiteConfig(pragmas={"no_such_thing": 1}), "does not know"),
        (SQLiteConfig(pragmas={"wal_checkpoint": 1, "threads": -5}), "did not take"),
        (SQLiteConfig(vfs="nope"), "not registered"),
    ],
)
def test_a_setting_that_is_refused_leaves_no_file(
    opened: Opener, db_path: Path, config: SQLiteConfig, says: str
) -> None:
    for role in (Role.MIGRATOR, Role.WRITER):
        with pytest.raises(OpenError, match=says):
            opened(role, config)
    assert list(db_path.parent.iterdir()) == []


def test_settings_are_tried_in_memory_for_a_new_file_only(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    make = Settings.make

    def noted(settings: Settings, *, memory: bool) -> None:
        made.append(memory)
        make(settings, memory=memory)

    monkeypatch.setattr(Settings, "make", noted)
    opened(Role.MIGRATOR)
    assert made == [True, False]
    opened(Role.WRITER)
    assert made == [True, False, False]


def test_an_extension_that_cannot_be_loaded(opened: Opener, tmp_path: Path) -> None:
    config = SQLiteConfig(extensions=(str(tmp_path / "nope.so"),))
    with pytest.raises(OpenError, match="which SQLite can't load"):
        opened(Role.WRITER, config)


def test_loading_is_possible_only_while_the_named_ones_are_loaded(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no extension to be had everywhere; this stands for SQLite's own loader.
    loaded: list[tuple[str, int]] = []

    class Connection(apsw.Connection):
        def load_extension(self, filename: str, entrypoint: str | None = None) -> None:
            option = apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION
            loaded.append((filename, self.config(option, -1)))

    monkeypatch.setattr(apsw, "Connection", Connection)
    driver = opened(Role.WRITER, SQLiteConfig(extensions=("a", "b")))
    assert [name for name, _ in loaded] == ["a", "b"] * 2  # once in memory: the file is new
    assert driver._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1) == 0


def test_a_reader_cannot_write_even_if_asked(reader: SqliteDriver) -> None:
    with pytest.raises(DatabaseReadOnly):
        reader.run(writes("DELETE FROM room"), ())
    with pytest.raises((DatabaseReadOnly, DeclarationError)):
        reader.run(writes("DELETE FROM room RETURNING id", "id"), ())
