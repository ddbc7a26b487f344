"""attrs classes, dataclasses, NamedTuples and TypedDicts, seen alike."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

import attrs

from trio_sqlrepo._query.annotations import Context, Scope, arguments_by_class
from trio_sqlrepo._query.refusal import Refusal, title


class RecordKind(enum.Enum):
    """How instances are made and read."""

    ATTRS = "attrs class"
    DATACLASS = "dataclass"
    NAMED_TUPLE = "NamedTuple"
    TYPED_DICT = "TypedDict"


@attrs.frozen(eq=False, kw_only=True)
class Field:
    """One field. Its annotation is resolved when it is needed, so that others may be wrong."""

    owner: str
    name: str  # of the attribute
    key: str  # in SQL, in JSON and in the constructor: an attrs field's alias
    annotation: Any
    scope: Scope
    readable: bool = True  # not so for a dataclass's InitVar

    @property
    def label(self) -> str:
        """As messages name it: `Message.body`."""
        return f"{self.owner}.{self.name}"

    def hint(self) -> Any:
        """Its type. Raises `Refusal`."""
        if self.annotation is None:
            raise Refusal(f"field `{self.label}` has no annotation; give it one")
        return self.scope.resolve(self.annotation, f"field `{self.label}`")


@attrs.frozen
class Argument:
    """One parameter of a record's constructor (or key of a TypedDict)."""

    key: str
    field: Field | None
    required: bool
    positional: bool


@attrs.frozen(eq=False)
class Record:
    """A class whose fields are filled by name."""

    cls: type
    kind: RecordKind
    title: str
    fields: Mapping[str, Field]  # by key

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """What makes an instance.

        Asked of the signature, so that `kw_only`, `init=False`, defaults and an `__init__` of
        the user's own all count as Python itself has them.
        """
        if self.kind is RecordKind.TYPED_DICT:
            return tuple(
                Argument(key, field, _is_required(self.cls, field), positional=False)
                for key, field in self.fields.items()
            )
        found = []
        for parameter in inspect.signature(self.cls).parameters.values():
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                continue
            found.append(
                Argument(
                    parameter.name,
                    self.fields.get(parameter.name),
                    required=parameter.default is parameter.empty,
                    positional=parameter.kind is not parameter.KEYWORD_ONLY,
                )
            )
        return tuple(found)


def record_kind(hint: Any) -> RecordKind | None:
    """Which kind of record `hint` is, if it is one."""
    cls = get_origin(hint) or hint
    if not isinstance(cls, type):
        return None
    if attrs.has(cls):
        return RecordKind.ATTRS
    if dataclasses.is_dataclass(cls):
        return RecordKind.DATACLASS
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return RecordKind.NAMED_TUPLE
    # typing.is_typeddict does not know typing_extensions' TypedDict.
    if dict in cls.__mro__ and hasattr(cls, "__required_keys__"):
        return RecordKind.TYPED_DICT
    return None


def record_of(hint: Any, context: Context) -> Record | None:
    """`hint` as a record, if it is one. Type arguments reach the fields (`Page[Message]`)."""
    kind = record_kind(hint)
    if kind is None:
        return None
    if not isinstance(hint, type):  # `Page[Literal[1]]` equals `Page[Literal[True]]`
        return _record(hint, kind, context.captured)
    if hint not in context.records:
        context.records[hint] = _record(hint, kind, context.captured)
    found: Record = context.records[hint]
    return found


def _record(hint: Any, kind: RecordKind, captured: Mapping[str, Any]) -> Record:
    cls: type = get_origin(hint) or hint
    arguments = arguments_by_class(cls, hint)
    if kind is RecordKind.TYPED_DICT:
        # It repeats the annotations of its bases as its own, and has none of them in its MRO.
        arguments = {cls: {v: t for given in arguments.values() for v, t in given.items()}}
    annotated: dict[str, tuple[Any, Scope]] = {}
    for base in reversed(cls.__mro__):
        scope = Scope.of_class(base, arguments.get(base, {}), captured)
        for name, annotation in inspect.get_annotations(base).items():
            annotated[name] = (annotation, scope)
    own_scope = Scope.of_class(cls, arguments.get(cls, {}), captured)

    def field(name: str, key: str, fallback: Any = None, *, readable: bool = True) -> Field:
        annotation, scope = annotated.get(name, (fallback, own_scope))
        return Field(
            owner=cls.__name__, name=name, key=key, annotation=annotation, scope=scope,
            readable=readable,
        )  # fmt: skip

    fields: list[Field] = []
    if kind is RecordKind.ATTRS:
        fields = [field(a.name, a.alias, a.type) for a in attrs.fields(cls)]
    elif kind is RecordKind.DATACLASS:
        members = [member.name for member in dataclasses.fields(cls)]
        fields = [field(name, name) for name in members]
        # An InitVar is a parameter of the constructor, annotated like a field, and nothing else.
        fields += [
            field(name, name, readable=False)
            for name in inspect.signature(cls).parameters
            if name not in members and name in annotated
        ]
    elif kind is RecordKind.NAMED_TUPLE:
        fields = [field(name, name) for name in cls._fields]  # type: ignore[attr-defined]
    else:
        fields = [field(name, name) for name in annotated]
    return Record(cls, kind, title(hint), {field.key: field for field in fields})


def _is_required(cls: Any, field: Field) -> bool:
    # `__required_keys__` misjudges `NotRequired` in string annotations; the resolved one knows.
    hint = field.hint()
    while (origin := get_origin(hint)) is not None:
        name = getattr(origin, "_name", None)
        if name in {"Required", "NotRequired"}:
            return bool(name == "Required")
        if origin is not Annotated and name != "ReadOnly":
            break
        hint = get_args(hint)[0]
    return field.key in cls.__required_keys__
