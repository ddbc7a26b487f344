"""How long a stream's next chunk is and when it is sent for, by how fast the last ones went."""

from __future__ import annotations

from trio_sqlrepo._data.stream import Pace
from trio_sqlrepo._worker.stream import AIM, MOST_ROWS


class Consumer:
    """Takes chunks of the length that its pace allows, and works on each row for so long."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pace = Pace(lambda: self.now)
        self.lengths: list[int] = []

    def work(
        self, seconds_each: float, chunks: int, longest: int = MOST_ROWS, reading: float = 0.0
    ) -> list[int]:
        """`reading`: seconds for each row."""
        lengths = []
        for _ in range(chunks):
            self.pace.ask()
            lengths.append(self.pace.most)
            rows = min(self.pace.most, longest)
            self.pace.give(rows, rows * reading)
            self.now += rows * seconds_each
        self.pace.ask()
        return lengths


def test_a_quick_consumer_soon_gets_the_longest() -> None:
    assert Consumer().work(0.0, 4) == [64, 256, 512, 512]
    assert Consumer().work(AIM / MOST_ROWS, 4) == [64, 256, 256, 256]


def test_what_is_read_ahead_is_half_as_long() -> None:
    consumer = Consumer()
    assert consumer.pace.ahead  # until more is known
    reading = AIM / MOST_ROWS
    consumer.work(reading / 5, 4, reading=reading)
    assert (consumer.pace.ahead, consumer.pace.most) == (False, 512)
    consumer.work(reading / 3, 1, reading=reading)
    assert (consumer.pace.ahead, consumer.pace.most) == (True, 256)
    consumer.work(reading / 5, 1, reading=reading)
    assert (consumer.pace.ahead, consumer.pace.most) == (False, 512)


def test_a_slow_one_gets_what_it_works_on_in_the_time_aimed_at() -> None:
    assert Consumer().work(AIM / 100, 4) == [64, 100, 100, 100]
    assert Consumer().work(AIM / 10, 3) == [64, 10, 10]
    assert Consumer().work(10 * AIM, 3) == [64, 1, 1]


def test_it_follows_a_change() -> None:
    consumer = Consumer()
    assert consumer.work(0.0, 4)[-1] == 512
    assert consumer.work(AIM / 8, 3) == [512, 8, 8]
    assert consumer.work(0.0, 3) == [8, 32, 128]


def test_chunks_that_were_shorter_for_another_reason_count_by_the_row() -> None:
    """Their rows are long: as few of them fit into a chunk."""
    consumer = Consumer()
    consumer.work(AIM / 100, 1, longest=10)
    assert consumer.pace.most == 100


def test_an_empty_chunk_says_nothing() -> None:
    consumer = Consumer()
    consumer.pace.give(0, 1.0)
    consumer.now += 10
    consumer.pace.ask()
    assert consumer.pace.most == 64
