"""What is watched outlives its connection, whatever that meets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.live import settled
from tests.testing.bank import Accounts
from tests.testing.test_faults import a_bank
from tests.waiting import until
from trio_sqlrepo import DiskFull
from trio_sqlrepo.testing.faults import Fault, Faults

BALANCE = "Accounts.balance"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="trio_sqlrepo")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("ioerr", at="run", query=BALANCE),
        Fault("corrupt", at="run", query=BALANCE),
        Fault("busy", at="begin", lane="reader"),
        Fault("death", at="run", query=BALANCE),
        Fault("ioerr", at="begin", lane="reader", times=3),
    ],
    ids=repr,
)
async def test_a_fault_of_the_connection_is_not_seen(db_path: Path, fault: Fault) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        async with database.live(accounts.balance, 1) as balance:
            assert await anext(balance) == 10
            await settled(database)  # or a look under way would meet it beside the write
            faults.arm(fault)
            await accounts.add(1, 5)
            assert await anext(balance) == 15
            faults.check()
            await until(lambda: database.stats().state == "open")
            await accounts.add(1, 5)
            assert await anext(balance) == 20


async def test_a_write_in_doubt_is_seen_if_it_is_there(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        async with database.live(accounts.balance, 1) as balance, database.changes() as changes:
            assert await anext(balance) == 10
            faults.arm(Fault("death", at="commit", applied=True))
            with pytest.raises(Exception, match="COMMIT"):
                await accounts.add(1, 5)
            assert (await anext(changes)).everything
            assert await anext(balance) == 15


async def test_a_write_that_failed_is_not(db_path: Path) -> None:
    faults = Faults()
    async with a_bank(faults, db_path) as database:
        accounts = Accounts(database)
        await accounts.open(1, 10)
        async with database.live(accounts.balance, 1) as balance:
            assert await anext(balance) == 10
            faults.arm(Fault("full", at="commit", times=2))
            with pytest.raises(DiskFull):
                await accounts.add(1, 5)
            await accounts.add(1, 1)
            assert await anext(balance) == 11
