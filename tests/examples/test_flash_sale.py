"""examples/flash_sale: exactly the stock is sold, whoever comes and whoever leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from examples.flash_sale.shop import SCHEMA, Shop, SoldOutError
from trio_sqlrepo import NoResult, open_database
from trio_sqlrepo.testing import assert_no_full_scans

BUYERS = 1000
NAMES = [f"buyer {number}" for number in range(BUYERS)]


@asynccontextmanager
async def open_shop(path: Path | str) -> AsyncIterator[Shop]:
    async with open_database(path, repositories=[Shop], migrations=[SCHEMA]) as db:
        yield Shop(db)


async def test_1000_concurrent_buyers_buy_exactly_the_stock(db_path: Path) -> None:
    bought: set[str] = set()
    late: set[str] = set()

    async def shopper(name: str) -> None:
        try:
            purchase = await shop.buy(item, name)
        except SoldOutError:
            late.add(name)
        else:
            assert purchase.buyer == name
            bought.add(name)

    async with open_shop(db_path) as shop:
        item = await shop.offer("lamp", 100)
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(shopper, name)

    async with open_shop(db_path) as shop:  # what is on disk
        assert await shop.stock_and_sold(item) == (0, 100)
        assert set(await shop.buyers(item)) == bought
    assert len(bought) == 100
    assert len(late) == BUYERS - 100


async def test_who_is_cancelled_has_bought_nothing(db_path: Path) -> None:
    """A third never waits at all, a third leaves at the first purchase, a third stays."""
    scopes = [trio.CancelScope() for _ in NAMES]
    bought: set[str] = set()
    cancelled: set[str] = set()

    async def shopper(number: int) -> None:
        with scopes[number]:
            try:
                await shop.buy(item, NAMES[number])
                bought.add(NAMES[number])
                for impatient in scopes[1::3]:
                    impatient.cancel()
            except SoldOutError:
                pass
            except trio.Cancelled:
                cancelled.add(NAMES[number])
                raise

    async with open_shop(db_path) as shop:
        item = await shop.offer("lamp", 100)
        for gone in scopes[::3]:
            gone.cancel()
        async with trio.open_nursery() as nursery:
            for number in range(BUYERS):
                nursery.start_soon(shopper, number)
        assert set(NAMES[::3]) <= cancelled
        # Those who stayed alone would have bought it all, so all is sold; and the table holds just
        # those who were told so.
        assert await shop.stock_and_sold(item) == (0, 100)
        assert set(await shop.buyers(item)) == bought
        assert not bought & cancelled


async def test_who_asks_again_gets_the_same_purchase() -> None:
    async with open_shop(":memory:") as shop:
        item = await shop.offer("lamp", 1)
        first = await shop.buy(item, "ann")
        assert await shop.buy(item, "ann") == first
        assert await shop.stock_and_sold(item) == (0, 1)
        with pytest.raises(SoldOutError):
            await shop.buy(item, "bob")


async def test_what_is_not_offered_is_not_sold() -> None:
    async with open_shop(":memory:") as shop:
        with pytest.raises(NoResult):
            await shop.buy(1, "ann")


def test_every_query_uses_an_index() -> None:
    assert_no_full_scans(Shop, migrations=[SCHEMA])
