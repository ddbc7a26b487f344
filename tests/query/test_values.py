"""The table "Values": what is stored, what is read, what is refused; round trips through SQLite."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Literal,
    LiteralString,
    NamedTuple,
    NewType,
    Self,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from tests.query.support import Echo, problems, repository
from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._query.annotations import Context
from trio_sqlrepo._query.markers import Blob, Json, Naive
from trio_sqlrepo._query.values import Codecs

BIG = 2**63
EAST = timezone(timedelta(hours=5, minutes=30))
NOON = datetime(2024, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Text(enum.StrEnum):
    A = "a"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Wide(enum.Flag):
    BOTH = 6


class Rate(enum.Enum):
    HALF = Decimal("0.50")
    DAY = timedelta(days=1)
    YES = True
    RAW = b"\x00"


class Limit(enum.Enum):
    NONE = math.inf
    SOME = 1.5


class Mixed(enum.Enum):
    ONE = 1
    ONE_AS_TEXT = "1"
    YES = True  # an alias of ONE, as Python has it


class Stamp(datetime):
    """A library's own datetime, with an isoformat of its own."""

    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return "odd"


class Email(str):
    __slots__ = ()


class Positive(int):
    def __new__(cls, value: int) -> Self:
        if value <= 0:
            raise ValueError(value)
        return super().__new__(cls, value)


UserId = NewType("UserId", int)
OwnerId = NewType("OwnerId", UserId)


@attrs.frozen
class Author:
    name: str
    born: date | None = None
    _secret: int = attrs.field(default=0, alias="secret")


@attrs.frozen
class Node:
    name: str
    children: list[Node] = attrs.field(factory=list)


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    size: int
    name: str


AUTHOR = Author("ann", date(2000, 2, 29), 7)

