"""The decorators: what they make of a stub, and what they refuse at once."""

from __future__ import annotations

import functools
import gc
import inspect
import linecache
import sys
import types
import weakref
from typing import Any, NamedTuple, Self

import pytest

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query.captured import captured_names
from trio_sqlrepo._query.declare import (
    Declaration,
    DeclarationKind,
    declarations_of,
    declared,
    overridden_in,
    query,
    snapshot,
    transaction,
)

DEFAULT: Any = object()


class Users:
    """A repository as far as generated methods can see."""

    def __init__(self) -> None:
        self._session: Any = self
        self._plans = {d: Bound(d) for d in declarations_of(type(self)).values()}
        self.calls: list[Any] = []

    async def _call(self, plan: Bound, bound: Any) -> Any:
        return plan.declaration.name, bound

    async def _run_body(
        self, declaration: Declaration, repository: Self, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        assert repository is self
        return declaration.kind, args, kwargs

    @query("SELECT 1")
    async def get(self, id: int, name: str = DEFAULT, *, limit: Any = DEFAULT) -> int:
        """Find one."""

    @query("SELECT 1")
    async def positional(self, id: int, /, *, plan: int, _declaration: int = 3) -> int: ...

    @query("SELECT 1")
    async def nothing(self) -> int: ...

    @transaction
    async def move(self, ids: list[int], room: str = "attic", *, hard: bool = False) -> int:
        """Move them."""
        return 1

    @transaction
    async def every(self, first: int, *args: int, key: int = 0, **kwargs: int) -> int:
        return 1

    @snapshot
    async def digest(self, args: Any, kwargs: Any) -> int:
        return 1


class Bound:
    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    def bind(self, *args: Any) -> Any:
        return args


async def test_a_query_binds_its_arguments_in_the_order_of_the_signature() -> None:
    users: Any = Users()
    assert await users.get(1, limit=3, name="x") == ("get", (1, "x", 3))
    assert await users.get(1) == ("get", (1, DEFAULT, DEFAULT))
    assert await users.positional(1, plan=2) == ("positional", (1, 2, 3))
    assert await users.nothing() == ("nothing", ())


async def test_a_body_gets_its_arguments_as_they_were_given() -> None:
    users: Any = Users()
    kind = DeclarationKind.TRANSACTION
    assert await users.move([1]) == (kind, ([1], "attic"), {"hard": False})
    assert await users.move(room="x", ids=[]) == (kind, ([], "x"), {"hard": False})
    assert await users.every(1, 2, 3, key=4, more=5) == (kind, (1, 2, 3), {"key": 4, "more": 5})
    assert await users.digest(1, 2) == (DeclarationKind.SNAPSHOT, (1, 2), {})


def test_wrong_arguments_are_refused_before_anything_is_awaited() -> None:
    users: Any = Users()
    for call in (
        users.get,
        lambda: users.get(1, 2, 3),
        lambda: users.get(1, missing=2),
        lambda: users.positional(id=1, plan=2),
        users.move,
        lambda: users.move([1], "x", True),
    ):
        with pytest.raises(TypeError, match=r"^Users\.(get|positional|move)\(\) "):
            call()


@pytest.mark.parametrize("argument", [iter([1]), (n for n in [1]), map(str, [])])
async def test_a_transaction_refuses_what_can_be_iterated_once(argument: Any) -> None:
    users: Any = Users()
    sentence = r"Users\.\w+ was given an iterator \(of type \w+\); .* Give a list\."
    with pytest.raises(TypeError, match=sentence):
        await users.move(argument)
    with pytest.raises(TypeError, match=sentence):
        await users.every(1, key=argument)
    with pytest.raises(TypeError, match=sentence):
        await users.every(1, 2, argument)
    assert await users.digest(argument, []) == (DeclarationKind.SNAPSHOT, (argument, []), {})


def test_methods_look_like_their_stubs() -> None:
    for method in (Users.get, Users.move):
        assert inspect.iscoroutinefunction(method)
        assert isinstance(method, types.FunctionType)
        assert method.__module__ == __name__
        assert method.__qualname__ == f"Users.{method.__name__}"
    assert Users.get.__doc__ == "Find one."
    assert str(inspect.signature(Users.positional)) == (
        "(self, id: 'int', /, *, plan: 'int', _declaration: 'int' = 3) -> 'int'"
    )
    assert Users.get.__defaults__ == (DEFAULT,)
    assert Users.get.__kwdefaults__ == {"limit": DEFAULT}


def test_generated_code_can_be_read() -> None:
    linecache.checkcache()
    assert inspect.getsource(Users.get.__code__) == (
        "async def get(self, id, name=..., *, limit=...):\n"
        "    plan = self._plans[_declaration]\n"
        "    return await self._call(plan, plan.bind(id, name, limit))\n"
    )
    assert inspect.getsource(Users.positional.__code__) == (
        "async def positional(self, id, /, *, plan, _declaration=...):\n"
        "    plan_ = self._plans[_declaration_]\n"
        "    return await self._call(plan_, plan_.bind(id, plan, _declaration))\n"
    )
    assert "async def every(self, first, *args, key=..., **kwargs):" in inspect.getsource(
        Users.every.__code__
    )


def test_a_declaration_tells_what_was_seen() -> None:
    declaration = declarations_of(Users)["positional"]
    assert declaration.kind is DeclarationKind.QUERY
    assert declaration.name == "positional"
    assert declaration.qualname == "Users.positional"
    assert declaration.sql == "SELECT 1"
    assert declaration.parameters == ("id", "plan", "_declaration")
    assert declaration.file == __file__
    assert linecache.getline(declaration.file, declaration.line).strip() == '@query("SELECT 1")'
    assert declaration.problems == ()
    assert declaration.captured == {}
    assert declaration != declarations_of(Users)["nothing"]
    assert len({declaration, declaration}) == 1
    assert "SELECT 1" in repr(declaration)


# -- which declarations a class has ------------------------------------------------------------


def noisy(method: Any) -> Any:
    @functools.wraps(method)
    async def wrapper(*args: Any) -> Any:
        return await method(*args)

    return wrapper


class Base:
    @query("SELECT 'base'")
    async def get(self) -> str: ...

    @query("SELECT 'base'")
    async def plain(self) -> str: ...

    @query("SELECT 'base'")
    async def gone(self) -> str: ...

    @noisy
    @query("SELECT 'base'")
    async def wrapped(self) -> str: ...

    @staticmethod
    @query("SELECT 'base'")
    async def static() -> str: ...

    alias = get
    number = 3


class Derived(Base):
    @query("SELECT 'derived'")
    async def get(self) -> str: ...

    async def plain(self) -> str:
        return await super().plain()

    gone = None  # type: ignore[assignment]


def test_the_nearest_definition_counts() -> None:
    assert {name: d.sql for name, d in declarations_of(Derived).items()} == {
        "get": "SELECT 'derived'",
        "alias": "SELECT 'base'",
        "wrapped": "SELECT 'base'",
        "static": "SELECT 'base'",
    }
    assert list(declarations_of(Base)) == ["get", "plain", "gone", "wrapped", "static", "alias"]


def test_what_only_super_reaches_is_known_as_well() -> None:
    base = declarations_of(Base)
    # `alias` still reaches Base.get.
    assert overridden_in(Derived) == [(Base, base["plain"]), (Base, base["gone"])]
    assert overridden_in(Base) == []


def test_what_is_declared() -> None:
    assert declared(Base.get) is declarations_of(Base)["get"]
    assert declared(vars(Base)["static"]) is declarations_of(Base)["static"]
    assert declared(Base.number) is None
    assert declared(noisy) is None


# -- what is refused at once -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (Users.get, "the function Users.get"),
        (Users, "the class Users"),
        (3, "an object of type int"),
    ],
)
def test_query_needs_sql(given: Any, named: str) -> None:
    with pytest.raises(DeclarationError, match=rf'@query\("SELECT …"\); it was given {named}\.'):
        query(given)


