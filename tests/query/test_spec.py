"""What a declaration means in a class: shapes, annotations, generics, overrides."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Optional, Protocol, TypeVar

import attrs
import pytest

from tests.query.support import plan, problems
from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query.annotations import arguments_by_class, substitute
from trio_sqlrepo._query.declare import declarations_of, query, transaction
from trio_sqlrepo._query.markers import Json, Naive
from trio_sqlrepo._query.spec import RowCount, Shape, Spec, make_spec

if TYPE_CHECKING:
    from decimal import Decimal as Hidden  # noqa: TC004  # hidden on purpose

T = TypeVar("T")
K = TypeVar("K")
Rows = list["Message"]


@attrs.frozen
class Message:
    id: int


@attrs.frozen
class Secretive:
    id: Hidden
    name: str


def spec(owner: type, method: str) -> Spec:
    return make_spec(declarations_of(owner)[method], owner)


def refused(owner: type, method: str) -> str:
    with pytest.raises(DeclarationError) as caught:
        spec(owner, method)
    return "\n".join(caught.value.problems)


# -- shapes ----------------------------------------------------------------------------------------


class Shapes:
    @query("SELECT 1")
    async def one(self) -> Message: ...

    @query("SELECT 1")
    async def optional(self) -> Message | None: ...

    @query("SELECT 1")
    async def old_optional(self) -> Optional[Message]: ...  # noqa: UP045

    @query("SELECT 1")
    async def quoted(self) -> "list[Message]": ...  # noqa: UP037

    @query("SELECT 1")
    async def rows(self) -> list[Message]: ...

    @query("SELECT 1")
    async def alias(self) -> Rows: ...

    @query("SELECT 1")
    async def none(self) -> None: ...

    @query("SELECT 1")
    async def count(self) -> RowCount: ...

    @query("SELECT 1")
    async def json(self) -> Annotated[list[int], Json]: ...

    @query("SELECT 1")
    async def naive(self) -> Annotated[int | None, Naive]: ...

    @query("SELECT 1")
    async def union(self) -> int | str | None: ...


@pytest.mark.parametrize(
    ("method", "shape", "row"),
    [
        ("one", Shape.ONE, Message),
        ("optional", Shape.OPTIONAL, Message),
        ("old_optional", Shape.OPTIONAL, Message),
        ("quoted", Shape.LIST, Message),
        ("rows", Shape.LIST, Message),
        ("alias", Shape.LIST, Message),
        ("none", Shape.NONE, None),
        ("count", Shape.COUNT, None),
        ("json", Shape.ONE, Annotated[list[int], Json]),
        ("naive", Shape.OPTIONAL, Annotated[int, Naive]),
        ("union", Shape.OPTIONAL, int | str),
    ],
)
def test_shape(method: str, shape: Shape, row: Any) -> None:
    found = spec(Shapes, method)
    assert found.shape is shape
    assert found.row == row


def test_row_count_is_a_public_name() -> None:
    assert RowCount.__module__ == Json.__module__ == "trio_sqlrepo"
    assert RowCount(3) == 3


def test_a_spec_tells_where_it_is_from() -> None:
    found = spec(Shapes, "one")
    assert found.name == "Shapes.one"
    line = declarations_of(Shapes)["one"].line
    assert found.where == f"Shapes.one ({__file__}:{line})"
    assert found.sql == "SELECT 1"


# -- what is refused -------------------------------------------------------------------------------


class Wrong:
    @query("SELECT 1")
    async def bare(self, x, y=1):  # type: ignore[no-untyped-def]
        ...

    @query("  ")
    async def empty(self) -> int: ...

    @query("SELECT 1")
    def sync(self) -> int: ...

    @staticmethod
    @query("SELECT 1")
    async def static(self: Any) -> int: ...  # noqa: PLW0211

    @query("SELECT 1")
    async def hidden(self, price: Hidden) -> list[Hidden]: ...

    @query("SELECT :x")
    async def secretive(self, x: Secretive) -> None: ...

    @query("SELECT 1")
    async def broken(self) -> "int[": ...  # type: ignore[valid-type]  # noqa: F722

    @query("SELECT 1")
    async def no_type(self) -> sys.missing: ...  # type: ignore[name-defined]


MEND = (
    "`Hidden`, which is not defined at run time. If it is imported under `if TYPE_CHECKING:`,"
    " import it outside of that block: it is needed at run time. So that ruff leaves it there,"
    " name what reads it in lint.flake8-type-checking: runtime-evaluated-decorators = ["
)
ANNOTATED = f"annotated with {MEND}"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("bare", ["parameter `x` has no annotation; give it one.", "parameter `y`", "the result"]),
        ("empty", ["its SQL is empty."]),
        ("sync", ["a @query method must be `async def`; only one that gives a `RowStream` is"]),
        ("static", ["it is a static or class method; a query needs the instance's session."]),
        ("hidden", [f"parameter `price` is {ANNOTATED}", f"the result is {ANNOTATED}"]),
        ("broken", ["the annotation of the result can't be evaluated: SyntaxError: "]),
        ("no_type", ["the annotation of the result can't be evaluated: AttributeError: "]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_together(method: str, says: list[str]) -> None:
    found = refused(Wrong, method).splitlines()
    assert len(found) == len(says)
    for problem, expected in zip(found, says, strict=True):
        assert problem.startswith(f"Wrong.{method} ({__file__}:")
        assert f": {expected}" in problem


def test_a_field_whose_type_is_hidden() -> None:
    found = problems(Wrong, "secretive")
    assert f"parameter `x`: field `Secretive.id` is {ANNOTATED}" in found


class Partial:
    @query("SELECT :name")
    async def one(self, x: Secretive) -> None: ...


def test_a_hidden_type_does_not_matter_where_its_field_is_not_used() -> None:
    assert plan(Partial, "one").bind(Secretive(1, "x")) == ("x",)  # type: ignore[arg-type]


# -- names of classes and functions ----------------------------------------------------------------


class Namespaced:
    class Row:
        n: Inner

        class Inner:
            pass

    async def list(self) -> None:
        """Hides the built-in, for Python at least."""

    @query("SELECT 1")
    async def rows(self) -> list[Row]: ...  # type: ignore[valid-type]


def test_a_class_sees_its_own_classes_but_not_its_methods() -> None:
    assert spec(Namespaced, "rows").row is Namespaced.Row


def test_classes_of_a_function_are_known() -> None:
    @attrs.frozen
    class Author:
        name: str

    @dataclass
    class Post:
        author: Author

    class Posts:
        @query("SELECT 1")
        async def all(self) -> list[Post]: ...

    built = plan(Posts, "all", ("author.name",)).statement.build
    assert built is not None
    assert built(("ann",)) == Post(Author("ann"))


def test_a_method_may_be_defined_elsewhere() -> None:
    async def stub(self: Any, x: Message) -> Message: ...

    repo = type("Repo", (), {"__module__": "no.such.module", "get": query("SELECT 1")(stub)})
    assert spec(repo, "get").parameters[0].hint is Message


# -- generics --------------------------------------------------------------------------------------


class Table(Generic[T]):
    @query("SELECT * FROM t")
    async def all(self) -> list[T]: ...

    @query("SELECT * FROM t WHERE id = :id")
    async def get(self, id: int) -> T | None: ...


class Keyed(Table[T], Generic[K, T]):
    @query("SELECT * FROM t WHERE key = :key")
    async def by_key(self, key: K, other: dict[str, list[K]]) -> tuple[K, T]: ...


class Messages(Keyed[int, Message]):
    pass


class More(Messages):
    pass


class Lists(Table[list[K]], Generic[K]):
    pass


class IntLists(Lists[int]):
    pass


class Source(Protocol[T]):  # type: ignore[misc]
    @query("SELECT 1")
    async def one(self) -> T: ...


class Diamond(Source[int], Table[str]):
    pass


class Loose(Table):  # type: ignore[type-arg]
    pass


class Again(Loose, Table[int]):
    pass


def test_type_variables_are_what_the_class_says() -> None:
    assert spec(Messages, "all").row is Message
    assert spec(More, "get").row is Message
    by_key = spec(More, "by_key")
    assert [p.hint for p in by_key.parameters] == [int, dict[str, list[int]]]
    assert by_key.row == tuple[int, Message]
    assert spec(IntLists, "all").row == list[int]
    assert spec(Diamond, "one").row is int
    assert spec(Diamond, "all").row is str
    assert spec(Again, "all").row is int


@pytest.mark.parametrize(
    ("owner", "method", "variable"),
    [(Table, "all", "T"), (Table, "get", "T"), (Keyed, "by_key", "K"), (Loose, "all", "T")],
)
def test_an_open_type_variable_is_refused(owner: type, method: str, variable: str) -> None:
    assert (
        f"is annotated with the type variable `{variable}`, which stands for nothing here. Make a"
        " subclass that says what it is, as in `class Users(Table[User])`, and give that to"
        " open_database."
    ) in refused(owner, method)


def test_what_classes_give_to_their_bases() -> None:
    assert arguments_by_class(More)[Table] == {T: Message}
    assert arguments_by_class(int) == {int: {}, object: {}}
    open_list: Any = list[T]  # type: ignore[valid-type]
    assert substitute(open_list, {}) == open_list
    assert substitute(Table, {T: int}) is Table


def parametrized() -> Any:
    # What Python 3.12 makes of `class Parametrized[Element]`: the name is the class's alone.
    variable: Any = TypeVar("Element")  # type: ignore[misc]
    namespace = {"__type_params__": (variable,), "one": Stub.one}
    generic: Any = Generic
    return types.new_class(
        "Parametrized", (generic[variable],), {}, lambda body: body.update(namespace)
    )


class Stub:
    @query("SELECT 1")
    async def one(self) -> list[Element]: ...  # type: ignore[name-defined]  # noqa: F821


def test_a_class_sees_its_type_parameters() -> None:
    numbers = types.new_class("Numbers", (parametrized()[int],))
    assert spec(numbers, "one").row is int


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
def test_type_parameters_in_brackets() -> None:
    namespace: dict[str, Any] = {"query": query, "attrs": attrs}
    code = """if True:
    from __future__ import annotations
    def define():
        @attrs.frozen
        class Row:
            x: int
        class Table[T]:
            @query("SELECT 1")
            async def one(self, x: T) -> list[T]: ...
        class Rows(Table[Row]):
            @query("SELECT 1")
            async def two(self) -> Row: ...
        class Odd:
            @query("SELECT 1")
            async def two[S](self) -> S: ...
        return Row, Rows, Odd
    """.replace("if True:\n    from", "from").replace("\n    ", "\n")
    exec(code, namespace)
    row, rows, odd = namespace["define"]()
    assert spec(rows, "one").row is row
    assert spec(rows, "two").row is row
    assert "the type variable `S`" in refused(odd, "two")


# -- overrides and mixins --------------------------------------------------------------------------


class Named:
    @query("SELECT :name")
    async def find(self, name: str) -> str: ...


class Users(Named):
    @query("SELECT :name, 1")
    async def find(self, name: str) -> tuple[str, int]: ...  # type: ignore[override]

    @transaction
    async def body(self, x: Hidden) -> None:
        """Its annotations are nobody's business."""


def test_an_override_counts() -> None:
    assert spec(Users, "find").sql == "SELECT :name, 1"
    assert spec(Users, "find").name == "Users.find"


def test_another_name_may_be_given() -> None:
    found = make_spec(declarations_of(Named)["find"], Users, name="Users.find of Named")
    assert found.where.startswith("Users.find of Named (")


def test_a_declaration_belongs_to_its_class() -> None:
    with pytest.raises(AssertionError, match=r"Named.find is not of"):
        make_spec(declarations_of(Named)["find"], Table)
