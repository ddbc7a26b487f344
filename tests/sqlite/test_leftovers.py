"""What functions and ad-hoc SQL leave behind on a connection: put back, or found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import reads, write
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver


def unguarded(*sql: str) -> Callable[[apsw.Connection], None]:
    """Run what the gate forbids, and put the gate back as if nothing had been."""

    def function(connection: apsw.Connection) -> None:
        gate = connection.authorizer
        connection.authorizer = None
        for statement in sql:
            connection.execute(statement).fetchall()
        connection.authorizer = gate

    return function


# -- settings --------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {
    "SQLITE_LIMIT_LENGTH is 1000, not 1000000000": lambda c: c.limit(
        apsw.SQLITE_LIMIT_LENGTH, 1000
    ),
    "SQLITE_LIMIT_VDBE_OP is 9, not 250000000": lambda c: c.limit(apsw.SQLITE_LIMIT_VDBE_OP, 9),
    "SQLITE_DBCONFIG_ENABLE_TRIGGER is 0, not 1": lambda c: c.config(
        apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0
    ),
    "wal_autocheckpoint is 7, not 1000": lambda c: c.wal_autocheckpoint(7),
    "wal_autocheckpoint is 0, not 1000": lambda c: c.set_wal_hook(lambda *_: 0),
}
REPLACED = "its authorizer, a function or a collation was replaced"


@pytest.mark.parametrize(("dirt", "function"), CHANGES.items(), ids=CHANGES)
def test_what_a_call_of_apsw_changes_is_found(
    writer: SqliteDriver, dirt: str, function: Callable[[apsw.Connection], object]
) -> None:
    with write(writer):
        writer.apply(function)
    assert not writer.is_clean()
    assert writer._leftovers.dirt == dirt
    assert repr(writer._leftovers) == f"<Leftovers: {dirt}>"


@pytest.mark.parametrize(
    "function",
    [
        unguarded(),
        unguarded("PRAGMA busy_timeout = 1"),
        lambda c: c.create_scalar_function("abs", lambda x: x, 1),
        lambda c: c.create_collation("nocase", lambda a, b: 0),
    ],
)
def test_what_is_replaced_for_a_moment_is_found(
    writer: SqliteDriver, function: Callable[[apsw.Connection], object]
) -> None:
    writer.apply(function)
    assert not writer.is_clean()
    assert writer._leftovers.dirt == REPLACED


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [
        ("cache_size", 3, -2000),
        ("foreign_keys", 0, 1),
        ("synchronous", 0, 2),
        ("recursive_triggers", 1, 0),
        ("query_only", 1, 0),
    ],
)
def test_settings_behind_the_gate_are_compared(
    writer: SqliteDriver, name: str, value: int, usual: int
) -> None:
    writer.apply(unguarded(f"PRAGMA {name} = {value}"))
    assert writer._leftovers.dirt == f"{name} is {value}, not {usual}"


@pytest.mark.parametrize(
    "sql", ["CREATE INDEX by_body ON message (body)", "DROP TABLE message", "ANALYZE"]
)
def test_a_change_of_the_schema_is_no_fault(writer: SqliteDriver, sql: str) -> None:
    with write(writer):
        writer.apply(lambda c: c.execute(sql).fetchall())
    assert writer.is_clean()


def test_a_setting_changed_beside_the_schema_is_found(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        connection.execute("CREATE INDEX i ON room (id, name)")
        unguarded("PRAGMA cache_size = 3")(connection)

    with write(writer):
        writer.apply(function)
    assert writer._leftovers.dirt == "cache_size is 3, not -2000"


def test_an_attached_database_is_found(writer: SqliteDriver, db_path: Path) -> None:
    connection = writer._connection
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)
    with writer._link.as_own():
        connection.execute("ATTACH ? AS more", (f"{db_path}2",)).fetchall()
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    writer.apply(lambda _: None)
    assert writer._leftovers.dirt == "the database 'more' is attached"


def test_another_connections_change_of_the_schema_is_no_fault(
    opened: Opener, writer: SqliteDriver, reader: SqliteDriver
) -> None:
    with write(writer):
        writer.run_script("CREATE VIRTUAL TABLE text USING fts5 (body)")
    search = "SELECT * FROM text WHERE text MATCH 'x'"
    reader.apply(lambda c: c.execute(search).fetchall())
    for number in range(3):
        with write(writer):
            writer.run_script(f"CREATE TABLE more{number} (a)")
        reader.begin_read()
        reader.apply(lambda c: c.execute(search).fetchall())
        reader.apply(lambda c: c.execute("SELECT 1").fetchall())
        reader.rollback()
        assert reader.is_clean()


def test_many_statements_are_no_fault(writer: SqliteDriver) -> None:
    def function(connection: apsw.Connection) -> None:
        for number in range(2_000):
            connection.execute(f"SELECT {number}").fetchall()

    writer.apply(function)
    writer.apply(function)
    assert writer.is_clean()
    assert repr(writer._leftovers) == "<Leftovers: none>"


def test_hooks_are_put_back(writer: SqliteDriver) -> None:
    called: list[str] = []

    def note(name: str) -> Any:
        return lambda *_: called.append(name)

    def function(connection: apsw.Connection) -> None:
        connection.set_commit_hook(note("commit"))
        connection.set_rollback_hook(note("rollback"))
        connection.set_update_hook(note("update"))
        connection.preupdate_hook(note("preupdate"))
        connection.set_progress_handler(note("progress"), 1)
        connection.set_profile(note("profile"))
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, note("trace"))
        connection.collation_needed(note("collation"))
        connection.autovacuum_pages(note("autovacuum"))

    writer.apply(function)
    assert writer.is_clean()
    called.clear()
    with write(writer):
        writer.execute("INSERT INTO room VALUES (3, 'x')")
    with write(writer), pytest.raises(apsw.SQLError):
        writer._connection.execute("SELECT 1 ORDER BY 1 COLLATE nowhere")
    writer.begin_write()
    writer.rollback()
    assert called == []


# -- what can't be asked ---------------------------------------------------------------------------


def test_an_interrupt_that_comes_late_changes_nothing(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.apply(lambda _: None)
    epoch, late = Link.epoch, [True]

    def interrupted(link: Link) -> Any:
        if late and ran:
            late.pop()
            raise apsw.InterruptError
        return epoch(link)

    ran: list[bool] = []
    monkeypatch.setattr(Link, "epoch", interrupted)
    writer.apply(lambda _: ran.append(True))
    assert late == []
    assert writer.is_clean()


def test_a_connection_that_can_not_be_asked_is_given_up(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[bool] = []
    ask = Link.ask

    def failing(link: Link, *arguments: Any) -> Any:
        if broken:
            raise apsw.IOError
        return ask(link, *arguments)

    monkeypatch.setattr(Link, "ask", failing)
    with write(writer):
        writer.execute("DELETE FROM message")
    broken.append(True)
    assert not writer.is_clean()
    assert writer._leftovers.dirt == "it can't be looked at (IOError)"
    writer._leftovers.dirt = None
    broken.clear()
    writer.apply(lambda _: broken.append(True))
    assert writer._leftovers.dirt == "its settings can't be read (IOError)"


def test_a_connection_that_is_interrupted_again_and_again_is_given_up(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Link) -> Any:
        raise apsw.InterruptError

    writer.apply(lambda _: monkeypatch.setattr(Link, "epoch", interrupted))
    assert writer._leftovers.dirt == "its settings can't be read (InterruptError)"


# -- temporary things ------------------------------------------------------------------------------

TEMPORARY = {
    "table": "CREATE TEMP TABLE extra (a)",
    "table of temp": "CREATE TABLE temp.extra (a)",
    "view": "CREATE TEMP VIEW extra AS SELECT 1",
    "trigger": "CREATE TEMP TRIGGER extra AFTER INSERT ON room BEGIN SELECT 1; END",
    "table of FTS5": "CREATE VIRTUAL TABLE temp.extra USING fts5 (a)",
}


@pytest.mark.parametrize("how", ["execute", "apply"])
@pytest.mark.parametrize("kind", TEMPORARY)
def test_what_is_temporary_is_found(writer: SqliteDriver, kind: str, how: str) -> None:
    def make() -> None:
        if how == "execute":
            writer.execute(TEMPORARY[kind])
        else:
            writer.apply(lambda c: c.execute(TEMPORARY[kind]).fetchall())

    writer.begin_write()
    make()
    writer.rollback()
    assert writer.is_clean()
    with write(writer):
        make()
    assert not writer.is_clean()
    assert writer._leftovers.dirt == f"a temporary {kind.split(maxsplit=1)[0]} was left"


def test_what_was_temporary_and_is_gone_is_no_fault(writer: SqliteDriver) -> None:
    with write(writer):
        writer.execute("CREATE TEMP TABLE extra (a INTEGER PRIMARY KEY AUTOINCREMENT)")
        writer.execute("DROP TABLE extra")
    assert writer.is_clean()  # sqlite_sequence, SQLite's own, stays


def test_only_undeclared_sql_is_suspected(writer: SqliteDriver, reader: SqliteDriver) -> None:
    with write(writer):
        writer.run(reads("SELECT 1", "1"), ())
        writer.execute("SELECT 1")
    assert not writer._leftovers.suspected
    reader.apply(lambda _: None)
    assert not reader._leftovers.suspected
    writer.apply(lambda _: None)
    assert writer._leftovers.suspected
    assert writer.is_clean()
    assert not writer._leftovers.suspected


def test_a_database_in_memory_is_kept_and_swept(opened: Opener) -> None:
    memory = opened(Role.SOLE, SQLiteConfig(), ":memory:")
    with write(memory):
        memory.run_script("CREATE TABLE room (name)")
        for number, sql in enumerate(TEMPORARY.values()):
            memory.execute(sql.replace("extra", f'"extra {number}\'s"'))
    assert memory.is_clean()
    assert memory.execute("SELECT name FROM sqlite_temp_schema") == []
    assert memory.execute("SELECT name FROM sqlite_schema") == [("room",)]


def test_a_database_in_memory_that_can_not_be_swept_is_given_up(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opened(Role.SOLE, SQLiteConfig(), ":memory:")
    with write(memory):
        memory.execute(TEMPORARY["table"])
    monkeypatch.setattr(type(memory._leftovers), "_drop", lambda *_: None)
    assert not memory.is_clean()
