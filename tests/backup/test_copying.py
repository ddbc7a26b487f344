"""The copy itself, without a pool; and what the pool's thread asks before the copy has its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apsw
import pytest
import trio

from tests.backup.support import assert_nothing, assert_sound, fill, leftovers
from tests.support import read_in_child
from trio_sqlrepo import BackupProgress
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Driver, Interrupted, Role
from trio_sqlrepo._pool.backup import _make, _Reporter
from trio_sqlrepo._sqlite.backup import Copy
from trio_sqlrepo._sqlite.opening import open_driver

CONFIG = SQLiteConfig(synchronous="off")


def write(driver: Driver, *statements: str) -> None:
    driver.begin_write()
    for sql in statements:
        driver.execute(sql, ())
    driver.commit()


@pytest.fixture
def writer(db_path: Path) -> Iterator[Driver]:
    with closing(open_driver(str(db_path), CONFIG, Role.WRITER)) as driver:
        driver.begin_write()
        driver.apply(fill, ())
        driver.commit()
        write(driver, "CREATE TABLE counter (n)", "INSERT INTO counter VALUES (0)")
        yield driver


@pytest.fixture
def reader(db_path: Path, writer: Driver) -> Iterator[Driver]:
    del writer
    with closing(open_driver(str(db_path), CONFIG, Role.READER)) as driver:
        yield driver


def no_check() -> None:
    """Go on."""


def test_writes_between_the_steps_neither_enter_it_nor_start_it_anew(
    writer: Driver, reader: Driver, db_path: Path, tmp_path: Path
) -> None:
    # reader (the backup)             writer
    # BEGIN, reads a page
    # copies 64 pages
    #                                 changes page 1 and others, commits
    # copies 64 pages
    #                                 again
    heard: list[BackupProgress] = []

    def report(progress: BackupProgress) -> None:
        heard.append(progress)
        write(writer, "UPDATE counter SET n = n + 1", "UPDATE filling SET x = zeroblob(4000)")

    target = tmp_path / "copy.db"
    copy = Copy(str(db_path), CONFIG, str(target), overwrite=False, check=no_check, report=report)
    reader.begin_read()
    copy.open()
    reader.apply(copy.fill, ())
    reader.rollback()
    copy.seal()
    assert leftovers(tmp_path) != []
    assert not target.exists()
    copy.publish()
    copy.discard()
    copy.discard()
    assert_sound(target)
    assert read_in_child(target, "SELECT n FROM counter") == [(0,)]
    zeros = "SELECT count(*) FROM filling WHERE x = zeroblob(4000)"
    assert read_in_child(target, zeros) == [(0,)]
    done = [each.pages_done for each in heard]
    assert done == sorted(done)
    assert len(done) == -(-heard[-1].pages_total // 64) + 1
    assert writer.execute("SELECT n FROM counter", ()) == [(len(done),)]


@pytest.mark.parametrize("way", [["open"], ["open", "fill"], ["open", "fill", "seal"]])
def test_wherever_it_is_left_nothing_stays(
    reader: Driver, db_path: Path, tmp_path: Path, way: list[str]
) -> None:
    target = tmp_path / "copy.db"
    copy = Copy(
        str(db_path), CONFIG, str(target), overwrite=False, check=no_check, report=lambda _: None
    )
    reader.begin_read()
    for step in way:
        if step == "fill":
            reader.apply(copy.fill, ())
        else:
            getattr(copy, step)()
    assert leftovers(tmp_path)
    copy.discard()
    assert_nothing(target)
    reader.rollback()


def test_its_representation_tells_where_it_goes(tmp_path: Path) -> None:
    copy = Copy(
        "a.db", CONFIG, str(tmp_path / "b.db"), overwrite=False, check=no_check, report=print
    )
    assert repr(copy) == f"<Copy of a.db to {tmp_path / 'b.db'}>"


# -- the gate before its name ------------------------------------------------------------------


class Hands:
    """What a backup sees of its worker."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.may = True
        self.ticket = SimpleNamespace(abandoned=False, may_commit=lambda: self.may)
        self.checks = 0

    def check(self) -> None:
        self.checks += 1


@pytest.mark.parametrize("may", [True, False])
def test_a_thread_that_was_given_up_gives_no_copy_its_name(
    reader: Driver, db_path: Path, tmp_path: Path, may: bool
) -> None:
    target = tmp_path / "copy.db"

    def new_copy(**asked: Any) -> Copy:
        return Copy(str(db_path), CONFIG, str(target), overwrite=False, **asked)

    hands = Hands(reader)
    hands.may = may
    reader.begin_read()
    if may:
        _make(new_copy, None, cast("Any", hands))
        assert_sound(target)
        assert hands.checks > 2
    else:
        with pytest.raises(Interrupted, match="was given up"):
            _make(new_copy, None, cast("Any", hands))
        assert_nothing(target)
    assert not reader.in_transaction


def test_a_thread_that_was_given_up_copies_no_further(
    reader: Driver, db_path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"

    def new_copy(**asked: Any) -> Copy:
        return Copy(str(db_path), CONFIG, str(target), overwrite=False, **asked)

    hands = Hands(reader)
    hands.ticket.abandoned = True
    reader.begin_read()
    with pytest.raises(Interrupted, match="was given up"):
        _make(new_copy, None, cast("Any", hands))
    assert_nothing(target)
    reader.rollback()


async def test_a_report_that_nobody_wants_any_more_is_not_made(reader: Driver) -> None:
    """The loop comes to it after its caller was cancelled."""
    heard: list[BackupProgress] = []
    reporter = _Reporter(heard.append)
    hands = Hands(reader)

    def check() -> None:
        hands.checks += 1
        if hands.checks == 3:
            raise Interrupted("…")

    hands.check = check  # type: ignore[method-assign]
    # On the loop's own thread the report cannot be heard while it is waited for.
    with pytest.raises(Interrupted):
        reporter.report(
            cast("Any", hands), BackupProgress(stage="copying", pages_done=1, pages_total=2)
        )
    await trio.testing.wait_all_tasks_blocked()
    assert heard == []


def test_what_apsw_misuses_is_blamed_on_the_copy(db_path: Path, tmp_path: Path) -> None:
    copy = Copy(
        str(db_path), CONFIG, str(tmp_path / "c.db"), overwrite=False, check=no_check, report=print
    )
    said = str(copy._converted(apsw.BindingsError("…")))
    assert said.endswith("can't be written or read back (BindingsError); look at the disk that it"
                         " was to be on.")  # fmt: skip
