"""Serializability: transactions over lists, judged by the cycles of their dependencies.

After Elle (Kingsbury and Alvaro, VLDB 2020): a list that is only appended to, with values that are
unique, tells by each read of it whose appends came before and whose did not. If these
dependencies, with the order in which transactions were seen to end and begin, have no cycle, then
an order in which they could have run one after the other exists; if they have one, none does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import attrs
import networkx as nx

from trio_sqlrepo.testing.histories._dependencies import Dependency, Kind, dependencies
from trio_sqlrepo.testing.histories._transactions import Transaction, transactions_of
from trio_sqlrepo.testing.histories._verdict import Anomaly, Verdict
from trio_sqlrepo.testing.histories._versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trio_sqlrepo.testing.histories._operation import Operation
    from trio_sqlrepo.testing.histories._transactions import Key, Value

# A place in the order of ends: the n-th of the transactions of a task, or of all (None). Whoever
# ended before comes before it, whoever began after comes after: an order of n transactions by 3 n
# edges, in which one step leads to any later transaction.
_Place: TypeAlias = tuple[str | None, int]
_Node: TypeAlias = Transaction | _Place

# What counts besides what lists tell, and what it adds to an anomaly's name.
_ORDERS: Final = {
    "serializable": ("",),
    "session": ("", "-session"),
    "strict": ("", "-session", "-realtime"),
}
# The names of cycles after Adya, the worst first: which dependency closes one, and which others
# it may have. One that has a worse name as well is found under that.
_CYCLES: Final = (
    ("G0", Kind.WW, {Kind.WW}),
    ("G1c", Kind.WR, {Kind.WW, Kind.WR}),
    ("G-single", Kind.RW, {Kind.WW, Kind.WR}),
    ("G2", Kind.RW, {Kind.WW, Kind.WR, Kind.RW}),
)
# From so many dependencies a shortest cycle of more than two transactions is searched. A broken
# database may tie all of a long history into one knot.
_MOST_SEARCHED: Final = 200


def check_serializability(
    operations: Iterable[Operation],
    *,
    level: Literal["serializable", "session", "strict"] = "strict",
    final_state: Mapping[Key, Sequence[Value]] | None = None,
) -> Verdict:
    """Judge the transactions of a history: those that `History.transaction` recorded.

    Transactions that failed must have left nothing. Of one whose outcome is unknown, anything that
    was seen means that it has happened as a whole. Blocks; takes some 0.2 ms for each transaction.

    Anomalies are those of single reads ("G1a", an aborted read; "G1b", an intermediate one;
    "internal", a transaction that does not see itself; "duplicate", "unwritten", "reordered",
    "incompatible order"), of the final state ("lost append", "torn transaction"), and of cycles
    ("G0", "G1c", "G-single", "G2"; "-session" or "-realtime" says that no cycle is left without
    that order). Of each set of transactions that cycles tie together the worst cycle is told, and
    of such the shortest; in a very large set, a short one.

    Args:
        operations: a history; other operations in it are left out.
        level: "serializable" if some order explains all; "session" if one does that keeps the order
            within each task; "strict" if one does in which whoever ended before another began comes
            before it.
        final_state: what was in the database after all, if known: then appends that were
            acknowledged and lost are found, even if nobody read their list again.

    Raises:
        ValueError: a value was appended to a key twice, or a transaction holds no steps.
    """
    transactions = transactions_of(operations)
    versions = Versions(transactions, final_state)
    graph = _graph(dependencies(versions), versions.committed, _ORDERS[level][-1])
    found = list(versions.anomalies)
    knots = [knot for knot in nx.strongly_connected_components(graph) if len(knot) > 1]
    if knots:
        number_of = {node: number for number, knot in enumerate(knots) for node in knot}
        tied: defaultdict[int, list[Dependency]] = defaultdict(list)
        for each in dependencies(versions):
            number = number_of.get(each.before, -1)
            if number == number_of.get(each.after, -2):
                tied[number].append(each)
        found += [_worst_cycle(tied[number], level) for number in range(len(knots))]
    return Verdict(len(transactions), tuple(found))


def _graph(
    found: Iterable[Dependency], transactions: Iterable[Transaction], order: str
) -> nx.DiGraph[_Node]:
    """What comes before what, by dependencies and by an order of `_ORDERS`."""
    graph: nx.DiGraph[_Node] = nx.DiGraph()
    graph.add_edges_from((each.before, each.after) for each in found)
    groups: defaultdict[str | None, list[Transaction]] = defaultdict(list)
    if order:
        for each in transactions:
            groups[None if order == "-realtime" else each.operation.task].append(each)
    for name, group in groups.items():
        graph.add_edges_from(_order(name, group))
    return graph


def _order(name: str | None, group: list[Transaction]) -> Iterator[tuple[_Node, _Node]]:
    ends = sorted(
        (each.operation.completed, each.number, each)
        for each in group
        if each.operation.completed is not None
    )
    moments = [moment for moment, _, _ in ends]
    for place, (_, _, each) in enumerate(ends):
        yield each, (name, place)
        if place:
            yield (name, place - 1), (name, place)
    for each in group:
        if ended := bisect_left(moments, each.operation.invoked):
            yield (name, ended - 1), each


# -- cycles ---------------------------------------------------------------------------------------


def _worst_cycle(tied: list[Dependency], level: str) -> Anomaly:
    for order in _ORDERS[level]:
        for name, closing, others in _CYCLES:
            search = _CycleSearch(
                [each for each in tied if each.kind in others],
                [each for each in tied if each.kind is closing],
                order,
            )
            if (cycle := search.shortest()) is not None:
                return cycle.anomaly(name + order)
    raise AssertionError("A knot has no cycle.")  # pragma: no cover  # all its edges were searched


@final
@attrs.frozen
class _Cycle:
    """Transactions each of which must come before the next, and the last before the first."""

    transactions: list[Transaction]
    reasons: list[str]  # for each, why it comes before the next

    def anomaly(self, kind: str) -> Anomaly:
        """Tell it, from the transaction that began first."""
        first = min(range(len(self.reasons)), key=lambda place: self.transactions[place].number)
        transactions = self.transactions[first:] + self.transactions[:first]
        reasons = self.reasons[first:] + self.reasons[:first]
        names = " → ".join(f"T{each.number}" for each in [*transactions, transactions[0]])
        who = "".join(f"\n  {each.describe()}" for each in transactions)
        why = ";\n  - ".join(reasons)
        text = f"{names}, each of which must come before itself.{who}\nBecause\n  - {why}."
        return Anomaly(kind, text, tuple(each.operation for each in transactions))


@final
class _CycleSearch:
    """Searches cycles that one of some dependencies closes."""

    def __init__(self, path: list[Dependency], closing: list[Dependency], order: str) -> None:
        self._closing = closing
        self._order = order
        self._why = {(each.before, each.after): each for each in reversed(path)}
        # A dict keeps their order: the same history gives the same words.
        ends = dict.fromkeys(end for each in (*path, *closing) for end in (each.before, each.after))
        self._graph = _graph(path, ends, order)

    def shortest(self) -> _Cycle | None:
        """The shortest cycle; None if there is none."""
        for each in self._closing:
            if self._leads_to(each.after, each.before):
                return self._cycle(each, [each.after, each.before])
        whole = self._graph.copy()
        whole.add_edges_from((each.before, each.after) for each in self._closing)
        number_of = {
            node: number
            for number, knot in enumerate(nx.strongly_connected_components(whole))
            for node in knot
        }
        knotted = [
            each for each in self._closing if number_of[each.before] == number_of[each.after]
        ]
        best: _Cycle | None = None
        for each in knotted[:_MOST_SEARCHED]:
            most = len(self._graph) if best is None else len(best.transactions) - 1
            path = self._path(each.after, each.before, most)
            if path is not None:
                best = self._cycle(each, path)
        return best

    def _leads_to(self, before: Transaction, after: Transaction) -> bool:
        """Whether one step leads from one to the other."""
        if (before, after) in self._why:
            return True
        one, other = before.operation, after.operation
        ordered = self._order == "-realtime" or (self._order and one.task == other.task)
        return bool(ordered) and one.precedes(other)

    def _path(self, start: Transaction, end: Transaction, most: int) -> list[Transaction] | None:
        """A shortest path of at most so many transactions. Steps to places cost, from them not."""
        before: dict[_Node, _Node] = {}
        costs: dict[_Node, int] = {start: 1}
        ahead: deque[_Node] = deque([start])
        while ahead:
            node = ahead.popleft()
            if node == end:
                return self._walked(before, start, end)
            cost = costs[node] + isinstance(node, Transaction)
            for following in self._graph.adj.get(node, ()):
                if cost <= most and cost < costs.get(following, most + 1):
                    costs[following] = cost
                    before[following] = node
                    if isinstance(node, Transaction):
                        ahead.append(following)
                    else:
                        ahead.appendleft(following)
        return None

    @staticmethod
    def _walked(
        before: dict[_Node, _Node], start: Transaction, end: Transaction
    ) -> list[Transaction]:
        node: _Node = end
        walked = [end]
        while node != start:
            node = before[node]
            if isinstance(node, Transaction):
                walked.append(node)
        return walked[::-1]

    def _cycle(self, closing: Dependency, path: list[Transaction]) -> _Cycle:
        reasons = [self._reason(path[at], path[at + 1]) for at in range(len(path) - 1)]
        return _Cycle(path, [*reasons, str(closing)])

    def _reason(self, before: Transaction, after: Transaction) -> str:
        if (why := self._why.get((before, after))) is not None:
            return str(why)
        if before.operation.task == after.operation.task:
            return f"{before} was over before T{after.number} of the same task began"
        return f"{before} was over before {after} began"
