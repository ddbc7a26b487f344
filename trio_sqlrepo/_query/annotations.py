"""Annotations become types: strings evaluated, type variables substituted, wrappers taken off."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Protocol, get_args, get_origin

import attrs

from trio_sqlrepo._query.markers import Blob, Json, Naive
from trio_sqlrepo._query.refusal import Refusal, title

_MARKERS = (Json, Naive, Blob)
_UNIONS = (typing.Union, types.UnionType)
# By name: the classes of typing and typing_extensions differ, and Python 3.11 has only the latter.
_FIELD_WRAPPERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final"})
_VARIABLES = frozenset({"TypeVar", "ParamSpec", "TypeVarTuple"})

_MEND = (
    "If it is imported under `if TYPE_CHECKING:`, import it outside of that block: it is needed"
    " at run time. So that ruff leaves it there, name what reads it in"
    " lint.flake8-type-checking: runtime-evaluated-decorators ="
    ' ["trio_sqlrepo.query", "attrs.frozen", …], runtime-evaluated-base-classes ='
    ' ["trio_sqlrepo.Repository", "typing.NamedTuple", …].'
)


@attrs.frozen(eq=False)
class Context:
    """What declarations that see the same names share: these, and what was found out with them.

    It lives as long as what was checked together; a later check finds out anew.
    """

    captured: Mapping[str, Any] = {}  # locals of the function in which a repository was defined
    # By the class its `records.Record`. At worst two threads make the same one.
    records: dict[type, Any] = attrs.field(factory=dict, init=False, repr=False)
    scopes: dict[Any, Scope] = attrs.field(factory=dict, init=False, repr=False)


class Contexts:
    """The contexts of declarations that are checked together."""

    def __init__(self) -> None:
        self._made: dict[frozenset[tuple[str, int]], Context] = {}

    def of(self, captured: Mapping[str, Any]) -> Context:
        """The one of declarations that captured just these."""
        # The context keeps the values, and so their ids.
        key = frozenset((name, id(value)) for name, value in captured.items())
        if key not in self._made:
            self._made[key] = Context(captured)
        return self._made[key]


@attrs.frozen(eq=False)
class Scope:
    """Where the annotations of one class or stub are evaluated."""

    globals: dict[str, Any]
    locals: Mapping[str, Any]
    variables: Mapping[Any, Any]  # what its type variables stand for
    _resolved: dict[str, Any] = attrs.field(factory=dict, init=False, repr=False)

    @classmethod
    def of_class(
        cls, owner: type, variables: Mapping[Any, Any], captured: Mapping[str, Any]
    ) -> Scope:
        """The scope of annotations written in the body of `owner`."""
        module = sys.modules.get(owner.__module__)
        names: dict[str, Any] = {}
        # What was captured belongs to classes that were defined in a function as well.
        if "<locals>" in owner.__qualname__:
            names.update(captured)
        for variable in getattr(owner, "__type_params__", ()):
            names[variable.__name__] = variable
        # Of a class's own names only classes: a method may well be called `list`.
        names.update((n, v) for n, v in vars(owner).items() if isinstance(v, type))
        return cls(vars(module) if module else {}, names, variables)

    def resolve(self, annotation: Any, what: str) -> Any:
        """The type that `annotation` means here. `what` is whose it is, for messages.

        Raises:
            Refusal: it can't be evaluated, or holds a type variable that stands for nothing.
        """
        if not isinstance(annotation, str):
            return self._evaluate(annotation, what)
        if annotation not in self._resolved:
            self._resolved[annotation] = self._evaluate(annotation, what)
        return self._resolved[annotation]

    def _evaluate(self, annotation: Any, what: str) -> Any:
        # A class, as only there Final and Required may stand.
        holder = type("holder", (), {"__annotations__": {"it": annotation}})
        try:
            hint = typing.get_type_hints(
                holder, self.globals, dict(self.locals), include_extras=True
            )["it"]
        except NameError as error:
            raise Refusal(
                f"{what} is annotated with `{error.name}`, which is not defined at run time."
                f" {_MEND}"
            ) from error
        except Exception as error:
            raise Refusal(
                f"the annotation of {what} can't be evaluated: {type(error).__name__}: {error}"
            ) from error
        if isinstance(hint, dataclasses.InitVar):
            hint = hint.type
        hint = substitute(hint, self.variables)
        for variable in open_variables(hint):
            raise Refusal(
                f"{what} is annotated with the type variable `{title(variable)}`, which stands"
                " for nothing here. Make a subclass that says what it is, as in"
                " `class Users(Table[User])`, and give that to open_database"
            )
        return hint


def substitute(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """`hint` with type variables replaced by what they stand for."""
    if type(hint).__name__ in _VARIABLES:
        return variables.get(hint, hint)
    if parameters := open_variables(hint):
        return hint[tuple(variables.get(variable, variable) for variable in parameters)]
    return hint


def open_variables(hint: Any) -> tuple[Any, ...]:
    """The type variables left in `hint`."""
    if type(hint).__name__ in _VARIABLES:
        return (hint,)
    # A generic class on its own (`Box`) has parameters too, but leaves nothing open: its fields
    # do, and say so.
    return () if isinstance(hint, type) else getattr(hint, "__parameters__", ())


def arguments_by_class(cls: type, alias: Any = None) -> dict[type, dict[Any, Any]]:
    """What the type variables of `cls` and of each of its bases stand for in `cls`.

    `alias` is `cls` with arguments (`Box[int]`), where there are some.
    """
    found: dict[type, dict[Any, Any]] = {}

    def visit(base: Any, variables: Mapping[Any, Any]) -> None:
        origin = get_origin(base) or base
        # NamedTuple and TypedDict are functions, and bases only in what was written.
        if origin in (Generic, Protocol) or not isinstance(origin, type):
            return
        parameters = getattr(origin, "__parameters__", ())
        arguments = [substitute(argument, variables) for argument in get_args(base)]
        given = dict(zip(parameters, arguments, strict=False))
        # A base may be met twice, once without its arguments: keep those.
        known = found.setdefault(origin, {})
        known.update(given)
        for further in vars(origin).get("__orig_bases__", origin.__bases__):
            visit(further, known)

    visit(cls if alias is None else alias, {})
    return found


def unwrap(hint: Any) -> tuple[Any, frozenset[type]]:
    """The type under Annotated, NewType, aliases and TypedDict's wrappers, and its markers."""
    markers: set[type] = set()
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *metadata = get_args(hint)
            markers.update(m for m in _MARKERS if m in metadata or m in map(type, metadata))
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif type(origin).__name__ == "TypeAliasType":
            # `type Rows[T] = list[T]`, used as `Rows[Message]`
            values = dict(zip(origin.__type_params__, get_args(hint), strict=False))
            hint = substitute(origin.__value__, values)
        elif getattr(origin, "_name", None) in _FIELD_WRAPPERS:
            (hint,) = get_args(hint)
        else:
            return hint, frozenset(markers)


def union_members(hint: Any) -> tuple[Any, ...]:
    """The members of a union, () for anything else."""
    return get_args(hint) if get_origin(hint) in _UNIONS else ()


def without_none(hint: Any) -> tuple[Any, bool]:
    """`hint` without None, and whether None was in it."""
    members = union_members(hint)
    rest = tuple(member for member in members if member is not type(None))
    if len(rest) == len(members):
        return hint, False
    return typing.Union[rest], True  # noqa: UP007  # the members are known only here


def remark(hint: Any, markers: frozenset[type]) -> Any:
    """`hint` with its markers put back."""
    for marker in sorted(markers, key=lambda marker: marker.__name__):
        hint = Annotated[hint, marker]
    return hint
