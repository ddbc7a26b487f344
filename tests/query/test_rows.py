"""How rows become results, by every shape of the design, and what is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import attrs
import pytest
import typing_extensions

from tests.query.support import plan, problems, repository
from trio_sqlrepo._base.errors import DeclarationError, MappingError
from trio_sqlrepo._query.declare import query
from trio_sqlrepo._query.markers import Json
from trio_sqlrepo._query.refusal import title

T = TypeVar("T")
K = TypeVar("K")


def build(result: Any, columns: Any, *row: Any) -> Any:
    made = plan(repository("SELECT 1", result), "q", columns).statement
    assert made.build is not None
    return made.build(row)


@attrs.frozen
class Message:
    body: str
    sent_at: datetime | None = None
    _secret: int = attrs.field(default=0, alias="secret")
    flag: bool = attrs.field(default=False, kw_only=True)
    size: int = attrs.field(init=False, default=9)


@attrs.frozen
class Upper:
    name: str = attrs.field(converter=str.upper)  # type: ignore[misc]

    def __attrs_post_init__(self) -> None:
        if self.name == "BAD":
            raise ValueError(self.name)


@dataclass
class Person:
    table: ClassVar[str] = "person"
    name: str
    seed: InitVar[int] = 0
    _: KW_ONLY
    tags: list[str] = field(default_factory=list)
    total: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.total = seed * 2


class Pair(NamedTuple):
    a: int
    b: str = "b"


class Keys(TypedDict):
    a: int
    b: NotRequired[str]


class Loose(Keys, total=False):
    c: Required[float]
    d: Annotated[NotRequired[int], "doc"]


class Extended(typing_extensions.TypedDict):
    a: int
    b: Annotated[typing_extensions.ReadOnly[NotRequired[int]], "doc"]
    c: NotRequired[list[int]]
    d: list[int]


@attrs.frozen
class Author:
    id: int
    name: str


@attrs.frozen
class Post:
    id: int
    author: Author
    reviewer: Author | None = None


@attrs.frozen
class Thread:
    first: Post
    keys: Keys | None = None


@attrs.frozen(slots=False)
class Page(Generic[T]):
    number: int
    item: T


@attrs.frozen(slots=False)
class Named(Generic[K]):
    name: K


@attrs.frozen(slots=False)
class Both(Page[K], Named[str]):
    pass


class GenericKeys(TypedDict, Generic[T]):
    x: T


class SomeKeys(GenericKeys[int]):
    y: str


@attrs.define(init=False)
class OwnInit:
    x: int
    y: int = 0

    def __init__(self, x: int, *more: int, other: int = 5, **rest: int) -> None:
        self.x, self.y = x, other


@attrs.define(init=False)
class Needy:
    x: int

    def __init__(self, x: int, other: int) -> None:
        self.x = x + other


@dataclass
class Constant:
    x: Final[int]


NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
MessageId = NewType("MessageId", int)
Row = NewType("Row", Message)


# result, columns, row, what is built
BUILT: list[tuple[Any, Any, tuple[Any, ...], Any]] = [
    (int, "count(*)", (5,), 5),
    (int, ("max(a, b)",), (5,), 5),
    (MessageId, "id", (5,), 5),
    (int | None, "n", (None,), None),
    (list[int | None], "n", (None,), None),
    (Any, "n", ("x",), "x"),
    (tuple[int, str | None], "a b", (1, None), (1, None)),
    (tuple[int, int], "a a", (1, 2), (1, 2)),
    (tuple[list[int], Author], "a b", ("[1]", '{"id":1,"name":"x"}'), ([1], Author(1, "x"))),
    (list[tuple[int]], "a", (1,), (1,)),
    (dict[str, Any], "a b:BLOB", (1, b"x"), {"a": 1, "b": b"x"}),
    (Mapping[str, object], ("it's", "2x"), (1, 2), {"it's": 1, "2x": 2}),
    (Message, "body", ("x",), Message("x")),
    (Message, "extra secret flag body size", (b"", 7, 1, "x", 1), Message("x", None, 7, flag=True)),
    (
        Message, "body sent_at secret flag", ("x", "2024-01-31 12:00", 7, 0),
        Message("x", NOON, 7),
    ),
    (Message, "body sent_at", ("x", None), Message("x")),
    (Row, "body", ("x",), Message("x")),
    (Message | None, "body", ("x",), Message("x")),
    (list[Message], "body", ("x",), Message("x")),
    (Annotated[list[Message], "doc"], "body", ("x",), Message("x")),
    (Upper, "name", ("ann",), Upper("ann")),
    (Person, "tags name seed total", ('["x"]', "ann", 2, 1), Person("ann", 2, tags=["x"])),
    (Pair, "b a", ("x", 1), Pair(1, "x")),
    (Pair, "a", (1,), Pair(1)),
    (Keys, "a b", (1, "x"), {"a": 1, "b": "x"}),
    (Keys, "a", (1,), {"a": 1}),
    (Loose, "c a", (1.5, 1), {"c": 1.5, "a": 1}),
    (Extended, "a d", (1, "[]"), {"a": 1, "d": []}),
    (Page[str], "number item", (1, "x"), Page(1, "x")),
    (Page[Author], "number item.id item.name", (1, 2, "x"), Page(1, Author(2, "x"))),
    (Both[int], "number item name", (1, 2, "x"), Both("x", 1, 2)),  # type: ignore[arg-type]
    (SomeKeys, "x y", (1, "x"), {"x": 1, "y": "x"}),
    (OwnInit, "x other y", (1, 2, 3), OwnInit(1)),
    (Constant, "x", (1,), Constant(1)),
    (
        Post, "id author.id author.name", (1, 2, "ann"), Post(1, Author(2, "ann")),
    ),
    (
        Post, "id author author.id author.name reviewer.id reviewer.name",
        (1, 2, 2, "ann", 3, "bob"), Post(1, Author(2, "ann"), Author(3, "bob")),
    ),
    (
        Post, "id author.id author.name reviewer.id reviewer.name reviewer.more",
        (1, 2, "ann", None, None, None), Post(1, Author(2, "ann")),
    ),
    (Post, "id author", (1, '{"id":2,"name":"ann"}'), Post(1, Author(2, "ann"))),
    (
        Thread, "first.id first.author.id first.author.name keys.a keys.b",
        (1, 2, "ann", 5, "x"), Thread(Post(1, Author(2, "ann")), {"a": 5, "b": "x"}),
    ),
    (
        Thread, "first.id first.author.id first.author.name keys.a keys.b",
        (1, 2, "ann", None, None), Thread(Post(1, Author(2, "ann"))),
    ),
    (Annotated[list[str], Json], "tags", ('["a"]',), ["a"]),
    (list[Annotated[list[str], Json]], "tags", ('["a"]',), ["a"]),
    (Annotated[Author, Json], "author", ('{"id":1,"name":"x"}',), Author(1, "x")),
    (Annotated[list[str], Json] | None, "tags", (None,), None),
    (Annotated[list[str] | None, Json], "tags", (None,), None),
    (Annotated[list[str] | None, Json] | None, "tags", (None,), None),
    (list[Annotated[list[str], Json] | None], "tags", ('["a"]',), ["a"]),
    (list[Annotated[list[str], Json] | None], "tags", (None,), None),
    (tuple[OwnInit | None], "x", (None,), (None,)),
]  # fmt: skip


@pytest.mark.parametrize(("result", "columns", "row", "built"), BUILT)
def test_what_is_built(result: Any, columns: Any, row: Any, built: Any) -> None:
    found = build(result, columns, *row)
    if isinstance(built, OwnInit):
        assert (found.x, found.y) == (1, 5)
    else:
        assert found == built
        assert type(found) is type(built)


def test_a_class_is_called_by_position() -> None:
    made = plan(repository("SELECT 1", Message), "q", "flag body sent_at secret").statement.build
    source = inspect.getsource(made)  # type: ignore[arg-type]
    assert "(body_1, sent_at_2, secret_3, flag=flag_0)" in source
    made = plan(repository("SELECT 1", Message), "q", "secret body").statement.build
    assert "(body_1, secret=secret_0)" in inspect.getsource(made)  # type: ignore[arg-type]


# -- values that don't fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "columns", "row", "says"),
    [
        (
            Message, "body", (None,),
            ("Repo.q: column `body` holds NULL, but field `Message.body` is str; declare it"
            " `str | None`, or let the column hold no NULL."),
        ),
        (
            Post, "id author.id author.name", (1, 2, None),
            ("Repo.q: column `author.name` holds NULL, but field `Author.name` is str; declare it"
            " `str | None`, or let the column hold no NULL."),
        ),
        (
            Post, "id author.id author.name reviewer.id reviewer.name", (1, 2, "x", None, "x"),
            ("Repo.q: column `reviewer.id` holds NULL, but field `Author.id` is int; declare it"
            " `int | None`, or let the column hold no NULL."),
        ),
        (int, "count(*)", ("5",), "Repo.q: column `count(*)` holds TEXT, but the result is int."),
        (
            tuple[int, str], "a b", (1, 2),
            "Repo.q: column `b` holds INTEGER, but element 2 of the result is str.",
        ),
    ],
)  # fmt: skip
def test_a_misfit_names_column_and_field(result: Any, columns: str, row: Any, says: str) -> None:
    with pytest.raises(MappingError) as caught:
        build(result, columns, *row)
    assert str(caught.value) == says


def test_what_a_constructor_raises_is_the_cause() -> None:
    says = r"^Repo\.q: a row makes no Upper: its constructor raised ValueError\.$"
    with pytest.raises(MappingError, match=says) as caught:
        build(Upper, "name", "bad")
    assert isinstance(caught.value.__cause__, ValueError)


# -- declarations that don't fit -------------------------------------------------------------------

REFUSED: list[tuple[Any, Any, str]] = [
    (int, "a b", "it gives 2 columns (`a`, `b`), but `int` holds one; declare a tuple, or a class"),
    (Annotated[list[int], Json], "a b", "it gives 2 columns"),
    (tuple[int, str], "a", "it gives 1 columns (`a`), but `tuple[int, str]` holds 2; make them"),
    (tuple[int, ...], "a", "`tuple[int, ...]` does not say how many columns there are"),
    (tuple, "a", "`tuple` does not say how many"),
    (dict, "a", "`dict` is no row: by column name it is `dict[str, Any]`"),
    (dict[str, int], "a", "for a JSON column declare `Annotated[dict[str, int], Json]`"),
    (list, "a", "`list` is no type of a row; for rows declare `list[…]`, for a JSON column"),
    (list[list[int]], "a", "`list[int]` is no type of a row"),
    (Sequence[Message], "body", "`Sequence[Message]` is no type of a row"),
    (set[int], "a", "`set[int]` is no type of a row"),
    (list[Message | None], "body", "a row can't be `Message | None`: declare one class"),
    (list[list[int] | None], "a", "a row can't be `list[int] | None`"),
    (Message | Author, "body", "a row can't be `Message | Author`"),
    (complex, "a", "`complex` has no column form"),
    (
        Message, "bodi",
        ("field `Message.body` has no column: the query gives `bodi` (did you mean `bodi`?); add"
        " `body` (rename with AS), or give the field a default"),
    ),
    (Message, "x", "field `Message.body` has no column: the query gives `x`; add `body`"),
    (Message, "body x x", "`x` is the name of more than one column, so rows can't be mapped by"),
    (dict[str, Any], "a a b b", "`a`, `b` are the name of more than one column"),
    (
        Post, "id author.id",
        "field `Author.name` has no column: the query gives `id`, `author.id`; add `author.name`",
    ),
    (Post, "id author.id author.name reviewer.id", "add `reviewer.name`"),
    (Keys, "b", "field `Keys.a` has no column"),
    (Loose, "a", "field `Loose.c` has no column"),
    (Needy, "x other", "`Needy` can't be made of columns: its constructor needs `other`, which is"),
    (attrs.make_class("Bare", ["x"]), "x", "field `Bare.x` has no annotation; give it one"),
    (
        attrs.make_class("Odd", {"x": attrs.field(type=complex)}), "x",
        "field `Odd.x`: `complex` has no column form",
    ),
    (
        attrs.make_class("Author2", {"id": attrs.field(type=int)}), "id.x",
        "field `Author2.id` has no column",
    ),
    (
        attrs.make_class("Outer", {"x": attrs.field(type=Message)}), "x.body x.body",
        "`x.body` is the name of more than one column",
    ),
    (attrs.make_class("Outer", {"x": attrs.field(type=Needy)}), "x.x", "constructor needs `other`"),
    (Page, "number item", "field `Page.item` is annotated with the type variable `T`"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "columns", "says"), REFUSED)
def test_what_does_not_match_is_a_problem(result: Any, columns: str, says: str) -> None:
    assert says in problems(repository("SELECT 1", result), "q", columns)


@pytest.mark.parametrize(
    ("declared", "affinity"),
    [
        ("NUMERIC", "NUMERIC"), ("DECIMAL(10, 2)", "NUMERIC"), ("ANY", "NUMERIC"),
        ("bigint", "INTEGER"), ("FLOATING POINT", "INTEGER"), ("double", "REAL"), ("Real", "REAL"),
        ("TEXT", None), ("VARCHAR(5)", None), ("CLOB", None), ("BLOB", None), (None, None),
    ],
)  # fmt: skip
def test_a_decimal_needs_a_column_that_keeps_text(
    declared: str | None, affinity: str | None
) -> None:
    @attrs.frozen
    class Price:
        amount: Decimal | None

    column = ("amount" if declared is None else f"amount:{declared}",)
    for result in (Price, Decimal, tuple[Decimal], NewType("Amount", Decimal)):
        owner = repository("SELECT 1", result)
        if affinity is None:
            plan(owner, "q", column)
            continue
        says = (
            rf"is Decimal( \| None)?, but result column 1 \(`amount`\) is declared"
            rf" {re.escape(str(declared))}, which has {affinity} affinity: SQLite would keep"
            r" 12\.10 as 12\.1\. Declare the column TEXT, in a STRICT table\."
        )
        assert re.search(says, problems(owner, "q", column))


def test_all_problems_are_told() -> None:
    found = problems(repository("SELECT 1", Thread), "q", "first.id")
    assert len(found.splitlines()) == 1
    found = problems(repository("SELECT 1", Author), "q", "x")
    assert len(found.splitlines()) == 2
    assert (
        len(problems(repository("SELECT 1", tuple[complex, complex]), "q", "x y").splitlines()) == 2
    )


# -- after a change of the schema ------------------------------------------------------------------


class Repo:
    @query("SELECT * FROM message")
    async def all(self) -> list[Message]: ...

    @query("SELECT * FROM message")
    async def discarded(self) -> None: ...

    @query("SELECT * FROM message")
    async def pairs(self) -> list[tuple[int, str]]: ...


def test_rows_are_mapped_by_the_new_columns() -> None:
    statement = plan(Repo, "all", "body secret").statement
    assert statement.rebuild is not None
    assert statement.rebuild(("body", "secret")) is statement.build
    again = statement.rebuild(("secret", "more", "body"))
    assert again((7, None, "x")) == Message("x", None, 7)
    assert statement.rebuild(("secret", "more", "body")) is again
    discarded = plan(Repo, "discarded", "a").statement.rebuild
    assert discarded is not None
    assert discarded(("b",))((1,)) is None


@pytest.mark.parametrize(
    ("method", "columns", "says"),
    [
        ("all", ("secret",), "field `Message.body` has no column: the query gives `secret`"),
        ("pairs", ("a",), "it gives 1 columns"),
    ],
)
def test_columns_that_no_longer_fit(method: str, columns: tuple[str, ...], says: str) -> None:
    statement = plan(Repo, method, "body:INTEGER secret").statement
    assert statement.rebuild is not None
    with pytest.raises(DeclarationError, match=re.escape(says)) as caught:
        statement.rebuild(columns)
    assert re.match(rf"Repo\.{method} \(.*:\d+\): the schema has changed: ", str(caught.value))


def test_titles() -> None:
    assert title(Page[int | None]) == "Page[int | None]"
    assert title(Annotated[datetime, Json]) == "Annotated[datetime, Json]"
    assert title(T) == "T"
    assert title(None) == "None"
