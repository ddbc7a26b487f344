"""`@query`, `@transaction`, `@snapshot`: a stub or body becomes a method and a `Declaration`."""

from __future__ import annotations

import enum
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeAlias, TypeVar, cast

import attrs

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query.braces import Template, parse
from trio_sqlrepo._query.captured import captured_names
from trio_sqlrepo._query.source import make_function

if TYPE_CHECKING:
    from trio_sqlrepo._query.generated import Generated

    Source: TypeAlias = Template | Generated

F = TypeVar("F", bound=Callable[..., Any])

# Where a method keeps its declaration. A decorator of the user's that copies `__dict__`
# (functools.wraps) copies it too, so that its method is still found.
_MARK = "_trio_sqlrepo_declaration"
_NO_FRAGMENTS: Final[Mapping[str, Any]] = {}


class DeclarationKind(enum.Enum):
    """Which decorator made it."""

    QUERY = "query"
    TRANSACTION = "transaction"
    SNAPSHOT = "snapshot"


@attrs.frozen(eq=False, kw_only=True)
class Declaration:
    """What one decorator saw. Compared and hashed by identity."""

    kind: DeclarationKind
    name: str
    qualname: str
    sql: str  # "" for a body
    stub: Any = attrs.field(repr=False)
    file: str
    line: int
    # What string annotations name in the function around the class: values, never the frame.
    captured: Mapping[str, Any] = attrs.field(repr=False)
    # What the decorator saw to be wrong: sentences, reported with all others at opening.
    problems: tuple[str, ...] = ()
    # What makes its SQL, if it is not `sql` as it stands: braces in it, or what is said instead.
    source: Source | None = attrs.field(default=None, repr=False)

    @property
    def is_stream(self) -> bool:
        """Whether it is written as one: a query that is a plain `def`."""
        return self.kind is DeclarationKind.QUERY and not inspect.iscoroutinefunction(self.stub)

    @property
    def parameters(self) -> tuple[str, ...]:
        """What a caller can give, without self, in the order of the signature."""
        names = _Names.of(self.stub)
        return (*names.positional[1:], *names.keyword_only)


def query(sql: LiteralString, /, **fragments: Mapping[Any, LiteralString]) -> Callable[[F], F]:
    """Declare a query by its SQL; `trio_sqlrepo.query` does it, and documents it."""
    if not isinstance(sql, str):
        raise DeclarationError(
            f'@query takes the SQL, as in @query("SELECT …"); it was given {_what(sql)}.'
        )
    return query_of(sql, fragments=fragments)


def query_of(
    sql: str, source: Generated | None = None, *, fragments: Mapping[str, Any] = _NO_FRAGMENTS
) -> Callable[[F], F]:
    """Declare a query by its SQL, or by what is said instead."""

    def declare(stub: F) -> F:
        declaration = _declare(DeclarationKind.QUERY, stub, sql, sys._getframe(1))
        declaration = _sourced(declaration, source, fragments)
        names = _Names.of(declaration.stub)
        plan = names.unused("plan")
        key = names.unused("_declaration")
        arguments = ", ".join(declaration.parameters)
        bound = f"({plan}, {plan}.bind({arguments}))"
        if declaration.is_stream:
            call = f"{names.self}._session._stream{bound}"
        else:
            call = f"await {names.self}._call{bound}"
        lines = [f"{plan} = {names.self}._plans[{key}]", f"return {call}"]
        if declaration.source is not None and declaration.source.chooses:
            chosen = f"if {plan}.choose is not None: {plan} = {plan}.choose({arguments})"
            lines.insert(1, chosen)
        return cast("F", _method(declaration, names, lines, {key: declaration}))

    return declare


def _sourced(
    declaration: Declaration, source: Generated | None, fragments: Mapping[str, Any]
) -> Declaration:
    if source is not None:
        return attrs.evolve(declaration, source=source)
    if "{" not in declaration.sql and not fragments:
        return declaration
    template, problems = parse(declaration.sql, declaration.parameters, fragments)
    return attrs.evolve(declaration, source=template, problems=(*declaration.problems, *problems))


def transaction(body: F) -> F:
    """Declare a body that runs whole in one write transaction, on the connection's thread.

    It awaits nothing but declared queries and has no other effects: it may be run again before
    its one COMMIT. Inside a `Transaction` it becomes a savepoint.

    Raises:
        DeclarationError: it was not given a function.
    """
    return _body(DeclarationKind.TRANSACTION, body, sys._getframe(1))


def snapshot(body: F) -> F:
    """Declare a body that runs whole in one read transaction, on the connection's thread.

    It sees one committed state and awaits nothing but declared queries that read.

    Raises:
        DeclarationError: it was not given a function.
    """
    return _body(DeclarationKind.SNAPSHOT, body, sys._getframe(1))


