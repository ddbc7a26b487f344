"""Each contender does what it is asked: the same rows are read, and what is written is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks import contenders
from benchmarks.audit import lost, work_in
from benchmarks.contenders import Client, Contender
from benchmarks.data import FileKind, Message, make_file

ROWS = 120
EACH = sorted(
    {c.name: c for c in vars(contenders).values() if isinstance(c, Contender)}.values(),
    key=lambda contender: contender.name,
)
ASYNCHRONOUS = [contender for contender in EACH if contender.loop is not None]


def plain(row: Any) -> tuple[Any, ...]:
    """Give a row as SQLite stores it, whatever a contender makes of it."""
    if isinstance(row, Message):
        sent_at = row.sent_at.isoformat(" ", "microseconds")
        return row.id, row.room, row.author, row.body, sent_at
    return tuple(row)


def message(id: int) -> tuple[Any, ...]:
    """The one with this id."""
    number = id - 1
    sent_at = datetime.fromtimestamp(1_767_225_600 + number * 1.001, UTC)
    return (
        id,
        f"room {number % 50}",
        f"user {number % 200}",
        f"this is message {number}, about as long as people's messages are",
        sent_at.isoformat(" ", "microseconds"),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "measured.db"
    make_file(path, FileKind(rows=ROWS, room_index=True))
    return path


def run(contender: Contender, path: Path, body: Callable[[Client], Awaitable[None]]) -> None:
    if not contender.is_installed:
        pytest.skip(f"{contender.needs} is not installed")

    async def main() -> None:
        async with contender.open(path) as client:
            await body(client)

    contender.event_loop().run(main)


@pytest.mark.parametrize("contender", ASYNCHRONOUS, ids=lambda c: c.name.replace(" ", "-"))
def test_reads_what_is_there(contender: Contender, path: Path) -> None:
    async def body(client: Client) -> None:
        assert plain(await client.lookup(7)) == message(7)
        several: Any = await client.lookups([3, 3, 9])
        assert [plain(row) for row in several] == [message(3), message(3), message(9)]
        page = await client.page(10)
        assert [plain(row) for row in page] == [message(id) for id in range(11, 61)]
        latest = await client.latest("room 4")
        assert [plain(row) for row in latest] == [message(105), message(55), message(5)]
        everything = await client.everything()
        assert [plain(row) for row in everything] == [message(id) for id in range(1, ROWS + 1)]
        assert await client.health() == ROWS
        assert await client.scan(2) == 2 * ROWS  # every body sorts before every author
        assert await client.read_all() == sum(len(message(id)[3]) for id in range(1, ROWS + 1))

    run(contender, path, body)


@pytest.mark.parametrize("contender", ASYNCHRONOUS, ids=lambda c: c.name.replace(" ", "-"))
def test_what_it_writes_is_there_afterwards(contender: Contender, path: Path) -> None:
    async def body(client: Client) -> None:
        await client.insert(4)
        assert plain(await client.lookup(ROWS + 1))[1:] == message(5)[1:]
        await client.insert_all(30)
        assert plain(await client.lookup(ROWS + 31))[1:] == message(30)[1:]
        await client.increment(2)
        await client.increment(2)
        assert await client.prune(ROWS) == 31

    run(contender, path, body)
    assert work_in(path) == ROWS + 1 + 30 + 2 - 31
    assert lost(path, ROWS, 2) == 0
    assert lost(path, ROWS, 5) == 3


def test_a_contender_whose_package_is_absent_is_not_installed() -> None:
    for needs in ("no_such_package", "no_such_package.part"):
        assert not attrs.evolve(contenders.AIOSQLITE, needs=needs).is_installed
