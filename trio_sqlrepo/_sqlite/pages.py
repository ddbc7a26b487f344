"""What the pages of a database file are used for, as numbers and as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import apsw.ext
import attrs

from trio_sqlrepo._base.errors import OpenError
from trio_sqlrepo._base.inspection import FilePages, ObjectPages
from trio_sqlrepo._sqlite.looking import look

if TYPE_CHECKING:
    from trio_sqlrepo._base.config import SQLiteConfig

_EACH: Final = 2  # apsw's scope: every table and index on its own
_OWNERS: Final = "SELECT name, tbl_name FROM sqlite_schema"


@attrs.frozen
class Usage:
    """The numbers and, if it was wanted, the picture."""

    pages: FilePages
    svg: str | None


def page_usage(path: str, config: SQLiteConfig, *, picture: bool = False) -> Usage:
    """Say what the file's pages are used for. Reads all of it; blocks so long.

    It reads in one transaction: while it lasts, another process's writes stay in the WAL.

    Raises:
        OpenError: it is not there, cannot be read, is no database; or a picture of nothing is
            wanted.
        DatabaseLocked, DatabaseCorrupt: what other processes or the disk did.
    """

    def ask(connection: apsw.Connection) -> Usage:
        pages = _pages(connection)
        if not picture:
            return Usage(pages, None)
        if not pages.pages:
            raise OpenError(f"{path} is empty: there is nothing to draw.")
        out = io.StringIO()
        apsw.ext.page_usage_to_svg(connection, out)
        return Usage(pages, out.getvalue())

    return look(path, config, ask)


def _pages(connection: apsw.Connection) -> FilePages:
    owners = {str(name): str(table) for name, table in connection.execute(_OWNERS)}
    found = apsw.ext.analyze_pages(connection, _EACH)
    assert isinstance(found, dict)
    objects = [
        ObjectPages(
            name=name,
            kind="table" if usage.tables else "index",
            table=owners.get(name, name),
            pages=usage.pages_used,
            sequential_pages=usage.sequential_pages,
            stored=usage.data_stored,
            cells=usage.cells,
        )
        for name, usage in found.items()
    ]
    objects.sort(key=lambda each: (-each.pages, each.name))
    return FilePages(
        page_size=int(str(connection.pragma("page_size"))),
        pages=int(str(connection.pragma("page_count"))),
        free_pages=int(str(connection.pragma("freelist_count"))),
        objects=tuple(objects),
    )
