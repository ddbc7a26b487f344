"""The short way to an instance of a frozen class with slots.

A frozen class stops assignment by a `__setattr__` of its own, which its `__init__` has to go round,
at 40 ns a field. Where that `__init__` does nothing but fill the slots, they are filled here
directly, in two thirds of the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import FunctionType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_sqlrepo._query.records import RecordKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from trio_sqlrepo._query.records import Record

Setter = Callable[[Any, Any], None]

# Where attrs and dataclasses say that they have compiled their code.
_WRITTEN: Final = ("<attrs generated", "<string>")


def slot_setters(record: Record, keys: Collection[str]) -> dict[str, Setter] | None:
    """What fills the slot of each key of an instance that `object.__new__` made.

    None: the class is to be called, because that does more, or is as fast.
    """
    cls = record.cls
    filled = {argument.key for argument in record.arguments} == set(keys) == set(record.fields)
    if not filled or not _only_fills_slots(cls, record.kind):
        return None
    setters: dict[str, Setter] = {}
    for key, field in record.fields.items():
        slot = getattr(cls, field.name, None)
        if not isinstance(slot, MemberDescriptorType):
            return None
        setters[key] = slot.__set__
    return setters


def _only_fills_slots(cls: Any, kind: RecordKind) -> bool:
    """Whether calling the class does nothing but to fill the slots of its fields, past a guard."""
    init = vars(cls).get("__init__")
    if (
        cls.__new__ is not object.__new__
        or type(cls).__call__ is not type.__call__
        or not isinstance(init, FunctionType)
        or not init.__code__.co_filename.startswith(_WRITTEN)
    ):
        return False
    if kind is RecordKind.ATTRS:
        return (
            cls.__setattr__.__name__ == "_frozen_setattrs"
            and not hasattr(cls, "__attrs_pre_init__")
            and not hasattr(cls, "__attrs_post_init__")
            and not hasattr(cls, "_attrs_cached_hash")
            and all(
                field.init and field.converter is None and field.validator is None
                for field in attrs.fields(cls)
            )
        )
    return (
        kind is RecordKind.DATACLASS
        and cls.__dataclass_params__.frozen
        and not hasattr(cls, "__post_init__")
        and all(field.init for field in dataclasses.fields(cls))
    )
