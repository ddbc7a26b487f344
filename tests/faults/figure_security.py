"""No value is shown, no path is more than a path, no connection is softer than the others."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import apsw
import trio

from tests.faults.canary import SCENARIOS, search
from tests.faults.figure import Figure
from trio_sqlrepo import Database, PoolConfig, SQLiteConfig, open_database
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = "no error shows a value, no path changes mode or VFS, every connection is hardened"


def run(seed: int, *, full: bool) -> Figure:
    """Send a canary through every error; open hostile paths; read every setting back."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory, ChildReader() as reader:
        texts, shown = trio.run(search, Path(directory))
        assert not shown, f"the canary was shown {len(shown)} times: {shown[:3]}"
        names = list(_hostile_names())
        names = names if full else rng.sample(names, 40)
        for number, name in enumerate(names):
            folder = Path(directory, f"paths {number}")
            folder.mkdir()
            trio.run(_open_hostile, folder, name, reader)
        with mock.patch.object(logger, "disabled", new=True):  # it tells of each replacement
            settings = sum(
                trio.run(_read_back, Path(directory, f"settings {number}.db"), config, readers)
                for number, config in enumerate(_CONFIGS)
                for readers in (0, 1)
            )
    return Figure(
        f"a canary through {len(SCENARIOS) + 2} kinds of error, {texts} texts read: 0 appearances;"
        f" {len(names)} hostile paths: 0 changed mode or VFS; {settings} settings and limits read"
        " back on writers, readers and their replacements: all as configured",
        {"texts": texts, "appearances": 0, "paths": len(names), "settings": settings},
    )


# -- paths -----------------------------------------------------------------------------------------


def _hostile_names() -> Iterator[str]:
    """Two hundred names that a URI would understand otherwise, or a shell, or SQL."""
    parameters = [
        f"{name}={value}"
        for name, values in {
            "mode": ("memory", "ro", "rw", "rwc"),
            "vfs": ("memdb", "unix-none", "unix-dotfile", "nowhere"),
            "cache": ("shared", "private"),
            "immutable": ("1", "true"),
            "nolock": ("1",),
            "psow": ("0",),
            "modeof": ("x.db",),
            "ptr": ("0x1",),
        }.items()
        for value in values
    ]
    for parameter in parameters:
        for form in ("{}", "file:x.db?{}", "x.db?{}", "file::memory:?{}", "%3F{}", "x.db#?{}"):
            yield form.format(parameter)
        yield f"file:x.db?{parameter}&mode=memory"
        yield f"x.db%00?{parameter}"
    yield from (
        "file:x.db", "FILE:x.db", "file:%2e%2e%2fx.db", "file:x%00.db", "file:", "file:x.db#y",
        "file::memory:", ":memory:?", ":memory: ", " :memory:", ":MEMORY:", ":memory", "memory:",
        "?", "#", "%", "%00", "%41.db", "&", "=", ";", "'", '"', "`", "--", "*", "~", "$HOME",
        "$(id)", "|id", "a b.db", " ", "\t", "\n", "\\", "\\x00", "..db", "...", "-x.db", "--vfs=x",
        "x'.db", 'x".db', "x;DROP TABLE t;--", "\u2603.db", "\u202ebd.x", "\xe9.db", "e\u0301.db",
        "x.db-wal", "x.db-shm", "x-journal", "con", "nul", "[x]", "{x}", "x" * 200, "\x01\x7f", "@",
        "?mode=memory", "%3fmode=memory", "x.db?", "x.db?&", "x.db?mode", "x.db?=", "x.db??mode=ro",
        "sqlite:x.db", "http:x.db", "jdbc:sqlite:x.db", "x.db\\?mode=ro", "x.db%3Fvfs=memdb",
        "file:x.db;mode=memory", "file:x.db&mode=memory", "x.db?vfs", "file:x.db?mode=%6demory",
        "file:x.db?MODE=memory", "x.db\r?mode=ro",
    )  # fmt: skip