@pytest.mark.parametrize("decorator", [query("SELECT 1"), transaction, snapshot])
@pytest.mark.parametrize("given", [3, Users, staticmethod(len), functools.partial(print)])
def test_only_functions_are_declared(decorator: Any, given: Any) -> None:
    with pytest.raises(
        DeclarationError, match=r"^@\w+ decorates an `async def` method, and stands"
    ):
        decorator(given)


def test_nothing_is_declared_twice() -> None:
    with pytest.raises(DeclarationError, match=r"Users\.get is declared twice, by @query and by"):
        transaction(Users.get)


# -- what is noted, to be reported at opening ------------------------------------------------------


def noted(method: Any) -> tuple[str, ...]:
    declaration = declared(method)
    assert declaration is not None
    return declaration.problems


def test_what_is_wrong_with_a_stub_is_noted() -> None:
    @transaction
    def body(self: Any) -> int: ...

    @query("SELECT 1")
    async def stars(self: Any, *args: int, **kwargs: int) -> int: ...

    @query("SELECT 1")
    async def keywords(self: Any, **kwargs: int) -> int: ...

    @query("SELECT 1")
    async def no_self() -> int: ...

    @transaction
    async def asyncgen(self: Any) -> Any:
        yield 1

    @snapshot
    def generator(self: Any) -> Any:
        yield 1

    assert noted(body) == ("a @transaction method must be `async def`",)
    assert noted(stars)[0].startswith("*args and **kwargs in its signature can't be matched")
    assert noted(keywords)[0].startswith("**kwargs in its signature")
    assert noted(no_self) == ("it has no parameter `self`; methods take one",)
    assert noted(asyncgen) == ("a @transaction method can't yield; return what it finds",)
    assert noted(generator) == ("a @snapshot method can't yield; return what it finds",)


