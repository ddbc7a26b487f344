"""The check of every declared query when the database opens: all problems in one error.

Runs on a worker thread: it asks SQLite about each SQL text through `inspect`, and knows no trio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._base.inspection import Inspection
from trio_sqlrepo._base.job import Statement
from trio_sqlrepo._query.declare import (
    Declaration,
    DeclarationKind,
    declarations_of,
    overridden_in,
)
from trio_sqlrepo._query.plan import Plan, make_plan
from trio_sqlrepo._query.refusal import sentences
from trio_sqlrepo._query.spec import body_problems, location, make_spec

if TYPE_CHECKING:
    import cattrs

Inspect = Callable[[str], Inspection]


class Plans(dict[Declaration, Plan]):
    """The plans of one repository class.

    A query that is overridden is reached by `super()` only, and may no longer fit the schema:
    that may be why it was overridden. So its problems are kept, and raised if it is called.
    """

    def __init__(self) -> None:
        self.unfit: dict[Declaration, DeclarationError] = {}

    def __missing__(self, declaration: Declaration) -> Plan:
        error = self.unfit.get(declaration)
        if error is None:
            raise KeyError(declaration)
        # A new one for each caller: an error that is raised collects a traceback.
        raise DeclarationError(*error.problems)


@attrs.frozen
class Contract:
    """What was declared and fits: for each class its plans, and all statements by number."""

    plans: Mapping[type, Plans]
    statements: tuple[Statement, ...]


def check_repositories(
    repositories: Sequence[Any],
    inspect: Inspect,
    converter: cattrs.BaseConverter | None = None,
    *,
    base: type = object,
) -> Contract:
    """Check every declaration of `repositories`, which must be subclasses of `base`.

    `inspect` compiles a statement without running it; `converter` maps the user's types, None
    has no hooks. Statements are numbered from 0 in the order of
    `repositories` and of their definitions; each class has its own, inherited ones too.

    Raises:
        DeclarationError: with everything that is wrong in any of them.
    """
    checker = _Checker(inspect, converter, base)
    names = _names(repositories)
    for repository in repositories:
        if problem := _no_repository(repository, base):
            checker.problems.append(problem)
        elif repository not in checker.plans:  # given twice
            checker.check(repository, names[repository])
    if checker.problems:
        raise DeclarationError(*checker.problems)
    return Contract(checker.plans, tuple(checker.statements))


class _Checker:
    def __init__(
        self, inspect: Inspect, converter: cattrs.BaseConverter | None, base: type
    ) -> None:
        self.problems: list[str] = []
        self.plans: dict[type, Plans] = {}
        self.statements: list[Statement] = []
        self._inspect = inspect
        self._base = base
        self._converter = converter
        self._inspections: dict[str, Inspection] = {}

    def check(self, repository: type, called: str) -> None:
        plans = self.plans[repository] = Plans()
        declarations = declarations_of(repository)
        for name, declaration in declarations.items():
            if hasattr(self._base, name):
                where = location(declaration, f"{called}.{name}")
                problem = f"`{name}` is an attribute of every {self._base.__name__}; rename it"
                self.problems += sentences(where, [problem])
        # One method may have two names.
        for declaration in dict.fromkeys(declarations.values()):
            if declaration.kind is DeclarationKind.QUERY:
                try:
                    self._add(plans, declaration, repository, f"{called}.{declaration.name}")
                except DeclarationError as error:
                    self.problems.extend(error.problems)
            else:
                where = location(declaration, f"{called}.{declaration.name}")
                self.problems += sentences(where, body_problems(declaration, repository))
        for holder, declaration in overridden_in(repository):
            if declaration.kind is DeclarationKind.QUERY:
                name = f"{called}.{declaration.name} of {holder.__name__}"
                try:
                    self._add(plans, declaration, repository, name)
                except DeclarationError as error:
                    plans.unfit[declaration] = error

    def _add(self, plans: Plans, declaration: Declaration, owner: type, name: str) -> None:
        spec = make_spec(declaration, owner, name=name)
        if spec.sql not in self._inspections:
            self._inspections[spec.sql] = self._inspect(spec.sql)
        inspection = self._inspections[spec.sql]
        number = len(self.statements)
        plan = make_plan(spec, inspection, number=number, converter=self._converter)
        self.statements.append(plan.statement)
        plans[declaration] = plan


def _names(repositories: Iterable[Any]) -> dict[type, str]:
    """What errors and stats call each class: its name, unless another one bears it too.

    Then the module goes before it, and to classes that one function has made again a number.
    """
    classes = dict.fromkeys(each for each in repositories if isinstance(each, type))
    bearers = Counter(each.__name__ for each in classes)
    names: dict[type, str] = {}
    seen: Counter[str] = Counter()
    for each in classes:
        name = each.__name__
        if bearers[name] > 1:
            name = f"{each.__module__}.{each.__qualname__}"
        seen[name] += 1
        names[each] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def _no_repository(repository: Any, base: type) -> str | None:
    if isinstance(repository, type):
        if issubclass(repository, base):
            return None
        return (
            f"repositories holds the class {repository.__name__}, which is no subclass of"
            f" {base.__name__}; derive it from {base.__name__}, or leave it out."
        )
    return (
        f"repositories holds {repository!r}, which is no class; give the repository class itself"
        " (of a generic one, a subclass: `class Users(Table[User])`)."
    )
