"""Repositories are ordinary classes, and services work on whatever session they are given."""

from collections.abc import Sequence

import attrs
import trio

from trio_sqlrepo import CheckViolation, Repository, Session, open_database, query, transaction

MIGRATIONS = [
    """CREATE TABLE account (
           owner TEXT NOT NULL,
           currency TEXT NOT NULL,
           cents INTEGER NOT NULL CHECK (cents >= 0),
           PRIMARY KEY (owner, currency)
       ) STRICT;
       CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT""",
]


@attrs.frozen
class Account:
    owner: str
    currency: str
    cents: int


class Accounts(Repository):
    """A repository with a setting of its own."""

    def __init__(self, session: Session, currency: str = "EUR") -> None:
        super().__init__(session)
        self.currency = currency

    @query("INSERT INTO account (owner, currency, cents) VALUES (:owner, :currency, :cents)")
    async def open_all(self, accounts: Sequence[Account]) -> None: ...

    @query("SELECT * FROM account WHERE owner = :owner AND currency = :currency")
    async def get(self, owner: str, currency: str) -> Account | None: ...

    @query(
        "UPDATE account SET cents = cents + :cents"
        " WHERE owner = :owner AND currency = :currency RETURNING cents"
    )
    async def add(self, owner: str, currency: str, cents: int) -> int: ...

    @transaction
    async def transfer(self, payer: str, payee: str, cents: int) -> int:
        """Move money, or nothing: an unknown payee raises `NoResult`, and the payer keeps it."""
        left = await self.add(payer, self.currency, -cents)
        await self.add(payee, self.currency, cents)
        return left


class Journal(Repository):
    @query("INSERT INTO entry (text) VALUES (:text)")
    async def note(self, text: str) -> None: ...

    @query("SELECT text FROM entry ORDER BY id")
    async def read(self) -> list[str]: ...


class LoudJournal(Journal):
    """A subclass overrides a declared query like any method."""

    @query("INSERT INTO entry (text) VALUES (upper(:text) || '!')")
    async def note(self, text: str) -> None: ...


class Bank:
    """A service. It neither knows nor cares whether somebody has begun a transaction."""

    def __init__(self, session: Session) -> None:
        self.accounts = Accounts(session)
        self.journal = LoudJournal(session)

    async def pay(self, payer: str, payee: str, cents: int) -> None:
        left = await self.accounts.transfer(payer, payee, cents)
        await self.journal.note(f"{payer} paid {payee} {cents} cents and has {left} left")


async def main() -> None:
    async with open_database(
        ":memory:", repositories=[Accounts, Journal, LoudJournal], migrations=MIGRATIONS
    ) as db:
        people = [Account("ann", "EUR", 100), Account("bob", "EUR", 0)]
        await Accounts(db).open_all(people)

        await Bank(db).pay("ann", "bob", 30)  # two transactions

        try:
            async with db.transaction() as tx:  # one, for both payments and their entries
                bank = Bank(tx)
                await bank.pay("ann", "bob", 30)
                await bank.pay("ann", "bob", 50)
        except CheckViolation:
            print("ann cannot pay 80 more, so she has paid neither")

        async with db.snapshot() as snapshot:  # one consistent view
            accounts = Accounts(snapshot)
            print(await accounts.get("ann", "EUR"), await accounts.get("bob", "EUR"))
            print(await Journal(snapshot).read())


trio.run(main)
