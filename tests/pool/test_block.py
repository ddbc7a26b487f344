"""A Ctrl-C at the edge of a block, and blocks that are used as something else."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import trio

from trio_sqlrepo._base.errors import SessionError
from trio_sqlrepo._pool.block import block


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """As where a program starts in the foreground; a background job has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize("edge", ["__aenter__", "__aexit__"])
def test_a_ctrl_c_at_the_edge_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, edge: str
) -> None:
    """It comes where contextlib has not reached the generator, or has just left it."""
    kind = contextlib._AsyncGeneratorContextManager
    real = getattr(kind, edge)
    log: list[str] = []

    async def interrupted(self: object, *details: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return await real(self, *details)

    monkeypatch.setattr(kind, edge, interrupted)

    @block("opened")
    async def opened() -> AsyncGenerator[str]:
        log.append("begun")
        try:
            yield "it"
        finally:
            log.append("ended")

    async def main() -> None:
        try:
            async with opened() as what:
                assert what == "it"
            await trio.lowlevel.checkpoint()
        finally:
            log.append("over")  # what trio itself ends comes later

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert log == ["begun", "ended", "over"]


@block("db.open")
async def opened() -> AsyncGenerator[str]:
    yield "it"


async def test_a_block_is_entered_once() -> None:
    once = opened()
    assert repr(once) == "<block of db.open, not entered>"
    async with once as what:
        assert what == "it"
        assert repr(once) == "<block of db.open, entered>"
    with pytest.raises(SessionError) as caught:
        async with once:
            raise AssertionError("never reached")
    assert str(caught.value) == (
        "This block of db.open(...) was entered before; each call gives one block. Call db.open"
        " again."
    )


async def test_a_block_that_is_not_entered_says_how() -> None:
    message = "db.open gives a block, which must be entered; it was {}. Write `async with db.open("
    not_a_block: Any = opened()
    with pytest.raises(TypeError, match=re.escape(message.format("iterated"))):
        async for _ in not_a_block:
            raise AssertionError("never reached")
    with pytest.raises(TypeError, match=re.escape(message.format("awaited"))):
        await not_a_block