# type, Python's value, what SQLite stores
STORED: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (int, -BIG, -BIG),
    (int, BIG - 1, BIG - 1),
    (int, Level.HIGH, 2),
    (bool, True, 1),
    (bool, False, 0),
    (float, 1.5, 1.5),
    (float, 2, 2.0),
    (float, math.inf, math.inf),
    (str, "", ""),
    (str, "ann", "ann"),
    (str, "änn \0 😀", "änn \0 😀"),
    (str, Text.A, "a"),
    (LiteralString, "ann", "ann"),
    (bytes, b"\x00\xff", b"\x00\xff"),
    (bytes, bytearray(b"ab"), b"ab"),
    (bytes, memoryview(b"abcd")[::2], b"ac"),
    (bytearray, bytearray(b"ab"), b"ab"),
    (memoryview, memoryview(b"ab"), b"ab"),
    (datetime, NOON, "2024-01-31 12:00:00.000005+00:00"),
    (datetime, datetime(1, 2, 3, tzinfo=UTC), "0001-02-03 00:00:00.000000+00:00"),
    (datetime, datetime(2024, 1, 1, 3, tzinfo=EAST), "2023-12-31 21:30:00.000000+00:00"),
    (datetime, Stamp(2024, 1, 1, tzinfo=UTC), "2024-01-01 00:00:00.000000+00:00"),
    (Annotated[datetime, Naive], datetime(2024, 1, 1), "2024-01-01 00:00:00.000000"),
    (Annotated[datetime, Naive()], Stamp(2024, 1, 1), "2024-01-01 00:00:00.000000"),
    (date, date(2024, 1, 31), "2024-01-31"),
    (time, time(12, 30), "12:30:00"),
    (time, time(12, 30, 0, 5), "12:30:00.000005"),
    (timedelta, timedelta(days=-1, microseconds=1), -86_399_999_999),
    (Decimal, Decimal("12.10"), "12.10"),
    (Decimal, Decimal("1E+3"), "1E+3"),
    (UUID, UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
    (Annotated[UUID, Blob], UUID(int=10), b"\0" * 15 + b"\n"),
    (Path, Path("a/b"), "a/b"),
    (PurePosixPath, PurePosixPath("a/b"), "a/b"),
    (Colour, Colour.RED, "red"),
    (Level, Level.HIGH, 2),
    (Text, Text.A, "a"),
    (Right, Right.READ | Right.WRITE, 3),
    (Right, Right(0), 0),
    (Rate, Rate.HALF, "0.50"),
    (Rate, Rate.DAY, 86_400_000_000),
    (Rate, Rate.YES, 1),
    (Rate, Rate.RAW, b"\x00"),
    (Limit, Limit.NONE, math.inf),
    (Mixed, Mixed.ONE, 1),
    (Mixed, Mixed.ONE_AS_TEXT, "1"),
    (Literal["a", "b"], "a", "a"),
    (Literal["a", 1, None], None, None),  # noqa: PYI061
    (Literal["a", 1, None], 1, 1),  # noqa: PYI061
    (Literal[None], None, None),  # noqa: PYI061
    (Literal[Colour.RED], Colour.RED, "red"),
    (Literal[False], False, 0),
    (UserId, UserId(1), 1),
    (OwnerId, OwnerId(UserId(1)), 1),
    (Annotated[int, "anything", {}], 1, 1),
    (Email, Email("a@b"), "a@b"),
    (Positive, Positive(3), 3),
    (int | None, None, None),
    (int | None, 5, 5),
    (str | None, None, None),
    (bool | None, None, None),
    (bool | None, True, 1),
    (datetime | None, None, None),
    (datetime | None, NOON, "2024-01-31 12:00:00.000005+00:00"),
    (Annotated[datetime | None, Naive], None, None),
    (Annotated[datetime, Naive] | None, datetime(2024, 1, 1), "2024-01-01 00:00:00.000000"),
    (Annotated[NewType("Local", datetime), Naive], datetime(2024, 1, 1), "2024-01-01 00:00:00.000000"),  # noqa: E501  # type: ignore[misc]
    (Decimal | None, None, None),
    (None, None, None),
    (int | str, 5, 5),
    (int | str, "5", "5"),
    (int | float, 5, 5),
    (int | float, 5.0, 5.0),
    (float | int, 5, 5),
    (float | str, 5, 5.0),
    (None | int | float | str | bytes, b"5", b"5"),
    (None | int | float | str | bytes, None, None),
    (Literal["a", None] | int, None, None),  # noqa: PYI061
    (Decimal | bytes, Decimal("1.0"), "1.0"),
    (list[int] | int, [1], "[1]"),
    (list[int] | int | None, None, None),
    (Any, None, None),
    (Any, "x", "x"),
    (object, 1.5, 1.5),
    (Any, True, 1),
    (Any, bytearray(b"x"), None),
    # JSON
    (list[int], [], "[]"),
    (list[int], [1, 2], "[1,2]"),
    (list[str], ["ä", '"'], '["ä","\\""]'),
    (list[datetime], [NOON], '["2024-01-31 12:00:00.000005+00:00"]'),
    (list[bool | None], [True, None], "[true,null]"),
    (list[float], [1, 2.5], "[1.0,2.5]"),
    (list[Colour], [Colour.RED], '["red"]'),
    (list[Literal["a", 1]], ["a", 1], '["a",1]'),
    (list[Right], [Right.READ], "[1]"),
    (list[Decimal], [Decimal("12.10")], '["12.10"]'),
    (list[UUID], [UUID(int=10)], '["00000000-0000-0000-0000-00000000000a"]'),
    (list[Path], [Path("a")], '["a"]'),
    (list[timedelta], [timedelta(seconds=1)], "[1000000]"),
    (list[Email], [Email("a@b")], '["a@b"]'),
    (list[int | str], [1, "1"], '[1,"1"]'),
    (list, [1, "a", None, True, 1.5, [], {"a": {}}], '[1,"a",null,true,1.5,[],{"a":{}}]'),
    (list[Any], [(1,)], None),
    (set[str], {"b", "a"}, '["a","b"]'),
    (set[int], {10, 9}, "[10,9]"),
    (frozenset[str], frozenset({"a"}), '["a"]'),
    (AbstractSet[str], {"a"}, '["a"]'),
    (Sequence[int], [1], "[1]"),
    (Collection[int], [1], "[1]"),
    (Iterable[int], [1], "[1]"),
    (tuple[int, str], (1, "a"), '[1,"a"]'),
    (tuple[int, ...], (1, 2), "[1,2]"),
    (tuple, (1, "a"), '[1,"a"]'),
    (dict[str, int], {"a": 1}, '{"a":1}'),
    (dict, {"a": [1]}, '{"a":[1]}'),
    (Mapping[str, int], {"a": 1}, '{"a":1}'),
    (MutableMapping[str, int], {"a": 1}, '{"a":1}'),
    (dict[int, str], {-1: "a"}, '{"-1":"a"}'),
    (dict[Level, str], {Level.LOW: "a"}, '{"1":"a"}'),
    (dict[Colour, int], {Colour.RED: 1}, '{"red":1}'),
    (dict[date, int], {date(2024, 1, 1): 1}, '{"2024-01-01":1}'),
    (list[int] | None, None, None),
    (list[int] | None, [1], "[1]"),
    (Author, AUTHOR, '{"name":"ann","born":"2000-02-29","secret":7}'),
    (Author | None, None, None),
    (list[Author], [AUTHOR], '[{"name":"ann","born":"2000-02-29","secret":7}]'),
    (Node, Node("a", [Node("b")]), '{"name":"a","children":[{"name":"b","children":[]}]}'),
    (Point, Point(1, 2.5), '{"x":1.0,"y":2.5}'),
    (Options, {"size": 1}, '{"size":1}'),
    (Annotated[str, Json], "a", '"a"'),
    (Annotated[list[str], Json], ["a"], '["a"]'),
    (Annotated[int | None, Json], None, None),
    (Annotated[int | None, Json], 1, "1"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "stored"), STORED)
