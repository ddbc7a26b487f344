"""Reads half-way: bounds of a fetch, what may run beside them, and that nothing of them stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from tests.sqlite.support import reads, write, writes
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role
from trio_sqlrepo._base.errors import DeclarationError, MappingError, SqlError
from trio_sqlrepo._sqlite import streams
from trio_sqlrepo._sqlite.cache import RING

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

_COUNT = "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < :most)"
NUMBERS = reads(f"{_COUNT} SELECT n FROM c", "n", parameters=1, name="T.numbers")
NUMBERS.build = lambda row: row[0]
ROOMS = reads("SELECT * FROM room ORDER BY id", "id", "name", name="T.rooms")
ENDLESS = reads(f"{_COUNT} SELECT count(*) FROM c", "count(*)", parameters=1, name="T.endless")
BIG = reads(f"{_COUNT} SELECT zeroblob(:size) FROM c", "blob", parameters=2, name="T.big")
BIG.build = bool
ANY = 1 << 30  # bytes, rows, seconds: no bound


@pytest.fixture
def view(reader: SqliteDriver) -> SqliteDriver:
    reader.prepare([NUMBERS, ROOMS, ENDLESS, BIG])
    reader.begin_read()
    return reader


def all_of(rows: Any, most: int = 10) -> list[Any]:
    found: list[Any] = []
    while rows.has_more:
        found += rows.fetch(most, ANY, ANY)
    return found


def assert_reset(driver: SqliteDriver) -> None:
    driver.rollback()
    assert driver.is_clean()
    assert not driver._streams
    assert not driver._polled


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 16, 17, 32, 100])
@pytest.mark.parametrize("most", [1, 7, 16, 40, 1000])
def test_a_fetch_gives_as_many_rows_as_it_is_asked_for(
    view: SqliteDriver, count: int, most: int
) -> None:
    rows = view.stream(NUMBERS, (count,))
    found: list[Any] = []
    while rows.has_more:
        chunk = rows.fetch(most, ANY, ANY)
        assert len(chunk) == min(most, count - len(found))
        found += chunk
    assert found == list(range(1, count + 1))
    assert rows.fetch(most, ANY, ANY) == []
    assert repr(rows) == "<OpenRows of T.numbers, ended>"
    assert_reset(view)


def test_a_fetch_ends_when_its_rows_weigh_enough(view: SqliteDriver) -> None:
    rows = view.stream(BIG, (1000, 10_000))
    assert len(rows.fetch(ANY, 1, ANY)) == streams._SLICE
    assert len(rows.fetch(ANY, 500_000, ANY)) == 4 * streams._SLICE


def test_a_slice_that_took_long_is_weighed_row_by_row(
    view: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each slice one row is small: the one that stands for the others of a quick one."""
    sizes = reads(
        f"{_COUNT} SELECT zeroblob(iif((n + 15) % 17, 10000, 1)) FROM c", "blob",
        parameters=1, name="T.sizes",
    )  # fmt: skip
    monkeypatch.setattr(streams, "_QUICK", 1e9)
    assert len(view.stream(sizes, (1000,)).fetch(ANY, 100_000, ANY)) >= 15 * streams._SLICE
    monkeypatch.setattr(streams, "_QUICK", -1.0)
    assert len(view.stream(sizes, (1000,)).fetch(ANY, 100_000, ANY)) == streams._SLICE


def test_a_fetch_ends_when_it_took_long_enough(view: SqliteDriver) -> None:
    rows = view.stream(NUMBERS, (1000,))
    assert len(rows.fetch(ANY, ANY, 0.0)) == streams._SLICE
    assert rows.has_more


# -- errors ----------------------------------------------------------------------------------------


def refuse_42(row: Any) -> Any:
    if row[0] == 42:
        raise MappingError("column n holds 42")
    return row[0]


def test_what_comes_before_a_row_that_does_not_fit_is_given_first(view: SqliteDriver) -> None:
    picky = reads(f"{_COUNT} SELECT n FROM c", "n", parameters=1, name="T.picky")
    picky.build = refuse_42
    rows = view.stream(picky, (100,))
    assert rows.fetch(1000, ANY, ANY) == list(range(1, 42))
    assert rows.has_more
    with pytest.raises(MappingError, match="42"):
        rows.fetch(1000, ANY, ANY)
    assert not rows.has_more
    assert rows.fetch(1000, ANY, ANY) == []
    rows = view.stream(picky, (100,))
    assert len(rows.fetch(41, ANY, ANY)) == 41
    with pytest.raises(MappingError, match="42"):
        rows.fetch(1000, ANY, ANY)
    assert_reset(view)