async def _open_hostile(folder: Path, name: str, reader: ChildReader) -> None:
    assert "/" not in name, "it would lie elsewhere"
    path = folder / name
    async with open_database(path) as db:
        await db.execute("CREATE TABLE t (x)")
        await db.execute("INSERT INTO t VALUES (7)")
        vfs, mode, listed = await db.write(_describe)
        assert (vfs, mode, listed) == (apsw.vfs_names()[0], "wal", str(path)), repr(name)
        # The file of this name, beside which are its own two and nothing else.
        found = sorted(each.name for each in folder.iterdir())
        assert found == sorted([name, f"{name}-wal", f"{name}-shm"]), repr(name)
        assert reader.read(path, "SELECT x FROM t") == [(7,)], repr(name)
    assert [each.name for each in folder.iterdir()] == [name]


def _describe(connection: Any) -> tuple[str, object, str]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return connection.open_vfs, mode, connection.db_filename("main")


# -- settings --------------------------------------------------------------------------------------

_CONFIGS: Final = (
    SQLiteConfig(),
    SQLiteConfig(
        synchronous="extra",
        foreign_keys=False,
        trusted_schema=True,
        recursive_triggers=True,
        cache_size=4 << 20,
        mmap_size=1 << 20,
        page_size=8192,
        temp_store="memory",
        wal_size_limit=1 << 20,
        pragmas={"cell_size_check": 1, "secure_delete": 1},
    ),
)


def _expected(config: SQLiteConfig, *, reader: bool) -> dict[str, object]:
    """What each setting must be; by the names of PRAGMAs, switches and limits."""
    default = config == SQLiteConfig()
    trusted = int(config.trusted_schema)
    return {
        "journal_mode": "wal",
        "synchronous": 2 if default else 3,
        "foreign_keys": int(config.foreign_keys),
        "trusted_schema": trusted,
        "recursive_triggers": int(config.recursive_triggers),
        "cache_size": -2000 if default else -4096,
        "mmap_size": config.mmap_size or 0,
        "page_size": config.page_size or 4096,
        "temp_store": 0 if default else 2,
        "journal_size_limit": config.wal_size_limit,
        "cell_size_check": 0 if default else 1,
        "secure_delete": 0 if default else 1,
        "query_only": int(reader),
        "SQLITE_DBCONFIG_DEFENSIVE": 1,
        "SQLITE_DBCONFIG_DQS_DDL": 0,
        "SQLITE_DBCONFIG_DQS_DML": 0,
        "SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION": 0,
        "SQLITE_DBCONFIG_TRUSTED_SCHEMA": trusted,
        "SQLITE_DBCONFIG_WRITABLE_SCHEMA": 0,
        "SQLITE_DBCONFIG_ENABLE_TRIGGER": 1,
        "SQLITE_DBCONFIG_ENABLE_VIEW": 1,
        "SQLITE_LIMIT_ATTACHED": 0,
    }


def _settings(connection: Any, names: list[str]) -> dict[str, object]:
    return {name: _setting(connection, name) for name in names}


def _setting(connection: Any, name: str) -> object:
    if name.startswith("SQLITE_DBCONFIG"):
        return connection.config(getattr(apsw, name), -1)
    if name.startswith("SQLITE_LIMIT"):
        return connection.limit(getattr(apsw, name))
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def _soften(connection: Any) -> None:
    """Make it dirty, so that it is replaced."""
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 3)


async def _read_back(path: Path, config: SQLiteConfig, readers: int) -> int:
    """How many settings were compared on each kind of connection, and on its replacement."""
    count = 0
    async with open_database(path, pool=PoolConfig(max_readers=readers), sqlite=config) as db:
        for _ in range(2):
            for reader in (False, True)[: 1 + readers]:
                expected = _expected(config, reader=reader)
                call = db.read if reader else db.write
                found = await call(_settings, list(expected))
                assert found == expected, _difference(found, expected)
                count += len(expected)
            await _replace_all(db)
    return count


def _difference(found: dict[str, object], expected: dict[str, object]) -> str:
    return ", ".join(
        f"{name} is {found[name]!r}, not {expected[name]!r}"
        for name in expected
        if found[name] != expected[name]
    )


async def _replace_all(db: Database) -> None:
    """Have one connection of each kind replaced."""
    before = db.stats()
    await db.write(_soften)
    if db._pool.readers is not db._pool.writers:
        await db.read(_soften)
    while True:
        now = db.stats()
        if now.writers.replaced > before.writers.replaced and (
            db._pool.readers is db._pool.writers or now.readers.replaced > before.readers.replaced
        ):
            return
        await trio.lowlevel.checkpoint()
