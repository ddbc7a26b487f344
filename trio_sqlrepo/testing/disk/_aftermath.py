"""What a power loss leaves of writes that were not synced. Pure; chance is drawn by the caller."""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random


@attrs.frozen
class Write:
    """Bytes that were written at an offset."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Do it. What lies between the end of the file and the offset becomes zeros."""
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self, size: int) -> Iterator[Write]:
        """Cut it at the boundaries of the disk's sectors."""
        end = self.offset + len(self.data)
        at = self.offset
        while at < end:
            following = min(end, (at // size + 1) * size)
            yield Write(at, self.data[at - self.offset : following - self.offset])
            at = following


@attrs.frozen
class Truncate:
    """A new length of the file, shorter or longer."""

    size: int

    def apply(self, content: bytearray) -> None:
        """Do it."""
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


class Fate(enum.Enum):
    """What became of one write or truncation that was not synced."""

    KEPT = "kept"
    DROPPED = "dropped"
    TORN = "torn"  # some first sectors of it were written
    GARBLED = "garbled"  # some sectors were, some not, at least one is garbage


# How often each fate comes, drawn once per crash: a disk that keeps all but one write, or none at
# all, finds other faults than one that tosses a coin for each.
_WEIGHTS: Final = ((1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (8, 1, 1, 1), (1, 8, 1, 1))
_FATES: Final = tuple(Fate)


@attrs.frozen(kw_only=True)
class Physics:
    """How the disk behaves when its power fails.

    Attributes:
        sector_size: bytes that it writes at a time.
        powersafe_overwrite: bytes around those being written survive. Otherwise a garbled sector
            is garbage from its first byte to its last.
    """

    sector_size: int
    powersafe_overwrite: bool

    def settle(
        self, durable: bytes | bytearray, changes: Iterable[Write | Truncate], random: Random
    ) -> tuple[bytearray, Counter[Fate]]:
        """Give the content after a crash, and how many changes met which fate."""
        content = bytearray(durable)
        fates: Counter[Fate] = Counter()
        weights = random.choice(_WEIGHTS)
        for change in changes:
            fate = random.choices(_FATES, weights)[0]
            if isinstance(change, Truncate) and fate not in {Fate.KEPT, Fate.DROPPED}:
                fate = Fate.DROPPED  # there is no half of it
            fates[fate] += 1
            if fate is Fate.KEPT:
                change.apply(content)
            elif fate is not Fate.DROPPED:
                assert isinstance(change, Write)
                self._spoil(change, fate, content, random)
        return content, fates

    def _spoil(self, write: Write, fate: Fate, content: bytearray, random: Random) -> None:
        sectors = list(write.sectors(self.sector_size))
        if fate is Fate.TORN:
            for sector in sectors[: random.randrange(len(sectors))]:
                sector.apply(content)
            return
        garbage = random.randrange(len(sectors))
        for number, sector in enumerate(sectors):
            if number == garbage or random.random() < 1 / 3:
                self._garbled(sector, content, random).apply(content)
            elif random.random() < 1 / 2:
                sector.apply(content)

    def _garbled(self, sector: Write, content: bytearray, random: Random) -> Write:
        if self.powersafe_overwrite:
            return Write(sector.offset, random.randbytes(len(sector.data)))
        start = sector.offset // self.sector_size * self.sector_size
        end = max(sector.offset + len(sector.data), min(start + self.sector_size, len(content)))
        return Write(start, random.randbytes(end - start))