def test_what_is_stored_reads_as_it_was(hint: Any, value: Any, stored: Any) -> None:
    echo = Echo(hint)
    bound = echo.bind(value)
    if stored is None and value is not None:  # reads as something equal in meaning
        assert echo.read(bound) in ([[1]], b"x")
        return
    assert (bound, type(bound)) == (stored, type(stored))
    back = echo.through_sqlite(value)
    assert back == value
    assert hint is Any or repr(back) == repr(value) or type(value) not in {float, bool, Decimal}


def test_sqlite_sorts_datetimes_as_time_does() -> None:
    moments = [NOON, NOON + timedelta(microseconds=1), NOON.replace(tzinfo=EAST)]
    echo = Echo(datetime)
    assert [echo.read(text) for text in sorted(map(echo.bind, moments))] == sorted(moments)  # type: ignore[type-var]


# type, what a column holds, Python's value
READ: list[tuple[Any, Any, Any]] = [
    (float, 3, 3.0),
    (datetime, "2024-01-31T12:00:00.000005Z", NOON),
    (datetime, "2024-01-31 12:00:00.000005", NOON),
    (datetime, "2024-01-31 17:30:00.000005+05:30", NOON),
    (datetime, "20240131T12", NOON.replace(microsecond=0)),
    (datetime, "2024-01-31 12:00", NOON.replace(microsecond=0)),
    (Annotated[datetime, Naive], "2024-01-31T12:00", datetime(2024, 1, 31, 12)),
    (date, "20240131", date(2024, 1, 31)),
    (time, "12:30", time(12, 30)),
    (list[int] | None, "null", None),
    (Annotated[int | None, Json], "null", None),
    (tuple[int | None], "[null]", (None,)),
    (Author, '{"extra":1,"name":"ann"}', Author("ann")),
    (Options, '{"extra":1}', {}),
    (Email, "a@b", Email("a@b")),
    (list[float], "[1]", [1.0]),
    (set[int], "[1,1]", {1}),
]


@pytest.mark.parametrize(("hint", "stored", "value"), READ)
def test_what_others_stored_is_read(hint: Any, stored: Any, value: Any) -> None:
    back = Echo(hint).read(stored)
    assert (back, type(back)) == (value, type(value))


