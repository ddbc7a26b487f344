"""`trio-sqlrepo stats`: what the pages of a database file are used for."""

# No `from __future__ import annotations`: typer reads these at run time.
import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import attrs
import trio
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trio_sqlrepo import SQLiteConfig
from trio_sqlrepo._base.inspection import FilePages
from trio_sqlrepo._sqlite.pages import page_usage
from trio_sqlrepo.cli.options import JsonOption
from trio_sqlrepo.cli.refusal import Failed, Refused
from trio_sqlrepo.cli.terminal import make_console

_KIB = 1024
_VERSION = 1
_WIDE = 110  # columns of a terminal where there is room for whose index it is


def stats(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The database.")
    ],
    *,
    svg: Annotated[
        Path | None,
        typer.Option(metavar="OUT", dir_okay=False, help="Draw the picture into this file."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what the pages of a database file are used for: each table, each index.

    The file is read as a whole, in one transaction, and never written.
    """
    if svg is not None and svg.exists() and svg.samefile(file):
        raise Refused(f"--svg {svg} is the database itself; give another file.")
    if svg is not None and not svg.parent.is_dir():
        raise Refused(f"--svg {svg}: there is no directory {svg.parent}; make it, or name another.")
    read = partial(page_usage, str(file), SQLiteConfig(), picture=svg is not None)
    # On a thread, because a large file takes long and SQLite hears no Ctrl-C. It only reads, so
    # the thread may be left behind.
    usage = trio.run(partial(trio.to_thread.run_sync, read, abandon_on_cancel=True))
    if svg is not None and usage.svg is not None:
        _write(svg, usage.svg)
    if as_json:
        print(json.dumps(_document(usage.pages), indent=2))
        return 0
    _print(make_console(), file, usage.pages)
    if svg is not None:
        print(f"The picture is in {svg}; a browser shows it.")
    return 0


def _write(svg: Path, picture: str) -> None:
    try:
        svg.write_text(picture, encoding="utf-8")
    except OSError as error:
        # It names the file where that cannot be opened, and none where the disk refuses.
        kind = Failed if error.filename is None else Refused
        raise kind(
            f"{svg} cannot be written: {error.strerror or error}; give --svg another file."
        ) from error


def _print(console: Console, file: Path, pages: FilePages) -> None:
    size = _size(pages.pages * pages.page_size)
    console.print(
        Text(f"{file}: {pages.pages} pages of {_size(pages.page_size)}, {size} in all."),
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Name", overflow="fold")
    wide = console.width >= _WIDE
    table.add_column("Kind")
    if wide:
        table.add_column("Of", overflow="fold")
    for heading in ("Pages", "Size", "Of all", "Filled", "In order"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in pages.objects:
        table.add_row(
            Text(each.name),
            each.kind,
            *([Text(each.table)] * wide),
            str(each.pages),
            _size(each.pages * pages.page_size),
            _share(each.pages, pages.pages),
            _share(each.stored, each.pages * pages.page_size),
            _share(each.sequential_pages, each.pages),
        )
    free = _share(pages.free_pages, pages.pages)
    size = _size(pages.free_pages * pages.page_size)
    table.add_row("(free)", *([""] * (1 + wide)), str(pages.free_pages), size, free, "", "")
    console.print(table)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _size(size: int) -> str:
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _KIB:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}".replace(".0 ", " ")
        number /= _KIB
    return f"{number:.1f} TiB"


def _document(pages: FilePages) -> dict[str, Any]:
    return {"version": _VERSION, **attrs.asdict(pages)}
