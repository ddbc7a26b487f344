"""Lists that are appended to and read: the domain in which isolation is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, Final

from trio_sqlrepo import (
    Database,
    Json,
    PoolConfig,
    Repository,
    SQLiteConfig,
    query,
    snapshot,
    transaction,
)
from trio_sqlrepo._opening import Parts, open_of_parts
from trio_sqlrepo._sqlite import open_driver
from trio_sqlrepo.testing.histories import Append, Read

SCHEMA: Final = ("CREATE TABLE list (key TEXT PRIMARY KEY, items TEXT NOT NULL) STRICT;",)
ALL: Final = "SELECT key, items FROM list"

Steps = Sequence[Append | Read]


class Lists(Repository):
    @query("INSERT INTO list VALUES (:key, json_array(:value)) ON CONFLICT (key)"
           " DO UPDATE SET items = json_insert(items, '$[#]', :value)")  # fmt: skip
    async def append(self, key: str, value: int) -> None: ...

    @query("INSERT INTO list VALUES (:key, :items)"
           " ON CONFLICT (key) DO UPDATE SET items = :items")  # fmt: skip
    async def replace(self, key: str, items: list[int]) -> None: ...

    @query("SELECT coalesce((SELECT items FROM list WHERE key = :key), '[]')")
    async def items(self, key: str) -> Annotated[list[int], Json]: ...

    async def append_by_hand(self, key: str, value: int) -> None:
        """Read, add, write back: the way in which updates are lost."""
        await self.replace(key, [*await self.items(key), value])

    async def do(self, steps: Steps, *, by_hand: bool = False) -> list[Append | Read]:
        """Do the steps one after the other; give them with what was read."""
        done: list[Append | Read] = []
        for step in steps:
            key = str(step.key)
            if isinstance(step, Read):
                done.append(Read(key, await self.items(key)))
            else:
                append = self.append_by_hand if by_hand else self.append
                await append(key, int(step.value))
                done.append(step)
        return done

    @transaction
    async def change(self, steps: Steps, by_hand: bool = False) -> list[Append | Read]:
        return await self.do(steps, by_hand=by_hand)

    @snapshot
    async def look(self, keys: Sequence[str]) -> list[Append | Read]:
        return await self.do([Read(key) for key in keys])


def open_lists(
    path: Path,
    opener: Callable[..., Any] = open_driver,
    *,
    pool: PoolConfig | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Database]:
    """Open a database of lists, with a driver that may be broken.

    `settings` are `SQLiteConfig`'s. Commits don't wait for the disk unless they say so.
    """
    return open_of_parts(
        Parts(open_driver=opener),
        path,
        (Lists,),
        SCHEMA,
        pool or PoolConfig(),
        SQLiteConfig(**{"synchronous": "off", **settings}),
        None,
    )