def test_datetimes_are_returned_in_utc() -> None:
    for text in ("2024-01-31 17:30+05:30", "2024-01-31 12:00", "2024-01-31 12:00+00:00"):
        assert Echo(datetime).read(text).tzinfo is UTC


# type, a value of the wrong type or range, what the message says of it
UNBOUND: list[tuple[Any, Any, str]] = [
    (int, "5", "int; it is of type str"),
    (int, True, "int; it is of type bool"),
    (int, 5.0, "int; it is of type float"),
    (int, None, "int; it is None"),
    (int, BIG, r"an int from -2\*\*63 to 2\*\*63 - 1; it is an int beyond that"),
    (int, -BIG - 1, "beyond that"),
    (bool, 1, "bool; it is of type int"),
    (float, math.nan, "NaN, which SQLite would store as NULL"),
    (float, "1", "of type str"),
    (float, True, "of type bool"),
    (float, 2**53 + 1, "an int that a float can't hold exactly"),
    (float, 10**400, "an int that a float can't hold exactly"),
    (str, "a\ud800", "lone surrogate"),
    (str, b"a", "of type bytes"),
    (bytes, "a", "of type str"),
    (datetime, datetime(2024, 1, 1), "a datetime with a time zone; it is a datetime without one"),
    (datetime, datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))), "none in UTC"),
    (datetime, date(2024, 1, 1), "of type date"),
    (Annotated[datetime, Naive], NOON, "without a time zone; it is a datetime with one"),
    (Annotated[datetime, Naive], "2024", "of type str"),
    (date, NOON, "date; it is of type datetime"),
    (date, "2024-01-01", "of type str"),
    (time, time(12, tzinfo=UTC), "a time without a time zone"),
    (time, NOON, "of type datetime"),
    (timedelta, 5, "of type int"),
    (timedelta, timedelta.max, "longer than"),
    (Decimal, Decimal("NaN"), "a finite Decimal; it is one that is infinite or NaN"),
    (Decimal, Decimal("-Infinity"), "infinite or NaN"),
    (Decimal, 1.5, "of type float"),
    (UUID, "x", "of type str"),
    (Annotated[UUID, Blob], b"0" * 16, "of type bytes"),
    (Path, "a", "Path; it is of type str"),
    (Path, PurePosixPath("a"), "of type PurePosixPath"),
    (Path, Path("a\udcff"), "lone surrogate"),
    (Colour, "red", "Colour; it is of type str"),
    (Level, 1, "Level; it is of type int"),
    (Right, 1, "Right; it is of type int"),
    (Literal["a"], "b", r"Literal\['a'\]; it is a value that is none of them"),
    (Literal["a"], 1, "of type int"),
    (Literal[1], True, "of type bool"),
    (Literal["a"], ["a"], "of type list"),
    (Email, "a@b", "Email; it is of type str"),
    (int | str, 1.5, r"int \| str; it is of type float"),
    (int | None, "x", r"int \| None; it is of type str"),
    (None, 1, "None; it is of type int"),
    (Any, object(), "None, bool, int, float, str or bytes; it is of type object"),
    (Any, [], "of type list"),
    (Any, math.nan, "NaN"),
    (list[int], (1,), r"list\[int\]; it is of type tuple"),
    (list[int], [1, "x"], r"`x\[1\]` must be what `list\[int\]` asks for there; it is of type str"),
    (list[float], [math.inf], r"`x\[0\]` .* infinite, which JSON can't hold"),
    (list[bool], [1], r"`x\[0\]` .* of type int"),
    (set[int], [1], r"set\[int\]; it is of type list"),
    (tuple[int, str], (1,), "a tuple of 1 elements"),
    (tuple[int, str], [1, "a"], "of type list"),
    (tuple[int, str], (1, 2), r"`x\[1\]` .* of type int"),
    (dict[str, int], [], "of type list"),
    (dict[str, int], {"a": "x"}, r"`x\[…\]` .* of type str"),
    (dict[str, int], {1: 1}, "a key of type int"),
    (dict[str, list[int]], {"a": [1, None]}, r"`x\[…\]\[1\]` .* is None"),
    (Author, {"name": "ann"}, "Author; it is of type dict"),
    (Author, Author(5), r"`x\.name` .* of type int"),  # type: ignore[arg-type]
    (Node, Node("a", [Node("b", [None])]), r"`x\.children\[0\]\.children\[0\]` .* None"),  # type: ignore[list-item]
    (Options, {"colour": 1}, "a dict with a key that is none of it"),
    (Options, {"size": "x"}, r"`x\.size` .* of type str"),
    (Options, [], "of type list"),
    (list, [b"x"], r"`x\[0\]` must be a JSON value; it is of type bytes"),
    (dict, {"a": {1: 1}}, "a dict with str keys; it is a key of type int"),
    (list, [[math.nan]], r"`x\[0\]\[0\]` .* NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "says"), UNBOUND)
def test_what_does_not_fit_is_not_bound(hint: Any, value: Any, says: str) -> None:
    with pytest.raises(MappingError, match=says) as caught:
        Echo(hint).bind(value)
    assert str(caught.value).startswith("Repo.q: parameter `x")
    assert caught.value.__context__ is None


def test_no_value_is_in_what_a_refusal_carries() -> None:
    secret = "s3cret"
    hint: Any
    for hint, value in (
        (int, secret), (datetime, secret), (str, secret + "\ud800"), (list[int], [secret]),
        (dict[str, int], {secret: secret}), (Literal["a"], secret), (Decimal, secret),
    ):  # fmt: skip
        with pytest.raises(MappingError) as caught:
            Echo(hint).bind(value)
        assert not carries(caught.value, secret)
    for hint in (
        int, datetime, date, time, Decimal, UUID, Colour, Literal["a"], bytes, list[int],
        Annotated[str, Json], Annotated[datetime, Naive], int | bytes, Positive | None,
    ):  # fmt: skip
        with pytest.raises(MappingError) as caught:
            Echo(hint).read(secret + "-more")
        assert not carries(caught.value, secret)


def carries(error: BaseException | None, secret: str) -> bool:
    if error is None:
        return False
    own = secret in str(error) or secret in repr(error) or secret in repr(error.__dict__)
    return own or carries(error.__context__, secret) or carries(error.__cause__, secret)


# type, what a column holds, what the message says of it
UNREAD: list[tuple[Any, Any, str]] = [
    (int, "5", "holds TEXT, but element 1 of the result is int"),
    (int, 5.0, "holds REAL"),
    (int, b"5", "holds BLOB"),
    (int, None, r"holds NULL, but .* is int; declare it `int \| None`, or let the column hold no"),
    (bool, 2, "an INTEGER other than 0 and 1"),
    (bool, "1", "holds TEXT"),
    (float, "1", "holds TEXT"),
    (float, 2**53 + 1, "an INTEGER that a float can't hold exactly"),
    (str, 5, "holds INTEGER"),
    (str, None, "holds NULL"),
    (bytes, "a", "holds TEXT"),
    (bytearray, "a", "holds TEXT"),
    (datetime, "2024-01-31", "TEXT that is no ISO date with a time"),
    (datetime, "yesterday at noon", "TEXT that is no ISO date with a time"),
    (datetime, "9999-12-31 23:59:59-01:00", "TEXT that is no datetime in UTC"),
    (datetime, 1706702400, "holds INTEGER"),
    (datetime, None, "holds NULL"),
    (Annotated[datetime, Naive], "2024-01-31 12:00Z", "a datetime with a time zone"),
    (date, "2024-01-31 12:00", "TEXT that is no ISO date"),
    (date, 5, "holds INTEGER"),
    (time, "12:30Z", "TEXT that is a time with a time zone"),
    (time, "noon", "TEXT that is no ISO time"),
    (timedelta, "1", "holds TEXT"),
    (Decimal, "x", "TEXT that is no decimal number"),
    (Decimal, "NaN", "no finite decimal number"),
    (Decimal, 12.1, "holds REAL"),
    (UUID, "x", "TEXT that is no UUID of 36 lower-case characters"),
    (UUID, "0000000000000000000000000000000a", "no UUID of 36 lower-case"),
    (UUID, "00000000-0000-0000-0000-00000000000A", "no UUID of 36 lower-case"),
    (Annotated[UUID, Blob], b"x", "a BLOB that is not 16 bytes long"),
    (Annotated[UUID, Blob], "x", "holds TEXT"),
    (Path, 5, "holds INTEGER"),
    (Colour, "green", "TEXT that is no value of it, but element 1 of the result is Colour"),
    (Level, 3, "INTEGER that is no value of it"),
    (Level, 1.0, "REAL that is no value of it"),
    (Right, 4, "INTEGER with a bit that is no flag of it"),
    (Right, -1, "INTEGER with a bit"),
    (Wide, 2, "INTEGER with a bit"),
    (Literal["a"], "b", "TEXT that is no value of it"),
    (Literal[1], 1.0, "REAL that is no value"),
    (Email, 5, "holds INTEGER"),
    (Positive, -5, "INTEGER for which its constructor raised ValueError"),
    (int | str, 1.5, "holds REAL"),
    (int | str, None, "holds NULL"),
    (None, 1, "holds INTEGER"),
    (list[int], "x", "TEXT that is no JSON"),
    (list[int], "[NaN]", "TEXT that is no JSON"),
    (list[int], "[" * 100_000, "TEXT that is no JSON"),
    (list[int], b"[]", "holds BLOB"),
    (list[int], "{}", "holds an object"),
    (list[int], "[1,true]", r"holds true or false in its JSON at `\[1\]`"),
    (list[int], f"[{BIG}]", "an INTEGER beyond 64 bits"),
    (list[float], "[1e999]", "a REAL beyond a float's range"),
    (list[bool], "[1]", "INTEGER in its JSON"),
    (list[str], '["\\ud800"]', "TEXT with a lone surrogate in its JSON"),
    (list[Colour], "[[]]", "an array that is no value of it"),
    (list[int | str], "[1.5]", "REAL in its JSON"),
    (set[tuple[int, list[int]]], "[[1,[]]]", "an array of what a set can't hold"),
    (tuple[int, str], "[1]", "an array of 1 elements"),
    (tuple[int, str], "{}", "an object"),
    (tuple[int, str], "[1,2]", r"INTEGER in its JSON at `\[1\]`"),
    (dict[str, int], "[]", "an array"),
    (dict[str, int], '{"a":"x"}', r"TEXT in its JSON at `\[…\]`"),
    (dict[int, int], '{"1.0":1}', "a key that is no int"),
    (dict[int, int], '{"01":1}', "a key that is no int"),
    (dict[date, int], '{"x":1}', "a key TEXT that is no ISO date"),
    (Author, "[]", "an array"),
    (Author, "{}", "an object without `name`"),
    (Author, '{"name":5}', r"INTEGER in its JSON at `\.name`"),
    (list[Author], '[{"name":"x","born":1}]', r"INTEGER in its JSON at `\[0\]\.born`"),
    (list[int] | None, "[null]", r"NULL in its JSON at `\[0\]`"),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "stored", "says"), UNREAD)
