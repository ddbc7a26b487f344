"""Children that start fast: `python -m tests.faults.zygote` imports once and forks for each.

The zygote has no thread and no connection, so its forks are as good as new processes, a hundred of
which would take a minute to start. One child at a time. What a child prints on its standard output
comes through a pipe; its standard error goes to a file.
"""

from __future__ import annotations

import faulthandler
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final, Self, final

from tests.support import ROOT

PATIENCE: Final = 60.0  # seconds; a child that takes so long hangs
INTERRUPTED: Final = 42  # the exit code of one that left as KeyboardInterrupt


@final
class Zygote:
    """The parent's end: start a child, hear it, send it a signal, hear its end."""

    def __init__(self) -> None:
        search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
            cwd=ROOT,
        )
        self._heard = b""
        self.lines: list[str] = []  # what the last child has said, without the zygote's words
        self.pid = 0
        self.code: int | None = None  # the last child's, once it has ended; negative: the signal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid and self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.kill()
        with self._process:
            pass

    def start(self, command: str, *arguments: Any, errors: Path | None = None) -> None:
        """Start a child and wait until it is there."""
        assert self._process.stdin is not None
        self.lines, self.pid, self.code = [], 0, None
        request = json.dumps([command, arguments, str(errors or os.devnull)])
        self._process.stdin.write(request.encode() + b"\n")
        self._process.stdin.flush()
        self.hear_until(time.monotonic() + PATIENCE, stop=lambda: bool(self.pid))
        assert self.pid, "no child was started"

    def hear_until(self, deadline: float, *, stop: Any = lambda: False) -> None:
        """Hear what comes until then, or until the child has ended or `stop()` says so."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while self.code is None and not stop():
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return
                more = os.read(self._process.stdout.fileno(), 1 << 16)
                assert more, "the zygote has died"
                *lines, self._heard = (self._heard + more).split(b"\n")
                for line in lines:
                    self._note(line.decode())

    def _note(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "started":
            self.pid = int(rest)
        elif word == "ended":
            self.code = int(rest)
        else:
            self.lines.append(line)

    def send(self, signal_number: int) -> None:
        """Send the child a signal, if it is still there."""
        if self.code is None:
            os.kill(self.pid, signal_number)  # the zygote reaps it only when it says so

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the child's end; its exit code."""
        self.hear_until(time.monotonic() + patience)
        assert self.code is not None, f"the child {self.pid} did not end"
        return self.code

    def run(self, command: str, *arguments: Any) -> list[str]:
        """Run a child to its end, which must be a good one; what it said."""
        with tempfile.NamedTemporaryFile() as errors:
            self.start(command, *arguments, errors=Path(errors.name))
            code = self.wait()
            assert code == 0, f"{command} ended with {code}: {errors.read().decode()}"
        return self.lines


def say(line: str) -> None:
    """In the child: one line, at once and whole."""
    os.write(1, line.encode() + b"\n")


def _be_child(command: str, arguments: list[Any], errors: str) -> int:
    from tests.faults.children import COMMANDS  # noqa: PLC0415  # it imports `say` from here

    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.register(signal.SIGUSR1)  # the stacks of one that hangs
    try:
        # Not what the zygote inherited: a shell's background job ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say(f"started {os.getpid()}")
        COMMANDS[command](*arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _main() -> None:
    import tests.faults.children  # noqa: F401, PLC0415  # before any fork

    for line in sys.stdin:
        child = os.fork()
        if not child:
            sys.exit(_be_child(*json.loads(line)))  # as any program ends, threads and all
        # Reaped only after its end was told: until then its number is nobody else's.
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    _main()
