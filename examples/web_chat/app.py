"""A Quart-Trio application whose lifespan opens the database in the application's nursery."""

from pathlib import Path
from typing import Any

import attrs
import trio
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from examples.chat.messages import Message
from examples.chat.service import Chat, open_chat

MOST_MESSAGES = 100  # in one page


def make_app(path: Path | str) -> QuartTrio:
    """An application on the database at `path`, which is opened when the server starts it."""
    app = QuartTrio(__name__)
    lifespan = Lifespan(path, app)
    app.before_serving(lifespan.start)
    app.after_serving(lifespan.stop)

    @app.get("/rooms/<room>/messages")
    async def page(room: str) -> dict[str, Any]:
        before = request.args.get("before", type=int)
        limit = min(max(request.args.get("limit", 50, type=int), 1), MOST_MESSAGES)
        # If the client goes away, Quart-Trio cancels this task, and the query stops with it.
        messages = await lifespan.chat.messages.page(room, before=before, limit=limit)
        # The client asks for the next page with this number; None: there is none.
        following = messages[-1].id if len(messages) == limit else None
        return {"messages": [as_json(message) for message in messages], "before": following}

    @app.post("/rooms/<room>/messages")
    async def say(room: str) -> tuple[Response, int]:
        match await request.get_json():
            case {"author": str(author), "body": str(body)}:
                message = await lifespan.chat.say(room, author, body)
                return jsonify(as_json(message)), 201  # it is on disk
            case _:
                return jsonify(error="A message has two strings, author and body."), 400

    return app


def as_json(message: Message) -> dict[str, Any]:
    return {**attrs.asdict(message), "sent_at": message.sent_at.isoformat()}


@attrs.define
class Lifespan:
    """Holds the chat open from the server's start to its end.

    It is a task of the application's nursery, not a `while_serving` generator. A generator that
    yields inside `async with open_database(...)` would leave a nursery open across its `yield`, and
    an error of the database would find no task to go to. Here it ends the application's nursery.
    """

    path: Path | str
    app: QuartTrio
    _chat: Chat | None = None
    _stopping: trio.Event = attrs.field(factory=trio.Event)
    _closed: trio.Event = attrs.field(factory=trio.Event)

    @property
    def chat(self) -> Chat:
        assert self._chat is not None, "The server sends no request before `start` has returned."
        return self._chat

    async def start(self) -> None:
        """Return when the database is open, or raise what opening it raised."""
        self._chat = await self.app.nursery.start(self._hold)

    async def stop(self) -> None:
        """Return when what was asked for is done and every connection is closed."""
        self._stopping.set()
        await self._closed.wait()

    async def _hold(self, *, task_status: trio.TaskStatus[Chat]) -> None:
        async with open_chat(self.path) as chat:
            task_status.started(chat)
            await self._stopping.wait()
        self._closed.set()
