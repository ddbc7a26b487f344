"""A fault meets the call it was meant for, says so, and leaves what SQLite would have left."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.testing.bank import SCHEMA, Accounts, Opening
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DatabaseCorrupt,
    DatabaseLocked,
    DiskFull,
    InternalError,
    MigrationError,
    OpenError,
    OutcomeUnknown,
    PoolConfig,
    Repository,
    RowStream,
    SqlError,
    SQLiteConfig,
    TransactionAborted,
    query,
)
from trio_sqlrepo._base.driver import Role, Verdict
from trio_sqlrepo._sqlite import SqliteDriver, open_driver
from trio_sqlrepo.testing.faults import Fault, Faults, Fired, open_database_with
from trio_sqlrepo.testing.faults._driver import WatchedDriver, watched_opener
from trio_sqlrepo.testing.faults._plan import FaultWatch


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


def a_bank(faults: Faults, path: Path, **settings: Any) -> Any:
    return open_database_with(
        faults,
        path,
        repositories=[Accounts],
        migrations=[SCHEMA],
        pool=PoolConfig(max_readers=1, reserved_readers=0),
        sqlite=SQLiteConfig(synchronous="off", **settings),
    )


async def deposit(database: Database, amount: int) -> None:
    """A write that reads first, in one transaction that is not run again."""
    async with database.transaction() as tx:
        await Accounts(tx).balance(1)
        await Accounts(tx).add(1, amount)


# What a deposit of 2 meets, whether it is there afterwards, whether the writer was replaced.
CASES = [
    (Fault("busy", at="begin"), DatabaseLocked, False, False),
    (Fault("ioerr", at="begin", lane="writer"), SqlError, False, True),
    (Fault("corrupt", at="begin", lane="writer"), DatabaseCorrupt, False, True),
    (Fault("full", at="begin", lane="writer"), DiskFull, False, False),
    (Fault("busy", at="run", query="Accounts.add"), DatabaseLocked, False, False),
    (Fault("ioerr", at="run", query="Accounts.add"), SqlError, False, True),
    (Fault("corrupt", at="run", query="Accounts.add"), DatabaseCorrupt, False, True),
    (Fault("full", at="run", query="Accounts.add"), DiskFull, False, False),
    (Fault("busy", at="commit"), DatabaseLocked, False, False),
    (Fault("full", at="commit"), DiskFull, False, False),
    (Fault("full", at="commit", applied=True), DiskFull, False, False),
    (Fault("ioerr", at="commit"), OutcomeUnknown, False, True),
    (Fault("ioerr", at="commit", applied=True), OutcomeUnknown, True, True),
    (Fault("corrupt", at="commit"), OutcomeUnknown, False, True),
    (Fault("corrupt", at="commit", applied=True), OutcomeUnknown, True, True),
    (Fault("ioerr", at="savepoint"), SqlError, False, True),
    (Fault("death", at="run", query="Accounts.add"), MemoryError, False, True),
    (Fault("death", at="commit"), OutcomeUnknown, False, True),
    (Fault("death", at="commit", applied=True), OutcomeUnknown, True, True),
]


@pytest.mark.parametrize(
    ("fault", "error", "kept", "replaced"), CASES, ids=[repr(case[0]) for case in CASES]
)
async def test_a_write_meets_a_fault(
    db_path: Path, fault: Fault, error: type[Exception], kept: bool, replaced: bool
) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        faults.arm(fault)
        with pytest.raises(error) as caught:
            await deposit(database, 2)
        assert type(caught.value) is error
        faults.check()
        assert [fired.fault for fired in faults.fired] == [fault]
        in_doubt = database.stats().state == "failed"
        assert in_doubt == (fault.failure == "corrupt")
        await database.check()  # which has a file in doubt looked at
        await accounts.add(1, 100)  # service goes on
        assert await accounts.balance(1) == (112 if kept else 110)
        assert in_doubt or database.stats().writers.replaced == replaced


@pytest.mark.parametrize("failure", ["ioerr", "full"])
async def test_a_fault_that_ends_the_transaction_ends_all_of_it(
    db_path: Path, failure: Any
) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        await Accounts(database).open(1, 10)
        with pytest.raises(TransactionAborted):
            async with database.transaction() as tx:
                accounts = Accounts(tx)
                await accounts.add(1, 5)
                faults.arm(Fault(failure, at="run"))
                with pytest.raises((SqlError, DiskFull)):
                    await accounts.add(1, 6)
                await accounts.add(1, 7)
        assert await Accounts(database).balance(1) == 10


async def test_a_damaged_page_ends_all_until_the_file_is_found_well(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        await Accounts(database).open(1, 10)
        with pytest.raises(DatabaseCorrupt, match="out of service"):
            async with database.transaction() as tx:
                accounts = Accounts(tx)
                await accounts.add(1, 5)
                faults.arm(Fault("corrupt", at="run"))
                with pytest.raises(DatabaseCorrupt):
                    await accounts.add(1, 6)
                await accounts.balance(1)
        assert (await database.check()).well  # it has the file looked at
        assert await Accounts(database).balance(1) == 10


async def test_a_read_meets_a_fault_and_its_reader_is_replaced(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        for failure, error in (("ioerr", SqlError), ("death", MemoryError)):
            faults.arm(Fault(failure, at="run", lane="reader"))  # type: ignore[arg-type]
            with pytest.raises(error):
                await accounts.balance(1)
            assert await accounts.balance(1) == 10
        assert database.stats().readers.replaced == 2
        assert faults.fired[0] == Fired(
            Fault("ioerr", at="run", lane="reader"), "reader", "Accounts.balance"
        )


async def test_a_bug_stops_the_pool_and_its_block_raises_it(db_path: Path) -> None:
    faults = Faults()
    with pytest.raises(RuntimeError, match="A fault of the test kit ends this thread"):
        async with a_bank(faults, db_path) as database:
            faults.arm(Fault("bug", at="run"))
            with pytest.raises(RuntimeError):
                await Accounts(database).open(1, 10)
            with pytest.raises(InternalError):
                await Accounts(database).open(1, 10)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("busy", DatabaseLocked),
        ("ioerr", OpenError),
        ("corrupt", DatabaseCorrupt),
        ("full", DiskFull),
        ("death", MemoryError),
    ],
)
async def test_opening_meets_a_fault(db_path: Path, failure: Any, error: type[Exception]) -> None:
    faults = Faults(Fault(failure, at="open", nth=2))
    with pytest.raises(error) as caught:
        async with a_bank(faults, db_path):
            pass
    assert str(db_path) in str(caught.value) or error is MemoryError
    assert faults.fired == (Fired(Fault(failure, at="open", nth=2), "writer", None),)


async def test_migrations_meet_a_fault_of_their_own_lane(db_path: Path) -> None:
    faults = Faults(Fault("full", at="commit", lane="migrator"))
    with pytest.raises(MigrationError, match="The disk is full"):
        async with a_bank(faults, db_path):
            pass
    faults.check()
    async with a_bank(Faults(), db_path) as database:  # and left nothing
        await Accounts(database).open(1, 10)


# -- which call ------------------------------------------------------------------------------------


async def test_the_nth_call_and_so_many_after_it(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        faults.arm(Fault("busy", at="begin", nth=2, times=2, lane="writer"))
        ended = []
        for _ in range(5):
            await accounts.balance(1)  # on another lane
            try:
                await accounts.add(1, 1)
            except DatabaseLocked:
                ended.append("locked")
            else:
                ended.append("added")
        assert ended == ["added", "locked", "locked", "added", "added"]
        assert len(faults.fired) == 2


async def test_a_fault_of_a_lane_is_met_on_that_lane_alone(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        faults.arm(Fault("busy", at="run", lane="reader"))
        await Accounts(database).open(1, 10)
        with pytest.raises(DatabaseLocked):
            await Accounts(database).balance(1)


async def test_a_sticky_fault_ends_with_disarm(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        faults.arm(Fault("full", at="run", times=math.inf, query="Accounts.add"))
        for _ in range(3):
            with pytest.raises(DiskFull):
                await accounts.add(1, 1)
        await accounts.set_balance(1, 20)  # another query
        faults.disarm()
        await accounts.add(1, 1)
        assert await accounts.balance(1) == 21
        assert repr(faults) == f"<Faults {len(faults.fired)} fired, 0 not yet>"


async def test_of_two_that_are_due_the_first_fires_and_both_count(db_path: Path) -> None:
    first, second = Fault("busy", at="begin"), Fault("full", at="begin", nth=2)
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        faults.arm(first, second)
        for error in (DatabaseLocked, DiskFull):
            with pytest.raises(error):
                await Accounts(database).open(1, 10)
    assert [fired.fault for fired in faults.fired] == [first, second]


async def test_a_fault_that_did_not_fire_is_told(db_path: Path) -> None:
    faults = Faults(Fault("full", at="probe"), Fault("busy", at="apply", nth=3))
    async with a_bank(faults, db_path):
        pass
    assert faults.unfired == (Fault("full", at="probe"), Fault("busy", at="apply", nth=3))
    with pytest.raises(AssertionError, match=r"Fault\('busy', at='apply', nth=3\)"):
        faults.check()


async def test_sql_functions_and_sessions_meet_faults_too(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        faults.arm(Fault("full", at="execute", lane="writer"))
        with pytest.raises(DiskFull):
            await database.execute("INSERT INTO account VALUES (1, 10)")
        faults.arm(Fault("full", at="apply"), Fault("ioerr", at="apply", nth=2))
        with pytest.raises(DiskFull):
            await database.write(lambda connection: connection.execute("DELETE FROM account"))
        with pytest.raises(SqlError):
            await database.read(lambda _: 7)
        assert await database.read(lambda _: 7) == 7
    faults.check()


# -- slow ------------------------------------------------------------------------------------------


async def test_a_slow_statement_goes_on_when_released(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        faults.arm(Fault("slow", at="run"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accounts.add, 1, 5)
            await until(lambda: faults.fired)
            assert await accounts.balance(1) == 10
            faults.release()
        assert await accounts.balance(1) == 15


async def test_a_slow_statement_is_interrupted_as_sqlite_would_do_it(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        calls: dict[str, Callable[[], Awaitable[int]]] = {
            "Accounts.add": lambda: accounts.add(1, 5),
            "Accounts.balance": lambda: accounts.balance(1),
        }
        for query, call in calls.items():
            faults.arm(Fault("slow", at="run", query=query))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                await until(lambda: not faults.unfired)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        assert await accounts.balance(1) == 10
        assert database.stats().writers.replaced == 0


async def test_a_slow_call_ends_by_itself(db_path: Path) -> None:
    faults = Faults(Fault("slow", at="open", seconds=0.002))
    async with a_bank(faults, db_path) as database:
        faults.arm(Fault("slow", at="commit", seconds=0.0))
        await Accounts(database).open(1, 10)
    faults.check()


# -- as SQLite does it -----------------------------------------------------------------------------


def facts(error: Any, driver: SqliteDriver) -> tuple[Any, ...]:
    cause = error.__cause__
    verdict = driver.verdict(error)
    return (
        type(error), str(error), error.code, error.query, type(cause), driver.in_transaction,
        verdict, driver._transaction.state,
    )  # fmt: skip


def opened(path: Path, *faults: Fault) -> WatchedDriver:
    return watched_opener(open_driver, FaultWatch(Faults(*faults)))(
        str(path), SQLiteConfig(), Role.WRITER
    )


def test_a_full_disk_is_as_the_real_one(tmp_path: Path) -> None:
    found = []
    for name, fault in (("real", []), ("injected", [Fault("full", at="execute", nth=3)])):
        driver = opened(tmp_path / name, *fault)
        driver.begin_write()
        driver.execute("CREATE TABLE blob (x)")
        driver.commit()
        driver.begin_write()
        driver.execute("INSERT INTO blob VALUES (1)")
        if not fault:
            # What `PRAGMA max_page_count` sets; the gate lets no pragma through.
            driver.real._connection.authorizer = None
            driver.real._connection.execute("PRAGMA max_page_count = 2").fetchall()
        with pytest.raises(DiskFull) as caught:
            driver.execute("INSERT INTO blob VALUES (zeroblob(100000))")
        found.append(facts(caught.value, driver.real))
        driver.close()
    assert found[0] == found[1]
    assert found[0][5] is False  # the transaction is gone


def test_an_interrupted_write_is_as_the_real_one(tmp_path: Path) -> None:
    found = []

    def stop(*_: Any) -> None:
        driver.real.abort()

    many = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) "
    for name, fault in (("real", []), ("injected", [Fault("slow", at="execute", nth=2)])):
        driver = opened(tmp_path / name, *fault)
        driver.begin_write()
        driver.execute("CREATE TABLE t (x)")
        if fault:
            driver._watches[0]._faults._pass_time = lambda *_, driver=driver: driver.abort()  # type: ignore[attr-defined]
            sql = many + "INSERT INTO t SELECT i FROM n"
        else:
            driver.real._connection.create_scalar_function("stop", stop, 0)
            sql = many + "INSERT INTO t SELECT stop() FROM n"
        with pytest.raises(Exception, match="interrupted") as caught:
            driver.execute(sql)
        found.append(facts(caught.value, driver.real)[:3] + facts(caught.value, driver.real)[4:])
        driver.close()
    assert found[0] == found[1]
    assert found[0][4] is False


def test_a_half_done_commit_leaves_the_connection_in_doubt(tmp_path: Path) -> None:
    driver = opened(tmp_path / "a.db", Fault("ioerr", at="commit"))
    driver.begin_write()
    with pytest.raises(OutcomeUnknown) as caught:
        driver.commit()
    assert driver.verdict(caught.value) is Verdict.UNKNOWN
    assert not driver.is_clean()
    assert caught.value.extended_code == 1034  # SQLITE_IOERR_FSYNC
    driver.close()


def test_every_call_of_a_driver_can_fail(tmp_path: Path) -> None:
    calls: list[tuple[str, Any]] = [
        ("begin", lambda driver: driver.begin_read()),
        ("begin", lambda driver: driver.begin_write()),
        ("savepoint", lambda driver: driver.savepoint()),
        ("savepoint", lambda driver: driver.release()),
        ("savepoint", lambda driver: driver.undo()),
        ("rollback", lambda driver: driver.rollback()),
        ("probe", lambda driver: driver.probe()),
    ]
    for number, (at, call) in enumerate(calls):
        driver = opened(tmp_path / f"{number}.db", Fault("busy", at=at))  # type: ignore[arg-type]
        with pytest.raises(DatabaseLocked):
            call(driver)
        assert "WatchedDriver" in repr(driver)
        driver.watching = bool
        assert driver.watching is driver.real.watching is bool
        driver.close()


# -- what is written down --------------------------------------------------------------------------


def test_its_repr_makes_it_again() -> None:
    for fault in (
        Fault("busy", at="begin"),
        Fault("slow", "run", 3, lane="reader", query="A.b", times=4, seconds=0.5),
        Fault("ioerr", "commit", applied=True),
    ):
        assert eval(repr(fault)) == fault
    assert repr(Fault("full", "run")) == "Fault('full', at='run')"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"failure": "hunger", "at": "run"}, "Fault.failure must be one of busy, .*; it is 'hungr"),
        ({"failure": "full", "at": "lunch"}, "Fault.at must be one of open, begin, .* 'lunch'"),
        ({"failure": "full", "at": "run", "lane": "fast"}, "Fault.lane must be one of reader, w"),
        ({"failure": "full", "at": "run", "nth": 0}, "'nth' must be >= 1"),
        ({"failure": "full", "at": "run", "times": 0}, "'times' must be >= 1"),
        ({"failure": "slow", "at": "run", "seconds": -1.0}, "'seconds' must be >= 0"),
    ],
)
def test_a_wrong_fault_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("hungr", "hunger")):
        Fault(**wrong)


def test_what_is_not_watched_is_the_real_drivers(tmp_path: Path) -> None:
    driver = opened(tmp_path / "a.db")
    driver.give_up = bool
    assert driver.give_up is driver.real.give_up is bool
    assert driver.path == driver.real.path
    driver.close()


async def test_a_batch_meets_faults_as_a_call_does(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        faults.arm(Fault("full", at="run", query="Accounts.open_all", times=2))
        with pytest.raises(DiskFull):
            await Accounts(database).open_all([Opening(1, 1), Opening(2, 2)])
        faults.check()
        assert await Accounts(database).open_all([Opening(1, 1), Opening(2, 2)]) == 2


class Ids(Repository):
    @query("SELECT id FROM account ORDER BY id")
    def all(self) -> RowStream[int]: ...


async def test_a_stream_meets_faults_as_it_opens_and_at_each_fetch(db_path: Path) -> None:
    for nth in (1, 2, 3):
        faults = Faults()
        async with open_database_with(
            faults, db_path, repositories=[Accounts, Ids], migrations=[SCHEMA]
        ) as database:
            if nth == 1:
                await Accounts(database).open_all([Opening(id, 0) for id in range(100)])
            async with database.snapshot() as snap, Ids(snap).all() as rows:
                assert await anext(rows) == 0  # and its statement is reset
            faults.arm(Fault("ioerr", "run", nth, query="Ids.all"))
            seen = 0
            with pytest.raises(SqlError, match=r"^Ids\.all: "):
                async with Ids(database).all() as rows:
                    async for _ in rows:
                        seen += 1
            faults.check()
            assert seen == (64 if nth == 3 else 0)