def test_a_function_may_have_a_name_that_is_no_identifier() -> None:
    async def stub(self: Any) -> int: ...

    stub.__name__ = "<odd>"
    method = query("SELECT 1")(stub)
    assert method.__name__ == "<odd>"
    assert inspect.getsource(method.__code__).startswith("async def method(self):")


# -- locals of the function around the class -------------------------------------------------------


def test_only_what_annotations_name_is_captured() -> None:
    class Inner:
        pass

    class Outer:
        inner: Inner
        broken: "int["  # type: ignore[valid-type]  # noqa: F722

    class Pair(NamedTuple):
        first: Alias

    Alias = list[Outer]  # noqa: N806

    class Unused:
        pass

    class Repo:
        @query("SELECT 1")
        async def get(self, x: dict[str, "list['Outer']"]) -> Pair: ...  # noqa: UP037

    declaration = declarations_of(Repo)["get"]
    assert declaration.captured == {
        "Outer": Outer, "Inner": Inner, "Pair": Pair, "Alias": Alias,
    }  # fmt: skip
    assert Unused.__name__ == "Unused"


def test_quotes_inside_a_type_are_followed() -> None:
    class Row:
        pass

    async def stub(self: Any) -> Any: ...

    stub.__annotations__ = {"return": list["Row"]}
    declaration = declared(query("SELECT 1")(stub))
    assert declaration is not None
    assert declaration.captured == {"Row": Row}


def test_no_frame_is_kept() -> None:
    class Heavy:
        pass

    def define() -> tuple[type, weakref.ref[Heavy]]:
        heavy = Heavy()

        class Row:
            pass

        class Repo:
            @query("SELECT 1")
            async def get(self) -> Row: ...

        return Repo, weakref.ref(heavy)

    repo, heavy = define()
    gc.collect()
    assert heavy() is None
    assert list(declarations_of(repo)["get"].captured) == ["Row"]


def test_there_may_be_no_function_around() -> None:
    async def define(self: Any) -> Missing: ...  # type: ignore[name-defined]  # noqa: F821

    stub: Any = define
    assert captured_names(stub, None) == {}
    assert captured_names(stub, sys._getframe()) == {}
