"""A thousand people want one of a hundred."""

import trio

from examples.flash_sale.shop import SCHEMA, Shop, SoldOutError
from trio_sqlrepo import open_database

BUYERS, STOCK = 1000, 100


async def main() -> None:
    async with open_database("sale.db", repositories=[Shop], migrations=[SCHEMA]) as db:
        shop = Shop(db)
        item = await shop.offer("a lamp at half the price", STOCK)
        happy: list[str] = []
        too_late: list[str] = []

        async def shopper(name: str) -> None:
            # No lock, no retry, no queue of our own: the writer takes the calls in turn, and puts
            # those that wait together into one commit.
            try:
                await shop.buy(item, name)
                happy.append(name)
            except SoldOutError:
                too_late.append(name)

        async with trio.open_nursery() as nursery:
            for number in range(BUYERS):
                nursery.start_soon(shopper, f"buyer {number}")

        stock, sold = await shop.stock_and_sold(item)
        print(f"{len(happy)} were happy, {len(too_late)} too late; {sold} sold, {stock} in stock")


trio.run(main)
