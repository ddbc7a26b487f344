"""From a declaration to its statements: one, or one for each choice among its alternatives.

The arguments of a call choose which is run; no value of theirs is ever part of the SQL. The key of
a choice holds, for each parameter that takes part, its type and value (a slot), whether it is not
None (a filter), or whether something is set (an update). So choosing is one look into a dict.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import attrs

from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._query import fits
from trio_sqlrepo._query.annotations import union_members, unwrap, without_none
from trio_sqlrepo._query.braces import Template, filters_in, render, slots_in
from trio_sqlrepo._query.generated import Describe, Generated, table_of
from trio_sqlrepo._query.refusal import Misfit, Refusal, Refusals, python_type, sentences, title
from trio_sqlrepo._query.source import make_function
from trio_sqlrepo._query.spec import Spec
from trio_sqlrepo._query.unset import UNSET
from trio_sqlrepo._query.writing import Inspect, write

if TYPE_CHECKING:
    from trio_sqlrepo._query.plan import Plan

# So many statements of one query are compiled on every connection.
MOST: Final = 64


@attrs.frozen
class Alternative:
    """One of the choices along an axis."""

    label: str  # as messages name it
    value: Any = None  # the argument for which it is chosen; of a filter: whether there is one


@attrs.frozen
class Axis:
    """One thing that a choice depends on."""

    subject: str  # the parameter, or what of it
    # The parameters' names in generated code -> the expressions whose values are in the key.
    key: Callable[[Mapping[str, str]], str]
    alternatives: Mapping[tuple[Any, ...], Alternative]  # by their part of the key
    wanted: str = ""  # what the argument must be; "" where every one has an alternative


@attrs.frozen(kw_only=True)
class Expansion:
    """The statements of a query, by the choice that each is for."""

    spec: Spec  # as declared
    axes: Sequence[Axis]
    specs: Mapping[tuple[Any, ...], Spec]
    labels: Mapping[tuple[Any, ...], str]


def expand(
    source: Template | Generated | None, spec: Spec, describe: Describe, inspect: Inspect
) -> Expansion:
    """Find out which statements a query needs.

    Raises:
        DeclarationError: with all that is wrong.
    """
    if source is None:
        return Expansion(spec=spec, axes=(), specs={(): spec}, labels={(): ""})
    where = spec.where
    if isinstance(source, Generated) and source.of_class:
        where = spec.name.rpartition(".")[0]  # it is the class that says what is wrong
    try:
        if isinstance(source, Template):
            return _expand_template(source, spec)
        return _expand_generated(source, spec, describe, inspect)
    except Refusal as refusal:
        problems: Sequence[str] = [str(refusal)]
    except Refusals as refusals:
        problems = refusals.problems
    raise DeclarationError(*sentences(where, problems))


def _expand(
    spec: Spec, axes: Sequence[Axis], make: Callable[[Sequence[Alternative]], Spec]
) -> Expansion:
    count = math.prod(len(axis.alternatives) for axis in axes)
    if count > MOST:
        factors = " × ".join(f"{len(axis.alternatives)} for `{axis.subject}`" for axis in axes)
        raise Refusal(
            f"its alternatives make {count} statements ({factors}), and a query can have {MOST},"
            " as each is compiled on every connection; split it into several queries"
        )
    specs, labels = {}, {}
    for choice in itertools.product(*(axis.alternatives for axis in axes)):
        key = tuple(itertools.chain.from_iterable(choice))
        chosen = [axis.alternatives[part] for axis, part in zip(axes, choice, strict=True)]
        label = ", ".join(alternative.label for alternative in chosen)
        made = make(chosen)
        specs[key] = attrs.evolve(made, name=f"{spec.name}[{label}]") if label else made
        labels[key] = label
    return Expansion(spec=spec, axes=axes, specs=specs, labels=labels)


# -- braces ----------------------------------------------------------------------------------------


def _expand_template(template: Template, spec: Spec) -> Expansion:
    hints = {parameter.name: parameter.hint for parameter in spec.parameters}
    filters = dict.fromkeys(each.parameter for each in filters_in(template.parts))
    slots: dict[str, bool] = {}  # by parameter: whether one may stand where it is None
    for slot, within in slots_in(template.parts):
        slots[slot.parameter] = slots.get(slot.parameter, False) or slot.parameter not in within
    problems = [
        f"`{{{name}: …}}` is there when `{name}` is not None, which its type"
        f" `{title(hints[name])}` always is; declare `{title(hints[name])} | None`"
        for name in filters
        if not without_none(unwrap(hints[name])[0])[1] and None not in _values(hints[name])
    ]
    axes = []
    for name, needs_none in slots.items():
        values = _values(hints[name])
        found = _slot_problems(name, hints[name], values, template, needs_none=needs_none)
        problems += found
        if not found:
            axes.append(_slot_axis(name, values, hints[name]))
    for name in filters:
        if name not in slots:
            given = {(True,): Alternative(name, True), (False,): Alternative(f"no {name}")}
            axes.append(Axis(name, partial(_is_given, name), given))
    if problems:
        raise Refusals(problems)

    def make(choice: Sequence[Alternative]) -> Spec:
        chosen = {axis.subject: each.value for axis, each in zip(axes, choice, strict=True)}
        present = {name: chosen[name] is not None for name in filters}
        # None may be without one: it then stands only in its own filter.
        texts = {name: template.fragments[name].get(chosen[name], "") for name in slots}
        return attrs.evolve(spec, sql=render(template.parts, present, texts))

    return _expand(spec, axes, make)


def _slot_axis(name: str, values: tuple[Any, ...], hint: Any) -> Axis:
    # An enum's own hash is Python code. Its members live as long as the query, so that no other
    # object has their id.
    single = all(value is None or isinstance(value, enum.Enum) for value in values)
    alternatives = {
        (id(value),) if single else (type(value), value): Alternative(
            f"{name}={_shown(value)}", value
        )
        for value in values
    }
    key = partial(_identity if single else _value, name)
    return Axis(name, key, alternatives, title(hint))


def _values(hint: Any) -> tuple[Any, ...]:
    """All values of a type made of Literals, enums and None; () for any other type."""
    base = unwrap(hint)[0]
    if base is None or base is type(None):
        return (None,)
    if get_origin(base) is Literal:
        return get_args(base)
    if isinstance(base, type) and issubclass(base, enum.Enum) and not issubclass(base, enum.Flag):
        return tuple(base)
    members = [_values(member) for member in union_members(base)]
    return tuple(itertools.chain.from_iterable(members)) if all(members) else ()


def _slot_problems(
    name: str, hint: Any, values: tuple[Any, ...], template: Template, *, needs_none: bool
) -> list[str]:
    if not values:
        problem = (
            f"`{{{name}}}` needs a parameter whose values are known, a Literal or an Enum, and"
            f" `{name}` is `{title(hint)}`; declare one, or write `:{name}` for a value"
        )
        return [problem]
    given = template.fragments.get(name)
    if given is None:
        example = ", ".join(f'{_key(value)}: "…"' for value in values[:2])
        problem = (
            f"`{{{name}}}` has no fragments; say what stands there for each value, as in"
            f" @query(…, {name}={{{example}}})"
        )
        return [problem]
    missing = [
        f"the value {_key(value)} of `{name}` has no fragment; add one to {name}={{…}}"
        for value in values
        if not any(_same(value, key) for key in given) and (value is not None or needs_none)
    ]
    foreign = [
        f"there is a fragment for {name}={_key(key)}, which is no value of `{title(hint)}`; leave"
        " it out"
        for key in given
        if not any(_same(value, key) for value in values)
    ]
    return missing + foreign


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _shown(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else repr(value)


def _key(value: Any) -> str:
    return str(value) if isinstance(value, enum.Enum) else repr(value)


# -- without SQL -----------------------------------------------------------------------------------


def _expand_generated(
    generated: Generated, spec: Spec, describe: Describe, inspect: Inspect
) -> Expansion:
    statements = write(generated, spec, table_of(generated, describe), inspect)
    signature = statements.signature
    if signature.problems:
        raise Refusals(signature.problems)
    reading = signature.reading(statements.flags)
    axes = []
    for group in statements.choices:
        subject = ", ".join(attribute or parameter for parameter, attribute in group)
        alternatives = {
            (True,): Alternative(subject, True),
            (False,): Alternative(f"no {subject}", False),
        }
        axes.append(Axis(subject, partial(_is_set, group), alternatives))

    def make(choice: Sequence[Alternative]) -> Spec:
        sql = statements.sql(tuple(each.value for each in choice))
        return attrs.evolve(spec, sql=sql, reading=reading)

    return _expand(spec, axes, make)


# -- choosing --------------------------------------------------------------------------------------


def _value(parameter: str, places: Mapping[str, str]) -> str:
    # With its type: 1 == True, and a StrEnum's member equals its value.
    return f"type({places[parameter]}), {places[parameter]}"


def _identity(parameter: str, places: Mapping[str, str]) -> str:
    return f"id({places[parameter]})"


def _is_given(parameter: str, places: Mapping[str, str]) -> str:
    return f"{places[parameter]} is not None"


def _is_set(group: Sequence[tuple[str, str | None]], places: Mapping[str, str]) -> str:
    # An object of a wrong class may lack the attribute; `bind` is going to say so.
    values = [
        places[parameter]
        if attribute is None
        else f"getattr({places[parameter]}, {attribute!r}, UNSET)"
        for parameter, attribute in group
    ]
    return " or ".join(f"{value} is not UNSET" for value in values)


def make_choose(
    expansion: Expansion, plans: Mapping[tuple[Any, ...], Plan]
) -> Callable[..., Plan] | None:
    """What finds the plan for a call's arguments; None if there is but one."""
    if not expansion.axes:
        return None
    spec = expansion.spec
    places = {p.name: f"{p.name}_{index}" for index, p in enumerate(spec.parameters)}
    key = "".join(f"{axis.key(places)}, " for axis in expansion.axes)
    checks = [axis for axis in expansion.axes if axis.wanted]
    arguments = ", ".join(places[axis.subject] for axis in checks)
    lines = [
        f"def choose({', '.join(places.values())}):",
        "    try:",
        f"        return plans[{key}]",
        "    except (KeyError, TypeError):  # TypeError: it has no hash",
        "        pass",
        f"    raise refuse({arguments})",
    ]
    namespace = {"plans": plans, "refuse": _refuser(spec.name, checks), "UNSET": UNSET}
    return make_function("choose", lines, f"choose {spec.name}", namespace)  # type: ignore[no-any-return]


def _refuser(query: str, axes: Sequence[Axis]) -> Callable[..., Exception]:
    def refuse(*values: Any) -> Exception:
        axis, value = next(
            (axis, value) for axis, value in zip(axes, values, strict=True) if not _has(axis, value)
        )
        known = any(type(value) is type(each.value) for each in axis.alternatives.values())
        misfit = Misfit("a value that is none of them" if known else python_type(value))
        return fits.refuse_parameter(query, axis.subject, axis.wanted, misfit)

    return refuse


def _has(axis: Axis, value: object) -> bool:
    return any(_same(value, each.value) for each in axis.alternatives.values())
