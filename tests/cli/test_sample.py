"""Samples: what the last second was like."""

from __future__ import annotations

import pytest

from tests.cli.records import lane, meter, stats
from trio_sqlrepo import Stats
from trio_sqlrepo.cli.demo.meter import Meter
from trio_sqlrepo.cli.demo.sample import Sampler


class Pool:
    """A pool's counters and a clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stats = stats()
        self.reads: Meter = meter("get", "read")
        self.more_reads: Meter = meter("list", "read")
        self.writes: Meter = meter("post", "write")
        meters = [self.reads, self.more_reads, self.writes]
        self.sampler = Sampler(meters, self.read_stats, lambda: self.now)

    def read_stats(self) -> Stats:
        return self.stats


@pytest.fixture
def pool() -> Pool:
    return Pool()


def test_rates_and_latencies_are_of_what_happened_since(pool: Pool) -> None:
    for _ in range(10):
        pool.reads.latencies.add(0.001)
        pool.writes.latencies.add(0.1)
    pool.more_reads.latencies.add(0.01)
    pool.writes.errors["DatabaseLocked"] += 2
    pool.now += 0.5
    sample = pool.sampler.sample()
    assert sample.elapsed == pytest.approx(0.5)
    assert [(line.name, line.kind, line.calls, line.errors) for line in sample.lines] == [
        ("get", "read", 10, 0),
        ("list", "read", 1, 0),
        ("post", "write", 10, 2),
    ]
    assert [line.rate for line in sample.lines] == pytest.approx([20, 2, 20])
    assert sample.rate("read") == pytest.approx(22)
    assert sample.rate("write") == pytest.approx(20)
    assert sample.latencies("read").count == 11
    assert sample.latencies("write").percentile(1) == pytest.approx(0.1, rel=0.02)
    assert sample.errors == 2


def test_the_window_is_a_second_and_moves(pool: Pool) -> None:
    pool.reads.latencies.add(5.0)
    pool.now += 0.25
    assert pool.sampler.sample().lines[0].latencies.count == 1
    for _ in range(4):
        pool.now += 0.25
        pool.reads.latencies.add(0.001)
        last = pool.sampler.sample()
    (line, *_) = last.lines
    assert line.calls == 5
    assert line.rate == pytest.approx(4)
    assert line.latencies.percentile(100) == pytest.approx(0.001, rel=0.02)


def test_samples_far_apart_cover_all_between(pool: Pool) -> None:
    for number in range(1, 4):
        pool.now += 3.0
        for _ in range(number):
            pool.reads.latencies.add(0.001)
        assert pool.sampler.sample().lines[0].rate == pytest.approx(number / 3)


def test_commits_are_those_of_the_window(pool: Pool) -> None:
    pool.stats = stats(commits=4, writes=10)
    pool.now += 2.0
    sample = pool.sampler.sample()
    assert (sample.commit_rate, sample.writes_per_commit) == (2.0, 2.5)
    assert sample.stats is pool.stats
    pool.now += 2.0
    assert pool.sampler.sample().writes_per_commit == 0.0


def test_busy_is_the_share_of_the_lanes_own_time(pool: Pool) -> None:
    pool.stats = stats(readers=lane(size=4, busy_seconds=2.0), writers=lane(busy_seconds=1.0))
    pool.now += 1.0
    assert pool.sampler.sample().busy == {"read": 0.5, "write": 1.0}
    pool.stats = stats(readers=lane(size=0, busy_seconds=2.0), writers=lane(busy_seconds=9.0))
    pool.now += 1.0
    assert pool.sampler.sample().busy == {"read": 0.0, "write": 1.0}


def test_a_clock_that_stands_still_divides_nothing_by_zero(pool: Pool) -> None:
    assert pool.sampler.sample().rate("read") == 0.0