def test_an_error_of_sqlite_s_comes_at_once(view: SqliteDriver) -> None:
    overflow = reads(f"{_COUNT} SELECT abs(n - 9223372036854775807 - 21) FROM c", "x",
                     parameters=1, name="T.overflow")  # fmt: skip
    rows = view.stream(overflow, (100,))
    with pytest.raises(SqlError, match=r"^T\.overflow: ") as caught:
        rows.fetch(100, ANY, ANY)
    assert not isinstance(caught.value.__context__, apsw.Error)
    assert not rows.has_more
    assert_reset(view)


def test_one_that_can_t_start_leaves_nothing(view: SqliteDriver) -> None:
    overflow = reads("SELECT abs(-9223372036854775807 - :n)", "x", parameters=1, name="T.overflow")
    with pytest.raises(SqlError, match=r"^T\.overflow: "):
        view.stream(overflow, (1,))
    assert_reset(view)


def test_columns_are_checked_again_after_a_change_of_the_schema(
    reader: SqliteDriver, writer: SqliteDriver
) -> None:
    reader.prepare([ROOMS])
    with write(writer):
        writer.run_script("ALTER TABLE room ADD COLUMN floor INTEGER DEFAULT 3")
    reader.begin_read()
    rows = reader.stream(ROOMS, ())
    assert rows.fetch(1, ANY, ANY) == [{"id": 1, "name": "lobby", "floor": 3}]
    # Now its transaction has the schema too, and keeps it.
    with write(writer):
        writer.run_script("ALTER TABLE room RENAME COLUMN name TO title")
    assert all_of(rows) == [{"id": 2, "name": "attic", "floor": 3}]
    again = reader.stream(ROOMS, ())
    assert [row["name"] for row in all_of(again)] == ["lobby", "attic"]
    reader.rollback()
    reader.begin_read()
    assert [row["title"] for row in all_of(reader.stream(ROOMS, ()))] == ["lobby", "attic"]
    assert_reset(reader)


def test_one_that_no_longer_fits_says_so(reader: SqliteDriver, writer: SqliteDriver) -> None:
    reader.prepare([ROOMS])
    with write(writer):
        writer.run_script("DROP TABLE message; DROP TABLE room")
    reader.begin_read()
    with pytest.raises(DeclarationError, match=r"T\.rooms no longer fits the schema"):
        reader.stream(ROOMS, ())
    assert_reset(reader)


def test_one_without_rows_is_checked_too(reader: SqliteDriver, writer: SqliteDriver) -> None:
    reader.prepare([ROOMS])
    with write(writer):
        writer.run_script("DELETE FROM room; ALTER TABLE room ADD COLUMN floor INTEGER")
    reader.begin_read()
    assert all_of(reader.stream(ROOMS, ())) == []
    assert reader._kept[ROOMS].columns == ("id", "name", "floor")
    assert_reset(reader)


# -- beside others ---------------------------------------------------------------------------------


def test_others_run_between_two_fetches(view: SqliteDriver) -> None:
    rows = view.stream(NUMBERS, (50,))
    rooms = view.stream(ROOMS, ())
    found: list[Any] = []
    while rows.has_more:
        found += rows.fetch(10, ANY, ANY)
        assert view.run(ENDLESS, (10,)) == [{"count(*)": 10}]
    assert found == list(range(1, 51))
    assert [row["id"] for row in all_of(rooms, 1)] == [1, 2]
    assert_reset(view)


def test_the_same_query_may_be_open_twice(view: SqliteDriver) -> None:
    before = view.compilations
    first = view.stream(NUMBERS, (30,))
    assert first.fetch(20, ANY, ANY) == list(range(1, 21))
    assert view.compilations == before
    second = view.stream(NUMBERS, (3,))
    assert second.fetch(2, ANY, ANY) == [1, 2]
    assert first.fetch(2, ANY, ANY) == [21, 22]
    third = view.stream(NUMBERS, (5,))
    first.close()
    first.close()
    assert all_of(second) == [3]
    fourth = view.stream(NUMBERS, (2,))  # with the statement that is free again
    compiled = view.compilations
    assert all_of(third) == [1, 2, 3, 4, 5]
    assert all_of(fourth) == [1, 2]
    assert view.compilations == compiled
    assert_reset(view)
    assert view.is_precompiled(NUMBERS)


