"""`Codecs`: from a type to its codec, by the rules of the design's table "Values".

In this order: the markers of `Annotated`; the built-in types; Enum, Flag, Literal; a class the
user's converter has a hook for; collections and records, as JSON; unions; anything else is refused.
So a hook never changes a built-in type, and wins over JSON for an attrs class (`Money`).
"""

from __future__ import annotations

import enum
from collections import abc
from datetime import datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    LiteralString,
    get_args,
    get_origin,
)
from uuid import UUID

from trio_sqlrepo._query import hooks
from trio_sqlrepo._query.annotations import remark, union_members, unwrap, without_none
from trio_sqlrepo._query.choices import enum_codec, literal_codec
from trio_sqlrepo._query.codec import Codec, optional
from trio_sqlrepo._query.json_forms import (
    RecordForm,
    in_json,
    json_codec,
    mapping_codec,
    sequence_codec,
    tuple_codec,
)
from trio_sqlrepo._query.markers import Blob, Json, Naive
from trio_sqlrepo._query.records import record_of
from trio_sqlrepo._query.refusal import Refusal, title
from trio_sqlrepo._query.table import ANY, NAIVE_DATETIME, SCALARS, UUID_BLOB
from trio_sqlrepo._query.unions import union_codec
from trio_sqlrepo._query.unset import Unset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import cattrs

    from trio_sqlrepo._query.annotations import Context

# What is accepted, what is made of an array, and whether it is sorted.
_SEQUENCES: Final[Mapping[Any, tuple[type, Callable[..., Any], bool]]] = {
    list: (list, list, False),
    set: (set, set, True),
    frozenset: (frozenset, frozenset, True),
    abc.Sequence: (abc.Sequence, list, False),
    abc.MutableSequence: (abc.MutableSequence, list, False),
    abc.Collection: (abc.Collection, list, False),
    abc.Iterable: (abc.Iterable, list, False),
    abc.Set: (abc.Set, set, True),
    abc.MutableSet: (abc.MutableSet, set, True),
}
_MAPPINGS: Final[Mapping[Any, type]] = {
    dict: dict,
    abc.Mapping: abc.Mapping,
    abc.MutableMapping: abc.MutableMapping,
}
_COLLECTIONS: Final = frozenset({*_SEQUENCES, *_MAPPINGS, tuple, type})


class Codecs:
    """Makes codecs for one direction: user hooks exist, or are missing, in each on its own."""

    def __init__(
        self, converter: cattrs.BaseConverter | None, context: Context, *, reading: bool
    ) -> None:
        self.context = context
        self._converter = converter
        self._reading = reading
        # Made, or being made: a record may hold itself. Pairs, as a hint may not be hashable.
        self._records: list[tuple[Any, Codec]] = []

    def of(self, hint: Any) -> Codec:
        """The codec of a resolved type. Raises `Refusal` if it has none."""
        base, markers = unwrap(hint)
        if Json in markers:
            return self._as_json(base, markers - {Json})
        if markers:
            return self._marked(base, markers)
        for make in (
            self._built_in,
            self._choice,
            self._hooked,
            self._collection,
            self._record,
            self._union,
            hooks.subclass_codec,
        ):
            if (codec := make(base)) is not None:
                return codec
        raise hooks.missing_hook(base, reading=self._reading)

    def has_hook(self, hint: Any) -> bool:
        """Whether the user's converter maps this class to one column value."""
        hook = hooks.structure_hook if self._reading else hooks.unstructure_hook
        return hook(unwrap(hint)[0], self._converter) is not None

    def _as_json(self, base: Any, markers: frozenset[type]) -> Codec:
        inner = self.of(remark(base, markers))
        return json_codec(inner.title, *in_json(inner), nullable=inner.nullable)

    def _marked(self, base: Any, markers: frozenset[type]) -> Codec:
        rest, nullable = without_none(base)
        if nullable:
            return optional(self._marked(rest, markers))
        rest, further = unwrap(rest)
        if rest is datetime and markers | further == {Naive}:
            return NAIVE_DATETIME
        if rest is UUID and markers | further == {Blob}:
            return UUID_BLOB
        names = ", ".join(sorted(marker.__name__ for marker in markers))
        raise Refusal(
            f"`Annotated[{title(rest)}, {names}]` means nothing: Naive marks datetime, Blob marks"
            " UUID"
        )

    def _built_in(self, hint: Any) -> Codec | None:
        if hint is Any or hint is object:
            return ANY
        # Looked up only if it is a class: what else there is may not be hashable.
        known = isinstance(hint, type) or hint is None or hint is LiteralString
        return SCALARS.get(hint) if known else None

    def _choice(self, hint: Any) -> Codec | None:
        if hint is Unset:
            raise Refusal("UNSET has no column form; only @query.update knows fields left UNSET")
        if get_origin(hint) is Literal:
            return literal_codec(hint)
        return enum_codec(hint) if _is_class(hint, enum.Enum) else None

    def _hooked(self, hint: Any) -> Codec | None:
        # Only for classes of the user's: collections and unions have their rule.
        origin = get_origin(hint) or hint
        if not isinstance(origin, type) or origin in _COLLECTIONS or union_members(hint):
            return None
        return hooks.hook_codec(hint, self._converter, reading=self._reading)

    def _collection(self, hint: Any) -> Codec | None:
        origin, arguments, name = get_origin(hint) or hint, get_args(hint), title(hint)
        if origin in _SEQUENCES:
            accepts, make, sort = _SEQUENCES[origin]
            (element,) = arguments or (Any,)
            return sequence_codec(name, accepts, make, self.of(element), sort=sort)
        if origin in _MAPPINGS:
            key, value = arguments or (str, Any)
            return mapping_codec(name, _MAPPINGS[origin], self.of(key), self.of(value))
        if origin is not tuple:
            return None
        if not arguments or arguments[1:] == (...,):
            element = self.of((*arguments, Any)[0])
            return sequence_codec(name, tuple, tuple, element, sort=False)
        return tuple_codec(name, [self.of(argument) for argument in arguments])

    def _record(self, hint: Any) -> Codec | None:
        for known, codec in self._records:
            if known == hint:
                return codec
        record = record_of(hint, self.context)
        if record is None:
            return None
        form = RecordForm(record)
        self._records.append((hint, form.codec))
        try:
            form.complete(self.of)
        except Refusal:
            self._records.pop()
            raise
        return form.codec

    def _union(self, hint: Any) -> Codec | None:
        if not union_members(hint):
            return None
        rest, nullable = without_none(hint)
        members = union_members(rest)
        if not members:
            codec = self.of(rest)
        else:
            codec = union_codec(title(rest), [self.of(member) for member in members])
        if not nullable:
            return codec
        if codec.json and codec.dump is not None and codec.load is not None:
            both = optional(codec)
            # NULL and the JSON text `null` are both None.
            return json_codec(both.title, *in_json(both), nullable=True)
        return optional(codec)


def _is_class(hint: Any, base: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, base)
