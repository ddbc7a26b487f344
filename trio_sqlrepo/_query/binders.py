"""Generates `bind`: a call's arguments become the values SQLite binds.

A parameter that the SQL names is one value; any other must be a record, whose fields bind by name,
or an iterable of records: a batch. The generated function takes the stub's parameters in order
and gives a tuple in the order of the SQL's parameters, or a list of such tuples for a batch.
"""

from __future__ import annotations

import difflib
from collections import abc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import attrs

from trio_sqlrepo._query import fits
from trio_sqlrepo._query.annotations import unwrap, without_none
from trio_sqlrepo._query.positions import position_in_list, position_of
from trio_sqlrepo._query.records import Record, RecordKind, record_kind, record_of
from trio_sqlrepo._query.refusal import Refusal, Refusals, title
from trio_sqlrepo._query.source import make_function
from trio_sqlrepo._query.table import FAST_NAMES
from trio_sqlrepo._query.unset import UNSET, without_unset

if TYPE_CHECKING:
    from trio_sqlrepo._query.codec import Codec
    from trio_sqlrepo._query.spec import Parameter, Spec
    from trio_sqlrepo._query.values import Codecs

_BATCHES: Final = frozenset({
    list, tuple, set, frozenset, abc.Iterable, abc.Iterator, abc.Collection, abc.Sequence,
    abc.Set, abc.Generator,
})  # fmt: skip


@attrs.frozen
class Binder:
    """The generated function and whether it gives a list of tuples."""

    bind: Callable[..., Any]
    batch: bool


@attrs.frozen
class _Source:
    """What supplies one of the SQL's names."""

    label: str  # as messages name it: "parameter `room`", "field `Message.room` of `message`"
    local: str  # of the parameter that it is, or is a field of
    attribute: str | None  # None: the parameter itself
    path: str  # in messages at run time: "message.room"
    hint: Callable[[], Any]
    batch: bool
    flag: bool = False  # what is bound is whether it is set


def element_of(hint: Any) -> Any:
    """The type of a batch's elements; None for what is no batch."""
    base, _ = unwrap(hint)
    arguments = get_args(base)
    origin = get_origin(base)
    if origin not in _BATCHES or not arguments:
        return None
    if origin is tuple and arguments[1:] != (...,):
        return None
    return arguments[0]


def _itself(hint: Any) -> Any:
    return hint


def make_binder(spec: Spec, names: Sequence[str], codecs: Codecs) -> Binder:
    """Match a query's parameters with its SQL's (`names`, without the colon).

    Raises:
        Refusals: all that is wrong.
    """
    return _Matcher(spec, names, codecs).binder()


