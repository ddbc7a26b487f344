"""Standard output and error, made fit to be printed to."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast, final

if TYPE_CHECKING:
    from collections.abc import Iterator


@final
class Output:
    """Standard output that keeps its last error: one of the system does not say whose it is."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As the stream's own."""
        try:
            return self.stream.write(text)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """As the stream's own."""
        try:
            self.stream.flush()
        except OSError as error:
            self.error = error
            raise

    def drop(self) -> None:
        """Lose what is still buffered: it would be written at exit, and fail there."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def fit_output() -> Iterator[Output]:
    """See to it that printing does not fail by itself, for a `with` block."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # stays
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow, in ASCII or a code page
    output = Output(sys.stdout)
    sys.stdout = shown = cast("TextIO", output)
    try:
        yield output
    finally:
        if sys.stdout is shown:  # typer puts one that is quiet in its place if nobody reads on
            sys.stdout = output.stream