def test_it_stays_compiled_however_much_runs_beside_it(view: SqliteDriver) -> None:
    rows = view.stream(NUMBERS, (5_000,))
    found: list[Any] = []
    for _ in range(2 * RING):
        found += rows.fetch(2, ANY, ANY)
        view.run(ROOMS, ())
    found += all_of(rows, 1000)
    assert found == list(range(1, 5_001))
    compiled = view.compilations
    for _ in range(2 * RING):
        view.run(ROOMS, ())
        assert all_of(view.stream(NUMBERS, (1,))) == [1]
    for _ in range(2 * RING):
        view.run(ROOMS, ())
    assert view.is_precompiled(NUMBERS)
    assert all_of(view.stream(NUMBERS, (1,))) == [1]
    assert view.compilations == compiled
    assert_reset(view)


def test_in_a_write_transaction_it_sees_what_was_written(writer: SqliteDriver) -> None:
    with write(writer):
        writer.run(writes("INSERT INTO room (name) VALUES ('cellar')"), ())
        rows = writer.stream(ROOMS, ())
        assert [row["name"] for row in rows.fetch(10, ANY, ANY)] == ["lobby", "attic", "cellar"]
    assert_reset(writer)


def test_a_commit_resets_it_first(writer: SqliteDriver) -> None:
    writer.begin_write()
    rows = writer.stream(ROOMS, ())
    rows.fetch(1, ANY, ANY)
    assert repr(writer._streams) == "<Streams, 1 open>"
    writer.commit()
    assert repr(rows) == "<OpenRows of T.rooms, ended>"
    assert writer._connection.txn_state() == apsw.SQLITE_TXN_NONE
    assert rows.fetch(1, ANY, ANY) == []
    assert_reset(writer)


def test_so_does_a_rollback_and_closing(opened: Opener, writer: SqliteDriver) -> None:
    writer.begin_write()
    rows = writer.stream(ROOMS, ())
    rows.fetch(1, ANY, ANY)
    writer.rollback()
    assert not rows.has_more
    assert_reset(writer)
    other = opened(Role.READER)
    other.begin_read()
    rows = other.stream(ROOMS, ())
    other.close()
    assert not rows.has_more


# -- giving up -------------------------------------------------------------------------------------


def test_giving_up_ends_the_one_that_runs_and_no_other(view: SqliteDriver) -> None:
    """An interrupt would stand as long as the first one is half-way, and end it too."""
    first = view.stream(NUMBERS, (100,))
    assert first.fetch(10, ANY, ANY) == list(range(1, 11))
    asked = 0

    def give_up() -> bool:
        nonlocal asked
        asked += 1
        view.abort()  # as the loop does, which sees that the job is given up
        return asked > 3

    view.give_up = give_up
    with pytest.raises(Interrupted):
        view.run(ENDLESS, (1_000_000_000,))
    view.give_up = lambda: False
    assert view.run(ROOMS, ())
    assert first.fetch(10, ANY, ANY) == list(range(11, 21))
    assert_reset(view)


def test_giving_up_ends_a_read_half_way(view: SqliteDriver) -> None:
    rows = view.stream(NUMBERS, (1_000_000_000,))
    rows.fetch(10, ANY, ANY)
    view.give_up = lambda: True
    with pytest.raises(Interrupted):
        rows.fetch(ANY, ANY, ANY)
    assert not rows.has_more
    view.give_up = lambda: False
    assert view.run(ROOMS, ())
    assert_reset(view)


def test_when_none_is_open_any_more_an_abort_interrupts_again(opened: Opener) -> None:
    begun = threading.Event()

    def begin() -> int:
        begun.set()
        return 1

    config = SQLiteConfig(functions={"begin_": SqlFunction(call=begin, arguments=0)})
    driver = opened(Role.WRITER, config)
    driver.begin_read()
    all_of(driver.stream(NUMBERS, (3,)))

    def abort() -> None:
        begun.wait(60)
        for _ in range(1000):
            driver.abort()

    thread = threading.Thread(target=abort)
    slow = reads("WITH RECURSIVE c(n) AS (SELECT begin_() UNION ALL SELECT n + 1 FROM c"
                 " WHERE n < 1000000000) SELECT count(*) FROM c", "n")  # fmt: skip
    thread.start()
    with pytest.raises(Interrupted):
        driver.run(slow, ())
    thread.join()
    assert_reset(driver)
