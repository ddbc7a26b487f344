"""User types through the cattrs converter's hooks."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address
from typing import Any, Generic, NamedTuple, TypeVar, get_origin

import attrs
import cattrs
import pytest
from cattrs.strategies import use_class_methods

from tests.query.support import Echo, plan, problems, repository
from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._query.hooks import structure_hook, unstructure_hook

T = TypeVar("T")


@attrs.frozen
class Money:
    cents: int


@attrs.frozen
class Item:
    name: str
    price: Money
    tags: list[Money] = attrs.field(factory=list)


class Point(NamedTuple):
    x: int


class Box(Generic[T]):
    def __init__(self, content: Any) -> None:
        self.content = content


class Plain:
    def __init__(self, value: object) -> None:
        self.value = value


def converter() -> cattrs.Converter:
    made = cattrs.Converter()
    made.register_unstructure_hook(Money, lambda money: money.cents)
    made.register_structure_hook(Money, lambda value, _: Money(value))
    made.register_unstructure_hook(IPv4Address, str)
    made.register_structure_hook(IPv4Address, lambda value, _: IPv4Address(value))
    made.register_unstructure_hook(Plain, lambda plain: plain.value)
    made.register_structure_hook(Plain, partial(make_plain, extra=1))
    # Built-in rules are not for hooks to change.
    made.register_unstructure_hook(int, lambda n: n + 1)
    made.register_structure_hook(int, lambda n, _: n + 1)
    return made


def make_plain(value: Any, _: Any, *, extra: int) -> Plain:
    if value == "bad":
        raise ValueError(value)
    return Plain(value)


@pytest.mark.parametrize(
    ("hint", "value", "stored"),
    [
        (Money, Money(5), 5),
        (Money | None, None, None),
        (Money | None, Money(5), 5),
        (IPv4Address, IPv4Address("10.0.0.1"), "10.0.0.1"),
        (list[Money], [Money(5)], "[5]"),
        (dict[str, IPv4Address], {"a": IPv4Address("10.0.0.1")}, '{"a":"10.0.0.1"}'),
        (Item, Item("x", Money(5), [Money(6)]), '{"name":"x","price":5,"tags":[6]}'),
        (int, 5, 5),
    ],
)
def test_round_trip(hint: Any, value: Any, stored: Any) -> None:
    echo = Echo(hint, converter())
    assert echo.bind(value) == stored
    assert echo.through_sqlite(value) == value


def test_a_class_with_a_hook_is_a_value_where_there_is_one_column_and_else_a_row() -> None:
    made = plan(repository("SELECT 1", Money), "q", "price", converter=converter())
    assert made.statement.build is not None
    assert made.statement.build((5,)) == Money(5)
    made = plan(repository("SELECT 1", Money), "q", "cents more", converter=converter())
    assert made.statement.build is not None
    assert made.statement.build((5, 6)) == Money(5)
    made = plan(repository("SELECT 1", Item), "q", "name price.cents", converter=converter())
    assert made.statement.build is not None
    assert made.statement.build(("x", 5)) == Item("x", Money(5))


def test_a_record_parameter_binds_its_fields_though_it_has_a_hook() -> None:
    owner = repository("SELECT :cents", None, money=Money)
    assert plan(owner, "q", converter=converter()).bind(Money(5)) == (5,)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Plain([]), ("must be stored as None, bool, int, float, str or bytes; it is one that the"
         " converter's unstructure hook turns into an object of type list")),
        (Plain(2**63), "must be an int from"),
        (Plain(float("nan")), "must be Plain; it is NaN"),
        (5, "must be Plain; it is of type int"),
    ],
)  # fmt: skip
def test_what_a_hook_gives_is_checked(value: Any, says: str) -> None:
    with pytest.raises(MappingError, match=says):
        Echo(Plain, converter()).bind(value)


def test_bytes_are_not_for_json() -> None:
    assert Echo(Plain, converter()).bind(Plain(b"x")) == b"x"
    with pytest.raises(MappingError, match="turns into bytes, which JSON can't hold"):
        Echo(list[Plain], converter()).bind([Plain(b"x")])


def test_what_a_hook_raises_is_the_cause() -> None:
    says = "column `x` holds TEXT for which the converter's structure hook raised ValueError"
    with pytest.raises(MappingError, match=says) as caught:
        Echo(Plain, converter()).read("bad")
    assert isinstance(caught.value.__cause__, ValueError)

    failing = converter()
    failing.register_unstructure_hook(Money, lambda _: 1 // 0)
    says = "it is one for which the converter's unstructure hook raised ZeroDivisionError"
    with pytest.raises(MappingError, match=says) as caught:
        Echo(Money, failing).bind(Money(1))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_null_is_not_for_hooks() -> None:
    with pytest.raises(MappingError, match="holds NULL, but element 1 of the result is Money"):
        Echo(Money, converter()).read(None)


def test_a_hook_is_needed_in_the_direction_of_use() -> None:
    one_way = cattrs.Converter()
    one_way.register_unstructure_hook(IPv4Address, str)
    assert plan(repository("SELECT :x", None, x=IPv4Address), "q", converter=one_way).bind(
        IPv4Address("10.0.0.1")
    ) == ("10.0.0.1",)
    says = "`IPv4Address` has no column form; register a hook for it (converter.register_structure"
    assert says in problems(repository("SELECT 1", IPv4Address), "q", "x", converter=one_way)


def test_only_what_the_user_registered_is_a_hook() -> None:
    made = cattrs.Converter()
    for kind in (Money, Point, int, IPv4Address, Plain, str):
        assert structure_hook(kind, made) is None
        assert unstructure_hook(kind, made) is None
        assert structure_hook(kind, None) is None
        assert unstructure_hook(kind, None) is None
    assert Echo(Point, made).bind(Point(1)) == '{"x":1}'

    class Own:
        def to_column(self) -> str:
            return "own"

        @classmethod
        def from_column(cls, _: str) -> Own:
            return cls()

    use_class_methods(made, "from_column", "to_column")
    assert Echo(Own, made).bind(Own()) == "own"
    assert isinstance(Echo(Own, made).read("own"), Own)


def is_box(hint: Any) -> bool:
    return get_origin(hint) is Box


def test_a_generic_class_may_have_a_hook() -> None:
    made = cattrs.Converter()
    made.register_unstructure_hook_func(is_box, lambda box: box.content)
    owner = repository("SELECT :x", None, x=Box[int])
    assert plan(owner, "q", converter=made).bind(Box(5)) == (5,)