class _Matcher:
    def __init__(self, spec: Spec, names: Sequence[str], codecs: Codecs) -> None:
        self._spec = spec
        self._names = names
        self._codecs = codecs
        self._problems: list[str] = []
        self._sources: dict[str, _Source] = {}
        self._records: list[tuple[str, Record, Parameter]] = []  # local, class, parameter
        self._tuples: list[tuple[str, list[str], Parameter]] = []  # local, its elements' locals
        self._batch: str | None = None  # the name of the parameter that is one
        # Locals end in a number, so that none hides a name of the generated code (`type`).
        self._locals = {p.name: f"{p.name}_{i}" for i, p in enumerate(spec.parameters)}

    def binder(self) -> Binder:
        for parameter in self._spec.parameters:
            try:
                self._add(parameter)
            except Refusal as refusal:
                self._problems.append(str(refusal))
        for flag, name in self._spec.reading.flags.items():
            if name in self._sources:
                self._sources[flag] = attrs.evolve(self._sources[name], flag=True)
        for name in self._names:
            if name not in self._sources:
                self._problems.append(self._unsupplied(name))
        bound = []
        for name in self._names:
            if (source := self._sources.get(name)) is not None:
                try:
                    bound.append((name, source, self._codec(name, source)))
                except Refusal as refusal:
                    self._problems.append(f"{source.label}: {refusal}")
        if self._problems:
            raise Refusals(self._problems)
        return Binder(self._generate(bound), self._batch is not None)

    def _codec(self, name: str, source: _Source) -> Codec:
        hint = source.hint()
        flags = self._spec.reading.flags
        if name in flags or name in flags.values():
            hint, _ = without_unset(hint)
        codec = self._codecs.of(hint)
        if codec.json and (place := position_in_list(f":{name}", self._spec.sql)):
            mend = f"IN (SELECT value FROM json_each(:{name}))"  # noqa: S608  # it is shown, not run
            raise Refusal(
                f"it is one value, JSON text, so `IN (:{name})`{place} finds nothing; write"
                f" `{mend}`"
            )
        return codec

    # -- which parameter supplies what -----------------------------------------------------------

    def _add(self, parameter: Parameter) -> None:
        name, local = parameter.name, self._locals[parameter.name]
        reading = self._spec.reading
        if name in reading.spread:
            self._spread(parameter, local)
            return
        if name in self._names and name not in reading.records:
            label = f"parameter `{name}`"
            self._supply(
                name, _Source(label, local, None, name, lambda: parameter.hint, batch=False)
            )
            return
        element = element_of(parameter.hint)
        hint = parameter.hint if element is None else element
        record = record_of(unwrap(hint)[0], self._codecs.context)
        keys = {name} if record is None else {name, *record.fields}
        if keys.isdisjoint(self._names) and not keys.isdisjoint(reading.elsewhere):
            return  # another expansion of the query has a use for it
        if record is None or record.kind is RecordKind.TYPED_DICT:
            raise Refusal(self._unused(parameter))
        if element is not None:
            if self._batch is not None:
                raise Refusal(
                    f"parameters `{self._batch}` and `{name}` are both batches; there can be one"
                )
            self._batch = name
        used = [key for key in record.fields if key in self._names and record.fields[key].readable]
        if not used:
            raise Refusal(
                f"the SQL names neither `:{name}` nor a field of `{record.title}`, so parameter"
                f" `{name}` has no use; name one or remove it"
            )
        element_local = local if element is None else f"element_{len(self._locals)}"
        self._records.append((element_local, record, parameter))
        for key in used:
            field = record.fields[key]
            label = f"field `{field.label}` of parameter `{name}`"
            path = f"{name}.{field.name}" if element is None else f".{field.name}"
            self._supply(
                key,
                _Source(label, element_local, field.name, path, field.hint, element is not None),
            )

    def _spread(self, parameter: Parameter, local: str) -> None:
        """Let the elements of a tuple supply a name each."""
        names = self._spec.reading.spread[parameter.name]
        hints = get_args(unwrap(parameter.hint)[0])
        parts = [f"{local}_{index}" for index in range(len(names))]
        self._tuples.append((local, parts, parameter))
        for index, (name, part, hint) in enumerate(zip(names, parts, hints, strict=True)):
            label = f"element {index + 1} of parameter `{parameter.name}`"
            path = f"{parameter.name}[{index}]"
            self._supply(
                name, _Source(label, part, None, path, partial(_itself, hint), batch=False)
            )

    def _supply(self, name: str, source: _Source) -> None:
        if (other := self._sources.get(name)) is not None:
            raise Refusal(
                f"`:{name}` is supplied twice, by {other.label} and by {source.label}; rename one"
            )
        self._sources[name] = source

    def _unused(self, parameter: Parameter) -> str:
        name = parameter.name
        unsupplied = [n for n in self._names if n not in self._locals]
        hint = _did_you_mean(name, unsupplied)
        rest, nullable = without_none(unwrap(parameter.hint)[0])
        if nullable and record_kind(unwrap(rest)[0]) is not None:
            return (
                f"parameter `{name}` is a record that may be None, and has then no fields to bind"
            )
        return (
            f"the SQL does not name `:{name}`, and `{title(parameter.hint)}` is no class whose"
            f" fields it could name; write `:{name}` into the SQL or remove the parameter{hint}"
        )

    def _unsupplied(self, name: str) -> str:
        known = [p.name for p in self._spec.parameters]
        known += [key for _, record, _ in self._records for key in record.fields]
        place = position_of(f":{name}", self._spec.sql)
        return (
            f"the SQL names `:{name}`{place}, which no parameter and no field supplies; add one"
            f" or correct the name{_did_you_mean(name, known)}"
        )

    # -- the code --------------------------------------------------------------------------------

    def _generate(self, bound: list[tuple[str, _Source, Codec]]) -> Callable[..., Any]:
        namespace: dict[str, Any] = {**FAST_NAMES, "UNSET": UNSET}
        query = self._spec.name
        once: list[str] = []  # before the loop, if there is one
        each: list[str] = []
        for local, record, parameter in self._records:
            in_batch = parameter.name == self._batch
            check = f"check{len(namespace)}"
            kind = f"class{len(namespace)}"
            namespace[check] = fits.element_check(query, parameter.name, record.cls)
            namespace[kind] = record.cls
            arguments = f"{local}, len(rows)" if in_batch else local
            (each if in_batch else once).append(
                f"if type({local}) is not {kind}: {check}({arguments})"
            )
        for local, parts, parameter in self._tuples:
            check = f"check{len(namespace)}"
            namespace[check] = fits.tuple_check(query, parameter.name, len(parts))
            once += [f"{check}({local})", f"{', '.join(parts)} = {local}"]
        values: list[str] = []
        unset = set(self._spec.reading.flags.values())
        for name, source, codec in bound:
            value, fit = source.local, f"fit{len(namespace)}"
            block = each if source.batch else once
            if source.attribute is not None:
                value = f"{source.attribute}_{len(self._locals) + 1 + len(values)}"
                block.append(f"{value} = {source.local}.{source.attribute}")
            elif source.flag or name in unset:
                value = f"{name}_{len(self._locals) + 1 + len(values)}"  # the flag reads it as well
                block.append(f"{value} = {source.local}")
            if source.flag:
                values.append(f"1 if {value} is not UNSET else 0,")
                continue
            if source.batch:
                assert self._batch is not None
                namespace[fit] = fits.batch_binder(query, self._batch, source.path, codec)
                convert = _convert(codec, value, f"{fit}({value}, len(rows))")
            else:
                namespace[fit] = fits.binder(query, source.path, codec)
                convert = _convert(codec, value, f"{fit}({value})")
            if name in unset:
                convert = [f"if {value} is UNSET: {value} = None", "else:", *_indented(convert)]
            block += convert
            values.append(f"{value},")
        result = f"({' '.join(values)})"
        lines = [f"def bind({', '.join(self._locals.values())}):", *_indented(once)]
        if self._batch is None:
            lines.append(f"    return {result}")
        else:
            ((element, record, _),) = [r for r in self._records if r[2].name == self._batch]
            namespace["elements"] = fits.lister(query, self._batch, record.cls)
            lines += [
                "    rows = []",
                f"    for {element} in elements({self._locals[self._batch]}):",
                *_indented([*each, f"rows.append({result})"], 2),
                "    return rows",
            ]
        return make_function("bind", lines, f"bind {query}", namespace)  # type: ignore[no-any-return]


def _convert(codec: Codec, value: str, slow: str) -> list[str]:
    unless_none = f"if {value} is not None" if codec.nullable else ""
    if codec.bind_test is None:
        return [f"{unless_none}: {value} = {slow}" if unless_none else f"{value} = {slow}"]
    test = codec.bind_test.format(v=value)
    if codec.bind_value == "{v}":
        condition = f"{unless_none} and not ({test})" if unless_none else f"if not ({test})"
        return [f"{condition}: {value} = {slow}"]
    fast = f"{value} = {codec.bind_value.format(v=value)} if {test} else {slow}"
    return [f"{unless_none}: {fast}" if unless_none else fast]


def _indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
