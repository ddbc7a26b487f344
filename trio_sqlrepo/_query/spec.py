"""`Spec`: what a declaration means in one repository class, before SQLite has seen its SQL."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

import attrs

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query.annotations import (
    Context,
    Contexts,
    Scope,
    arguments_by_class,
    remark,
    unwrap,
    without_none,
)
from trio_sqlrepo._query.declare import Declaration, DeclarationKind, declared
from trio_sqlrepo._query.markers import Json, RowCount
from trio_sqlrepo._query.refusal import Refusal, sentences
from trio_sqlrepo._query.streams import RowStream

__all__ = ["Parameter", "RowCount", "Shape", "Spec", "body_problems", "location", "make_spec"]


class Shape(enum.Enum):
    """What a call gives."""

    ONE = "exactly one row"
    OPTIONAL = "at most one row"
    LIST = "a list of rows"
    STREAM = "a stream of rows"
    NONE = "nothing"
    COUNT = "the number of rows changed"


_OF_ROWS: Final[Mapping[Any, Shape]] = {list: Shape.LIST, RowStream: Shape.STREAM}


@attrs.frozen
class Parameter:
    """One parameter of the stub, with its type resolved."""

    name: str
    hint: Any


@attrs.frozen(kw_only=True)
class Reading:
    """How parameters are read other than by the rule for `@query`."""

    # Records whatever the SQL names: their own name may be that of a column.
    records: frozenset[str] = frozenset()
    # A tuple -> the SQL's names of its elements.
    spread: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    # A name in the SQL that tells whether something is set -> what may be UNSET.
    flags: Mapping[str, str] = attrs.field(factory=dict)
    # Parameters and names of the SQL that other expansions of the query use.
    elsewhere: frozenset[str] = frozenset()


@attrs.frozen(eq=False, kw_only=True)
class Spec:
    """One declared query of one concrete class: its types, resolved."""

    name: str  # "Messages.get"
    where: str  # the same with file and line, as problems begin
    sql: str
    parameters: tuple[Parameter, ...]
    shape: Shape
    row: Any  # the type of a row; None for NONE and COUNT
    context: Context
    # What generated SQL and alternatives know more of the parameters.
    reading: Reading = Reading()


def location(declaration: Declaration, name: str) -> str:
    """How problems begin: `Messages.get (chat.py:12)`."""
    return f"{name} ({declaration.file}:{declaration.line})"


def make_spec(
    declaration: Declaration,
    owner: type,
    *,
    name: str | None = None,
    contexts: Contexts | None = None,
) -> Spec:
    """Resolve a declaration as `owner`, which has or inherits it, sees it.

    `name` is what errors and stats call it instead of "Owner.method"; `contexts` are those of all
    that is checked together.

    Raises:
        DeclarationError: with all that is wrong.
    """
    name = name or f"{owner.__name__}.{declaration.name}"
    where = location(declaration, name)
    problems = list(body_problems(declaration, owner))
    # What the decorator found wrong is about the parameters; the rest would only repeat it.
    if problems:
        raise DeclarationError(*sentences(where, problems))
    context = (contexts or Contexts()).of(declaration.captured)
    scope = _scope(declaration, owner, context)
    annotations = declaration.stub.__annotations__
    parameters = []
    for parameter in declaration.parameters:
        try:
            parameters.append(Parameter(parameter, _hint(annotations, parameter, scope)))
        except Refusal as refusal:
            problems.append(str(refusal))
    shape, row = Shape.NONE, None
    try:
        shape, row = _result(_hint(annotations, "return", scope))
        _check_def(shape, declaration)
    except Refusal as refusal:
        problems.append(str(refusal))
    if problems:
        raise DeclarationError(*sentences(where, problems))
    return Spec(
        name=name,
        where=where,
        sql=declaration.sql,
        parameters=tuple(parameters),
        shape=shape,
        row=row,
        context=context,
    )


def body_problems(declaration: Declaration, owner: type) -> list[str]:
    """What is wrong whatever the SQL says; all there is to check of a body."""
    problems = list(declaration.problems)
    holder = vars(_definer(declaration, owner)).values()
    if any(
        isinstance(v, (staticmethod, classmethod)) and declared(v) is declaration for v in holder
    ):
        problems.append("it is a static or class method; a query needs the instance's session")
    written = declaration.kind is DeclarationKind.QUERY and declaration.source is None
    if written and not declaration.sql.strip():
        problems.append("its SQL is empty")
    return problems


def _definer(declaration: Declaration, owner: type) -> type:
    for base in owner.__mro__:
        names = vars(base)
        if declared(names.get(declaration.name)) is declaration:
            return base
        if any(declared(value) is declaration for value in names.values()):  # another name
            return base
    raise AssertionError(f"{declaration.qualname} is not of {owner.__qualname__}")


def _scope(declaration: Declaration, owner: type, context: Context) -> Scope:
    definer = _definer(declaration, owner)
    stub = declaration.stub
    own = getattr(stub, "__type_params__", ())
    # The stub's own module: a mixin may hold a method that was written elsewhere.
    key = owner, definer, id(stub.__globals__), own
    if key not in context.scopes:
        variables = arguments_by_class(owner)[definer]
        scope = Scope.of_class(definer, variables, context.captured)
        local = {variable.__name__: variable for variable in own}
        context.scopes[key] = attrs.evolve(
            scope, globals=stub.__globals__, locals={**scope.locals, **local}
        )
    return context.scopes[key]


def _hint(annotations: Mapping[str, Any], name: str, scope: Scope) -> Any:
    what = "the result" if name == "return" else f"parameter `{name}`"
    if name not in annotations:
        raise Refusal(f"{what} has no annotation; give it one")
    return scope.resolve(annotations[name], what)


def _result(hint: Any) -> tuple[Shape, Any]:
    if hint is RowCount:
        return Shape.COUNT, None
    base, markers = unwrap(hint)
    if base is None or base is type(None):
        return Shape.NONE, None
    if Json in markers:
        return Shape.ONE, hint
    rest, nullable = without_none(base)
    if nullable:
        return Shape.OPTIONAL, remark(rest, markers)
    if not markers and (shape := _OF_ROWS.get(get_origin(base))) is not None:
        return shape, get_args(base)[0]
    if base is RowStream:
        raise Refusal("`RowStream` does not say what its rows are; write `RowStream[T]`")
    return Shape.ONE, hint


def _check_def(shape: Shape, declaration: Declaration) -> None:
    if declaration.is_stream == (shape is Shape.STREAM):
        return
    if shape is Shape.STREAM:
        raise Refusal(
            "it gives a `RowStream`, so it must be a plain `def`: a call waits for nothing, the"
            " `async with` block does"
        )
    raise Refusal(
        "a @query method must be `async def`; only one that gives a `RowStream` is a plain `def`"
    )
