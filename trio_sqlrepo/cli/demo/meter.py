"""Latencies and errors of operations, in memory that does not grow with their number."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, TypeVar, final, get_args

from trio_sqlrepo import SqlRepoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

T = TypeVar("T")
Kind: TypeAlias = Literal["read", "write"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Bucket n holds the latencies from SMALLEST * GROWTH**n up to the next, so that a percentile is
# never more than 2 % too high, and never too low.
_SMALLEST: Final = 1e-6  # seconds
_LARGEST: Final = 1e3
_GROWTH: Final = 1.02
_SCALE: Final = 1 / math.log(_GROWTH)
_OFFSET: Final = math.log(_SMALLEST)
_BUCKETS: Final = math.ceil((math.log(_LARGEST) - _OFFSET) * _SCALE) + 1


@final
class Latencies:
    """How long calls took, as counts in buckets whose width grows with the latency."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count: int = 0

    def __repr__(self) -> str:
        return f"<Latencies of {self.count} calls>"

    def add(self, seconds: float) -> None:
        """Count one call. What is too short or too long for the scale counts at its end."""
        bucket = int((math.log(max(seconds, _SMALLEST)) - _OFFSET) * _SCALE)
        self._buckets[min(bucket, _BUCKETS - 1)] += 1
        self.count += 1

    def percentile(self, percent: float) -> float | None:
        """The seconds within which `percent` of the calls were answered; None without calls."""
        if not self.count:
            return None
        wanted = max(self.count * percent / 100, 1)
        answered = accumulate(self._buckets)
        bucket = next(bucket for bucket, count in enumerate(answered) if count >= wanted)
        return float(_SMALLEST * _GROWTH ** (bucket + 1))

    def copy(self) -> Latencies:
        """The same counts, which no longer move."""
        return self.since(Latencies())

    def since(self, earlier: Latencies) -> Latencies:
        """What was counted after `earlier` was copied from these."""
        difference = Latencies()
        difference._buckets = [
            now - before for now, before in zip(self._buckets, earlier._buckets, strict=True)
        ]
        difference.count = self.count - earlier.count
        return difference

    @classmethod
    def together(cls, several: Iterable[Latencies]) -> Self:
        """The calls of `several` in one."""
        whole = cls()
        for latencies in several:
            whole._buckets = [
                a + b for a, b in zip(whole._buckets, latencies._buckets, strict=True)
            ]
            whole.count += latencies.count
        return whole


@final
class Meter:
    """One kind of operation: its latencies, and its errors by type."""

    __slots__ = ("errors", "kind", "latencies", "name")

    def __init__(self, name: str, kind: Kind) -> None:
        self.name: str = name
        self.kind: Kind = kind
        self.latencies: Latencies = Latencies()
        self.errors: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Meter {self.name}: {self.latencies.count} calls, {self.errors.total()} errors>"

    async def measure(self, call: Awaitable[T]) -> T:
        """Await `call` and count it. A cancelled call is neither answered nor an error."""
        start = perf_counter()
        try:
            result = await call
        except SqlRepoError as error:
            self.errors[type(error).__name__] += 1
            raise
        self.latencies.add(perf_counter() - start)
        return result
