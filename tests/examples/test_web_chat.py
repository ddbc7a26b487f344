"""examples/web_chat: the database lives as long as the server; requests read and write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

pytest.importorskip("quart_trio", reason="the extra `quart` is not installed")

from quart_trio import QuartTrio

from examples.web_chat.app import Lifespan, make_app
from trio_sqlrepo import PoolClosed
from trio_sqlrepo.testing import LeakGuard

ROOM = "/rooms/lobby/messages"


async def said(client: Any, body: str) -> Any:
    response = await client.post(ROOM, json={"author": "ann", "body": body})
    assert response.status_code == 201
    return await response.get_json()


async def test_pages_lead_to_every_message(db_path: Path) -> None:
    async with make_app(db_path).test_app() as server:
        client = server.test_client()
        posted = [await said(client, str(number)) for number in range(5)]
        found: list[Any] = []
        before = ""
        for size in (2, 2, 1):
            response = await client.get(f"{ROOM}?limit=2{before}")
            page = await response.get_json()
            assert len(page["messages"]) == size
            found += page["messages"]
            before = f"&before={page['before']}"
        assert page["before"] is None
        assert found == posted[::-1]


async def test_the_server_keeps_what_was_said_and_closes_what_it_opened(db_path: Path) -> None:
    async with make_app(db_path).test_app() as server:
        posted = await said(server.test_client(), "hello")
    async with LeakGuard(), make_app(db_path).test_app() as server:
        response = await server.test_client().get(ROOM)
        assert (await response.get_json())["messages"] == [posted]


@pytest.mark.parametrize("message", [{}, [], {"author": "ann"}, {"author": "ann", "body": 1}])
async def test_what_is_no_message_is_refused(db_path: Path, message: Any) -> None:
    async with make_app(db_path).test_app() as server:
        client = server.test_client()
        assert (await client.post(ROOM, json=message)).status_code == 400
        assert (await (await client.get(ROOM)).get_json())["messages"] == []


async def test_stop_returns_when_everything_is_closed(db_path: Path) -> None:
    app = QuartTrio(__name__)
    async with trio.open_nursery() as app.nursery:
        lifespan = Lifespan(db_path, app)
        await lifespan.start()
        assert await lifespan.chat.messages.count("lobby") == 0
        await lifespan.stop()
        with pytest.raises(PoolClosed):  # already here, not only when the nursery ends
            await lifespan.chat.messages.count("lobby")
