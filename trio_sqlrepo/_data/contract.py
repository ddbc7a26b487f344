"""The check of every declared query when the database opens: all problems in one error.

Runs on a worker thread: it asks SQLite about each SQL text through `inspect`, and knows no trio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

import attrs

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._base.inspection import Inspection, NoTable
from trio_sqlrepo._base.job import Statement
from trio_sqlrepo._query.annotations import Contexts
from trio_sqlrepo._query.declare import (
    Declaration,
    DeclarationKind,
    declarations_of,
    overridden_in,
)
from trio_sqlrepo._query.expansion import Expansion, expand, make_choose
from trio_sqlrepo._query.generated import Describe, Generated
from trio_sqlrepo._query.plan import Plan, make_plan
from trio_sqlrepo._query.refusal import sentences
from trio_sqlrepo._query.spec import Spec, body_problems, location, make_spec

if TYPE_CHECKING:
    import cattrs

    from trio_sqlrepo._query.writing import Inspect


def _no_tables(_: str) -> NoTable:
    return NoTable(())


@attrs.frozen(eq=False)
class Checked:
    """One statement of a query: what was meant, what SQLite says of it, how it is run."""

    spec: Spec
    inspection: Inspection
    plan: Plan


class Plans(dict[Declaration, Plan]):
    """The plans of one repository class.

    A query that is overridden is reached by `super()` only, and may no longer fit the schema:
    that may be why it was overridden. So its problems are kept, and raised if it is called.
    """

    def __init__(self) -> None:
        self.unfit: dict[Declaration, DeclarationError] = {}
        self.checked: dict[Declaration, tuple[Checked, ...]] = {}

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
    describe: Describe = _no_tables,
) -> Contract:
    """Check every declaration of `repositories`, which must be subclasses of `base`.

    `inspect` compiles a statement without running it; `converter` maps the user's types, None
    has no hooks; `describe` knows the tables that SQL is generated for. Statements are numbered
    from 0 in the order of `repositories` and of their definitions; each class has its own,
    inherited ones too.

    Raises:
        DeclarationError: with everything that is wrong in any of them.
    """
    checker = _Checker(inspect, converter, base, describe)
    names = _names(repositories)
    for repository in repositories:
        if problem := _no_repository(repository, base):
            checker.problems.append(problem)
        elif repository not in checker.plans:  # given twice
            checker.check(repository, names[repository])
    if checker.problems:
        # What is wrong with a table is wrong with each query that is generated for it.
        raise DeclarationError(*dict.fromkeys(checker.problems))
    return Contract(checker.plans, tuple(checker.statements))


class _Checker:
    def __init__(
        self,
        inspect: Inspect,
        converter: cattrs.BaseConverter | None,
        base: type,
        describe: Describe,
    ) -> None:
        self.problems: list[str] = []
        self.plans: dict[type, Plans] = {}
        self.statements: list[Statement] = []
        self._inspect = inspect
        self._describe = describe
        self._base = base
        self._converter = converter
        self._inspections: dict[str, Inspection] = {}
        self._contexts = Contexts()

    def check(self, repository: type, called: str) -> None:
        plans = self.plans[repository] = Plans()
        declarations = declarations_of(repository)
        for name, declaration in declarations.items():
            if hasattr(self._base, name):
                where = location(declaration, f"{called}.{name}")
                problem = f"`{name}` is an attribute of every {self._base.__name__}; rename it"
                self.problems += sentences(where, [problem])
        self._check_fields(repository, called)
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

    def _check_fields(self, repository: type, called: str) -> None:
        """Refuse fields, as an attrs class has them, that would hide the base's own attributes."""
        reserved = [name for name in dir(self._base) if not name.startswith("_")]
        for holder in repository.__mro__[: repository.__mro__.index(self._base)]:
            fields = get_annotations(holder)
            self.problems += [
                f"{called}: its field `{name}` hides what every {self._base.__name__} has under"
                " that name; rename it."
                for name in reserved
                if name in fields
            ]

    def _add(self, plans: Plans, declaration: Declaration, owner: type, name: str) -> None:
        source = declaration.source
        if isinstance(source, Generated) and source.of_class:
            of_class: Any = owner  # a CrudRepository
            source = attrs.evolve(source, table=of_class._table, key=of_class._key)
        spec = make_spec(declaration, owner, name=name, contexts=self._contexts)
        expansion = expand(source, spec, self._describe, self._look)
        checked = self._checked(expansion)
        self.statements += [each.plan.statement for each in dict.fromkeys(checked.values())]
        plans[declaration] = first = next(iter(checked.values())).plan
        first.choose = make_choose(expansion, {key: each.plan for key, each in checked.items()})
        plans.checked[declaration] = tuple(dict.fromkeys(checked.values()))

    def _checked(self, expansion: Expansion) -> dict[tuple[Any, ...], Checked]:
        """Match every statement of a query with what SQLite says of it."""
        named: set[str] = set()
        for spec in expansion.specs.values():
            named.update(parameter[1:] for parameter in self._look(spec.sql).parameters)
        used = frozenset({*named, *(axis.subject for axis in expansion.axes)})
        made: dict[str, Checked] = {}  # by their SQL: some alternatives come to the same
        problems: dict[str, list[str]] = {}
        for key, expanded in expansion.specs.items():
            if expanded.sql in made:
                continue
            reading = attrs.evolve(expanded.reading, elsewhere=used)
            spec = attrs.evolve(expanded, reading=reading) if expansion.axes else expanded
            inspection = self._look(spec.sql)
            number = len(self.statements) + len(made)
            try:
                plan = make_plan(spec, inspection, number=number, converter=self._converter)
            except DeclarationError as error:
                for problem in error.problems:
                    problems.setdefault(problem, []).append(expansion.labels[key])
            else:
                made[spec.sql] = Checked(spec, inspection, plan)
        if problems:
            raise DeclarationError(
                *(
                    f"{problem.removesuffix('.')} (with {labels[0]})." if labels[0] else problem
                    for problem, labels in problems.items()
                )
            )
        return {key: made[spec.sql] for key, spec in expansion.specs.items()}

    def _look(self, sql: str) -> Inspection:
        if sql not in self._inspections:
            self._inspections[sql] = self._inspect(sql)
        return self._inspections[sql]


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