def test_what_does_not_fit_is_not_read(hint: Any, stored: Any, says: str) -> None:
    with pytest.raises(MappingError, match=says) as caught:
        Echo(hint).read(stored)
    assert str(caught.value).startswith("Repo.q: column `x` holds ")


@pytest.mark.parametrize(
    "hint",
    [list[str], Sequence[str], Iterable[str], set[str], tuple[str, ...], tuple[str, str], list],
)
@pytest.mark.parametrize("value", ["ab", b"ab", bytearray(b"ab"), memoryview(b"ab")])
def test_text_is_no_sequence(hint: Any, value: Any) -> None:
    says = r"^Repo\.q: parameter `x` must be \w+.*; it is of type (str|bytes|bytearray|memoryview)"
    with pytest.raises(TypeError, match=says):
        Echo(hint).bind(value)


def test_a_released_memoryview_has_no_bytes() -> None:
    view = memoryview(b"a")
    view.release()
    with pytest.raises(MappingError, match="a memoryview that was released"):
        Echo(bytes).bind(view)


def test_what_may_change_is_copied_when_it_is_bound() -> None:
    array = bytearray(b"ab")
    bound = Echo(bytes).bind(array)
    array[0] = 0
    assert bound == b"ab"


def test_an_iterable_may_be_a_generator() -> None:
    assert Echo(Iterable[int]).bind(n for n in range(2)) == "[0,1]"


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(MappingError, match="nested too deeply, or inside itself"):
        Echo(list).bind(endless)


