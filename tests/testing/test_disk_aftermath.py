"""What a power loss leaves of unsynced writes: each fate, sector by sector."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import pytest

from trio_sqlrepo.testing.disk._aftermath import Fate, Physics, Truncate, Write

SECTOR: Final = 512
SEEDS: Final = range(400)
SAFE: Final = Physics(sector_size=SECTOR, powersafe_overwrite=True)
UNSAFE: Final = Physics(sector_size=SECTOR, powersafe_overwrite=False)
OLD: Final = b"o" * 4 * SECTOR
NEW: Final = b"n" * 2 * SECTOR
# Begins in the middle of the first sector, ends in the middle of the third.
ACROSS: Final = Write(SECTOR // 2, NEW)


def after(write: Write | Truncate, physics: Physics = SAFE) -> dict[Fate, set[bytes]]:
    """Every content that some seed leaves, by the fate of the one write."""
    left: dict[Fate, set[bytes]] = {}
    for seed in SEEDS:
        content, fates = physics.settle(OLD, [write], random.Random(seed))
        assert fates.total() == 1
        left.setdefault(fates.most_common(1)[0][0], set()).add(bytes(content))
    return left


def test_writes_are_applied_as_a_file_takes_them() -> None:
    content = bytearray(b"abc")
    Write(1, b"XYZ").apply(content)
    assert content == b"aXYZ"
    Write(6, b"!").apply(content)
    assert content == b"aXYZ\0\0!"
    Truncate(2).apply(content)
    assert content == b"aX"
    Truncate(4).apply(content)
    assert content == b"aX\0\0"


def test_a_write_is_cut_where_sectors_begin() -> None:
    sectors = list(ACROSS.sectors(SECTOR))
    assert [(sector.offset, len(sector.data)) for sector in sectors] == [
        (SECTOR // 2, SECTOR // 2), (SECTOR, SECTOR), (2 * SECTOR, SECTOR // 2),
    ]  # fmt: skip
    assert b"".join(sector.data for sector in sectors) == NEW


def test_each_fate_comes_and_leaves_what_it_says() -> None:
    left = after(ACROSS)
    written = bytearray(OLD)
    ACROSS.apply(written)
    assert set(left) == set(Fate)
    assert left[Fate.KEPT] == {bytes(written)}
    assert left[Fate.DROPPED] == {OLD}
    prefixes = []
    for count in range(3):  # sectors
        torn = bytearray(OLD)
        for sector in list(ACROSS.sectors(SECTOR))[:count]:
            sector.apply(torn)
        prefixes.append(bytes(torn))
    assert left[Fate.TORN] == set(prefixes)
    assert not left[Fate.GARBLED] & {bytes(written), *prefixes}


@pytest.mark.parametrize("physics", [SAFE, UNSAFE])
def test_garbage_lies_where_was_written(physics: Physics) -> None:
    """With powersafe overwrite in the bytes written alone, otherwise in their whole sectors."""
    start = ACROSS.offset if physics is SAFE else 0
    end = ACROSS.offset + len(NEW) if physics is SAFE else 3 * SECTOR
    untouched = [*range(start), *range(end, len(OLD))]
    garbage_at = set()
    for content in after(ACROSS, physics)[Fate.GARBLED]:
        assert all(content[at] == OLD[at] for at in untouched)
        assert len(content) == len(OLD)
        garbage = {at for at in range(start, end) if content[at] not in b"on"}
        assert garbage
        garbage_at |= garbage
    assert (min(garbage_at), max(garbage_at)) == (start, end - 1)


def test_garbage_does_not_make_a_file_longer_than_the_write_does() -> None:
    for content in after(Write(len(OLD) - 10, b"n" * 20), UNSAFE)[Fate.GARBLED]:
        assert len(content) in {len(OLD), len(OLD) + 10}


def test_a_truncation_is_kept_or_not() -> None:
    assert after(Truncate(SECTOR)) == {Fate.KEPT: {OLD[:SECTOR]}, Fate.DROPPED: {OLD}}


def test_later_writes_may_survive_earlier_ones() -> None:
    """Some disks keep all or nothing, others toss a coin for each write."""
    seen: Counter[bytes] = Counter()
    for seed in SEEDS:
        changes = [Write(0, b"1"), Write(1, b"2")]
        content, fates = SAFE.settle(b"..", changes, random.Random(seed))
        if set(fates) <= {Fate.KEPT, Fate.DROPPED}:
            seen[bytes(content)] += 1
    assert set(seen) == {b"..", b"1.", b".2", b"12"}


def test_the_same_seed_leaves_the_same() -> None:
    for seed in SEEDS[:20]:
        one, other = (
            UNSAFE.settle(OLD, [ACROSS, Truncate(3), ACROSS], random.Random(seed)) for _ in "ab"
        )
        assert one == other
