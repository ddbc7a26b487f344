"""Versions of lists: what reads tell of the order of appends, and what they must not tell.

A list only grows, so each read of it is a version, and the longest is the order of all that were
ever seen. What one transaction or one version shows is judged here; what needs several
transactions is judged by the cycles of their dependencies.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias, final

import attrs

from trio_sqlrepo.testing.histories._transactions import Append, Key, Transaction, Value, shown
from trio_sqlrepo.testing.histories._verdict import Anomaly

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Values: TypeAlias = tuple[Value, ...]


@final
@attrs.frozen
class Seen:
    """A list as somebody saw it. `reader` is None for the final state, which no task has read."""

    reader: Transaction | None
    key: Key
    values: Values

    def __str__(self) -> str:
        if self.reader is None:
            return f"the final state of {self.key!r} is {shown(self.values)}"
        return f"{self.reader} read {self.key!r} as {shown(self.values)}"


@final
class Versions:
    """What the transactions of a history did to lists, and in what order.

    Attributes:
        order: for each key all values that were seen, in order.
        writers: who appended a value to a key.
        committed: the transactions that happened: acknowledged ones, and unknown ones of which
            anything was seen.
        seen: what each of them saw of others, once for each key.
        unobserved: what they appended and nobody saw. It comes after all that was seen.
        anomalies: what a single transaction or version shows.
    """

    def __init__(
        self, transactions: list[Transaction], final_state: Mapping[Key, Sequence[Value]] | None
    ) -> None:
        self.anomalies: list[Anomaly] = []
        self.writers: dict[tuple[Key, Value], Transaction] = {}
        # What a transaction appends to a key, in order.
        self._appended: defaultdict[tuple[Transaction, Key], Values] = defaultdict(tuple)
        for each in transactions:
            self._note_appends(each)
        self.seen: list[Seen] = []
        self._versions: defaultdict[Key, list[Seen]] = defaultdict(list)
        for each in transactions:
            if each.returned:
                self._note_reads(each)
        if final_state is not None:
            for key in dict.fromkeys([*final_state, *(key for key, _ in self.writers)]):
                seen = Seen(None, key, tuple(final_state.get(key, ())))
                self._versions[key].append(seen)
                self._judge(seen)
        self.order = {key: self._longest(versions) for key, versions in self._versions.items()}
        observed = {(key, value) for key, values in self.order.items() for value in values}
        happened = {self.writers[each] for each in observed & self.writers.keys()}
        self.committed = [
            each for each in transactions if each.returned or (each in happened and not each.failed)
        ]
        self.unobserved: defaultdict[Key, list[Append]] = defaultdict(list)
        for each in self.committed:
            for append in each.appends():
                if (append.key, append.value) not in observed:
                    self.unobserved[append.key].append(append)
                    if final_state is not None:
                        self._blame_loss(each, append)

    def writer(self, append: Append) -> Transaction:
        """Who made an append."""
        return self.writers[append.key, append.value]

    # -- transactions --------------------------------------------------------------------------

    def _note_appends(self, transaction: Transaction) -> None:
        for append in transaction.appends():
            place = append.key, append.value
            if place in self.writers:
                raise ValueError(
                    f"{append} stands in {self.writers[place]} and in {transaction}: give each"
                    " value to a key once, also after a failure, or nobody can say whose it is."
                )
            self.writers[place] = transaction
            self._appended[transaction, append.key] += (append.value,)

    def _note_reads(self, transaction: Transaction) -> None:
        """Take what it read apart: what it had appended itself, and what was there before."""
        own: defaultdict[Key, Values] = defaultdict(tuple)
        theirs: dict[Key, Values] = {}
        for step in transaction.steps:
            if isinstance(step, Append):
                own[step.key] += (step.value,)
            elif step.values is not None:
                seen = Seen(transaction, step.key, step.values)
                mine = own[step.key]
                start = max(0, len(step.values) - len(mine))
                if step.values[start:] != mine:
                    text = (
                        f"{seen}, which does not end with the {shown(mine)} it had appended itself."
                    )
                    self._blame("internal", text, transaction)
                elif theirs.setdefault(step.key, step.values[:start]) != step.values[:start]:
                    text = (
                        f"{seen}, where it had read {shown(theirs[step.key])} before and appended"
                        f" {shown(mine) if mine else 'nothing'} itself."
                    )
                    self._blame("internal", text, transaction)
                else:
                    self._versions[step.key].append(seen)
        for key, values in theirs.items():
            seen = Seen(transaction, key, values)
            self.seen.append(seen)
            self._judge(seen)

    # -- versions ------------------------------------------------------------------------------

    def _judge(self, seen: Seen) -> None:
        """Judge a version, without what its reader had appended itself."""
        if len(set(seen.values)) < len(seen.values):
            twice = next(each for each in seen.values if seen.values.count(each) > 1)
            self._blame("duplicate", f"{seen}, with {twice!r} more than once.", seen.reader)
        writer: Transaction | None = None
        for value in seen.values:
            writer = self.writers.get((seen.key, value))
            if writer is None:
                self._blame("unwritten", f"{seen}; nobody appended {value!r}.", seen.reader)
            elif writer.failed:
                text = f"{seen}; {value!r} was appended by {writer}, which failed and left nothing."
                self._blame("G1a", text, seen.reader, writer)
            elif writer is seen.reader:
                text = f"{seen}, and appended {value!r} itself later."
                self._blame("internal", text, writer)
        if writer is not None and (last := self._appended[writer, seen.key][-1]) != seen.values[-1]:
            text = f"{seen}, a state inside of {writer}, which went on to append {last!r}."
            self._blame("G1b", text, seen.reader, writer)

    def _longest(self, versions: list[Seen]) -> Values:
        longest = max(versions, key=lambda seen: len(seen.values))
        for seen in versions:
            if longest.values[: len(seen.values)] != seen.values:
                pairs = zip(seen.values, longest.values, strict=False)
                place = next(place for place, (one, other) in enumerate(pairs) if one != other)
                text = (
                    f"{seen}, but {longest}. A list that only grows can't have been both: there is"
                    f" {seen.values[place]!r} at place {place} of one, {longest.values[place]!r} of"
                    " the other."
                )
                self._blame("incompatible order", text, seen.reader, longest.reader)
        self._judge_order(longest)
        return longest.values

    def _judge_order(self, longest: Seen) -> None:
        """See that what each transaction appended is there in its order, from the first on."""
        found: defaultdict[Transaction, Values] = defaultdict(tuple)
        for value in longest.values:
            if (longest.key, value) in self.writers:
                found[self.writers[longest.key, value]] += (value,)
        for writer, values in found.items():
            mine = self._appended[writer, longest.key]
            if mine[: len(values)] != values:
                text = f"{longest}; {writer} appended {shown(mine)} in this order."
                self._blame("reordered", text, longest.reader, writer)

    def _blame_loss(self, transaction: Transaction, append: Append) -> None:
        what = f"the {append.value!r} it appended to {append.key!r} is not in the final state"
        if transaction.returned:
            text = f"{transaction} was acknowledged, and {what}."
            self._blame("lost append", text, transaction)
        else:
            text = f"{transaction} left a part of what it did: {what}."
            self._blame("torn transaction", text, transaction)

    def _blame(self, kind: str, text: str, *transactions: Transaction | None) -> None:
        involved = tuple(each.operation for each in transactions if each is not None)
        self.anomalies.append(Anomaly(kind, text, involved))
