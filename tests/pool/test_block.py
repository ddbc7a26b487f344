"""A Ctrl-C at the edge of a block."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncGenerator, Iterator

import pytest
import trio

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

    @block
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
