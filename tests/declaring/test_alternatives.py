"""SQL with alternatives: one statement for each choice, and no value in the SQL."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterable
from typing import Any, Literal

import attrs
import pytest

from tests.declaring.support import NewMessage, opened, problems
from trio_sqlrepo import (
    DeclarationError,
    MappingError,
    ReadOnlySession,
    Repository,
    RowCount,
    declared,
    query,
    snapshot,
)


class Order(enum.Enum):
    NEWEST = "newest"
    OLDEST = "oldest"


class Column(enum.StrEnum):
    ROOM = "room"
    BODY = "body"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Near:
    stars: int
    body: str


class Messages(Repository):
    @query.insert("message")
    async def add_all(self, messages: Iterable[NewMessage]) -> RowCount: ...

    @query(
        "SELECT body FROM message ORDER BY {order} LIMIT :limit",
        order={"newest": "id DESC", "oldest": "id"},
    )
    async def bodies(self, order: Literal["newest", "oldest"], limit: int = 9) -> list[str]: ...

    @query(
        """
        SELECT body FROM message
        WHERE body <> '{order} {x' -- {order}
        {room: AND room = :room} /* {room: */ {stars: AND stars >= :stars}
        ORDER BY {order}
        """,
        order={Order.NEWEST: "id DESC", Order.OLDEST: "id"},
    )
    async def search(
        self, *, room: str | None = None, stars: int | None = None, order: Order = Order.OLDEST
    ) -> list[str]: ...

    @query(
        "SELECT group_concat({column}, '') FROM message", column={"room": "room", "body": "body"}
    )
    async def joined(self, column: Literal["room", "body"]) -> str: ...

    @query("SELECT body FROM message {order: ORDER BY {order}}", order={"body": "body DESC"})
    async def maybe_sorted(self, order: Literal["body"] | None = None) -> list[str]: ...

    @query(
        "SELECT {what} FROM message",
        what={None: "count(*)", 2: "min(stars)", True: "max(stars)"},
    )
    async def what(self, what: Literal[2, True] | None) -> int: ...

    @query(
        "SELECT body FROM message ORDER BY {order}",
        order={"near": "abs(stars - :stars), body", "id": "id"},
    )
    async def near(self, order: Literal["near", "id"], near: Near) -> list[str]: ...

    @query(
        "UPDATE message SET body = :body WHERE {by}",
        by={Column.ROOM: "room = :room", Column.BODY: "body = :room"},
    )
    async def rewrite(self, by: Column, room: str, body: str) -> RowCount: ...

    @query(
        "INSERT INTO message (room, body, stars) VALUES (:room, :body, {rated})",
        rated={"own": ":stars", "none": "NULL"},
    )
    async def add_rated(
        self, messages: Iterable[NewMessage], rated: Literal["own", "none"] = "own"
    ) -> RowCount: ...

    @snapshot
    async def both_ways(self) -> list[list[str]]:
        return [await self.bodies("newest"), await self.bodies("oldest")]


ROWS = [NewMessage("a", "x", 3), NewMessage("a", "y", 1), NewMessage("b", "z", 2)]


async def test_a_slot_holds_the_fragment_of_its_value() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all(ROWS)
        assert await messages.bodies("newest") == ["z", "y", "x"]
        assert await messages.bodies(order="oldest", limit=2) == ["x", "y"]
        assert await messages.both_ways() == [["z", "y", "x"], ["x", "y", "z"]]
        assert await messages.joined("room") == "aab"
        assert await messages.joined("body") == "xyz"
        assert [await messages.what(what) for what in (None, 2, True)] == [3, 1, 3]
        another: Any = "NEWEST".lower()  # equal, and not the same object
        assert await messages.bodies(another) == ["z", "y", "x"]
        async with db.snapshot() as snap:
            assert await messages.using(snap).bodies("newest") == ["z", "y", "x"]


async def test_a_filter_is_there_when_its_argument_is_not_none() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all(ROWS)
        assert await messages.search() == ["x", "y", "z"]
        assert await messages.search(order=Order.NEWEST) == ["z", "y", "x"]
        assert await messages.search(room="a") == ["x", "y"]
        assert await messages.search(stars=2) == ["x", "z"]
        assert await messages.search(room="a", stars=0, order=Order.NEWEST) == ["y", "x"]
        assert await messages.search(room="") == []


async def test_a_slot_may_stand_in_its_own_filter() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all(ROWS)
        assert await messages.maybe_sorted() == ["x", "y", "z"]
        assert await messages.maybe_sorted("body") == ["z", "y", "x"]


async def test_a_filter_is_there_for_what_is_false_too() -> None:
    class Falsy(Repository):
        @query("SELECT 'x' {n: WHERE {n}} {m: LIMIT :m}", n={0: "FALSE", 1: "TRUE"})
        async def xs(self, n: Literal[0, 1] | None, m: int | None = None) -> list[str]: ...

    async with opened(Falsy) as db:
        assert [await Falsy(db).xs(n) for n in (None, 0, 1)] == [["x"], [], ["x"]]
        assert await Falsy(db).xs(1, 0) == []


async def test_each_choice_binds_what_it_names() -> None:
    async with opened(Messages) as db:
        messages = Messages(db)
        await messages.add_all(ROWS)
        assert await messages.near("near", Near(1, "")) == ["y", "z", "x"]
        assert await messages.near("id", Near(1, "")) == ["x", "y", "z"]
        assert await messages.rewrite(Column.ROOM, "a", "new") == 2
        assert await messages.rewrite(Column.BODY, "new", "newer") == 2
        async with db.snapshot() as snap:
            with pytest.raises(ReadOnlySession):
                await messages.using(snap).rewrite(Column.ROOM, "a", "new")
        assert await messages.add_rated(ROWS) == 3
        assert await messages.add_rated(ROWS, "none") == 3
        rows = await db.execute("SELECT stars FROM message WHERE id > 3 ORDER BY id")
        assert rows == [(3,), (1,), (2,), (None,), (None,), (None,)]


async def test_every_choice_is_compiled_ahead() -> None:
    async with opened(Messages) as db:
        search = declared(Messages, db)["search"]
        assert [statement.name for statement in search.statements] == [
            f"Messages.search[order={order}, {room}, {stars}]"
            for order in ("NEWEST", "OLDEST")
            for room in ("room", "no room")
            for stars in ("stars", "no stars")
        ]
        assert "{room: AND room = :room}" in search.sql
        first, *_, last = [" ".join(statement.sql.split()) for statement in search.statements]
        before = "SELECT body FROM message WHERE body <> '{order} {x' -- {order}"
        assert first == (
            f"{before} AND room = :room /* {{room: */ AND stars >= :stars ORDER BY id DESC"
        )
        assert last == f"{before} /* {{room: */ ORDER BY id"
        statements = db.stats().statements
        assert all(statements[statement.name].precompiled for statement in search.statements)


@pytest.mark.parametrize("value", ["id DESC", Column.BODY, 1, None, ["newest"], "newest "])
async def test_another_value_is_refused_before_the_call(value: Any) -> None:
    async with opened(Messages) as db:
        calls = sum(each.calls for each in db.stats().statements.values())
        with pytest.raises(MappingError) as caught:
            await Messages(db).bodies(value)
        kind = "a value that is none of them" if type(value) is str else None
        if kind is None:
            kind = "None" if value is None else f"of type {type(value).__name__}"
        assert str(caught.value) == (
            f"Messages.bodies: parameter `order` must be Literal['newest', 'oldest']; it is {kind}."
        )
        assert caught.value.__context__ is None or "newest" not in str(caught.value.__context__)
        assert sum(each.calls for each in db.stats().statements.values()) == calls


async def test_values_are_told_apart_by_type() -> None:
    async with opened(Messages) as db:
        messages: Any = Messages(db)
        for equal in (1, 2.0, False):
            with pytest.raises(MappingError, match="`what` must be"):
                await messages.what(equal)
        with pytest.raises(MappingError, match="`by` must be Column; it is of type str"):
            await messages.rewrite("room", "a", "b")


class Two(Repository):
    @query(
        "SELECT count(*) FROM message WHERE {a} AND {b}",
        a={1: "id = 1", 2: "id = 2"},
        b={3: "stars = 3", 4: "stars = 4"},
    )
    async def both(self, a: Literal[1, 2], b: Literal[3, 4]) -> int: ...


async def test_the_argument_that_is_wrong_is_named() -> None:
    async with opened(Two) as db:
        two: Any = Two(db)
        assert await two.both(1, 3) == 0
        with pytest.raises(MappingError, match="`a` must be"):
            await two.both(3, 3)
        with pytest.raises(MappingError, match="`b` must be"):
            await two.both(1, 1)
        with pytest.raises(MappingError, match="`b` must be"):
            await two.both(1, "3")


async def test_alternatives_that_come_to_the_same_share_a_statement() -> None:
    class Same(Repository):
        @query("SELECT body FROM message ORDER BY {by}", by={"a": "id", "b": "id", "c": "body"})
        async def sorted_by(self, by: Literal["a", "b", "c"]) -> list[str]: ...

    async with opened(Same) as db:
        assert len(declared(Same, db)["sorted_by"].statements) == 2
        same = Same(db)
        for by in ("a", "b", "b", "c"):
            assert await same.sorted_by(by) == []
        calls = {name: each.calls for name, each in db.stats().statements.items()}
        assert calls == {"Same.sorted_by[by='a']": 3, "Same.sorted_by[by='c']": 1}


# -- what is refused -------------------------------------------------------------------------------


class Wrong(Repository):
    @query("SELECT 1 ORDER BY {order}")
    async def no_fragments(self, order: Literal["a", 1]) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order={Order.NEWEST: "1", "oldest": "1"})
    async def other_fragments(self, order: Order) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order={"a": "1"})
    async def none_missing(self, order: Literal["a"] | None) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order={"a": "1"})
    async def no_choice(self, order: str) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order={"a": "1"})
    async def half_a_choice(self, order: Literal["a"] | int) -> int: ...

    @query("SELECT 1 ORDER BY {access}", access={Access.READ: "1", Access.WRITE: "1"})
    async def flags(self, access: Access) -> int: ...

    @query("SELECT 1 WHERE 1 {room: AND :room = 'x'}")
    async def never_none(self, room: str) -> int: ...

    @query("SELECT 1 ORDER BY {odrer}", order={"a": "1"})
    async def misspelt(self, order: Literal["a"]) -> int: ...

    @query("SELECT 1", order={"a": "1"})
    async def no_brace(self, order: Literal["a"]) -> int: ...

    @query("SELECT 1 {room AND 1}")
    async def no_colon(self, room: int | None) -> int: ...

    @query("SELECT 1 {room: AND\n {stars: AND 1}")
    async def open(self, room: int | None, stars: int | None) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order=["a"])  # type: ignore[arg-type]
    async def no_mapping(self, order: Literal["a"]) -> int: ...

    @query("SELECT 1 ORDER BY {order}", order={"a": 1})  # type: ignore[dict-item]
    async def no_text(self, order: Literal["a"]) -> int: ...

    @query("SELECT 1 {order} AND 0", order={"a": "WHERE '1", "b": "WHERE 1 -- ", "c": "/*"})
    async def left_open(self, order: Literal["a", "b", "c"]) -> int: ...

    @query("SELECT 1 FROM message ORDER BY {order}", order={"a": "id", "b": "di", "c": "di"})
    async def no_column(self, order: Literal["a", "b", "c"], unused: int = 0) -> int: ...

    @query("SELECT 1 } {")
    async def other_braces(self) -> int: ...

    @query("SELECT {a}{b}{c}{d}", **{name: dict.fromkeys(range(4), "1") for name in "abcd"})
    async def too_many(self, a: Four, b: Four, c: Four, d: Four) -> int: ...

    @query("SELECT 1 WHERE {by}", by={"a": "1", "b": "1"})
    async def unused(self, by: Literal["a", "b"], room: str, near: Near) -> int: ...


Four = Literal[0, 1, 2, 3]


async def test_what_does_not_fit_is_told() -> None:
    found = await problems(Wrong)
    assert found == [
        (
            "`{order}` has no fragments; say what stands there for each value, as in @query(…,"
            ' order={\'a\': "…", 1: "…"}).'
        ),
        "the value Order.OLDEST of `order` has no fragment; add one to order={…}.",
        "there is a fragment for order='oldest', which is no value of `Order`; leave it out.",
        "the value None of `order` has no fragment; add one to order={…}.",
        (
            "`{order}` needs a parameter whose values are known, a Literal or an Enum, and"
            " `order` is"
            " `str`; declare one, or write `:order` for a value."
        ),
        (
            "`{order}` needs a parameter whose values are known, a Literal or an Enum, and"
            " `order` is"
            " `Literal['a'] | int`; declare one, or write `:order` for a value."
        ),
        (
            "`{access}` needs a parameter whose values are known, a Literal or an Enum, and"
            " `access` is"
            " `Access`; declare one, or write `:access` for a value."
        ),
        (
            "`{room: …}` is there when `room` is not None, which its type `str` always is; declare"
            " `str | None`."
        ),
        (
            "its SQL names `{odrer` at line 1, column 19 of the SQL, but it has no such"
            " parameter; add"
            " one or correct the name (did you mean `order`?)."
        ),
        (
            "it is given fragments for `order`, but its SQL has no `{order}`; write it where they"
            " belong, or leave them out."
        ),
        (
            "`{room` at line 1, column 10 of the SQL is followed by neither `}` nor `:`; write"
            " `{room}`, or `{room: …}` for what is there when `room` is not None."
        ),
        (
            "`{room:` at line 1, column 10 of the SQL is not closed; write `}` where what it holds"
            " ends."
        ),
        (
            "the fragments for `order` are a mapping from each value to its SQL, as in"
            ' order={"newest":'
            ' "id DESC"}; it was given list.'
        ),
        "the fragment for order='a' is SQL, a str; it is of type int.",
        "the fragment for order='a' leaves a literal, a quoted name or a comment open; close it.",
        "the fragment for order='b' leaves a literal, a quoted name or a comment open; close it.",
        "the fragment for order='c' leaves a literal, a quoted name or a comment open; close it.",
        (
            "the SQL does not name `:unused`, and `int` is no class whose fields it could"
            " name; write"
            " `:unused` into the SQL or remove the parameter (with order='a')."
        ),
        (
            "SQLite can't compile its SQL: no such column: di at line 1, column 32 of the SQL;"
            " correct"
            " the name (a text is written in single quotes, a parameter with a colon) (with"
            " order='b')."
        ),
        (
            'SQLite can\'t compile its SQL: unrecognized token: "}" at line 1, column 10 of'
            " the SQL;"
            " correct the SQL."
        ),
        (
            "its alternatives make 256 statements (4 for `a` × 4 for `b` × 4 for `c` × 4 for"
            " `d`), and"
            " a query can have 64, as each is compiled on every connection; split it into several"
            " queries."
        ),
        (
            "the SQL does not name `:room`, and `str` is no class whose fields it could name; write"
            " `:room` into the SQL or remove the parameter (with by='a')."
        ),
        (
            "the SQL names neither `:near` nor a field of `Near`, so parameter `near` has no"
            " use; name"
            " one or remove it (with by='a')."
        ),
    ]


async def test_each_choice_is_a_statement_that_fits() -> None:
    class Odd(Repository):
        @query("{delete: DELETE FROM message}{count: SELECT count(*) FROM message}")
        async def odd(self, delete: int | None, count: int | None) -> None: ...

    assert await problems(Odd) == [
        (
            'SQLite can\'t compile its SQL: near "SELECT": syntax error at line 1, column 22'
            " of the SQL;"
            " correct the SQL (with delete, count)."
        ),
        (
            "SQLite can't compile its SQL: there is no statement in the SQL; correct the SQL"
            " (with no"
            " delete, no count)."
        ),
    ]


async def test_a_choice_may_decide_the_route() -> None:
    class Either(Repository):
        @query(
            "{do}", do={"see": "SELECT id FROM message", "take": "DELETE FROM message RETURNING id"}
        )
        async def ids(self, do: Literal["see", "take"]) -> list[int]: ...

    async with opened(Either, Messages) as db:
        await Messages(db).add_all(ROWS)
        either = Either(db)
        assert [each.writes for each in declared(either)["ids"].statements] == [False, True]
        assert await either.ids("see") == await either.ids("take") == [1, 2, 3]
        assert await either.ids("see") == []


async def test_sixty_four_are_not_too_many() -> None:
    class Many(Repository):
        @query("SELECT {a} + {b} + {c}", **{name: dict(enumerate("0123")) for name in "abc"})
        async def total(self, a: Four, b: Four, c: Four) -> int: ...

    async with opened(Many) as db:
        assert len(declared(Many, db)["total"].statements) == 64
        assert await Many(db).total(3, 1, 2) == 6


Five = Literal[0, 1, 2, 3, 4]
Thirteen = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]


async def test_sixty_five_are() -> None:
    class Many(Repository):
        @query(
            "SELECT {a} + {b}",
            a={number: str(number) for number in range(5)},
            b={number: str(number) for number in range(13)},
        )
        async def total(self, a: Five, b: Thirteen) -> int: ...

    (found,) = await problems(Many)
    assert found.startswith("its alternatives make 65 statements (5 for `a` × 13 for `b`), and a")


def test_without_a_choice_nothing_is_looked_up() -> None:
    """The generated method says it: its source is that of any other query."""
    plain: Any = Messages.add_all
    chosen: Any = Messages.bodies
    assert "choose" not in inspect.getsource(plain.__code__)
    assert "choose" in inspect.getsource(chosen.__code__)


def test_the_decorator_takes_sql() -> None:
    with pytest.raises(DeclarationError, match="@query takes the SQL"):
        query(1)  # type: ignore[arg-type]  # what is refused
