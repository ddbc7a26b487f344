"""The test's end of a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import attrs
import trio

from tests.support import CHILD_TIMEOUT, ROOT


@final
@attrs.define(eq=False)
class Child:
    """A child that runs a command of `tests.processes.child`."""

    process: trio.Process
    _heard: bytes = b""
    errors: bytes = b""

    async def say(self, word: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{word}\n".encode())

    async def hear(self, word: str) -> None:
        """Wait for the child's next word, which must be this one."""
        assert self.process.stdout is not None
        while b"\n" not in self._heard:
            more = await self.process.stdout.receive_some()
            assert more, f"the child ended before it said {word!r}: {self.errors.decode()}"
            self._heard += more
        line, self._heard = self._heard.split(b"\n", 1)
        assert line.decode() == word, self.errors.decode()

    async def ask(self, word: str, answer: str) -> None:
        await self.say(word)
        await self.hear(answer)

    async def end(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        assert await self.process.wait() == 0, self.errors.decode()

    async def read_errors(self) -> None:
        assert self.process.stderr is not None
        async for more in self.process.stderr:
            self.errors += more


@asynccontextmanager
async def child(command: str, path: Path, *arguments: str) -> AsyncIterator[Child]:
    """Start a child for the block; at its end the child must end too, and well."""
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.processes.child", command, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": search},
        )
        one = Child(process)
        nursery.start_soon(one.read_errors)
        try:
            with trio.fail_after(CHILD_TIMEOUT):
                yield one
                await one.end()
        finally:
            if process.poll() is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            nursery.cancel_scope.cancel()
