"""What must come before what: the edges between transactions."""

from __future__ import annotations

import enum
from itertools import pairwise
from typing import TYPE_CHECKING, final

import attrs

from trio_sqlrepo.testing.histories._transactions import Append, Transaction, shown
from trio_sqlrepo.testing.histories._versions import Seen, Versions

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(enum.Enum):
    """Why one transaction comes before another, as lists tell."""

    WW = "ww"  # it appended what the other's append follows
    WR = "wr"  # the other read what it appended
    RW = "rw"  # it read without what the other appended


@final
@attrs.frozen
class Dependency:
    """`before` must come before `after`.

    `first` and `then` say why: two appends (WW), an append and who saw it (WR), who saw a list and
    the append it lacks (RW).
    """

    kind: Kind
    before: Transaction
    after: Transaction
    first: Append | Seen
    then: Append | Seen

    def __str__(self) -> str:
        first, then = self.first, self.then
        if isinstance(first, Append):
            appended = f"{self.before} appended {first.value!r} to {first.key!r}"
            if isinstance(then, Append):
                return f"{appended} before {self.after} appended {then.value!r}"
            return f"{appended}, which {self.after} saw when it read {shown(then.values)}"
        assert isinstance(then, Append)
        return f"{first}, without the {then.value!r} that {self.after} appended"


def dependencies(versions: Versions) -> Iterator[Dependency]:
    """The dependencies that lists tell of, of committed transactions on each other."""
    committed = set(versions.committed)
    for found in _all_dependencies(versions):
        if found.before is not found.after and {found.before, found.after} <= committed:
            yield found


def _all_dependencies(versions: Versions) -> Iterator[Dependency]:
    writers = versions.writers
    for key, values in versions.order.items():
        written = [Append(key, value) for value in values if (key, value) in writers]
        for first, then in pairwise(written):
            yield _between(versions, Kind.WW, first, then)
        for then in versions.unobserved[key]:
            for first in written[-1:]:
                yield _between(versions, Kind.WW, first, then)
    for seen in versions.seen:
        reader, key, order = seen.reader, seen.key, versions.order.get(seen.key, ())
        end = len(seen.values)
        if reader is None or order[:end] != seen.values:
            continue  # of incompatible orders nothing can be said
        if end and (key, seen.values[-1]) in writers:
            last = Append(key, seen.values[-1])
            yield Dependency(Kind.WR, versions.writer(last), reader, last, seen)
        lacking = [Append(key, order[end])] if end < len(order) else versions.unobserved[key]
        for append in lacking:
            if (key, append.value) in writers:
                yield Dependency(Kind.RW, reader, versions.writer(append), seen, append)


def _between(versions: Versions, kind: Kind, first: Append, then: Append) -> Dependency:
    return Dependency(kind, versions.writer(first), versions.writer(then), first, then)
