"""BEGIN…COMMIT, and what is known when it goes wrong."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import apsw
import pytest

from tests.sqlite.support import fail_once, reads, run_in, write, writes
from tests.support import read_in_child
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import (
    DatabaseError,
    InternalError,
    ReadOnlySession,
    SqlError,
    TransactionAborted,
)
from trio_sqlrepo._sqlite.transaction import _NEXT, Event, State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver
    from trio_sqlrepo._sqlite.transaction import Transaction

ADD = writes("INSERT INTO room (name) VALUES (:name)", parameters=1)
COUNT = reads("SELECT count(*) AS n FROM room", "n")


def transaction(driver: SqliteDriver) -> Transaction:
    return driver._transaction


def count(driver: SqliteDriver) -> int:
    rows: list[dict[str, int]] = driver.run(COUNT, ())
    return rows[0]["n"]


# -- the machine ---------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_only_the_transitions_of_the_table_happen(
    writer: SqliteDriver, state: State, event: Event
) -> None:
    machine = transaction(writer)
    machine.state = state
    if (state, event) in _NEXT:
        machine._move(event)
        assert machine.state is _NEXT[state, event]
    else:
        with pytest.raises(InternalError):
            machine._move(event)
        assert machine.state is state


def test_nothing_leads_out_of_unknown() -> None:
    assert State.UNKNOWN not in {state for state, _ in _NEXT}


def test_repr_tells_the_state(writer: SqliteDriver) -> None:
    assert repr(transaction(writer)) == "<Transaction no transaction, 0 savepoints>"
    writer.begin_write()
    writer.savepoint()
    assert repr(transaction(writer)) == "<Transaction writing, 1 savepoints>"


@pytest.mark.parametrize("again", ["begin_read", "begin_write"])
def test_there_is_one_at_a_time(writer: SqliteDriver, again: str) -> None:
    writer.begin_write()
    with pytest.raises(InternalError, match="not 'no transaction'"):
        getattr(writer, again)()
    assert writer.in_transaction


@pytest.mark.parametrize("end", ["commit", "savepoint", "release", "undo"])
def test_outside_of_one_there_is_nothing_to_end(writer: SqliteDriver, end: str) -> None:
    with pytest.raises(InternalError, match="'no transaction'"):
        getattr(writer, end)()
    assert writer.is_clean()


def test_a_reader_begins_no_write(reader: SqliteDriver) -> None:
    with pytest.raises(InternalError, match="read connection"):
        reader.begin_write()
    assert reader.is_clean()


# -- writing -------------------------------------------------------------------------------


def test_what_is_committed_is_in_the_file(writer: SqliteDriver, db_path: Path) -> None:
    writer.begin_write()
    assert not writer.is_clean()
    writer.run(ADD, ("cellar",))
    writer.commit()
    assert writer.is_clean()
    assert read_in_child(db_path, "SELECT name FROM room WHERE id = 3") == [("cellar",)]


def test_what_is_rolled_back_is_not(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.run(ADD, ("cellar",))
    writer.rollback()
    writer.rollback()
    assert writer.is_clean()
    assert count(writer) == 2


def test_total_changes_tells_what_undid_itself(writer: SqliteDriver) -> None:
    writer.begin_write()
    before = writer.total_changes()
    with pytest.raises(DatabaseError):
        writer.run(writes("INSERT INTO room VALUES (3, 'a'), (3, 'b')"), ())
    assert writer.total_changes() == before
    with pytest.raises(DatabaseError):
        writer.run(writes("INSERT OR FAIL INTO room VALUES (3, 'a'), (3, 'b')"), ())
    assert writer.total_changes() == before + 1


# -- reading -------------------------------------------------------------------------------


def test_a_view_is_fixed_when_it_is_begun(writer: SqliteDriver, reader: SqliteDriver) -> None:
    reader.begin_read()
    run_in(writer, ADD, "cellar")
    assert count(reader) == 2
    reader.commit()
    assert count(reader) == 3
    assert reader.is_clean()


def test_a_read_transaction_forbids_writes_on_any_connection(opened: Opener) -> None:
    driver = opened(Role.SOLE)
    run_in(driver, writes("CREATE TABLE room (name)"))
    driver.begin_read()
    for write_it in (
        lambda: driver.run(ADD, ("x",)),
        lambda: driver.execute("DELETE FROM room"),
        lambda: driver.run_script("DELETE FROM room"),
        lambda: driver.apply(lambda connection: connection.execute("DELETE FROM room")),
    ):
        with pytest.raises(ReadOnlySession):
            write_it()
        assert driver.in_transaction
    driver.apply(lambda connection: connection.execute("SELECT * FROM room").fetchall())
    driver.commit()
    assert driver.is_clean()


def test_forbidding_writes_recompiles_nothing(opened: Opener) -> None:
    # PRAGMA query_only would make every compiled statement stale.
    driver = opened(Role.SOLE)
    run_in(driver, writes("CREATE TABLE room (name)"))
    count(driver)
    driver.probe()
    before = driver.compilations
    for _ in range(3):
        driver.begin_read()
        count(driver)
        driver.commit()
    assert driver.compilations == before


def test_a_write_smuggled_into_a_read_transaction_is_undone(opened: Opener) -> None:
    driver = opened(Role.SOLE)
    run_in(driver, writes("CREATE TABLE room (name)"))
    driver.begin_read()
    driver._connection.execute("INSERT INTO room VALUES ('x')")
    with pytest.raises(ReadOnlySession, match="is undone"):
        driver.commit()
    assert driver.is_clean()
    assert count(driver) == 0


def test_a_view_that_cannot_be_fixed_leaves_no_transaction(writer: SqliteDriver) -> None:
    transaction(writer)._page.sql = "SELECT nope FROM room"
    with pytest.raises(SqlError, match=r"(?i)no such column"):
        writer.begin_read()
    assert writer.is_clean()
    with pytest.raises(SqlError, match=r"(?i)no such column"):
        writer.probe()


def test_a_read_transaction_whose_commit_fails_is_over(
    writer: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.begin_read()
    fail_once(monkeypatch, "COMMIT", apsw.SQLITE_IOERR)
    with pytest.raises(SqlError):
        writer.commit()
    assert writer.is_clean()


# -- savepoints ----------------------------------------------------------------------------


def test_savepoints_nest(writer: SqliteDriver) -> None:
    writer.begin_write()
    for name, end in (("a", None), ("b", "undo"), ("c", "release"), ("d", None)):
        writer.savepoint()
        writer.run(ADD, (name,))
        if end:
            getattr(writer, end)()
    assert writer.savepoint_depth == 2
    writer.undo()
    writer.release()
    assert writer.savepoint_depth == 0
    with pytest.raises(InternalError, match="no savepoint"):
        writer.release()
    writer.commit()
    names = writer.execute("SELECT name FROM room WHERE id > 2")
    assert names == [("a",), ("c",)]


def test_a_commit_ends_savepoints(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer.savepoint()
    writer.commit()
    assert writer.savepoint_depth == 0
    assert writer.is_clean()


# -- transactions that vanish --------------------------------------------------------------

VANISHING = [
    "INSERT OR ROLLBACK INTO room VALUES (1, 'x')",
    "INSERT INTO message (room) VALUES (1)",  # the trigger below
]


@pytest.mark.parametrize("sql", VANISHING)
def test_a_transaction_that_vanished_can_do_nothing_more(writer: SqliteDriver, sql: str) -> None:
    with write(writer):
        writer.run_script(
            "CREATE TRIGGER t AFTER INSERT ON message BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
        )
    writer.begin_write()
    writer.savepoint()
    writer.run(ADD, ("cellar",))
    with pytest.raises(DatabaseError):
        writer.run(writes(sql), ())
    assert not writer.in_transaction
    assert not writer.is_clean()
    assert writer.savepoint_depth == 0
    writer.undo()  # there is nothing to undo any more
    for action in (writer.savepoint, writer.release, lambda: writer.run(ADD, ("x",))):
        with pytest.raises(TransactionAborted):
            action()
    with pytest.raises(TransactionAborted, match="nothing of it stays"):
        writer.commit()
    assert writer.is_clean()
    assert count(writer) == 2


def test_it_is_noticed_at_commit_at_the_latest(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer._link.own(transaction(writer)._rollback)  # behind the machine's back
    with pytest.raises(TransactionAborted):
        writer.commit()
    assert writer.is_clean()


def test_a_savepoint_never_begins_a_transaction(writer: SqliteDriver) -> None:
    writer.begin_write()
    writer._link.own(transaction(writer)._rollback)  # as above
    with pytest.raises(TransactionAborted):
        writer.savepoint()
    assert not writer.in_transaction


def test_rolling_back_what_has_vanished_is_enough(writer: SqliteDriver) -> None:
    writer.begin_write()
    with pytest.raises(DatabaseError):
        writer.execute(VANISHING[0])
    writer.rollback()
    assert writer.is_clean()
