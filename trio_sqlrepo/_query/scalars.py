"""Each built-in type's rule, both directions: strict functions that raise `Misfit`."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from trio_sqlrepo._query.refusal import Misfit, python_type, stored_type

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST: Final = -(2**63)
HIGHEST: Final = 2**63 - 1
_RANGE: Final = "an int from -2**63 to 2**63 - 1"
# The lengths of what str(UUID()) and bytes hold.
_UUID_BYTES: Final = 16
# The longest ISO date has ten characters ("2024-01-31", "2024-W05-3"), the shortest with a time
# eleven ("20240131T00").
_DATE_LENGTH: Final = 10


def _wrong(value: object) -> Misfit:
    return Misfit(python_type(value))


def _unreadable(value: object) -> Misfit:
    return Misfit(stored_type(value))


# -- int, bool, float ------------------------------------------------------------------------------


def bind_int(value: Any) -> int:
    """An int, but not a bool, that SQLite can hold."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(value)
    # An IntEnum or the like is stored, and given to SQLite, as a plain int.
    number = int.__int__(value)
    if not LOWEST <= number <= HIGHEST:
        raise Misfit("an int beyond that", _RANGE)
    return number


def read_int(value: Any) -> int:
    """INTEGER only; JSON may hold numbers that a column can't."""
    if type(value) is not int:
        raise _unreadable(value)
    if not LOWEST <= value <= HIGHEST:
        raise Misfit("an INTEGER beyond 64 bits")
    return value


def bind_bool(value: Any) -> int:
    return 1 if dump_bool(value) else 0


def dump_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(value)
    return value


def read_bool(value: Any) -> bool:
    if type(value) is not int:
        raise _unreadable(value)
    if value not in {0, 1}:
        raise Misfit("an INTEGER other than 0 and 1")
    return value == 1


def load_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _unreadable(value)
    return value


def bind_float(value: Any) -> float:
    """A float other than NaN, or an int that a float can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _exact_float(value, Misfit("an int that a float can't hold exactly"))
    if not isinstance(value, float):
        raise _wrong(value)
    if math.isnan(value):
        raise Misfit("NaN, which SQLite would store as NULL")
    return float.__float__(value)


def dump_float(value: Any) -> float:
    number = bind_float(value)
    if math.isinf(number):
        raise Misfit("infinite, which JSON can't hold")
    return number


def read_float(value: Any) -> float:
    """REAL, or an INTEGER that a float can hold: SQLite stores 2.0 as either."""
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _unreadable(value)
    return _exact_float(value, Misfit("an INTEGER that a float can't hold exactly"))


def load_float(value: Any) -> float:
    number = read_float(value)
    if math.isinf(number):  # written as 1e999
        raise Misfit("a REAL beyond a float's range")
    return number


def _exact_float(value: int, misfit: Misfit) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != value:
        raise misfit
    return number


# -- str, bytes ------------------------------------------------------------------------------------


def bind_str(value: Any) -> str:
    """A str that UTF-8 can hold."""
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise _wrong(value)
    return _encodable(str.__str__(value), "a str with a lone surrogate, which UTF-8 can't hold")


def read_str(value: Any) -> str:
    """TEXT. A string in JSON may be escaped so that it holds what UTF-8 can't."""
    if type(value) is not str:
        raise _unreadable(value)
    return _encodable(value, "TEXT with a lone surrogate")


def _encodable(text: str, fault: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Misfit(fault) from None  # the error quotes the text
    return text


def bind_bytes(value: Any) -> bytes:
    """A copy, unless it can't change: the call runs later, on another thread."""
    if type(value) is bytes:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _wrong(value)
    try:
        return bytes(value)
    except ValueError:
        raise Misfit("a memoryview that was released") from None


def read_blob(make: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not bytes:
            raise _unreadable(value)
        return make(value)

    return read


# -- dates and times -------------------------------------------------------------------------------


def bind_datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise _wrong(value)
    if value.utcoffset() is None:
        raise Misfit(
            "a datetime without one (for datetimes that have none: Annotated[datetime, Naive])",
            "a datetime with a time zone",
        )
    try:
        moment = datetime.astimezone(value, UTC)
    except OverflowError:
        raise Misfit("a datetime that is none in UTC") from None
    return datetime.isoformat(moment, " ", "microseconds")


def read_datetime(value: Any) -> datetime:
    moment = _moment(value)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Misfit("TEXT that is no datetime in UTC") from None


def bind_naive(value: Any) -> str:
    if not isinstance(value, datetime):
        raise _wrong(value)
    if value.tzinfo is not None:
        raise Misfit("a datetime with one", "a datetime without a time zone")
    return datetime.isoformat(value, " ", "microseconds")


def read_naive(value: Any) -> datetime:
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise Misfit("TEXT that is a datetime with a time zone")
    return moment


def _moment(value: Any) -> datetime:
    if type(value) is not str:
        raise _unreadable(value)
    if len(value) > _DATE_LENGTH:
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # the error quotes the text
    raise Misfit("TEXT that is no ISO date with a time")


def bind_date(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _wrong(value)
    return date.isoformat(value)


def bind_time(value: Any) -> str:
    if not isinstance(value, time):
        raise _wrong(value)
    if value.tzinfo is not None:
        raise Misfit("a time with one", "a time without a time zone")
    return time.isoformat(value)


def read_time(value: Any) -> time:
    found: time = parsed(time.fromisoformat, "TEXT that is no ISO time")(value)
    if found.tzinfo is not None:
        raise Misfit("TEXT that is a time with a time zone")
    return found


def bind_timedelta(value: Any) -> int:
    if not isinstance(value, timedelta):
        raise _wrong(value)
    microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    if not LOWEST <= microseconds <= HIGHEST:
        raise Misfit("longer than 2**63 microseconds")
    return microseconds


# -- Decimal, UUID, Path ---------------------------------------------------------------------------


def bind_decimal(value: Any) -> str:
    if not isinstance(value, Decimal):
        raise _wrong(value)
    if not value.is_finite():
        raise Misfit("one that is infinite or NaN", "a finite Decimal")
    return Decimal.__str__(value)


def read_decimal(value: Any) -> Decimal:
    found: Decimal = parsed(Decimal, "TEXT that is no decimal number")(value)
    if not found.is_finite():
        raise Misfit("TEXT that is no finite decimal number")
    return found


def bind_uuid(value: Any) -> str:
    if not isinstance(value, UUID):
        raise _wrong(value)
    return str(value)


def read_uuid(value: Any) -> UUID:
    found: UUID = parsed(UUID, _NO_UUID)(value)
    # Only the one form that is written: any other would never equal a bound one.
    if str(found) != value:
        raise Misfit(_NO_UUID)
    return found


_NO_UUID: Final = "TEXT that is no UUID of 36 lower-case characters"


def bind_uuid_blob(value: Any) -> bytes:
    if not isinstance(value, UUID):
        raise _wrong(value)
    return value.bytes


def read_uuid_blob(value: Any) -> UUID:
    if type(value) is not bytes:
        raise _unreadable(value)
    if len(value) != _UUID_BYTES:
        raise Misfit("a BLOB that is not 16 bytes long")
    return UUID(bytes=value)


def parsed(parse: Callable[[str], Any], fault: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not str:
            raise _unreadable(value)
        try:
            return parse(value)
        except (ValueError, InvalidOperation):
            raise Misfit(fault) from None  # the error quotes the text

    return read
