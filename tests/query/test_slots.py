"""The short way to an instance of a frozen class with slots, and who must not take it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import attrs
import pytest

from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._base.inspection import Column
from trio_sqlrepo._query.annotations import Context
from trio_sqlrepo._query.builders import make_builder
from trio_sqlrepo._query.records import record_of
from trio_sqlrepo._query.rows import layout
from trio_sqlrepo._query.slots import slot_setters
from trio_sqlrepo._query.values import Codecs

T = TypeVar("T")


def is_short(cls: Any, *keys: str) -> bool:
    record = record_of(cls, Context())
    assert record is not None
    return slot_setters(record, keys or [argument.key for argument in record.arguments]) is not None


def built(cls: Any, **row: Any) -> Any:
    columns = [Column(name, None, None, None) for name in row]
    codecs = Codecs(None, Context(), reading=True)
    build = make_builder("Things.get", layout(cls, columns, codecs, or_none=False))
    return build(tuple(row.values()))


@attrs.frozen
class Plain:
    a: int
    b: str = "default"


@attrs.frozen
class Inherited(Plain):
    c: int = 0


@attrs.frozen(kw_only=True)
class Private:
    _a: int
    b: str = attrs.field(alias="other")


@attrs.frozen
class Page(Generic[T]):
    a: T


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    a: int
    b: str = dataclasses.field(default="default", kw_only=True)


@pytest.mark.parametrize(
    ("cls", "row"),
    [
        (Plain, {"a": 1, "b": "x"}),
        (Inherited, {"c": 3, "b": "x", "a": 1}),
        (Private, {"other": "x", "a": 1}),
        (Page[int], {"a": 1}),
        (Data, {"b": "x", "a": 1}),
    ],
)
def test_what_only_fills_slots_is_filled(cls: Any, row: dict[str, Any]) -> None:
    assert is_short(cls)
    made, called = built(cls, **row), cls(**row)
    assert type(made) is type(called)
    assert made == called
    assert hash(made) == hash(called)
    assert repr(made) == repr(called)
    with pytest.raises(AttributeError):
        made.a = 2


@pytest.mark.parametrize("cls", [Plain, Data])
def test_a_default_is_the_class_own_business(cls: Any) -> None:
    assert not is_short(cls, "a")
    assert built(cls, a=1) == cls(1)


@attrs.frozen
class Validated:
    a: int = attrs.field(validator=attrs.validators.gt(5))


@attrs.frozen
class Posted:
    a: int

    def __attrs_post_init__(self) -> None:
        if self.a < 5:
            raise ValueError


@attrs.frozen
class Prepared:
    a: int

    def __attrs_pre_init__(self) -> None:
        raise ValueError


@attrs.frozen
class Made:
    a: int

    def __init__(self, a: int) -> None:
        raise ValueError(a)


@attrs.frozen
class New:
    a: int

    def __new__(cls, a: int) -> Self:
        raise ValueError(a)


class Meta(type):
    def __call__(cls, *args: Any, **more: Any) -> Any:
        raise ValueError


@attrs.frozen
class OfMeta(metaclass=Meta):
    a: int


@dataclasses.dataclass(frozen=True, slots=True)
class PostedData:
    a: int

    def __post_init__(self) -> None:
        raise ValueError


@dataclasses.dataclass(frozen=True, slots=True)
class MadeData:
    a: int

    def __init__(self, a: int) -> None:
        raise ValueError(a)


@pytest.mark.parametrize(
    "cls", [Validated, Posted, Prepared, Made, New, OfMeta, PostedData, MadeData]
)
def test_what_does_more_is_called(cls: Any) -> None:
    assert not is_short(cls)
    with pytest.raises(MappingError, match="ValueError"):
        built(cls, a=1)


@attrs.frozen
class Converted:
    a: int = attrs.field(converter=int)


@attrs.frozen
class Further:
    a: int
    twice: int = attrs.field(init=False, default=2)


@attrs.frozen(cache_hash=True)
class Hashed:
    a: int


@attrs.define
class Mutable:
    a: int


@attrs.frozen(slots=False)
class Loose:
    a: int


class Sub(Plain):
    pass


@dataclasses.dataclass(slots=True)
class MutableData:
    a: int


@dataclasses.dataclass(frozen=True)
class LooseData:
    a: int


@dataclasses.dataclass(frozen=True, slots=True)
class FurtherData:
    a: int
    twice: int = dataclasses.field(init=False, default=2)


@dataclasses.dataclass(frozen=True, slots=True)
class WithInitVar:
    a: int
    b: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("cls", "row"),
    [
        (Converted, {"a": 1}),
        (Further, {"a": 1}),
        (Hashed, {"a": 1}),
        (Mutable, {"a": 1}),
        (Loose, {"a": 1}),
        (Sub, {"a": 1, "b": "x"}),
        (MutableData, {"a": 1}),
        (LooseData, {"a": 1}),
        (FurtherData, {"a": 1}),
        (WithInitVar, {"a": 1, "b": 2}),
    ],
)
def test_where_it_is_no_gain_or_not_the_same_the_class_is_called(
    cls: Callable[..., Any], row: dict[str, Any]
) -> None:
    assert not is_short(cls)
    made, called = built(cls, **row), cls(**row)
    assert made == called
    if cls is Hashed:
        assert hash(made) == hash(called)


def test_an_abstract_class_is_refused_as_a_call_would() -> None:
    with pytest.raises(MappingError, match="TypeError"):
        built(Abstract, a=1)


class Base(ABC):
    @abstractmethod
    def area(self) -> int: ...


@attrs.frozen
class Abstract(Base):
    a: int
