"""What undeclared SQL and functions leave behind on a connection: put back, or found.

Code with the raw connection can change it in four ways, each met here after the function:

- by PRAGMA, ATTACH or BEGIN: the gate forbids them. Whoever took it away and put it back is found
  out because setting an authorizer makes every compiled statement stale, as replacing a function
  or a collation does.
- by calls of apsw that change a switch, a limit or the checkpoint: these are compared.
- by calls that set a hook or a trace: these are put back.
- by temporary tables and the like: looked for when the session ends, as a rollback takes them away.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar, final

import apsw

from trio_sqlrepo._base.driver import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Row
    from trio_sqlrepo._sqlite.link import Epoch, Link
    from trio_sqlrepo._sqlite.settings import Settings

R = TypeVar("R")

# An interrupt that was meant for the function may meet what follows it; one in a row comes through.
_ATTEMPTS = 10


@final
class Leftovers:
    """What may be left on one connection. Used on the connection's thread only."""

    __slots__ = ("_link", "_lone", "_schema", "_settings", "_temporary", "dirt", "suspected")

    def __init__(self, link: Link, settings: Settings, *, lone: bool) -> None:
        self._link = link
        self._settings = settings
        self._lone = lone  # a database in memory, which is lost with its connection
        self._temporary = link.control(
            "SELECT type, name FROM sqlite_temp_schema WHERE name NOT LIKE 'sqlite@_%' ESCAPE '@'"
            " ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'"  # a virtual table takes its others with it
        )  # texts all
        self._schema: tuple[Epoch, int] = ((None, 0), 0)  # before the function
        # What makes the connection one that must be replaced.
        self.dirt: str | None = None
        # Whether SQL has run that may have made something temporary.
        self.suspected = False

    def __repr__(self) -> str:
        return f"<Leftovers: {self.dirt or 'none'}>"

    def before(self) -> None:
        """Look at the connection that a function is about to get. Raises apsw's errors."""
        link = self._link
        self.suspected = link.role is not Role.READER
        if not self._settings.remembered:
            with link.as_own():
                self._settings.remember()
        self._schema = link.epoch(), link.gate.schema_changes  # and it is compiled from here on

    def after(self) -> None:
        """Put back what the function has changed, or note that it can't be."""
        link = self._link
        connection = link.connection
        connection.cursor_factory = apsw.Cursor
        connection.exec_trace = None
        connection.row_trace = None
        connection.convert_binding = None
        connection.convert_jsonb = None
        connection.set_busy_handler(link.busy)
        connection.set_commit_hook(None)
        connection.set_rollback_hook(None)
        connection.set_update_hook(None)
        connection.preupdate_hook(None)
        connection.set_progress_handler(None)
        connection.set_profile(None)
        connection.trace_v2(0, None)
        connection.collation_needed(None)
        connection.autovacuum_pages(None)
        if connection.authorizer is not link.gate:
            self.dirt = "its authorizer was changed"
            return
        try:
            self.dirt = self.dirt or self._change()
        except apsw.Error as error:
            self.dirt = f"its settings can't be read ({type(error).__name__})"

    def _change(self) -> str | None:
        link, settings = self._link, self._settings
        calls = link.gate.calls
        schema = _insist(link.epoch), link.gate.schema_changes
        was_stale = link.gate.calls != calls
        with link.as_own():
            found = _insist(settings.deviation)
            if found is None and was_stale:
                # Perhaps by a change of the schema, which may hide another cause.
                found = _insist(settings.moved)
        if found is None and was_stale and schema == self._schema:
            return "its authorizer, a function or a collation was replaced"
        return found

    def look_for_temporary(self) -> None:
        """At the end of a session: temporary tables, views, triggers, indexes that are left."""
        self.suspected = False
        link = self._link
        try:
            found = _insist(lambda: link.ask(self._temporary))
            if found and self._lone:
                self._drop(found)
                found = _insist(lambda: link.ask(self._temporary))
        except apsw.Error as error:
            self.dirt = self.dirt or f"it can't be looked at ({type(error).__name__})"
            return
        if found:
            kind, _ = found[0]
            self.dirt = self.dirt or f"a temporary {kind!s} was left"

    def _drop(self, found: list[Row]) -> None:
        with self._link.as_own():
            for kind, name in found:
                quoted = apsw.format_sql_value(name)
                # Some went with others; what stays is found at the second look.
                with contextlib.suppress(apsw.Error):
                    self._link.connection.execute(
                        f"DROP {kind!s} IF EXISTS temp.{quoted}", can_cache=False
                    ).fetchall()


def _insist(ask: Callable[[], R]) -> R:
    """Ask in spite of an interrupt that was meant for another statement."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(apsw.InterruptError):
            return ask()
    return ask()
