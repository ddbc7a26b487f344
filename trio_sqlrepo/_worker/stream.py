"""The thread side of a row stream: a declared read that is fetched chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

if TYPE_CHECKING:
    from trio_sqlrepo._base.driver import OpenRows
    from trio_sqlrepo._base.job import Parameters, Statement
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.record import Record

# Bounds of what lies in memory: one chunk, or one in the consumer's hands and one read ahead of
# half as many rows each. A hand-over costs 50 µs, and rows change from one processor's cache to
# another's, so a chunk should be worth some milliseconds of reading; but of quick rows not more
# than leave the garbage collector asleep, which looks at all objects that live whenever there are
# 700 more than at its last look (and costs as much as building them did).
AIM: Final = 0.005  # seconds
MOST_ROWS: Final = 512
_MOST_BYTES: Final = 1 << 20


class Chunk(NamedTuple):
    """What one fetch gives."""

    rows: list[Any]
    has_more: bool  # False: the statement has come to its end and is reset
    seconds: float  # that it took


@final
class Stream:
    """One call of a declared read, opened by its first fetch. Worker thread only."""

    __slots__ = ("_opened", "_parameters", "_statement")

    def __init__(self, statement: Statement, parameters: Parameters) -> None:
        self._statement = statement
        self._parameters = parameters
        self._opened: OpenRows | None = None

    def __repr__(self) -> str:
        return f"<Stream of {self._statement.name}, {self._opened}>"

    def open(self, hands: Hands) -> None:
        """Start it, up to its first row."""
        record = self._record(hands)
        record.calls += 1
        with record.timed(hands.clock):
            self._opened = hands.driver.stream(self._statement, self._parameters)

    def fetch(self, most: int, hands: Hands) -> Chunk:
        """Step until there are `most` rows, or as many as a chunk may hold, or time is up."""
        hands.check()
        if self._opened is None:
            self.open(hands)
        opened = self._opened
        assert opened is not None
        record = self._record(hands)
        before = record.total_seconds
        with record.timed(hands.clock):
            rows = opened.fetch(most, _MOST_BYTES, AIM)
            record.rows += len(rows)
        return Chunk(rows, opened.has_more, record.total_seconds - before)

    def _record(self, hands: Hands) -> Record:
        return hands.tally.statements[self._statement.number]

    def close(self, hands: Hands) -> None:
        """Reset the statement; what is closed stays so."""
        del hands
        if self._opened is not None:
            self._opened.close()
