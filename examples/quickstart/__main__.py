from datetime import datetime

import attrs
import trio

from trio_sqlrepo import Repository, RowCount, open_database, query, transaction

SCHEMA = """
    CREATE TABLE message (
        id INTEGER PRIMARY KEY, room TEXT NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL,
        sent_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) STRICT;
    CREATE INDEX message_by_room ON message (room);
"""


@attrs.frozen
class Message:
    id: int
    room: str
    author: str
    body: str
    sent_at: datetime


class Messages(Repository):
    @query("INSERT INTO message (room, author, body) VALUES (:room, :author, :body) RETURNING *")
    async def post(self, room: str, author: str, body: str) -> Message: ...

    @query("SELECT * FROM message WHERE room = :room ORDER BY id DESC LIMIT :limit")
    async def recent(self, room: str, limit: int = 50) -> list[Message]: ...

    @query("UPDATE message SET room = :room WHERE id = :id")
    async def set_room(self, id: int, room: str) -> RowCount: ...

    @transaction  # the whole body: one hop to the writer's thread, one commit
    async def move(self, messages: list[Message], room: str) -> int:
        return sum([await self.set_room(message.id, room) for message in messages])


async def main() -> None:
    # Applies the schema once, and checks every query above against it before anything runs.
    async with open_database("chat.db", repositories=[Messages], migrations=[SCHEMA]) as db:
        messages = Messages(db)

        async with trio.open_nursery() as nursery:  # each post is on disk when it returns
            for number in range(100):
                nursery.start_soon(messages.post, "lobby", f"user {number}", "hello")

        moved = await messages.move(await messages.recent("lobby", limit=3), "attic")
        print(
            f"{moved} moved to the attic, the last of them: {(await messages.recent('attic'))[0]}"
        )
        print(f"{db.stats().writes_per_commit:.1f} durable writes per commit")


trio.run(main)
