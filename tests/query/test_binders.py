"""How arguments reach the SQL's parameters, and what is refused."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, NewType, TypedDict

import attrs
import pytest

from tests.query.support import plan, problems, repository
from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._query.declare import query

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
NOON_TEXT = "2024-01-31 12:00:00.000000+00:00"


@attrs.frozen
class NewMessage:
    room: str
    sent_at: datetime
    _secret: int = attrs.field(default=0, alias="secret")
    length: int = attrs.field(init=False, default=9)


class SpecialMessage(NewMessage):
    pass


@dataclass
class Person:
    name: str
    age: int | None = None
    tags: list[str] = field(default_factory=list)


class Pair(NamedTuple):
    a: int
    b: str


class Keys(TypedDict):
    a: int


MESSAGE = NewMessage("lobby", NOON, 7)


class Repo:
    @query("SELECT :b, :a, :b")
    async def order(self, a: int, b: str, *, c: int = 0) -> None: ...

    @query("SELECT :type, :len, :int")
    async def builtins(self, type: int, len: str, int: float) -> None: ...

    @query("SELECT 1")
    async def nothing(self) -> None: ...

    @query("INSERT INTO m VALUES (:room, :sent_at, :secret, :length, :id)")
    async def record(self, id: int, message: NewMessage) -> None: ...

    @query("UPDATE m SET room = :room")
    async def one_field(self, message: NewMessage) -> None: ...

    @query("INSERT INTO p VALUES (:name, :age, :tags, :a, :b)")
    async def two_records(self, person: Person, pair: Pair) -> None: ...

    @query("INSERT INTO m VALUES (:id, :room, :sent_at, :name)")
    async def batch(self, messages: Iterable[NewMessage], id: int, person: Person) -> None: ...

    @query("INSERT INTO m VALUES (:a, :b)")
    async def pairs(self, pairs: Sequence[Pair]) -> None: ...


def test_values_come_in_the_order_of_the_sql() -> None:
    found = plan(Repo, "builtins")
    assert found.bind(1, "a", 2.5) == (1, "a", 2.5)
    assert not found.batch
    assert repr(found) == "<Plan Repo.builtins>"
    assert plan(Repo, "nothing").bind() == ()


def test_a_name_may_stand_twice_in_the_sql() -> None:
    sql = "SELECT :b, :a, :b"
    assert plan(repository(sql, None, a=int, b=str), "q").bind(1, "x") == ("x", 1)


def test_fields_bind_by_name() -> None:
    bind = plan(Repo, "record").bind
    assert bind(5, MESSAGE) == ("lobby", NOON_TEXT, 7, 9, 5)
    assert bind(5, SpecialMessage("lobby", NOON)) == ("lobby", NOON_TEXT, 0, 9, 5)
    assert plan(Repo, "one_field").bind(MESSAGE) == ("lobby",)


def test_every_kind_of_record_binds() -> None:
    bind = plan(Repo, "two_records").bind
    assert bind(Person("ann", None, ["x"]), Pair(1, "y")) == ("ann", None, '["x"]', 1, "y")
    assert bind(Person("ann", 5), Pair(1, "y")) == ("ann", 5, "[]", 1, "y")


def test_a_batch_is_listed_and_other_arguments_repeat() -> None:
    found = plan(Repo, "batch")
    assert found.batch
    assert repr(found) == "<Plan Repo.batch batch>"
    messages = (m for m in [MESSAGE, NewMessage("attic", NOON)])
    assert found.bind(messages, 5, Person("ann")) == [
        (5, "lobby", NOON_TEXT, "ann"),
        (5, "attic", NOON_TEXT, "ann"),
    ]
    assert found.bind([], 5, Person("ann")) == []
    assert plan(Repo, "pairs").bind([Pair(1, "x")]) == [(1, "x")]


@pytest.mark.parametrize(
    "hint",
    [list[Pair], tuple[Pair, ...], Iterator[Pair], NewType("Pairs", list[Pair]), set[Pair]],
)
def test_what_a_batch_may_be_declared_as(hint: Any) -> None:
    found = plan(repository("SELECT :a, :b", None, pairs=hint), "q")
    assert found.bind([Pair(1, "x")]) == [(1, "x")]


def test_generated_code_can_be_read() -> None:
    source = inspect.getsource(plan(Repo, "one_field").bind)
    assert source.startswith("def bind(message_0):\n    if type(message_0) is not ")
    assert "room_2 = message_0.room" in source


# -- values that don't fit -------------------------------------------------------------------------


def test_a_misfit_names_parameter_and_field() -> None:
    with pytest.raises(MappingError) as caught:
        plan(Repo, "record").bind(5, NewMessage("x", datetime(2024, 1, 1)))
    assert str(caught.value) == (
        "Repo.record: parameter `message.sent_at` must be a datetime with a time zone; it is a"
        " datetime without one (for datetimes that have none: Annotated[datetime, Naive])."
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (([MESSAGE, NewMessage(5, NOON)], 1, Person("a")), r"`messages\[1\]\.room` must be str"),  # type: ignore[arg-type]
        (
            ([MESSAGE, "x"], 1, Person("a")),
            r"`messages\[1\]` must be NewMessage; it is of type str",
        ),
        (([MESSAGE], "x", Person("a")), "`id` must be int; it is of type str"),
        (([MESSAGE], 1, Person(5)), r"`person\.name` must be str"),  # type: ignore[arg-type]
        (([MESSAGE], 1, None), "`person` must be Person; it is None"),
        ((5, 1, Person("a")), "`messages` must be an iterable of NewMessage; it is of type int"),
        (
            (MESSAGE, 1, Person("a")),
            "`messages` must be an iterable of NewMessage; it is of type NewMessage",
        ),
    ],
)
def test_a_misfit_in_a_batch_names_the_element(args: Any, says: str) -> None:
    with pytest.raises(MappingError, match=f"^Repo.batch: parameter {says}"):
        plan(Repo, "batch").bind(*args)


@pytest.mark.parametrize("text", ["ab", b"ab"])
def test_text_is_no_batch(text: Any) -> None:
    with pytest.raises(TypeError, match="`pairs` must be an iterable of Pair; it is of type"):
        plan(Repo, "pairs").bind(text)


# -- declarations that don't fit -------------------------------------------------------------------

ODD = attrs.make_class("Holder", {"part": attrs.field(type=complex)})

REFUSED: list[tuple[type, str]] = [
    (
        repository("SELECT 1,\n :x", None),
        "the SQL names `:x` at line 2, column 2 of the SQL, which no parameter and no",
    ),
    (
        repository("SELECT :room", None, room=str, extra=int),
        ("the SQL does not name `:extra`, and `int` is no class whose fields it could name; write"
        " `:extra` into the SQL or remove the parameter."),
    ),
    (
        repository("SELECT :id", None, message=NewMessage, id=int),
        ("the SQL names neither `:message` nor a field of `NewMessage`, so parameter `message` has"
        " no use"),
    ),
    (
        repository("SELECT 1 WHERE 'a' IN (:rooms)", None, rooms=Sequence[str]),
        ("parameter `rooms`: it is one value, JSON text, so `IN (:rooms)` at line 1, column 24 of"
        " the SQL finds nothing; write `IN (SELECT value FROM json_each(:rooms))`"),
    ),
    (
        repository("SELECT :room", None, room=str, message=NewMessage),
        ("`:room` is supplied twice, by parameter `room` and by field `NewMessage.room` of"
        " parameter `message`; rename one"),
    ),
    (
        repository("SELECT :a", None, one=Pair, two=Pair),
        "`:a` is supplied twice, by field `Pair.a` of parameter `one` and by field `Pair.a` of",
    ),
    (
        repository("SELECT :a, :name", None, one=list[Pair], two=list[Person]),
        "parameters `one` and `two` are both batches; there can be one",
    ),
    (
        repository("SELECT :room", None, message=NewMessage | None),
        "parameter `message` is a record that may be None, and has then no fields to bind",
    ),
    (repository("SELECT :a", None, keys=Keys), "`Keys` is no class whose fields it could name"),
    (repository("SELECT :a", None, xs=list[int]), "`list[int]` is no class whose fields"),
    (repository("SELECT :a", None, xs=list), "`list` is no class whose fields"),
    (repository("SELECT :a", None, xs=tuple[Pair, int]), "`tuple[Pair, int]` is no class"),
    (repository("SELECT :x", None, x=complex), "parameter `x`: `complex` has no column form"),
    (
        repository("SELECT :part", None, holder=ODD),
        "field `Holder.part` of parameter `holder`: `complex` has no column form",
    ),
    (
        repository("SELECT :x", None, holder=attrs.make_class("Holder", ["x"])),
        "field `Holder.x` has no annotation; give it one",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "says"), REFUSED)
def test_what_does_not_match_is_a_problem(owner: type, says: str) -> None:
    assert says in problems(owner, "q")


def test_a_near_name_is_suggested() -> None:
    found = problems(repository("SELECT :rom", None, room=str), "q").splitlines()
    assert found[0].endswith("or remove the parameter (did you mean `rom`?).")
    assert found[1].endswith("or correct the name (did you mean `room`?).")
    found = problems(repository("SELECT :name, :agee", None, p=Person), "q").splitlines()
    assert found[0].endswith("(did you mean `age`?).")


def test_all_problems_are_told() -> None:
    owner = repository("SELECT :x, :y", complex, x=complex, z=int)
    assert len(problems(owner, "q", "n").splitlines()) == 4
