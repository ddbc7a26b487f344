"""Settings: a bad value is refused when it is given, by name, and never corrected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_sqlrepo._base.config import PoolConfig, SqlFunction, SQLiteConfig

FUNCTION = SqlFunction(call=abs)


def test_the_defaults_are_those_of_the_documents() -> None:
    assert attrs.asdict(PoolConfig()) == {
        "min_readers": 1,
        "max_readers": 4,
        "max_writers": 1,
        "reserved_readers": 1,
        "connection_timeout": 30.0,
        "max_waiting": 10_000,
        "max_idle": 600.0,
        "max_lifetime": 3600.0,
        "health_check_interval": 60.0,
        "health_check_timeout": 5.0,
        "group_commit": 128,
        "drain_timeout": 5.0,
        "live_poll_interval": 1.0,
        "warning_window": 60.0,
        "warning_idle_share": 0.2,
        "warning_error_share": 0.01,
        "warning_stream_age": 60.0,
    }
    assert attrs.asdict(SQLiteConfig()) == {
        "synchronous": "full",
        "busy_timeout": 5.0,
        "foreign_keys": True,
        "trusted_schema": False,
        "recursive_triggers": False,
        "cache_size": None,
        "mmap_size": None,
        "page_size": None,
        "temp_store": None,
        "wal_size_limit": 64 * 1024 * 1024,
        "functions": {},
        "extensions": (),
        "pragmas": {},
        "vfs": None,
    }
    assert attrs.asdict(FUNCTION) == {
        "call": abs,
        "arguments": -1,
        "deterministic": False,
        "innocuous": False,
    }


@pytest.mark.parametrize("kind", [PoolConfig, SQLiteConfig, SqlFunction])
def test_settings_are_frozen_and_given_by_name(kind: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind(1)
    config = kind(call=abs) if kind is SqlFunction else kind()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(config, attrs.fields(kind)[0].name, 1)


def test_what_was_given_may_change_afterwards() -> None:
    functions, pragmas, extensions = {"f": FUNCTION}, {"cell_size_check": 1}, [Path("a"), "b"]
    config = SQLiteConfig(
        functions=functions,
        pragmas=pragmas,
        extensions=extensions,
    )
    functions.clear()
    pragmas.clear()
    extensions.clear()
    assert config.functions == {"f": FUNCTION}
    assert config.pragmas == {"cell_size_check": 1}
    assert config.extensions == ("a", "b")


def test_a_vfs_has_a_name() -> None:
    assert SQLiteConfig(vfs="unix").vfs == "unix"
    with pytest.raises(ValueError, match=r"^SQLiteConfig\.vfs must be a name; it is ''\.$"):
        SQLiteConfig(vfs="")
    with pytest.raises(TypeError, match=r"^SQLiteConfig\.vfs must be a name; it is 1\.$"):
        SQLiteConfig(vfs=1)  # type: ignore[arg-type]


# -- single values ---------------------------------------------------------------------------

WHOLE = {
    PoolConfig: {
        "min_readers": 0,
        "max_readers": 0,
        "max_writers": 1,
        "reserved_readers": 0,
        "max_waiting": 1,
        "group_commit": 1,
    },
    SQLiteConfig: {"cache_size": 0, "mmap_size": 0, "wal_size_limit": 1},
}
NUMBERS = [(kind, name, least) for kind, names in WHOLE.items() for name, least in names.items()]


@pytest.mark.parametrize(("kind", "name", "least"), NUMBERS)
def test_numbers_have_a_least(kind: Any, name: str, least: int) -> None:
    assert getattr(kind(**{name: least}), name) == least
    message = rf"{kind.__name__}\.{name} must be a whole number of \w+, {least} or more; it is "
    with pytest.raises(ValueError, match=rf"{message}{least - 1}\.$"):
        kind(**{name: least - 1})
    for value in (1.0, True, "1"):
        with pytest.raises(TypeError, match=rf"{message}{value!r}\.$"):
            kind(**{name: value})


LIMITS = [
    "connection_timeout",
    "max_idle",
    "max_lifetime",
    "health_check_interval",
    "health_check_timeout",
]


@pytest.mark.parametrize("name", LIMITS)
def test_times_may_be_without_limit_and_not_zero(name: str) -> None:
    kind: Any = PoolConfig
    for value in (1, 0.001, math.inf):
        assert getattr(kind(**{name: value}), name) == value
    message = (
        rf"PoolConfig\.{name} must be a number of seconds.* above 0.* \(math\.inf for no limit\)"
    )
    for value in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match=message):
            kind(**{name: value})
    for wrong in (True, "1", None):
        with pytest.raises(TypeError, match=message):
            kind(**{name: wrong})


def test_waits_are_no_milliseconds() -> None:
    kind: Any = PoolConfig
    for name in ("connection_timeout", "health_check_timeout"):
        assert getattr(kind(**{name: 3600}), name) == 3600
        message = rf"PoolConfig\.{name} must be .* seconds, not milliseconds.*; it is 30000\.$"
        with pytest.raises(ValueError, match=message):
            kind(**{name: 30_000})
    # Ages and intervals may well be days.
    for name in ("max_idle", "max_lifetime", "health_check_interval"):
        assert getattr(kind(**{name: 1_000_000}), name) == 1_000_000


@pytest.mark.parametrize(
    ("kind", "name"), [(PoolConfig, "drain_timeout"), (SQLiteConfig, "busy_timeout")]
)
def test_other_times_may_be_zero_and_not_without_limit(kind: Any, name: str) -> None:
    for value in (0, 0.5, 10, 3600):
        assert getattr(kind(**{name: value}), name) == value
    message = (
        rf"{kind.__name__}\.{name} must be a finite number of seconds, not milliseconds, from 0 to"
        " 3600; it is "
    )
    for value in (-1, math.inf, math.nan, 3601, 5000):
        with pytest.raises(ValueError, match=message):
            kind(**{name: value})
    for wrong in (False, "1"):
        with pytest.raises(TypeError, match=message):
            kind(**{name: wrong})


def test_the_window_of_warnings_has_two_ends() -> None:
    for value in (0.5, 10):
        assert PoolConfig(warning_window=value).warning_window == value
    message = (
        r"PoolConfig\.warning_window must be a finite number of seconds, not milliseconds, above"
    )
    for value in (0, -1, math.inf, math.nan, 60_000):
        with pytest.raises(ValueError, match=message):
            PoolConfig(warning_window=value)
    with pytest.raises(TypeError, match=message):
        PoolConfig(warning_window="1")  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("name", ["warning_idle_share", "warning_error_share"])
def test_shares_are_from_nothing_to_all(name: str) -> None:
    kind: Any = PoolConfig
    for value in (0, 0.5, 1):
        assert getattr(kind(**{name: value}), name) == value
    message = rf"PoolConfig\.{name} must be a share, from 0 to 1; it is "
    for value in (-0.1, 20, math.nan):
        with pytest.raises(ValueError, match=message):
            kind(**{name: value})
    with pytest.raises(TypeError, match=message):
        kind(**{name: True})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SQLiteConfig, "foreign_keys"),
        (SQLiteConfig, "trusted_schema"),
        (SQLiteConfig, "recursive_triggers"),
        (SqlFunction, "deterministic"),
        (SqlFunction, "innocuous"),
    ],
)
def test_switches_are_bool(kind: Any, name: str) -> None:
    more = {"call": abs} if kind is SqlFunction else {}
    for value in (True, False):
        assert getattr(kind(**more, **{name: value}), name) is value
    with pytest.raises(TypeError, match=rf"{kind.__name__}\.{name} must be True or False; it is 1"):
        kind(**more, **{name: 1})


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("synchronous", ["off", "normal", "full", "extra"]),
        ("temp_store", ["default", "file", "memory"]),
    ],
)
def test_choices_are_named(name: str, choices: list[str]) -> None:
    for choice in choices:
        assert getattr(SQLiteConfig(**{name: choice}), name) == choice  # type: ignore[arg-type]
    message = rf"SQLiteConfig\.{name} must be one of {', '.join(choices)}; it is 'FULL'\."
    with pytest.raises(ValueError, match=message):
        SQLiteConfig(**{name: "FULL"})  # type: ignore[arg-type]  # what is refused


def test_a_page_is_a_power_of_two() -> None:
    for size in (512, 4096, 65536):
        assert SQLiteConfig(page_size=size).page_size == size
    message = r"SQLiteConfig\.page_size must be a power of two from 512 to 65536 \(bytes\); it is "
    for wrong in (256, 4095, 131072):
        with pytest.raises(ValueError, match=rf"{message}{wrong}\."):
            SQLiteConfig(page_size=wrong)
    with pytest.raises(TypeError, match=rf"{message}4096\.0\."):
        SQLiteConfig(page_size=4096.0)  # type: ignore[arg-type]  # what is refused


# -- mappings and sequences ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["functions", "pragmas"])
def test_mappings_have_plain_names(name: str) -> None:
    message = rf"SQLiteConfig\.{name} must be a mapping"
    for wrong in (5, [("f", FUNCTION)], "f"):
        with pytest.raises(TypeError, match=message):
            SQLiteConfig(**{name: wrong})  # type: ignore[arg-type]  # what is refused
    for key in ("a b", "", 5):
        with pytest.raises(
            ValueError, match=rf"{message} whose keys are plain names; it is {key!r}"
        ):
            SQLiteConfig(**{name: {key: 1}})  # type: ignore[arg-type]  # what is refused


def test_functions_are_sql_functions() -> None:
    with pytest.raises(TypeError, match=r"functions must be a mapping of names to SqlFunction"):
        SQLiteConfig(functions={"f": abs})
    with pytest.raises(TypeError, match=r"SqlFunction\.call must be callable; it is 5"):
        SqlFunction(call=5)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ValueError, match=r"SqlFunction\.arguments .* -1 or more; it is -2"):
        SqlFunction(call=abs, arguments=-2)


def test_pragmas_are_those_of_others() -> None:
    message = r"pragmas must be pragmas that this library does not set itself; it is 'Synchronous'"
    with pytest.raises(ValueError, match=message):
        SQLiteConfig(pragmas={"Synchronous": 1})
    assert SQLiteConfig(pragmas={"a": 1, "b": "x"}).pragmas == {"a": 1, "b": "x"}
    for wrong in (True, 1.5, None):
        with pytest.raises(TypeError, match=r"pragmas must be a mapping of names to int or str"):
            SQLiteConfig(pragmas={"a": wrong})


def test_extensions_are_file_names() -> None:
    message = r"SQLiteConfig\.extensions must be a sequence of file names; it is "
    for wrong in ("vec0", b"vec0", 5, [5]):
        with pytest.raises(TypeError, match=message):
            SQLiteConfig(extensions=wrong)
    with pytest.raises(ValueError, match=message + "''"):
        SQLiteConfig(extensions=("",))


# -- values that are wrong together ----------------------------------------------------------


def test_readers_kept_are_readers_allowed() -> None:
    with pytest.raises(ValueError, match=r"min_readers is 5, above max_readers, 4"):
        PoolConfig(min_readers=5)
    assert PoolConfig(min_readers=4).min_readers == 4
    # Without readers the number kept means nothing.
    assert PoolConfig(max_readers=0).min_readers == 1


def test_some_reader_is_left_for_a_snapshot() -> None:
    with pytest.raises(ValueError, match=r"reserved_readers is 2 of 2 readers"):
        PoolConfig(max_readers=2, reserved_readers=2)
    assert PoolConfig(max_readers=2).reserved_readers == 1
    assert PoolConfig(max_readers=1).reserved_readers == 1  # kept back while there are more


# -- from parsed files -----------------------------------------------------------------------


def test_settings_from_a_mapping() -> None:
    assert PoolConfig.from_mapping({}) == PoolConfig()
    assert PoolConfig.from_mapping({"max_readers": 8, "max_idle": 5}) == PoolConfig(
        max_readers=8, max_idle=5
    )
    assert PoolConfig.from_mapping({"warning_idle_share": 0}).warning_idle_share == 0
    assert SQLiteConfig.from_mapping({"synchronous": "normal", "extensions": ["a"]}) == (
        SQLiteConfig(synchronous="normal", extensions=("a",))
    )


@pytest.mark.parametrize("kind", [PoolConfig, SQLiteConfig])
def test_unknown_keys_are_refused(kind: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}\.from_mapping found 'size', 1; the known"
    ):
        kind.from_mapping({1: 2, "size": 3})
    for field in attrs.fields(kind):
        with pytest.raises(ValueError, match=rf"the known keys are .*\b{field.name}\b"):
            kind.from_mapping({"size": 3})
    with pytest.raises(
        TypeError, match=r"from_mapping takes a mapping of settings; it was given None"
    ):
        kind.from_mapping(None)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"max_connections": 1}, {"max_readers": 0, "min_readers": 0, "reserved_readers": 0}),
        ({"max_connections": 2}, {"max_readers": 1, "reserved_readers": 0}),
        ({"max_connections": 9}, {"max_readers": 8}),
        (
            {"max_connections": 9, "max_writers": 2, "min_readers": 3, "reserved_readers": 2},
            {"max_readers": 7, "max_writers": 2, "min_readers": 3, "reserved_readers": 2},
        ),
        (
            {"connection_timeout": 3, "health_check_interval": 4},
            {"connection_timeout": 3, "health_check_interval": 4},
        ),
        ({"enable_pooling": True, "max_readers": 7}, {"max_readers": 7}),
        (
            {"enable_pooling": False, "max_readers": 7, "max_writers": 2, "max_idle": 1},
            {"max_readers": 0, "min_readers": 0, "max_writers": 1, "max_idle": 1},
        ),
        (
            {"enable_pooling": False, "max_connections": 9},
            {"max_readers": 0, "min_readers": 0, "max_writers": 1},
        ),
    ],
)
def test_older_names_are_understood(older: dict[str, Any], newer: dict[str, Any]) -> None:
    assert PoolConfig.from_mapping(older) == PoolConfig(**newer)


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        ({"max_connections": 5, "max_readers": 4}, ValueError, "beside max_readers; give one"),
        ({"max_connections": 0}, ValueError, "at least the 1 that write; it is 0"),
        (
            {"max_connections": 2, "max_writers": 3},
            ValueError,
            "the 3 that write; it is 2",
        ),
        ({"max_connections": "5"}, ValueError, "max_connections must be a whole .* it is '5'"),
        ({"max_connections": 5, "max_writers": "1"}, ValueError, "at least the '1' that write"),
        ({"max_connections": 5, "max_writers": 0}, ValueError, r"PoolConfig\.max_writers must be"),
        ({"max_connections": 3, "min_readers": 3}, ValueError, "min_readers is 3, above max_"),
        ({"enable_pooling": 0}, TypeError, "enable_pooling must be True or False; it is 0"),
    ],
)
def test_older_names_are_checked(
    mapping: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        PoolConfig.from_mapping(mapping)
