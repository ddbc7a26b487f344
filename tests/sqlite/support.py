"""Helpers of this floor's tests: statements as a contract check makes them, locks, disk faults."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import apsw

from trio_sqlrepo._base.job import RowBuilder, Statement
from trio_sqlrepo._sqlite import SqliteDriver, open_driver
from trio_sqlrepo._sqlite.link import Link

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from trio_sqlrepo._base.config import SQLiteConfig
    from trio_sqlrepo._base.driver import Role


def by_name(columns: tuple[str, ...]) -> RowBuilder:
    """Make a builder of dicts, as a contract check makes one of objects."""
    return lambda row: dict(zip(columns, row, strict=True))


def reads(
    sql: str, *columns: str, parameters: int = 0, single: bool = False, name: str = "T.read"
) -> Statement:
    return Statement(
        number=0,
        name=name,
        sql=sql,
        parameter_count=parameters,
        writes=False,
        columns=columns,
        single=single,
        build=by_name(columns),
        rebuild=by_name,
    )


def writes(
    sql: str,
    *columns: str,
    parameters: int = 0,
    single: bool = False,
    by_total: bool = False,
    name: str = "T.write",
) -> Statement:
    return Statement(
        number=0,
        name=name,
        sql=sql,
        parameter_count=parameters,
        writes=True,
        columns=columns,
        single=single,
        build=by_name(columns) if columns else None,
        rebuild=by_name if columns else None,
        counts_by_total=by_total,
    )


@contextmanager
def write(driver: SqliteDriver) -> Iterator[SqliteDriver]:
    """One write transaction, rolled back by an exception."""
    driver.begin_write()
    try:
        yield driver
        driver.commit()
    finally:
        driver.rollback()


def run_in(driver: SqliteDriver, statement: Statement, *parameters: Any) -> Any:
    """Run it in a write transaction of its own."""
    with write(driver):
        return driver.run(statement, parameters)


class Holder:
    """A child process that holds the write lock until it is told to let go."""

    SOURCE = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""

    def __init__(self, path: Path, begin: str = "BEGIN IMMEDIATE") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SOURCE, str(path), begin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        """Tell it; a second time does nothing."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.write("\n")
            self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


class FaultyDisk(apsw.VFS):
    """The default file system of SQLite, whose next syncs or writes of the WAL fail."""

    def __init__(self) -> None:
        self.fail_sync = 0  # a result code
        self.fail_write = 0
        self.fired = 0
        self.base = apsw.vfs_names()[0]
        super().__init__("faulty", self.base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _FaultyFile(self, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__(disk.base, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._perhaps_fail(self.disk.fail_sync)
        super().xSync(flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._perhaps_fail(self.disk.fail_write)
        super().xWrite(data, offset)

    def _perhaps_fail(self, code: int) -> None:
        if self.is_wal and code:
            self.disk.fired += 1
            raise apsw.exception_for(code)


def fail_once(monkeypatch: pytest.MonkeyPatch, begins: str, code: int, times: int = 1) -> list[str]:
    """Have the driver's own statement fail with a code, so many times; give what was run."""
    own = Link.own
    ran: list[str] = []

    def failing(link: Link, kept: Any) -> None:
        if kept.sql.startswith(begins):
            ran.append(kept.sql)
            if len(ran) <= times:
                raise apsw.exception_for(code)
        own(link, kept)

    monkeypatch.setattr(Link, "own", failing)
    return ran


class Opener:
    """Opens drivers on one file and closes them at the end."""

    def __init__(self, path: str, config: SQLiteConfig) -> None:
        self.path = path
        self.config = config
        self.drivers: list[SqliteDriver] = []

    def __call__(
        self, role: Role, config: SQLiteConfig | None = None, path: str | None = None, **more: Any
    ) -> SqliteDriver:
        driver = open_driver(path or self.path, config or self.config, role, **more)
        self.drivers.append(driver)
        return driver

    def close(self) -> None:
        for driver in self.drivers:
            driver.close()
