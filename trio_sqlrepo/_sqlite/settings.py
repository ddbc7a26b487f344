"""How a connection is set up, and the proof that it is: every setting is read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import apsw

from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._base.errors import OpenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._base.config import SQLiteConfig

_SYNCHRONOUS = {"off": 0, "normal": 1, "full": 2, "extra": 3}
_TEMP_STORE = {"default": 0, "file": 1, "memory": 2}
_KIB = 1024
# What a connection keeps and a PRAGMA tells. `busy_timeout` is put back with the busy handler.
_TOLD = """
    automatic_index cache_size cache_spill cell_size_check checkpoint_fullfsync foreign_keys
    full_column_names fullfsync ignore_check_constraints journal_mode journal_size_limit
    locking_mode max_page_count mmap_size query_only read_uncommitted recursive_triggers
    reverse_unordered_selects secure_delete short_column_names synchronous temp_store threads
"""
_PRAGMAS = tuple(_TOLD.split())
# Not only by PRAGMA: apsw has a call for it.
_AUTOCHECKPOINT = "wal_autocheckpoint"
_OWN_DATABASES = 2  # main and temp
_LIMITS = tuple(limit for limit in apsw.mapping_limits if isinstance(limit, int))
_TRUTH = {"on": 1, "true": 1, "yes": 1, "off": 0, "false": 0, "no": 0}


def _flags(config: SQLiteConfig) -> dict[str, int]:
    """Give the switches of sqlite3_db_config and how they must stand."""
    return {
        "SQLITE_DBCONFIG_DEFENSIVE": 1,
        "SQLITE_DBCONFIG_DQS_DDL": 0,
        "SQLITE_DBCONFIG_DQS_DML": 0,
        "SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION": 0,
        # Otherwise SQLite compiles `WHERE room = :room ORDER BY id` (or LIKE :pattern) anew for
        # every value bound, as the value might suggest another plan.
        "SQLITE_DBCONFIG_ENABLE_QPSG": 1,
        "SQLITE_DBCONFIG_ENABLE_TRIGGER": 1,
        "SQLITE_DBCONFIG_ENABLE_VIEW": 1,
        "SQLITE_DBCONFIG_TRUSTED_SCHEMA": int(config.trusted_schema),
        "SQLITE_DBCONFIG_WRITABLE_SCHEMA": 0,
    }


@final
class Settings:
    """What one connection's settings must be. Used on the connection's thread only."""

    __slots__ = ("_config", "_connection", "_flags", "_limits", "_role", "remembered")

    def __init__(self, connection: apsw.Connection, config: SQLiteConfig, role: Role) -> None:
        self._connection = connection
        self._config = config
        self._role = role
        self._flags = {getattr(apsw, name): value for name, value in _flags(config).items()}
        self._limits: dict[int, int] = {}  # once they are set
        self.remembered: dict[str, object] = {}  # what PRAGMAs told; empty: not asked yet

    def __repr__(self) -> str:
        return f"<Settings of a {self._role.value}>"

    def make(self, *, memory: bool) -> None:
        """Set all, before the first statement that touches the file's content.

        Raises:
            OpenError: SQLite did not take one; or apsw's errors.
        """
        connection = self._connection
        for name, function in self._config.functions.items():
            connection.create_scalar_function(
                name,
                function.call,
                function.arguments,
                deterministic=function.deterministic,
                flags=apsw.SQLITE_INNOCUOUS if function.innocuous else 0,
            )
        self._load_extensions()
        for option, value in self._flags.items():
            connection.config(option, value)
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        self._limits = {limit: connection.limit(limit) for limit in _LIMITS}
        self._limits[apsw.SQLITE_LIMIT_ATTACHED] = 0
        for pragma, setting in self._pragmas(memory=memory):
            self._set(pragma, setting)
        known = {name for (name,) in connection.execute("PRAGMA pragma_list")}
        for pragma, wanted in self._config.pragmas.items():
            if pragma.lower() not in known:
                raise OpenError(
                    f"SQLiteConfig.pragmas names {pragma!r}, which SQLite does not know."
                )
            self._set(pragma, wanted)
        if (deviation := self.deviation()) is not None:
            raise OpenError(f"SQLite did not take a setting: {deviation}.")

    def seal(self) -> None:
        """Forbid writes for good, where the connection's role is to read."""
        if self._role is Role.READER:
            self._set("query_only", 1)

    def deviation(self) -> str | None:
        """Say which of the switches that code with the raw connection can reach has moved."""
        connection = self._connection
        for option, value in self._flags.items():
            if (found := connection.config(option, -1)) != value:
                return f"{apsw.mapping_db_config[option]} is {found}, not {value}"
        for limit, value in self._limits.items():
            if (found := connection.limit(limit)) != value:
                return f"{apsw.mapping_limits[limit]} is {found}, not {value}"
        if len(names := connection.db_names()) > _OWN_DATABASES:
            return f"the database {names[-1]!r} is attached"
        return self._moved(_AUTOCHECKPOINT) if self.remembered else None

    def remember(self) -> None:
        """Note what PRAGMAs tell, before the first code that could change it. 50 µs, once."""
        self.remembered = {name: self._ask(name) for name in (*_PRAGMAS, _AUTOCHECKPOINT)}

    def moved(self) -> str | None:
        """Say which PRAGMA tells another thing than was remembered. 50 µs."""
        return next(filter(None, map(self._moved, self.remembered)), None)

    def _moved(self, pragma: str) -> str | None:
        tells, wanted = self._ask(pragma), self.remembered[pragma]
        return None if tells == wanted else f"{pragma} is {tells}, not {wanted}"

    def _ask(self, pragma: str) -> object:
        # Compiled anew each time: some tell what was so when they were compiled.
        rows = self._connection.execute(f"PRAGMA {pragma}", can_cache=False).fetchall()
        return rows[0][0] if rows else None

    def enforce_foreign_keys(self, *, on: bool) -> None:
        """Switch foreign keys, outside of a transaction (inside one it would be a no-op)."""
        self._set("foreign_keys", int(on))

    def _load_extensions(self) -> None:
        if not self._config.extensions:
            return
        self._connection.enable_load_extension(True)
        try:
            for extension in self._config.extensions:
                try:
                    self._connection.load_extension(str(extension))
                except apsw.ExtensionLoadingError as error:
                    raise OpenError(
                        f"SQLiteConfig.extensions names {str(extension)!r}, which SQLite can't"
                        f" load: {error}."
                    ) from error
        finally:
            self._connection.enable_load_extension(False)

    def _pragmas(self, *, memory: bool) -> Iterator[tuple[str, int]]:
        config = self._config
        yield "foreign_keys", int(config.foreign_keys and self._role is not Role.MIGRATOR)
        yield "recursive_triggers", int(config.recursive_triggers)
        yield "synchronous", _SYNCHRONOUS[config.synchronous]
        yield "journal_size_limit", config.wal_size_limit
        if config.temp_store is not None:
            yield "temp_store", _TEMP_STORE[config.temp_store]
        if config.cache_size is not None:
            # Negative means KiB and not pages; rounded up, so that no size becomes none.
            yield "cache_size", -config.cache_size // _KIB
        if config.mmap_size is not None and not memory:
            yield "mmap_size", config.mmap_size

    def _set(self, pragma: str, setting: int | str) -> None:
        """Set it and read it back. SQLite ignores in silence what it does not like."""
        quoted = apsw.format_sql_value(setting)
        self._connection.execute(f"PRAGMA {pragma} = {quoted}").fetchall()
        row = self._connection.execute(f"PRAGMA {pragma}").fetchone()
        wanted = _number(setting)
        # Words (secure_delete = 'fast') read back as numbers of SQLite's own, and some pragmas
        # can't be read at all: there is nothing to compare.
        if row is None or wanted is None or _number(row[0]) is None:
            return
        if _number(row[0]) != wanted:
            raise OpenError(
                f"SQLite did not take PRAGMA {pragma} = {quoted}: it is {row[0]!r} after that."
            )


def _number(setting: Any) -> int | None:
    if isinstance(setting, int):
        return setting
    text = str(setting).lower()
    return _TRUTH.get(text, int(text) if text.lstrip("+-").isdecimal() else None)
