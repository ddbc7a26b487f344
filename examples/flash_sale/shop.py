"""The shop: what is for sale, who has bought it, and the one transaction that connects the two."""

from datetime import datetime

import attrs

from trio_sqlrepo import Repository, query, snapshot, transaction

SCHEMA = """
    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        -- The net below the trapeze: even SQL typed by hand cannot sell what is not there.
        stock INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
    CREATE TABLE purchase (
        id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL REFERENCES item (id),
        buyer TEXT NOT NULL,
        bought_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        UNIQUE (item, buyer)  -- one for each; also the index that `purchase_of` needs
    ) STRICT;
"""


class SoldOutError(Exception):
    """There is none left. Nothing was bought."""


@attrs.frozen
class Purchase:
    id: int
    item: int
    buyer: str
    bought_at: datetime


class Shop(Repository):
    @query.insert("item")
    async def offer(self, name: str, stock: int) -> int: ...

    @query("SELECT stock FROM item WHERE id = :item")
    async def stock(self, item: int) -> int: ...

    @query("SELECT count(*) FROM purchase WHERE item = :item")
    async def sold(self, item: int) -> int: ...

    @query("SELECT buyer FROM purchase WHERE item = :item ORDER BY id")
    async def buyers(self, item: int) -> list[str]: ...

    @query.find("purchase")
    async def purchase_of(self, item: int, buyer: str) -> Purchase | None: ...

    # The steps of a purchase: `buy` takes them, nobody else should.

    @query("UPDATE item SET stock = :stock WHERE id = :item")
    async def set_stock(self, item: int, stock: int) -> None: ...

    @query.insert("purchase")
    async def add_purchase(self, item: int, buyer: str) -> Purchase: ...

    @transaction
    async def buy(self, item: int, buyer: str) -> Purchase:
        """Buy one, and return when that is on disk. Who asks twice gets the same purchase twice.

        The body runs as a whole on the writer's thread, so nobody can buy between the line that
        looks at the stock and the line that lowers it. With `@transaction` taken away, each line is
        a transaction of its own, a hundred buyers see the last one in stock, and the tests fail.

        Raises:
            SoldOutError: none is left; nothing has changed.
            NoResult: there is no such item.
        """
        earlier = await self.purchase_of(item, buyer)
        if earlier is not None:
            return earlier  # the answer was lost on the way, and the client asks again
        stock = await self.stock(item)
        if stock == 0:
            raise SoldOutError(item)
        await self.set_stock(item, stock - 1)
        return await self.add_purchase(item, buyer)

    @snapshot
    async def stock_and_sold(self, item: int) -> tuple[int, int]:
        """Both numbers as of one moment: in the middle of a sale too, their sum does not change."""
        return await self.stock(item), await self.sold(item)
