"""Streams of queries whose SQL is generated, or has alternatives."""

from __future__ import annotations

from typing import Literal

import attrs

from trio_sqlrepo import CrudRepository, RowStream, declared, query
from trio_sqlrepo.testing import memory_database


@attrs.frozen
class Message:
    id: int
    room: str


class Messages(CrudRepository[Message, int], table="message"):
    @query.find("message")
    def of(self, room: str) -> RowStream[Message]: ...

    @query("SELECT * FROM message ORDER BY {order}", order={"up": "id", "down": "id DESC"})
    def every(self, order: Literal["up", "down"]) -> RowStream[Message]: ...


SCHEMA = ["CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL) STRICT"]


async def ids(stream: RowStream[Message]) -> list[int]:
    async with stream as rows:
        return [message.id async for message in rows]


async def test_found_rows_come_in_the_order_of_the_primary_key() -> None:
    async with memory_database(Messages, migrations=SCHEMA) as db:
        messages = Messages(db)
        for id in (3, 1, 4, 2):
            await messages.add(Message(id, "odd" if id % 2 else "even"))
        assert await ids(messages.of("odd")) == [1, 3]
        found = declared(messages)["of"]
        assert found.result == "RowStream[Message]"
        assert found.statements[0].sql.endswith(' ORDER BY "id"')


async def test_an_alternative_is_chosen_by_the_call() -> None:
    async with memory_database(Messages, migrations=SCHEMA) as db:
        messages = Messages(db)
        await messages.add_all([Message(id, "a") for id in range(1, 4)])
        assert await ids(messages.every("up")) == [1, 2, 3]
        assert await ids(messages.every("down")) == [3, 2, 1]
