"""JSON: collections and records inside one column, as compact text of the same forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NoReturn

import attrs

from trio_sqlrepo._query.codec import Codec
from trio_sqlrepo._query.records import Field, Record, RecordKind
from trio_sqlrepo._query.refusal import Misfit, NotASequence, Refusal, python_type, stored_type
from trio_sqlrepo._query.table import TEXT

Convert = Callable[[Any], Any]

# What is encoded was made by `dump` functions a moment before: no cycles, no NaN.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def _no_constant(_: str) -> NoReturn:
    raise ValueError


_decode = json.JSONDecoder(parse_constant=_no_constant).decode  # NaN, Infinity


def json_codec(name: str, dump: Convert, load: Convert, *, nullable: bool = False) -> Codec:
    """A column of JSON text, whose content `dump` and `load` see.

    `nullable`: NULL is None, and so is the JSON text `null`.
    """

    def bind(value: Any) -> str | None:
        return None if nullable and value is None else _encode(dump(value))

    def read(value: Any) -> Any:
        if nullable and value is None:
            return None
        return load(_parse(value))

    return Codec(
        title=name, storage=TEXT, bind=bind, read=read, dump=dump, load=load,
        nullable=nullable, json=True,
    )  # fmt: skip


def in_json(codec: Codec) -> tuple[Convert, Convert]:
    """How a codec's type is dumped into JSON and loaded. Raises `Refusal` if JSON can't hold it."""
    if codec.dump is None or codec.load is None:
        raise Refusal(f"`{codec.title}` can't be in JSON, which has no bytes")
    return codec.dump, codec.load


def _parse(value: Any) -> Any:
    if type(value) is not str:
        raise Misfit(stored_type(value))
    try:
        return _decode(value)
    except (ValueError, RecursionError):
        raise Misfit("TEXT that is no JSON") from None  # the error quotes the text


# -- collections -----------------------------------------------------------------------------------


def dump_items(items: Iterable[Any], dump: Convert) -> list[Any]:
    """Each item dumped; a misfit tells its index."""
    dumped: list[Any] = []
    add = dumped.append
    try:
        for item in items:
            add(dump(item))
    except Misfit as misfit:
        raise misfit.inside(f"[{len(dumped)}]")  # noqa: B904  # the same error, with its path
    return dumped


def sequence_codec(
    name: str, accepts: Any, make: Callable[[Iterable[Any]], Any], element: Codec, *, sort: bool
) -> Codec:
    """A collection of `element`s, an array in JSON.

    A set is sorted, so that equal sets are equal text.
    """
    dump_element, load_element = in_json(element)
    takes_lists = issubclass(list, accepts)

    def check(value: Any) -> None:
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            raise NotASequence(python_type(value))
        if not isinstance(value, accepts):
            raise Misfit(python_type(value))

    def dump(value: Any) -> list[Any]:
        # Lists are what callers give; asking an abstract class is slow.
        if not (takes_lists and type(value) is list):
            check(value)
        dumped = dump_items(value, dump_element)
        if sort:
            dumped.sort(key=_encode)
        return dumped

    def load(value: Any) -> Any:
        if type(value) is not list:
            raise Misfit(stored_type(value))
        loaded = dump_items(value, load_element)
        try:
            return make(loaded)
        except TypeError:
            raise Misfit("an array of what a set can't hold") from None

    return json_codec(name, dump, load)


def tuple_codec(name: str, elements: list[Codec]) -> Codec:
    """A tuple of fixed length, an array in JSON."""
    forms = [in_json(element) for element in elements]

    def convert(value: Iterable[Any], which: int) -> list[Any]:
        pairs = zip(value, forms, strict=True)
        return dump_items(pairs, lambda pair: pair[1][which](pair[0]))

    def dump(value: Any) -> list[Any]:
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            raise NotASequence(python_type(value))
        if not isinstance(value, tuple):
            raise Misfit(python_type(value))
        if len(value) != len(forms):
            raise Misfit(f"a tuple of {len(value)} elements")
        return convert(value, 0)

    def load(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Misfit(stored_type(value))
        if len(value) != len(forms):
            raise Misfit(f"an array of {len(value)} elements")
        return tuple(convert(value, 1))

    return json_codec(name, dump, load)


def mapping_codec(name: str, accepts: Any, key: Codec, value: Codec) -> Codec:
    """A mapping, an object in JSON. Keys are text, or ints written as text."""
    dump_key, load_key = _key_forms(key)
    dump_value, load_value = in_json(value)

    # A key is a value too: paths show that one was passed, not which.
    def convert(items: Iterable[tuple[Any, Any]], on_key: Convert, on_value: Convert) -> Any:
        converted: dict[Any, Any] = {}
        for raw_key, raw_value in items:
            try:
                new_key = on_key(raw_key)
            except Misfit as misfit:
                raise Misfit(f"a key {misfit.found}", misfit.wanted) from misfit
            try:
                converted[new_key] = on_value(raw_value)
            except Misfit as misfit:
                raise misfit.inside("[…]")  # noqa: B904  # the same error, with its path
        return converted

    def dump(items: Any) -> dict[str, Any]:
        if not isinstance(items, accepts):
            raise Misfit(python_type(items))
        found: dict[str, Any] = convert(items.items(), dump_key, dump_value)
        return found

    def load(items: Any) -> dict[Any, Any]:
        if type(items) is not dict:
            raise Misfit(stored_type(items))
        found: dict[Any, Any] = convert(items.items(), load_key, load_value)
        return found

    return json_codec(name, dump, load)


def _key_forms(key: Codec) -> tuple[Convert, Convert]:
    if not key.nullable and not key.json and key.storage == TEXT:
        return in_json(key)
    if key.storage != frozenset({int}) or key.title == "bool":
        raise Refusal(f"`{key.title}` can't be a key in JSON; keys are text or int")
    dump, load = in_json(key)

    def load_key(text: str) -> Any:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or str(number) != text:
            raise Misfit("that is no int")
        return load(number)

    return lambda value: str(dump(value)), load_key


# -- records ---------------------------------------------------------------------------------------


@attrs.frozen
class _Member:
    field: Field
    dump: Convert
    load: Convert
    required: bool


class RecordForm:
    """A record as an object in JSON.

    Its `codec` can be used before its fields' codecs exist, so that a record may hold itself
    (`children: list[Node]`); `complete` adds these.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._members: dict[str, _Member] = {}
        is_dict = record.kind is RecordKind.TYPED_DICT
        self.codec = json_codec(
            record.title, self._dump_dict if is_dict else self._dump_object, self._load
        )

    def complete(self, codec_of: Callable[[Any], Codec]) -> None:
        """Make the fields' codecs. Raises `Refusal`."""
        for argument in self._record.arguments:
            field = argument.field
            if field is not None and field.readable:
                dump, load = in_json(codec_of(field.hint()))
                self._members[field.key] = _Member(field, dump, load, argument.required)
            elif argument.required:
                raise Refusal(
                    f"`{self._record.title}` can't be made from its fields: its constructor needs"
                    f" `{argument.key}`"
                )

    def _dump_object(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self._record.cls):
            raise Misfit(python_type(value))
        dumped = {}
        for key, member in self._members.items():
            name = member.field.name
            try:
                dumped[key] = member.dump(getattr(value, name))
            except Misfit as misfit:
                raise misfit.inside(f".{name}")  # noqa: B904  # the same error, with its path
        return dumped

    def _dump_dict(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Misfit(python_type(value))
        if not self._members.keys() >= value.keys():
            raise Misfit("a dict with a key that is none of it")
        return self._through(value, attrgetter("dump"), "a dict")

    def _load(self, value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit(stored_type(value))
        loaded = self._through(value, attrgetter("load"), "an object")
        try:
            return self._record.cls(**loaded)
        except Exception as error:
            raise Misfit(
                f"an object for which its constructor raised {type(error).__name__}", cause=error
            ) from error

    def _through(
        self, value: dict[str, Any], convert: Callable[[_Member], Convert], what: str
    ) -> dict[str, Any]:
        found = {}
        for key, member in self._members.items():
            if key in value:
                try:
                    found[key] = convert(member)(value[key])
                except Misfit as misfit:
                    raise misfit.inside(f".{key}")  # noqa: B904  # the same error, with its path
            elif member.required:
                raise Misfit(f"{what} without `{key}`")
        return found
