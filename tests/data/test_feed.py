"""Items that come one by one, written in chunks."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.notes import NewNote, Notes, open_notes
from trio_sqlrepo import UniqueViolation, feed


class Sink:
    """Takes chunks; may be slow, or refuse one."""

    def __init__(self, seconds: float = 0.0, refuses: int | None = None) -> None:
        self.chunks: list[list[int]] = []
        self.seconds = seconds
        self.refuses = refuses

    async def take(self, chunk: list[int]) -> None:
        await trio.sleep(self.seconds)
        if len(self.chunks) == self.refuses:
            raise LookupError(chunk)
        self.chunks.append(chunk)


class Source:
    """Gives numbers, each after a pause; then may raise."""

    def __init__(self, pauses: Sequence[float], error: BaseException | None = None) -> None:
        self.pauses = pauses
        self.error = error
        self.given = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number, pause in enumerate(self.pauses):
                await trio.sleep(pause)
                self.given = number + 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


async def test_a_batch_of_a_repository(db_path: Path) -> None:
    async def notes() -> AsyncIterator[NewNote]:
        for number in range(25):
            yield NewNote("lobby", str(number))

    async with open_notes(db_path) as db:
        before = db.stats().commits
        assert await feed(Notes(db).put_all, notes(), size=10) == 25
        assert db.stats().commits - before == 3
        assert await Notes(db).bodies() == [str(number) for number in range(25)]


async def test_what_is_no_generator_is_left_as_it_is() -> None:
    sending, receiving = trio.open_memory_channel[int](3)
    for number in range(3):
        sending.send_nowait(number)
    sending.close()
    sink = Sink()
    assert await feed(sink.take, receiving) == 3
    assert sink.chunks == [[0, 1, 2]]


async def test_nothing_is_no_call() -> None:
    sink = Sink()
    assert await feed(sink.take, Source([])) == 0
    assert sink.chunks == []


async def test_a_chunk_waits_so_long_for_others(autojump_clock: MockClock) -> None:
    sink = Sink()
    assert await feed(sink.take, Source([5.0, 0.4, 0.4, 0.4, 3.0]), within=1.0) == 5
    assert sink.chunks == [[0, 1, 2], [3], [4]]


async def test_the_next_chunk_is_read_while_one_is_written(autojump_clock: MockClock) -> None:
    sink = Sink(seconds=1.0)
    assert await feed(sink.take, Source([0.1] * 30), size=10) == 30
    assert trio.current_time() < 1.0 + 3 * 1.0 + 0.1
    assert [len(chunk) for chunk in sink.chunks] == [10, 10, 10]


async def test_a_slow_sink_holds_the_source_up(autojump_clock: MockClock) -> None:
    source = Source([0.0] * 100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: feed(Sink(seconds=math.inf).take, source, size=10))
        await wait_all_tasks_blocked(0.1)
        assert source.given == 10 + 10 + 1  # being written, read ahead, and in the source's hand
        nursery.cancel_scope.cancel()
    assert source.closed


async def test_what_the_source_raises_comes_after_what_came_before(
    autojump_clock: MockClock,
) -> None:
    sink = Sink(seconds=1.0)
    with pytest.raises(EOFError, match="gone") as caught:
        await feed(sink.take, Source([0.0] * 15, EOFError("gone")), size=10)
    assert sink.chunks == [list(range(10)), list(range(10, 15))]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [None, EOFError("gone")])
async def test_what_the_call_raises_ends_it(error: Exception | None) -> None:
    source = Source([0.0] * 15, error)
    with pytest.raises(LookupError) as caught:
        await feed(Sink(refuses=1).take, source, size=10)
    assert caught.value.args == (list(range(10, 15)),)
    assert source.closed


async def test_a_refused_chunk_leaves_nothing(db_path: Path) -> None:
    async def notes() -> AsyncIterator[NewNote]:
        for body in ("a", "b", "a", "c"):
            yield NewNote("lobby", body)

    async with open_notes(db_path) as db:
        await db.execute("CREATE UNIQUE INDEX one ON note (body)")
        with pytest.raises(UniqueViolation):
            await feed(Notes(db).put_all, notes(), size=2, within=10)
        assert await Notes(db).bodies() == ["a", "b"]


@pytest.mark.parametrize(("size", "within"), [(0, 1.0), (1, 0.0), (1, math.nan)])
async def test_what_makes_no_sense_is_refused(size: int, within: float) -> None:
    with pytest.raises(ValueError, match=r"at least 1 and a time above 0 s; it was given size="):
        await feed(Sink().take, Source([]), size=size, within=within)


@given(
    pauses=st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5])),
    size=st.integers(1, 4),
    within=st.sampled_from([0.5, 1.5, math.inf]),
    slow=st.sampled_from([0.0, 0.7, 3.0]),
    patience=st.one_of(st.just(math.inf), st.floats(0, 20)),
)
def test_all_is_written_once_in_order(
    pauses: list[float], size: int, within: float, slow: float, patience: float
) -> None:
    """Cancelled at any time, what was written is a beginning of it."""
    sink = Sink(slow)
    source = Source(pauses)

    async def main() -> None:
        with trio.move_on_after(patience) as scope:
            assert await feed(sink.take, source, size=size, within=within) == len(pauses)
        written = [number for chunk in sink.chunks for number in chunk]
        assert written == list(range(len(written)))
        assert all(1 <= len(chunk) <= size for chunk in sink.chunks)
        assert scope.cancelled_caught or len(written) == len(pauses)

    trio.run(main, clock=MockClock(autojump_threshold=0))
