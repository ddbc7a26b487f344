"""Unions: told apart by what SQLite stores, so `int | str` is one and `date | str` is none."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import NoneType
from typing import Any

import attrs

from trio_sqlrepo._query.codec import Codec
from trio_sqlrepo._query.json_forms import Convert, in_json
from trio_sqlrepo._query.refusal import Misfit, Refusal, python_type, stored_type
from trio_sqlrepo._query.table import ANY


def union_codec(name: str, codecs: list[Codec]) -> Codec:
    """The codec of a union of these, None aside.

    Raises:
        Refusal: two members are stored alike.
    """
    # An INTEGER is an int where there is one, else a float; in binding, too, an int comes first.
    codecs = sorted(codecs, key=lambda codec: float in codec.storage)
    readers = _readers(name, codecs)

    def read(value: Any) -> Any:
        if type(value) not in readers:
            raise Misfit(stored_type(value))
        return readers[type(value)].read(value)

    codec = Codec(
        title=name,
        storage=reduce(or_, (codec.storage for codec in codecs)),
        bind=_first([codec.bind for codec in codecs], python_type),
        read=read,
        dump=None,
        load=None,
        nullable=any(codec.nullable for codec in codecs),
        exact_text=any(codec.exact_text for codec in codecs),
    )
    if any(codec.dump is None for codec in codecs):
        return codec
    forms = [in_json(codec) for codec in codecs]
    dump = _first([dump for dump, _ in forms], python_type)
    load = _first([load for _, load in forms], stored_type)
    return attrs.evolve(codec, dump=dump, load=load)


def _readers(name: str, codecs: list[Codec]) -> dict[type, Codec]:
    readers: dict[type, Codec] = {}
    for codec in codecs:
        if codec is ANY:
            raise Refusal(f"`{name}` is the same as Any; write that")
        for kind in codec.storage - {NoneType}:
            if kind in readers and not (kind is int and float in codec.storage):
                raise Refusal(
                    f"the members of `{name}` can't be told apart in a column:"
                    f" `{readers[kind].title}` and `{codec.title}` are stored alike"
                )
            readers.setdefault(kind, codec)
    return readers


def _first(conversions: list[Convert], kind: Convert) -> Convert:
    """The result of the first conversion that accepts the value."""

    def convert(value: Any) -> Any:
        for conversion in conversions:
            try:
                return conversion(value)
            except Misfit:
                continue
        raise Misfit(kind(value))

    return convert
