"""`Codec`: how one Python type is stored in a column, and in a JSON value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from trio_sqlrepo._base.job import SqlValue

# What JSON text is made of, after parsing and before encoding.
JsonValue = None | bool | int | float | str | list[Any] | dict[str, Any]


@attrs.frozen(eq=False, kw_only=True)
class Codec:
    """One type, both directions. The functions are strict and raise `Misfit`.

    The templates are the short cuts of generated code, on a local that `{v}` names. They may
    use the names in `FAST_NAMES`, and must accept a subset of what the functions accept.
    """

    title: str  # the type as messages name it
    storage: frozenset[type]  # Python's types of the column values it reads
    bind: Callable[[Any], SqlValue]
    read: Callable[[Any], Any]
    # Inside JSON; None where the type can't be in JSON.
    dump: Callable[[Any], JsonValue] | None
    load: Callable[[Any], Any] | None
    bind_test: str | None = None  # true: `bind_value` is what to bind
    bind_value: str = "{v}"
    read_test: str | None = None  # true: the column value is the value
    # Statements that leave the value in {v}; `{slow}` names the checked function.
    read_block: tuple[str, ...] = ()
    nullable: bool = False
    json: bool = False  # the column holds JSON text
    exact_text: bool = False  # text that a column with numeric affinity would turn into a number


def optional(codec: Codec) -> Codec:
    """`codec`, or None stored as NULL (in JSON as null)."""
    if codec.nullable:
        return codec
    bind, read, dump, load = codec.bind, codec.read, codec.dump, codec.load
    return attrs.evolve(
        codec,
        title=f"{codec.title} | None",
        nullable=True,
        storage=codec.storage | {type(None)},
        bind=lambda value: None if value is None else bind(value),
        read=lambda value: None if value is None else read(value),
        dump=dump and (lambda value: None if value is None else dump(value)),
        load=load and (lambda value: None if value is None else load(value)),
    )