def declared(value: object) -> Declaration | None:
    """The declaration behind a class attribute, if there is one."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    found = getattr(value, _MARK, None)
    return found if isinstance(found, Declaration) else None


def declarations_of(cls: type) -> dict[str, Declaration]:
    """What calling `cls`'s methods reaches, by attribute name.

    An override counts, whatever it is: an overriding query replaces the query, a plain method
    removes it.
    """
    seen: dict[str, Declaration | None] = {}
    for base in cls.__mro__:
        for name, value in vars(base).items():
            seen.setdefault(name, declared(value))
    return {name: declaration for name, declaration in seen.items() if declaration is not None}


def overridden_in(cls: type) -> list[tuple[type, Declaration]]:
    """The declarations that only `super()` reaches in `cls`, each with the class that holds it."""
    visible = set(declarations_of(cls).values())
    return [
        (base, declaration)
        for base in cls.__mro__
        for value in vars(base).values()
        if (declaration := declared(value)) is not None and declaration not in visible
    ]


def _declare(kind: DeclarationKind, function: object, sql: str, frame: Any) -> Declaration:
    decorator = f"@{kind.value}"
    if not isinstance(function, FunctionType):
        raise DeclarationError(
            f"{decorator} decorates an `async def` method, and stands innermost of its"
            f" decorators; it was given {_what(function)}."
        )
    if (earlier := declared(function)) is not None:
        raise DeclarationError(
            f"{function.__qualname__} is declared twice, by @{earlier.kind.value} and by"
            f" {decorator}; keep one."
        )
    return Declaration(
        kind=kind,
        name=function.__name__,
        qualname=function.__qualname__,
        sql=sql,
        stub=function,
        file=function.__code__.co_filename,
        line=function.__code__.co_firstlineno,
        captured=captured_names(function, frame),
        problems=tuple(_problems(kind, function)),
    )


def _problems(kind: DeclarationKind, function: FunctionType) -> list[str]:
    found = []
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        found.append(f"a @{kind.value} method can't yield; return what it finds")
    elif kind is not DeclarationKind.QUERY and not inspect.iscoroutinefunction(function):
        found.append(f"a @{kind.value} method must be `async def`")
    names = _Names.of(function)
    if not names.positional:
        found.append("it has no parameter `self`; methods take one")
    if kind is DeclarationKind.QUERY and (names.var_positional or names.var_keyword):
        stars = [f"*{names.var_positional}"] * bool(names.var_positional)
        stars += [f"**{names.var_keyword}"] * bool(names.var_keyword)
        found.append(
            f"{' and '.join(stars)} in its signature can't be matched with the SQL; name each"
            " parameter"
        )
    return found


def _body(kind: DeclarationKind, function: F, frame: Any) -> F:
    declaration = _declare(kind, function, "", frame)
    names = _Names.of(declaration.stub)
    args, kwargs = names.unused("args"), names.unused("kwargs")
    key, refuse = names.unused("_declaration"), names.unused("_refuse_one_shot")
    positional = [f"{name}, " for name in names.positional[1:]]
    keywords = [f"{name!r}: {name}" for name in names.keyword_only]
    if names.var_positional:
        positional.append(f"*{names.var_positional}, ")
    if names.var_keyword:
        keywords.append(f"**{names.var_keyword}")
    lines = [
        f"{args} = ({''.join(positional)})",
        f"{kwargs} = {{{', '.join(keywords)}}}",
        f"return await {names.self}._session._run_body({key}, {names.self}, {args}, {kwargs})",
    ]
    if kind is DeclarationKind.TRANSACTION:
        lines.insert(2, f"{refuse}({key}, {args}, {kwargs})")
    namespace = {key: declaration, refuse: refuse_one_shot}
    return cast("F", _method(declaration, names, lines, namespace))


def refuse_one_shot(
    declaration: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Refuse arguments that a body which runs again would find used up."""
    for value in (*args, *kwargs.values()):
        if hasattr(type(value), "__next__"):
            raise TypeError(
                f"{declaration.qualname} was given an iterator (of type {type(value).__name__});"
                " its body may run a second time and would find it used up. Give a list."
            )


def _method(
    declaration: Declaration, names: _Names, body: list[str], namespace: dict[str, Any]
) -> Any:
    stub = declaration.stub
    # A lambda's or a renamed function's name is no identifier.
    name = stub.__name__ if stub.__name__.isidentifier() else "method"
    define = "def" if declaration.is_stream else "async def"
    lines = [f"{define} {name}({names.signature}):", *(f"    {line}" for line in body)]
    method = make_function(name, lines, declaration.qualname, namespace)
    # The source says `=...`: a default's text is not at hand, and it must be the same object.
    method.__defaults__ = stub.__defaults__
    method.__kwdefaults__ = stub.__kwdefaults__
    functools.update_wrapper(method, stub)
    setattr(method, _MARK, declaration)
    return method


@attrs.frozen
class _Names:
    """The parameter names of a function, from its code.

    `inspect.signature` would evaluate annotations on Python 3.14, too early.
    """

    positional: tuple[str, ...]  # self included
    keyword_only: tuple[str, ...]
    var_positional: str | None
    var_keyword: str | None
    signature: str

    @classmethod
    def of(cls, function: FunctionType) -> _Names:
        code = function.__code__
        count, total = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        positional, keyword_only = code.co_varnames[:count], code.co_varnames[count:total]
        rest = list(code.co_varnames[total:])
        var_positional = rest.pop(0) if code.co_flags & inspect.CO_VARARGS else None
        var_keyword = rest.pop(0) if code.co_flags & inspect.CO_VARKEYWORDS else None
        with_default = count - len(function.__defaults__ or ())
        parts = [
            name if index < with_default else f"{name}=..." for index, name in enumerate(positional)
        ]
        if code.co_posonlyargcount:
            parts.insert(code.co_posonlyargcount, "/")
        if var_positional or keyword_only:
            parts.append(f"*{var_positional or ''}")
        defaults = function.__kwdefaults__ or {}
        parts += [f"{name}=..." if name in defaults else name for name in keyword_only]
        if var_keyword:
            parts.append(f"**{var_keyword}")
        return cls(positional, keyword_only, var_positional, var_keyword, ", ".join(parts))

    @property
    def self(self) -> str:
        # Without one the declaration is refused at opening; the code must compile until then.
        return self.positional[0] if self.positional else "self"

    def unused(self, name: str) -> str:
        taken = {*self.positional, *self.keyword_only, self.var_positional, self.var_keyword}
        while name in taken:
            name += "_"
        return name


def _what(value: object) -> str:
    if isinstance(value, FunctionType):
        return f"the function {value.__qualname__}"
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    return f"an object of type {type(value).__name__}"
