"""What commands print to."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_PIPE: Final = 120  # columns, where there is no terminal to ask


def make_console() -> Console:
    """Give a console as wide as the terminal, which never colours or breaks text by guessing."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = _PIPE
    return console