def test_a_class_whose_constructor_refuses_inside_json() -> None:
    @attrs.frozen
    class Even:
        n: int = attrs.field()

        @n.validator
        def _(self, _: object, value: int) -> None:
            if value % 2:
                raise ValueError(value)

    with pytest.raises(MappingError, match="an object for which its constructor raised Val") as e:
        Echo(Even).read('{"n":1}')
    assert type(e.value.__cause__) is ValueError
    assert Echo(Even).read('{"n":2}') == Even(2)


@pytest.mark.parametrize(
    "hint",
    [None, Any, int | None, list[int] | None, Annotated[int | None, Json], int | str | None],
)
def test_none_is_null_and_null_is_none(hint: Any) -> None:
    # Generated code takes a short cut around these.
    codec = Codecs(None, Context(), reading=True).of(hint)
    assert codec.nullable
    assert codec.bind(None) is None
    assert codec.read(None) is None
    assert codec.dump is not None
    assert codec.dump(None) is None
    assert codec.load is not None
    assert codec.load(None) is None


def test_short_cuts_and_rules_agree() -> None:
    for hint, value, stored in STORED:
        codec = Codecs(None, Context(), reading=True).of(hint)
        if stored is not None and not isinstance(value, (bytearray, memoryview)):
            assert codec.bind(value) == stored == Echo(hint).bind(value)
            assert codec.read(stored) == value == Echo(hint).read(stored)


