"""What users write inside `Annotated[…]`, and `RowCount`."""

from __future__ import annotations

from typing import NewType, final


@final
class Json:
    """`Annotated[T, Json]`: the column holds T as JSON text, where T alone would mean rows."""


@final
class Naive:
    """`Annotated[datetime, Naive]`: without a time zone; aware datetimes are refused."""


@final
class Blob:
    """`Annotated[UUID, Blob]`: stored as 16 bytes instead of 36 characters."""


RowCount = NewType("RowCount", int)

# `__module__` shows the public name.
for _public in (Json, Naive, Blob, RowCount):
    _public.__module__ = "trio_sqlrepo"
