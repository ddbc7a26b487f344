"""What a judge says of a history."""

from __future__ import annotations

from typing import Final, final

import attrs

from trio_sqlrepo.testing.histories._operation import Operation

# Of one broken promise there may be thousands of traces.
_MOST_EXPLAINED: Final = 10


class Undecided(Exception):
    """The search was given up at its limit: the history has too many operations at a time."""


@final
@attrs.frozen
class Anomaly:
    """One thing that must not be.

    Attributes:
        kind: its name, as `G-single` or `not linearizable`.
        text: what was found, in words.
        operations: those that show it.
    """

    kind: str
    text: str
    operations: tuple[Operation, ...] = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@final
@attrs.frozen
class Verdict:
    """What a judge says of a history.

    Attributes:
        judged: how many operations it looked at. A history without any proves nothing.
        anomalies: what must not be, the worst first.
    """

    judged: int
    anomalies: tuple[Anomaly, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.anomalies

    @property
    def explanation(self) -> str:
        """All of it in words; of more than ten anomalies the first ten."""
        if self.holds:
            return f"{self.judged} operations, no anomaly."
        shown = self.anomalies[:_MOST_EXPLAINED]
        more = len(self.anomalies) - len(shown)
        count = f"{self.judged} operations, {len(self.anomalies)} anomalies."
        return "\n\n".join([count, *map(str, shown), *([f"… and {more} more."] if more else [])])

    def require(self) -> None:
        """Raise an `AssertionError` with the explanation if anything was found."""
        if not self.holds:
            raise AssertionError(self.explanation)
