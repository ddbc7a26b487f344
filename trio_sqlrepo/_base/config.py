"""Settings: frozen, checked when made; a bad value is refused by name, never corrected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from typing import Any, Literal, Self, get_args

import attrs

Synchronous = Literal["off", "normal", "full", "extra"]
TempStore = Literal["default", "file", "memory"]

_Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _refusal(owner: object, field: attrs.Attribute[Any], must: str, value: object) -> str:
    return f"{type(owner).__name__}.{field.name} must be {must}; it is {value!r}."


def _whole(at_least: int, unit: str) -> _Check:
    def check(owner: object, field: attrs.Attribute[Any], value: object) -> None:
        must = f"a whole number of {unit}, {at_least} or more"
        if type(value) is not int:
            raise TypeError(_refusal(owner, field, must, value))
        if value < at_least:
            raise ValueError(_refusal(owner, field, must, value))

    return check


def _number(must: str, fits: Callable[[float], bool]) -> _Check:
    def check(owner: object, field: attrs.Attribute[Any], value: Any) -> None:
        if type(value) not in {int, float}:
            raise TypeError(_refusal(owner, field, must, value))
        if not fits(value):  # NaN fits nothing
            raise ValueError(_refusal(owner, field, must, value))

    return check


# A longer wait than an hour is a number of milliseconds in the wrong place.
_HOUR = 3600
_seconds = _number("a number of seconds above 0 (math.inf for no limit)", lambda value: value > 0)
_patience = _number(
    f"a number of seconds, not milliseconds, above 0 and up to {_HOUR} (math.inf for no limit)",
    lambda value: 0 < value <= _HOUR or value == math.inf,
)
_finite_seconds = _number(
    f"a finite number of seconds, not milliseconds, from 0 to {_HOUR}",
    lambda value: 0 <= value <= _HOUR,
)
_some_seconds = _number(
    f"a finite number of seconds, not milliseconds, above 0 and up to {_HOUR}",
    lambda value: 0 < value <= _HOUR,
)
_share = _number("a share, from 0 to 1", lambda value: 0 <= value <= 1)


def _switch(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if type(value) is not bool:
        raise TypeError(_refusal(owner, field, "True or False", value))


def _one_of(choices: object) -> _Check:
    allowed = get_args(choices)

    def check(owner: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            raise ValueError(_refusal(owner, field, f"one of {', '.join(allowed)}", value))

    return check


def _keys(owner: str, mapping: Mapping[str, Any], known: set[str]) -> None:
    if not isinstance(mapping, Mapping):  # an empty section of YAML is None
        message = f"{owner}.from_mapping takes a mapping of settings; it was given {mapping!r}."
        raise TypeError(message)
    if unknown := sorted(repr(key) for key in mapping if key not in known):
        message = (
            f"{owner}.from_mapping found {', '.join(unknown)};"
            f" the known keys are {', '.join(sorted(known))}."
        )
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class PoolConfig:
    """How many connections serve, how long calls wait. All times are seconds of trio's clock.

    Attributes:
        min_readers: readers opened at the start and kept.
        max_readers: readers opened on demand, at most. 0: reads share the writer's connection.
        max_writers: write connections; they share one write turn, further ones are spares.
        reserved_readers: readers that snapshots and streams may not take while `max_readers` is
            above 1.
        connection_timeout: longest wait for a connection, then `PoolTimeout`.
        max_waiting: most calls waiting per lane, then `PoolOverloaded` at once.
        max_idle: an idle reader beyond `min_readers` is closed after this long.
        max_lifetime: a connection older than this is renewed between two calls.
        health_check_interval: time between two rounds of probes.
        health_check_timeout: longest time a probe may take.
        group_commit: most writes in one COMMIT; 1 turns grouping off.
        drain_timeout: at the end of the block queued work is finished for so long, then
            interrupted.
        live_poll_interval: while anybody watches (`Database.live`, `Database.changes`), how often
            is looked whether another process has committed something. math.inf: never.
        warning_window: `stats().warnings` looks back so far.
        warning_idle_share: warn when fewer of the readers than this share, from 0 to 1, have been
            idle for the whole window. 0: never.
        warning_error_share: warn when more of the window's operations than this share have failed.
            1: never.
        warning_stream_age: warn when a row stream has been open for longer. math.inf: never.
    """

    min_readers: int = attrs.field(default=1, validator=_whole(0, "connections"))
    max_readers: int = attrs.field(default=4, validator=_whole(0, "connections"))
    max_writers: int = attrs.field(default=1, validator=_whole(1, "connections"))
    reserved_readers: int = attrs.field(default=1, validator=_whole(0, "connections"))
    connection_timeout: float = attrs.field(default=30.0, validator=_patience)
    max_waiting: int = attrs.field(default=10_000, validator=_whole(1, "calls"))
    max_idle: float = attrs.field(default=600.0, validator=_seconds)
    max_lifetime: float = attrs.field(default=3600.0, validator=_seconds)
    health_check_interval: float = attrs.field(default=60.0, validator=_seconds)
    health_check_timeout: float = attrs.field(default=5.0, validator=_patience)
    group_commit: int = attrs.field(default=128, validator=_whole(1, "writes"))
    drain_timeout: float = attrs.field(default=5.0, validator=_finite_seconds)
    live_poll_interval: float = attrs.field(default=1.0, validator=_seconds)
    warning_window: float = attrs.field(default=60.0, validator=_some_seconds)
    warning_idle_share: float = attrs.field(default=0.2, validator=_share)
    warning_error_share: float = attrs.field(default=0.01, validator=_share)
    warning_stream_age: float = attrs.field(default=60.0, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that are right alone and wrong together."""
        if self.max_readers and self.min_readers > self.max_readers:
            message = (
                f"PoolConfig.min_readers is {self.min_readers}, above max_readers,"
                f" {self.max_readers}; raise the one or lower the other."
            )
            raise ValueError(message)
        if self.max_readers > 1 and self.reserved_readers >= self.max_readers:
            message = (
                f"PoolConfig.reserved_readers is {self.reserved_readers} of {self.max_readers}"
                " readers, which leaves none for a snapshot; lower it."
            )
            raise ValueError(message)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make one from parsed TOML, YAML or JSON; unknown keys are refused.

        Older names are understood as well: `max_connections` is the number of all connections
        (one of them, or `max_writers`, writes, the rest read; 1 is `max_readers=0`), and
        `enable_pooling = false` is the single-connection mode: `max_readers=0`, one writer.

        Raises:
            ValueError, TypeError: a key or a value is wrong; the message names it.
        """
        known = {field.name for field in attrs.fields(cls)}
        _keys(cls.__name__, mapping, known | {"max_connections", "enable_pooling"})
        settings = {name: mapping[name] for name in mapping if name in known}
        if "max_connections" in mapping:
            settings.update(_from_max_connections(mapping))
        if "enable_pooling" in mapping:
            settings.update(_from_enable_pooling(mapping))
        return cls(**settings)


def _from_max_connections(mapping: Mapping[str, Any]) -> dict[str, int]:
    total = mapping["max_connections"]
    writers = mapping.get("max_writers", 1)
    if "max_readers" in mapping:
        message = "PoolConfig.from_mapping found max_connections beside max_readers; give one."
        raise ValueError(message)
    if type(total) is not int or type(writers) is not int or total < max(writers, 1):
        message = (
            "PoolConfig.from_mapping: max_connections must be a whole number of connections,"
            f" at least the {writers!r} that write; it is {total!r}."
        )
        raise ValueError(message)
    readers = total - writers
    least = mapping.get("min_readers", min(1, readers))
    reserved = mapping.get("reserved_readers", 1 if readers > 1 else 0)
    return {"max_readers": readers, "min_readers": least, "reserved_readers": reserved}


def _from_enable_pooling(mapping: Mapping[str, Any]) -> dict[str, int]:
    enabled = mapping["enable_pooling"]
    if type(enabled) is not bool:
        message = (
            f"PoolConfig.from_mapping: enable_pooling must be True or False; it is {enabled!r}."
        )
        raise TypeError(message)
    return {} if enabled else {"max_readers": 0, "min_readers": 0, "max_writers": 1}


# Converters run first. What they cannot convert they leave for the validator to refuse by name.
def _own_mapping(value: Any) -> Any:
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else value


def _own_files(value: Any) -> Any:
    # A text is a sequence of texts too: `"ab"` would be the files `a` and `b`.
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return value
    return tuple(fspath(item) if isinstance(item, PathLike) else item for item in value)


def _callable(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise TypeError(_refusal(owner, field, "callable", value))


def _filled_text(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(_refusal(owner, field, "a name", value))
    if not value:
        raise ValueError(_refusal(owner, field, "a name", value))


def _names(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(_refusal(owner, field, "a mapping", value))
    for name in value:
        if not isinstance(name, str) or not name.isidentifier():
            must = "a mapping whose keys are plain names"
            raise ValueError(_refusal(owner, field, must, name))


def _functions(owner: object, field: attrs.Attribute[Any], value: Mapping[str, object]) -> None:
    _names(owner, field, value)
    for name, function in value.items():
        if not isinstance(function, SqlFunction):
            must = "a mapping of names to SqlFunction"
            raise TypeError(_refusal(owner, field, must, name))


def _pragmas(owner: object, field: attrs.Attribute[Any], value: Mapping[str, object]) -> None:
    _names(owner, field, value)
    for name, setting in value.items():
        if name.lower() in _OWN_PRAGMAS:
            must = "pragmas that this library does not set itself"
            raise ValueError(_refusal(owner, field, must, name))
        if type(setting) not in {int, str}:
            raise TypeError(_refusal(owner, field, "a mapping of names to int or str", name))


_OWN_PRAGMAS = frozenset(
    [
        "journal_mode",
        "synchronous",
        "busy_timeout",
        "foreign_keys",
        "trusted_schema",
        "recursive_triggers",
        "cache_size",
        "mmap_size",
        "page_size",
        "temp_store",
        "query_only",
        "wal_autocheckpoint",
        "locking_mode",
        "journal_size_limit",
        "read_uncommitted",
        "writable_schema",
    ]
)


@attrs.frozen(kw_only=True)
class SqlFunction:
    """A Python function that SQL may call, registered on every connection.

    Attributes:
        call: what runs, on the connection's thread. It gets and gives SQLite's values (None,
            int, float, str, bytes) and must touch no trio object.
        arguments: how many it takes; -1 for any number.
        deterministic: the same arguments always give the same result (lets SQLite reuse it,
            and use it in indexes).
        innocuous: harmless to call from a view or trigger in a file of unknown origin. Without
            it, views and triggers cannot call it while `trusted_schema` is off.
    """

    call: Callable[..., int | float | str | bytes | None] = attrs.field(validator=_callable)
    arguments: int = attrs.field(default=-1, validator=_whole(-1, "arguments"))
    deterministic: bool = attrs.field(default=False, validator=_switch)
    innocuous: bool = attrs.field(default=False, validator=_switch)


@attrs.frozen(kw_only=True)
class SQLiteConfig:
    """How every connection is set up, replacements included. Sizes are bytes, times seconds.

    None leaves SQLite's own default.

    Attributes:
        synchronous: `"full"` keeps acknowledged writes through a power loss; `"normal"` may
            lose the last of them (https://sqlite.org/pragma.html#pragma_synchronous).
        busy_timeout: longest wait for a lock of *another process*, then `DatabaseLocked`.
        foreign_keys, trusted_schema, recursive_triggers: SQLite's pragmas of these names.
        cache_size: page cache of each connection.
        mmap_size: how much of the file is mapped into memory.
        page_size: for a file that is made now; an existing one keeps its own.
        temp_store: where temporary tables live.
        wal_size_limit: the WAL file is kept below this size, as far as readers let it.
        functions: `SqlFunction` by the name SQL calls it by.
        extensions: files of run-time extensions to load.
        pragmas: further pragmas, by name.
        vfs: the name of a registered VFS that SQLite reaches the file through
            (https://sqlite.org/vfs.html), such as one of `trio_sqlrepo.testing.disk`.
    """

    synchronous: Synchronous = attrs.field(default="full", validator=_one_of(Synchronous))
    busy_timeout: float = attrs.field(default=5.0, validator=_finite_seconds)
    foreign_keys: bool = attrs.field(default=True, validator=_switch)
    trusted_schema: bool = attrs.field(default=False, validator=_switch)
    recursive_triggers: bool = attrs.field(default=False, validator=_switch)
    cache_size: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(_whole(0, "bytes"))
    )
    mmap_size: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(_whole(0, "bytes"))
    )
    page_size: int | None = attrs.field(default=None)
    temp_store: TempStore | None = attrs.field(
        default=None, validator=attrs.validators.optional(_one_of(TempStore))
    )
    wal_size_limit: int = attrs.field(default=64 * 2**20, validator=_whole(1, "bytes"))
    functions: Mapping[str, SqlFunction] = attrs.field(
        default=None, converter=_own_mapping, validator=_functions
    )
    extensions: tuple[str, ...] = attrs.field(default=(), converter=_own_files)
    pragmas: Mapping[str, int | str] = attrs.field(
        default=None, converter=_own_mapping, validator=_pragmas
    )
    vfs: str | None = attrs.field(default=None, validator=attrs.validators.optional(_filled_text))

    @page_size.validator
    def _(self, field: attrs.Attribute[Any], value: object) -> None:
        if value is None:
            return
        must = "a power of two from 512 to 65536 (bytes)"
        if type(value) is not int:
            raise TypeError(_refusal(self, field, must, value))
        if value not in {2**power for power in range(9, 17)}:
            raise ValueError(_refusal(self, field, must, value))

    @extensions.validator
    def _(self, field: attrs.Attribute[Any], value: tuple[object, ...]) -> None:
        must = "a sequence of file names"
        if not isinstance(value, tuple):
            raise TypeError(_refusal(self, field, must, value))
        for extension in value:
            if not isinstance(extension, str):
                raise TypeError(_refusal(self, field, must, extension))
            if not extension:
                raise ValueError(_refusal(self, field, must, extension))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make one from parsed TOML, YAML or JSON; unknown keys are refused.

        Raises:
            ValueError, TypeError: a key or a value is wrong; the message names it.
        """
        _keys(cls.__name__, mapping, {field.name for field in attrs.fields(cls)})
        return cls(**mapping)
