"""The table of built-in types: which rule, and which short cut in generated code, each has."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import UUID

from trio_sqlrepo._query import scalars
from trio_sqlrepo._query.codec import Codec, JsonValue
from trio_sqlrepo._query.refusal import Misfit, python_type, stored_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_sqlrepo._base.job import SqlValue

INTEGER, REAL, TEXT, BLOB = (frozenset({kind}) for kind in (int, float, str, bytes))
_ANY: Final = INTEGER | REAL | TEXT | BLOB | {NoneType}

# What the templates below name besides built-ins.
FAST_NAMES: Final[Mapping[str, Any]] = {
    "date": date,
    "datetime": datetime,
    "fromisoformat": datetime.fromisoformat,
    "UTC": UTC,
}


def same_in_json(
    title: str,
    storage: frozenset[type],
    bind: Callable[[Any], Any],
    read: Callable[[Any], Any],
    **short_cuts: Any,
) -> Codec:
    """A codec of a type that JSON holds in the same form as a column does."""
    return Codec(
        title=title, storage=storage, bind=bind, read=read, dump=bind, load=read, **short_cuts
    )


def path_codec(kind: type[PurePath]) -> Codec:
    """`kind` and its subclasses, as text."""

    def bind(value: Any) -> str:
        if not isinstance(value, kind):
            raise Misfit(python_type(value))
        return scalars.bind_str(str(value))

    return same_in_json(kind.__name__, TEXT, bind, lambda value: kind(scalars.read_str(value)))


def _blob(kind: type) -> Codec:
    read = scalars.read_blob(kind)
    test = "type({v}) is bytes"
    return Codec(
        title=kind.__name__, storage=BLOB, bind=scalars.bind_bytes, read=read, dump=None,
        load=None, bind_test=test, read_test=test if kind is bytes else None,
    )  # fmt: skip


def _none(value: Any) -> None:
    if value is not None:
        raise Misfit(python_type(value))


def _null(value: Any) -> None:
    if value is not None:
        raise Misfit(stored_type(value))


# A str that is all ASCII, which CPython knows without looking, has no lone surrogate. The slow
# path looks at the others.
_STR: Final = same_in_json(
    "str", TEXT, scalars.bind_str, scalars.read_str,
    bind_test="type({v}) is str and {v}.isascii()", read_test="type({v}) is str",
)  # fmt: skip

NONE: Final = same_in_json("None", frozenset({NoneType}), _none, _null, nullable=True)

NAIVE_DATETIME: Final = same_in_json(
    "naive datetime", TEXT, scalars.bind_naive, scalars.read_naive,
    bind_test="type({v}) is datetime and {v}.tzinfo is None",
    bind_value='{v}.isoformat(" ", "microseconds")',
)  # fmt: skip

UUID_BLOB: Final = Codec(
    title="UUID as a BLOB", storage=BLOB, bind=scalars.bind_uuid_blob,
    read=scalars.read_uuid_blob, dump=None, load=None,
)  # fmt: skip

SCALARS: Final[Mapping[Any, Codec]] = {
    int: same_in_json(
        "int", INTEGER, scalars.bind_int, scalars.read_int,
        bind_test=f"type({{v}}) is int and {scalars.LOWEST} <= {{v}} <= {scalars.HIGHEST}",
        read_test="type({v}) is int",
    ),
    bool: Codec(
        title="bool", storage=INTEGER, bind=scalars.bind_bool, read=scalars.read_bool,
        dump=scalars.dump_bool, load=scalars.load_bool,
        bind_test="type({v}) is bool", bind_value="int({v})",
    ),
    float: Codec(
        title="float", storage=REAL | INTEGER, bind=scalars.bind_float, read=scalars.read_float,
        dump=scalars.dump_float, load=scalars.load_float,
        # NaN is the one float that differs from itself.
        bind_test="type({v}) is float and {v} == {v}", read_test="type({v}) is float",
    ),
    str: _STR,
    LiteralString: _STR,
    bytes: _blob(bytes),
    bytearray: _blob(bytearray),
    memoryview: _blob(memoryview),
    datetime: same_in_json(
        "datetime", TEXT, scalars.bind_datetime, scalars.read_datetime,
        bind_test="type({v}) is datetime and {v}.tzinfo is UTC",
        # Faster by a third than formatting the offset, on every Python.
        bind_value=(
            "f'{{{v}.date().isoformat()}}"
            ' {{{v}.time().isoformat("microseconds")}}+00:00\''
        ),
        # Only text with a time of day yields a time zone. The slow path is called outside the
        # handler: an error raised there would carry Python's own, which quotes the text.
        read_block=(
            "try:",
            "    moment = fromisoformat({v})",
            "except (TypeError, ValueError):",
            "    moment = None",
            "if moment is not None and moment.tzinfo is UTC:",
            "    {v} = moment",
            "else:",
            "    {v} = {slow}({v})",
        ),
    ),
    date: same_in_json(
        "date", TEXT, scalars.bind_date,
        scalars.parsed(date.fromisoformat, "TEXT that is no ISO date"),
        bind_test="type({v}) is date", bind_value="{v}.isoformat()",
    ),
    time: same_in_json("time", TEXT, scalars.bind_time, scalars.read_time),
    timedelta: same_in_json(
        "timedelta", INTEGER, scalars.bind_timedelta,
        lambda value: timedelta(microseconds=scalars.read_int(value)),
    ),
    Decimal: same_in_json(
        "Decimal", TEXT, scalars.bind_decimal, scalars.read_decimal, exact_text=True
    ),
    UUID: same_in_json("UUID", TEXT, scalars.bind_uuid, scalars.read_uuid),
    **{
        kind: path_codec(kind)
        for kind in (PurePath, PurePosixPath, PureWindowsPath, Path, PosixPath, WindowsPath)
    },
    NoneType: NONE,
    None: NONE,
}  # fmt: skip


# -- values of no declared type --------------------------------------------------------------------


def bind_any(value: Any) -> SqlValue:
    """Any value that SQLite stores, by its own type's rule."""
    for kind in (bool, int, float, str, bytes, bytearray, memoryview):
        if isinstance(value, kind):
            return SCALARS[kind].bind(value)
    if value is not None:
        raise Misfit(python_type(value), "None, bool, int, float, str or bytes")
    return None


def dump_any(value: Any) -> JsonValue:
    """Any JSON value, copied: the caller may change its own before the call runs."""
    if isinstance(value, dict):
        return {_key(key): _inside(value[key], "[…]") for key in value}
    if isinstance(value, (list, tuple)):
        return [_inside(element, f"[{index}]") for index, element in enumerate(value)]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            dump = SCALARS[kind].dump
            assert dump is not None
            return dump(value)
    if value is not None:
        raise Misfit(python_type(value), "a JSON value")
    return None


def _key(key: Any) -> str:
    try:
        return scalars.bind_str(key)
    except Misfit as misfit:
        raise Misfit(f"a key {misfit.found}", "a dict with str keys") from None


def _inside(value: Any, step: str) -> JsonValue:
    try:
        return dump_any(value)
    except Misfit as misfit:
        raise misfit.inside(step)  # noqa: B904  # the same error, with its path
    except RecursionError:
        raise Misfit("nested too deeply, or inside itself") from None


ANY: Final = Codec(
    title="Any", storage=_ANY, bind=bind_any, read=lambda value: value, dump=dump_any,
    load=lambda value: value, nullable=True,
)  # fmt: skip
