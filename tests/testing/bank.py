"""A small bank: what the tests of the kit run, with the mistakes that it must find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import trio
from hypothesis import strategies as st

from trio_sqlrepo import (
    Database,
    OutcomeUnknown,
    Repository,
    RowCount,
    SqlRepoError,
    query,
    transaction,
)
from trio_sqlrepo.testing.schedules import Done, Run, Scenario, call

SCHEMA = "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;"
START = 100  # what each of the two accounts holds


@attrs.frozen
class Opening:
    id: int
    balance: int


class Accounts(Repository):
    @query("INSERT INTO account (id, balance) VALUES (:id, :balance)")
    async def open(self, id: int, balance: int) -> None: ...

    @query("INSERT INTO account (id, balance) VALUES (:id, :balance)")
    async def open_all(self, openings: Iterable[Opening]) -> RowCount: ...

    @query("SELECT balance FROM account WHERE id = :id")
    async def balance(self, id: int) -> int: ...

    @query("UPDATE account SET balance = :balance WHERE id = :id")
    async def set_balance(self, id: int, balance: int) -> RowCount: ...

    @query("UPDATE account SET balance = balance + :amount WHERE id = :id")
    async def add(self, id: int, amount: int) -> RowCount: ...

    @query("SELECT sum(balance) FROM account")
    async def total(self) -> int: ...

    @transaction
    async def transfer(self, source: int, target: int, amount: int) -> None:
        await self.add(source, -amount)
        await self.add(target, amount)


@attrs.frozen
class ReadAndWrite:
    """A deposit that loses updates: it reads in one call and writes in another."""

    amount: int

    async def run(self, database: Database) -> None:
        accounts = Accounts(database)
        balance = await accounts.balance(1)
        await accounts.set_balance(1, balance + self.amount)


@attrs.frozen
class Deposit:
    """A deposit in an interactive transaction."""

    amount: int

    async def run(self, database: Database) -> None:
        async with database.transaction() as tx:
            accounts = Accounts(tx)
            await accounts.set_balance(1, await accounts.balance(1) + self.amount)


@attrs.frozen
class Move:
    """A transfer in an interactive transaction, which can be cancelled between its two halves."""

    amount: int

    async def run(self, database: Database) -> None:
        async with database.transaction() as tx:
            accounts = Accounts(tx)
            await accounts.add(1, -self.amount)
            await accounts.add(2, self.amount)


@attrs.frozen
class Look:
    """Two reads on one snapshot."""

    async def run(self, database: Database) -> tuple[int, int]:
        async with database.snapshot() as view:
            accounts = Accounts(view)
            return await accounts.balance(1), await accounts.total()


@attrs.frozen
class Wait:
    """No call of the database at all."""

    seconds: float

    async def run(self, database: Database) -> None:
        await trio.sleep(self.seconds)


async def fill(database: Database) -> None:
    accounts = Accounts(database)
    await accounts.open(1, START)
    await accounts.open(2, START)


def added(done: Done) -> int:
    """What a call adds to the total if it is kept."""
    operation: Any = done.operation
    if isinstance(operation, (ReadAndWrite, Deposit)):
        return operation.amount
    if getattr(operation, "method", None) is Accounts.add:
        amount: int = operation.arguments["amount"]
        return amount
    return 0


async def check_total(database: Database, run: Run) -> None:
    """Acknowledged is there, cancelled and failed is not; unknown may be."""
    least = 2 * START + sum(added(done) for done in run.acknowledged)
    unknown = [done for done in run.calls if isinstance(done.error, OutcomeUnknown)]
    most = least + sum(added(done) for done in unknown)
    total = await Accounts(database).total()
    assert least <= total <= most, f"The accounts hold {total}, not {least} to {most}."


AMOUNTS = st.integers(1, 2)
OPERATIONS = [
    call(Accounts.add, id=1, amount=AMOUNTS),
    call(Accounts.transfer, source=1, target=2, amount=AMOUNTS),
    call(Accounts.total),
    st.builds(Move, AMOUNTS),
    st.builds(Deposit, AMOUNTS),
    st.just(Look()),
]
BANK = Scenario(
    repositories=[Accounts],
    migrations=[SCHEMA],
    operations=OPERATIONS,
    prepare=fill,
    check=check_total,
    expects=(SqlRepoError,),
)