# -- types without a form --------------------------------------------------------------------------


class Plain:
    pass


class Tupled(enum.Enum):
    A = (1, 2)


class Empty(enum.Enum):
    pass


class Huge(enum.Enum):
    A = BIG


class Clash(enum.Enum):
    YES = True
    ONE = "1"
    DAY = timedelta(microseconds=1)  # as True is stored


@attrs.define(init=False)
class OwnInit:
    x: int

    def __init__(self, other: int) -> None:
        self.x = other


@attrs.frozen
class Holder:
    part: Plain


REFUSED: list[tuple[Any, str]] = [
    (Plain, r"`Plain` has no column form; register a hook for it \(converter\.register_\w+_hook\)"),
    (complex, "`complex` has no column form"),
    (list[Plain], "`Plain` has no column form"),
    (Callable[[int], int], "`Callable.* has no column form"),
    (type[int], r"`type\[int\]` has no column form"),
    (Holder, "`Plain` has no column form"),
    (Tupled, "`Tupled` has a value of type tuple, which is stored in no form"),
    (Empty, "`Empty` has no members"),
    (Huge, "`Huge` has a value that is an int beyond that"),
    (Clash, "`Clash` has two values that are stored alike"),
    (Literal[1, True], r"`Literal\[1, True\]` has two values that are stored alike"),
    (date | str, "`date` and `str` are stored alike"),
    (bool | int, r"the members of `bool \| int` can't be told apart in a column"),
    (int | Any, "is the same as Any"),
    (list[bytes], "`bytes` can't be in JSON, which has no bytes"),
    (list[Annotated[UUID, Blob]], "`UUID as a BLOB` can't be in JSON"),
    (list[Rate], "`Rate` can't be in JSON"),
    (list[Limit], "`Limit` can't be in JSON"),
    (list[int | bytes], r"`int \| bytes` can't be in JSON"),
    (list[bytes | None], r"`bytes \| None` can't be in JSON"),
    (dict[bool, int], "`bool` can't be a key in JSON; keys are text or int"),
    (dict[float, int], "`float` can't be a key"),
    (dict[str | None, int], "can't be a key"),
    (dict[tuple[int, int], int], "can't be a key"),
    (Annotated[str, Naive], r"`Annotated\[str, Naive\]` means nothing"),
    (Annotated[datetime, Naive, Blob], "means nothing: Naive marks datetime, Blob marks UUID"),
    (Annotated[list[datetime], Naive], "means nothing"),
    (OwnInit, "`OwnInit` can't be made from its fields: its constructor needs `other`"),
]


