"""Types with a fixed set of values: Enum, Flag and Literal."""

from __future__ import annotations

import contextlib
import enum
import functools
import operator
from typing import TYPE_CHECKING, Any, get_args

import attrs

from trio_sqlrepo._query import scalars
from trio_sqlrepo._query.codec import Codec, JsonValue, optional
from trio_sqlrepo._query.refusal import Misfit, Refusal, python_type, stored_type, title
from trio_sqlrepo._query.table import INTEGER, SCALARS, same_in_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def enum_codec(kind: type[enum.Enum]) -> Codec:
    """Members of `kind`, stored as their values. A Flag is stored as its number.

    Raises:
        Refusal: a member's value is of a type that has no built-in form.
    """
    if issubclass(kind, enum.Flag):
        return _flag_codec(kind)
    name = kind.__name__
    values = [(member, _codec_of_value(member.value, f"`{name}`"), member.value) for member in kind]
    if not values:
        raise Refusal(f"`{name}` has no members")
    return _choice(name, values, lambda value: isinstance(value, kind), _itself)


def literal_codec(hint: Any) -> Codec:
    """The values of a `Literal`, each stored as its type is.

    Raises:
        Refusal: two of them are stored alike (`Literal[1, True]`).
    """
    name = title(hint)
    values: list[tuple[Any, Codec, Any]] = []
    for value in get_args(hint):
        if value is None:
            continue
        inner = value.value if isinstance(value, enum.Enum) else value
        values.append((value, _codec_of_value(inner, f"`{name}`"), inner))
    if not values:
        return SCALARS[None]
    kinds = {type(value) for value, _, _ in values}
    codec = _choice(name, values, lambda value: type(value) in kinds, _with_type)
    return optional(codec) if None in get_args(hint) else codec


def _codec_of_value(value: Any, where: str) -> Codec:
    codec = SCALARS.get(type(value))
    if codec is None or value is None:
        raise Refusal(f"{where} has a value {python_type(value)}, which is stored in no form")
    return codec


def _itself(value: Any) -> Any:
    return value


def _with_type(value: Any) -> Any:
    # 1 == True == 1.0, and all three hash alike.
    return type(value), value


def _choice(
    name: str,
    values: list[tuple[Any, Codec, Any]],
    accepts: Callable[[Any], bool],
    key: Callable[[Any], Any],
) -> Codec:
    """A codec of `values`: each with what it is stored as, and by which codec."""
    try:
        stored = [(value, codec.bind(inner)) for value, codec, inner in values]
    except Misfit as misfit:
        raise Refusal(f"`{name}` has a value that is {misfit.found}") from misfit
    out = {key(value): form for value, form in stored}
    back = _by_form(name, ((form, value) for value, form in stored))

    def bind(value: Any) -> Any:
        if not accepts(value):
            raise Misfit(python_type(value))
        return _found(out, key(value), "a value that is none of them")

    def read(value: Any) -> Any:
        return _found(back, _with_type(value), f"{stored_type(value)} that is no value of it")

    codec = Codec(
        title=name, bind=bind, read=read, dump=None, load=None,
        storage=frozenset(type(form) for _, form in stored),
        exact_text=any(codec.exact_text for _, codec, _ in values),
    )  # fmt: skip
    dumps = [(value, codec.dump, inner) for value, codec, inner in values]
    if any(dump is None for _, dump, _ in dumps):  # bytes
        return codec
    try:
        in_json = [(value, dump(inner)) for value, dump, inner in dumps if dump is not None]
    except Misfit:  # an infinite float
        return codec
    out_json = {key(value): form for value, form in in_json}
    back_json = _by_form(name, ((form, value) for value, form in in_json))

    def dump(value: Any) -> JsonValue:
        bind(value)
        form: JsonValue = out_json[key(value)]
        return form

    def load(value: Any) -> Any:
        return _found(back_json, _with_type(value), f"{stored_type(value)} that is no value of it")

    return attrs.evolve(codec, dump=dump, load=load)


def _by_form(name: str, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for form, value in pairs:
        if found.setdefault(_with_type(form), value) is not value:
            raise Refusal(f"`{name}` has two values that are stored alike")
    return found


def _found(table: dict[Any, Any], key: Any, fault: str) -> Any:
    try:
        return table[key]
    except (KeyError, TypeError):  # TypeError: JSON's arrays and objects have no hash
        raise Misfit(fault) from None


def _flag_codec(kind: type[enum.Flag]) -> Codec:
    known = functools.reduce(operator.or_, (member.value for member in kind), 0)

    def bind(value: Any) -> int:
        if not isinstance(value, kind):
            raise Misfit(python_type(value))
        return scalars.bind_int(value.value)

    def read(value: Any) -> enum.Flag:
        number = scalars.read_int(value)
        if not number & ~known:
            with contextlib.suppress(ValueError):  # part of a flag of several bits
                return kind(number)
        raise Misfit("INTEGER with a bit that is no flag of it")

    return same_in_json(kind.__name__, INTEGER, bind, read)
