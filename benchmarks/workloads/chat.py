"""How fast is a chat: fifty users that post and page, and retention that deletes?"""

from __future__ import annotations

from array import array
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.contenders import ALL
from benchmarks.data import ROOMS, FileKind
from benchmarks.measure import Calls, Metrics, Size, Watch, percentiles
from benchmarks.workload import FAILED, Column, Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Client
    from benchmarks.loops import Loop

USERS = 50
_PAGES = 3  # a user reads so many pages for each message
_EVERY = 0.05  # seconds between two looks of retention


class Chat:
    """Users, each of whom posts and then pages through rooms, and one that prunes."""

    def __init__(self, client: Client, loop: Loop, size: Size) -> None:
        self._client = client
        self._loop = loop
        self._size = size
        self._ids = size.ids()
        self._until = 0.0
        self.calls = Calls()
        self.posts = array("d")
        self.pages = array("d")
        self.pruned = 0

    async def run(self, seconds: float) -> None:
        self._until = perf_counter() + seconds
        users = [partial(self._user, number) for number in range(self._size.tasks or USERS)]
        await self._loop.together([*users, self._retain])

    async def _user(self, number: int) -> None:
        index = number * 97
        while True:
            id = self._ids[index % len(self._ids)]
            index += 1
            started = perf_counter()
            try:
                await self._client.insert(id)
                now = perf_counter()
                self.posts.append(now - started)
                for page in range(_PAGES):
                    started = now
                    await self._client.latest(f"room {(id + page) % ROOMS}")
                    now = perf_counter()
                    self.pages.append(now - started)
            except Exception as error:  # noqa: BLE001  # whatever a contender fails with is counted
                self.calls.fail(error)
            if perf_counter() >= self._until:
                break

    async def _retain(self) -> None:
        while perf_counter() < self._until:
            try:
                self.pruned += await self._client.prune(self._size.rows)
            except Exception as error:  # noqa: BLE001
                self.calls.fail(error)
            await self._loop.sleep(_EVERY)


async def run(client: Client, loop: Loop, size: Size) -> Metrics:
    warm_up = Chat(client, loop, size)
    await warm_up.run(size.warm_up)
    watch = Watch()
    chat = Chat(client, loop, size)
    await chat.run(size.seconds)
    added = len(warm_up.posts) + len(chat.posts) - warm_up.pruned - chat.pruned
    metrics = watch.read(max(len(chat.posts) + len(chat.pages), 1))
    return {
        **metrics,
        **chat.calls.metrics(),
        "posts": len(chat.posts) / metrics["seconds"],
        "pages": len(chat.pages) / metrics["seconds"],
        "pruned": chat.pruned,
        **percentiles(chat.posts, "post_"),
        **percentiles(chat.pages, "page_"),
        "acknowledged": added,
    }


WORKLOAD = Workload(
    name="chat",
    question="How fast is a chat of 50 users who post once and page thrice, with retention?",
    contenders=ALL,
    size=Size(seconds=4.0),
    quick=Size(seconds=0.1),
    run=run,
    rounds=3,
    columns=(
        Column("us", "µs per call"),
        Column("posts", "posts/s", 0),
        Column("pages", "pages/s", 0),
        Column("post_p50_ms", "post p50 ms", 2),
        Column("post_p99_ms", "post p99 ms", 2),
        Column("page_p50_ms", "page p50 ms", 2),
        Column("page_p99_ms", "page p99 ms", 2),
        Column("pruned", "pruned", 0),
        *FAILED,
    ),
    file=FileKind(room_index=True),
)
