"""The tasks that use the chat service, as fast as it answers them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, final

import trio

from trio_sqlrepo import SqlRepoError
from trio_sqlrepo.cli.demo.chat import ROOMS, THREADS, Chat, NewMessage
from trio_sqlrepo.cli.demo.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

_MODERATORS: Final = 2
_MODERATOR_PAUSE: Final = 0.02  # seconds between two moves of a moderator
_MOST_PAGES: Final = 3  # that a reader turns back
_NEWEST: Final = 2**63 - 1  # above every id

_RETENTION_PAUSE: Final = 0.1
_PRUNE_AT_ONCE: Final = 500  # rows; about a millisecond of the writer

_LEFT_BEHIND: Final = timedelta(minutes=1)  # no run keeps a message for so long
_ERROR_PAUSE: Final = 0.05  # seconds; a database that is gone answers at once, with an error

_TEXT: Final = (
    "about all and anybody ask away back before but call coffee come could done every find for"
    " from good great have hello here how if just know later lunch maybe meet next nice no now"
    " okay one other please really right same see soon still thanks that then there think this"
    " today tomorrow was week well what when where who why will with yes you"
)
_WORDS: Final = _TEXT.split()


@final
class Load:
    """The chat service under load, and what was acknowledged.

    Attributes:
        posted: messages of this run that the database has acknowledged.
        pruned: how many of these it has acknowledged to be deleted.
    """

    def __init__(self, chat: Chat, *, retention: float, random: Random) -> None:
        self._chat = chat
        self._retention = timedelta(seconds=retention)
        self._random = random
        self.run: Final = random.getrandbits(62)
        self.posted: int = 0
        self.pruned: int = 0
        self._threads = Meter("open a room", "read")
        self._page = Meter("page history", "read")
        self._post = Meter("post message", "write")
        self._move = Meter("move thread", "write")
        self._prune = Meter("prune", "write")
        self.meters: Final = (self._threads, self._page, self._post, self._move, self._prune)

    def __repr__(self) -> str:
        return f"<Load {self.run:x}: {self.posted} posted, {self.pruned} pruned>"

    async def clear(self) -> None:
        """Remove what earlier runs have left, before the clock starts."""
        before = datetime.now(UTC) - _LEFT_BEHIND
        while await self._chat.clear_others(self.run, before, 10 * _PRUNE_AT_ONCE):
            pass

    async def use(self, users: int) -> None:
        """Run `users` users, the moderators and the retention task until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(users):
                author = f"user {number}"
                nursery.start_soon(_repeat, partial(self._visit, author), 0.0, name=author)
            for number in range(_MODERATORS):
                nursery.start_soon(
                    _repeat, self._moderate, _MODERATOR_PAUSE, name=f"moderator {number}"
                )
            nursery.start_soon(_repeat, self._retain, _RETENTION_PAUSE, name="retention")

    async def _visit(self, author: str) -> None:
        # Open a room, read back in one of its threads, answer.
        room = self._random.choice(ROOMS)
        threads = await self._threads.measure(self._chat.threads(room))
        if not threads:
            return
        thread = self._random.choice(threads).id
        before = _NEWEST
        for _ in range(self._random.randint(1, _MOST_PAGES)):
            page = await self._page.measure(self._chat.page(thread, before))
            if not page:
                break
            before = page[-1].id
        body = " ".join(self._random.choices(_WORDS, k=self._random.randint(2, 20)))
        message = NewMessage(thread, self.run, author, body, datetime.now(UTC))
        await self._post.measure(self._chat.post(message))
        self.posted += 1

    async def _moderate(self) -> None:
        thread = self._random.choice(THREADS)
        room = self._random.choice(ROOMS)
        await self._move.measure(self._chat.move(thread, room))

    async def _retain(self) -> None:
        before = datetime.now(UTC) - self._retention
        deleted = _PRUNE_AT_ONCE
        while deleted == _PRUNE_AT_ONCE:
            call = self._chat.prune(self.run, before, _PRUNE_AT_ONCE)
            deleted = await self._prune.measure(call)
            self.pruned += deleted


async def _repeat(work: Callable[[], Awaitable[None]], pause: float) -> None:
    while True:
        try:
            await work()
        except SqlRepoError:  # counted by its meter
            await trio.sleep(_ERROR_PAUSE)
        if pause:
            await trio.sleep(pause)