@pytest.mark.parametrize(("hint", "says"), REFUSED)
def test_what_has_no_form_is_a_problem_of_the_declaration(hint: Any, says: str) -> None:
    binding = problems(repository("SELECT :x", None, x=hint), "q", "x")
    assert re.search(f"^Repo\\.q \\(.*:.*\\): parameter `x`: .*{says}", binding), binding
    reading = problems(repository("SELECT 1", tuple[hint]), "q", "x")
    assert re.search(f"element 1 of the result: .*{says}", reading), reading


# -- properties ------------------------------------------------------------------------------------

whole = st.integers(-BIG, BIG - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
moments = st.datetimes(
    timezones=st.sampled_from([UTC, EAST, timezone(-timedelta(hours=11))]),
    min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1),
)  # fmt: skip
decimals = st.decimals(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-BIG, BIG - 1) | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)  # fmt: skip
authors = st.builds(Author, texts, st.none() | st.dates(), st.integers(-BIG, BIG - 1))

ROUND_TRIPS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-BIG, BIG - 1)),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False)),
    (str, texts),
    (bytes, st.binary()),
    (datetime, moments),
    (Annotated[datetime, Naive], st.datetimes()),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(microseconds=-BIG), timedelta(microseconds=BIG - 1))),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (Annotated[UUID, Blob], st.uuids()),
    (Colour | None, st.none() | st.sampled_from(Colour)),
    (
        int | float | str | bytes | None,
        st.none() | st.integers(-BIG, BIG - 1) | texts | st.binary(),
    ),
    (list[datetime], st.lists(moments)),
    (dict[str, list[Decimal]], st.dictionaries(texts, st.lists(decimals))),
    (
        dict[int, bool | None],
        st.dictionaries(st.integers(-BIG, BIG - 1), st.none() | st.booleans()),
    ),
    (set[str], st.sets(texts)),
    (tuple[int, str, float], st.tuples(st.integers(-5, 5), texts, st.floats(-1, 1))),
    (list[Author], st.lists(authors)),
    (Annotated[Any, Json], json_values),
]


@pytest.mark.parametrize(("hint", "values"), ROUND_TRIPS)
def test_round_trip(hint: Any, values: st.SearchStrategy[Any]) -> None:
    echo = Echo(hint)

    @given(values)
    def round_trip(value: Any) -> None:
        back = echo.through_sqlite(value)
        assert back == value
        assert type(back) is type(value)
        if isinstance(value, Decimal):
            assert str(back) == str(value)

    round_trip()


@given(moments, moments)
def test_text_of_datetimes_sorts_as_they_do(first: datetime, second: datetime) -> None:
    echo = Echo(datetime)
    assert (first < second) == (str(echo.bind(first)) < str(echo.bind(second)))


@given(st.sets(texts))
def test_equal_sets_are_equal_text(values: set[str]) -> None:
    echo = Echo(set[str])
    backwards = set()
    for value in sorted(values, reverse=True):
        backwards.add(value)
    assert echo.bind(values) == echo.bind(backwards)


# What Python 3.12 makes of `type Ids[T] = list[T]`.
T = TypeVar("T")
number: Any = TypeAliasType("number", int)
listed: Any = TypeAliasType("listed", list[T], type_params=(T,))  # type: ignore[arg-type]
nullable: Any = TypeAliasType("nullable", listed[number] | None)


def test_type_aliases_are_as_their_base() -> None:
    assert Echo(number).bind(5) == 5
    assert Echo(listed[int]).read("[1]") == [1]
    assert Echo(nullable).bind(None) is None
    assert Echo(nullable).bind([1]) == "[1]"
    assert Echo(dict[number, listed[number]]).bind({1: [1]}) == '{"1":[1]}'
