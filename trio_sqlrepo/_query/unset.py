"""`UNSET`: the value of a field that says nothing, so that an update leaves its column alone."""

from __future__ import annotations

import enum
from typing import Any, Final, Union, final

from trio_sqlrepo._query.annotations import remark, union_members, unwrap


@final
class Unset(enum.Enum):
    """The type of `UNSET`, for annotations: `body: str | Unset = UNSET`.

    An enum of one member, so that type checkers narrow `if change.body is UNSET`.
    """

    UNSET = enum.auto()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def without_unset(hint: Any) -> tuple[Any, bool]:
    """`hint` without `Unset`, and whether it was in it."""
    base, markers = unwrap(hint)
    members = union_members(base)
    rest = tuple(member for member in members if unwrap(member)[0] is not Unset)
    if len(rest) == len(members) or not rest:
        return hint, base is Unset
    return remark(Union[rest], markers), True  # noqa: UP007  # the members are known only here
