"""SQLite's own index adviser, sqlite3_expert, where apsw brings it along.

It is a program, and opens the database it is given for writing: so that is a copy of the schema, in
a directory of its own. It knows what SQLite itself has and nothing of ours: no functions, no
extensions, not even FTS5.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, final

import apsw
import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._sqlite.driver import SqliteDriver

_PATIENCE: Final = 30.0  # seconds; it takes milliseconds
_NOT_HERE: Final = "this apsw does not bring SQLite's expert along"
# Its module has to be known to be dropped; and samples hold values of rows.
_VIRTUAL: Final = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'virtual'"
_SAMPLES: Final = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat4'"


@attrs.frozen
class Advice:
    """What the expert says of one statement."""

    indexes: tuple[str, ...] = ()  # CREATE INDEX statements; () if none would help
    silent: str | None = None  # why it says nothing, as a clause


@final
class Expert:
    """Advises on statements of one schema."""

    def __init__(self, program: str | None, database: Path | None) -> None:
        self._program = program
        self._database = database

    def advise(self, sql: str) -> Advice:
        """Say which indexes the statement lacks. Blocks for some milliseconds."""
        if self._program is None:
            return Advice(silent=_NOT_HERE)
        try:
            done = subprocess.run(  # noqa: S603  # apsw's program, our own file
                [self._program, "-verbose", "0", "-sql", sql, str(self._database)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Advice(silent=f"SQLite's expert can't be run ({type(error).__name__})")
        if done.returncode:
            said = done.stderr.strip().removeprefix("Error: ") or f"code {done.returncode}"
            return Advice(silent=f"SQLite's expert can't judge it: {said}")
        # The indexes, one on a line, and after a blank line the plan with them.
        lines = done.stdout.partition("\n\n")[0].splitlines()
        return Advice(tuple(line for line in lines if line.startswith("CREATE ")))


@contextmanager
def expert_on(driver: SqliteDriver) -> Iterator[Expert]:
    """Give an expert on the schema of a database in memory, for a `with` block."""
    program = _program()
    if program is None:
        yield Expert(None, None)
        return
    with TemporaryDirectory(prefix="trio_sqlrepo-") as directory:
        database = Path(directory, "schema.db")
        _write(driver, database)
        yield Expert(program, database)


def _program() -> str | None:
    try:
        from apsw import sqlite_extra  # noqa: PLC0415  # older builds of apsw lack it
    except ImportError:
        return None
    try:
        return str(sqlite_extra.path("sqlite3_expert"))
    except (LookupError, sqlite_extra.NotAvailable):
        return None


def _write(driver: SqliteDriver, database: Path) -> None:
    target = apsw.Connection(str(database))
    try:
        with target.backup("main", driver._link.connection, "main") as backup:
            backup.step()
        if target.execute(_SAMPLES).fetchall()[0][0]:
            target.execute("DELETE FROM sqlite_stat4")
        for (name,) in target.execute(_VIRTUAL).fetchall():
            quoted = str(name).replace('"', '""')
            target.execute(f'DROP TABLE "{quoted}"')
    finally:
        target.close(force=True)
