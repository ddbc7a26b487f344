"""`RowStream` and `Rows`: how one is declared, what its plan says, and what each refuses."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import Any, NamedTuple

import pytest
import trio

from tests.query.support import plan, problems
from trio_sqlrepo._base.errors import DeclarationError, SessionError
from trio_sqlrepo._query.declare import declarations_of, query
from trio_sqlrepo._query.spec import Shape, make_spec
from trio_sqlrepo._query.streams import Rows, RowStream


class Numbers:
    """A repository as far as generated methods can see."""

    def __init__(self, feed: Feed) -> None:
        self._plans = {each: Bound() for each in declarations_of(type(self)).values()}
        self._session: Any = self
        self._feed = feed

    def _stream(self, bound: Any, parameters: Any) -> RowStream[Any]:
        assert parameters == (7,)
        return RowStream._make(self._feed)

    @query("SELECT n FROM t WHERE n < :below ORDER BY n")
    def export(self, below: int) -> RowStream[int]:
        """Give all."""

    @query("INSERT INTO t VALUES (1) RETURNING n")
    def writing(self) -> RowStream[int]: ...

    @query("SELECT last_insert_rowid()")
    def bound_to_connection(self) -> RowStream[int]: ...

    @query("DELETE FROM t")
    def nothing(self) -> RowStream[int]: ...

    @query("SELECT n FROM t")
    async def asynchronous(self) -> RowStream[int]: ...

    @query("SELECT n FROM t")
    def plain(self) -> list[int]: ...

    @query("SELECT n FROM t")
    def bare(self) -> RowStream: ...  # type: ignore[type-arg]

    @query("SELECT n FROM t")
    def nullable(self) -> RowStream[int | None]: ...


class Bound:
    def bind(self, *values: Any) -> Any:
        return values


class Feed:
    """Gives what a test lays into it: chunks, or an error."""

    label = "Numbers.export"

    def __init__(self, *chunks: list[Any] | Exception) -> None:
        self.chunks = deque(chunks)
        self.log: list[str] = []
        self.open_error: Exception | None = None

    async def open(self) -> None:
        self.log.append("open")
        if self.open_error is not None:
            raise self.open_error

    async def take(self) -> list[Any]:
        self.log.append("take")
        chunk = self.chunks.popleft() if self.chunks else []
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def close(self) -> None:
        self.log.append("close")


# -- declaring -------------------------------------------------------------------------------------


def test_a_stream_is_a_plain_function_that_waits_for_nothing() -> None:
    feed = Feed()
    stream: Any = Numbers(feed).export(7)
    assert type(stream) is RowStream
    assert feed.log == []
    assert not inspect.iscoroutinefunction(Numbers.export)
    assert inspect.getsource(Numbers.export.__code__) == (
        "def export(self, below):\n"
        "    plan = self._plans[_declaration]\n"
        "    return self._session._stream(plan, plan.bind(below))\n"
    )
    assert Numbers.export.__doc__ == "Give all."


def test_its_rows_are_those_of_a_list() -> None:
    spec = make_spec(declarations_of(Numbers)["export"], Numbers)
    assert (spec.shape, spec.row) == (Shape.STREAM, int)
    statement = plan(Numbers, "export", "n").statement
    assert (statement.single, statement.finish, statement.writes) == (False, None, False)
    assert statement.build is not None
    assert statement.build((3,)) == 3
    nullable = plan(Numbers, "nullable", "n").statement
    assert nullable.build is not None
    assert nullable.build((None,)) is None


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "writing": ("declare `list[int]`, as an `async def`", {"read_only": False}, "n"),
    "bound_to_connection": (
        "asks about the connection's last change, and a stream may have a connection of its own",
        {"functions": frozenset({"last_insert_rowid"})},
        "n",
    ),
    "nothing": ("returns no columns, so there is no `int` to give", {}, ""),
}


@pytest.mark.parametrize("method", REFUSED)
def test_what_can_t_be_streamed_is_refused(method: str) -> None:
    says, found, columns = REFUSED[method]
    assert says in problems(Numbers, method, columns, **found)


def test_a_batch_can_t_be_streamed() -> None:
    class Batches:
        @query("SELECT :n")
        def each(self, points: Iterable[Point]) -> RowStream[int]: ...

    assert "a stream is of one query, not of a batch; declare `list[int]`" in problems(
        Batches, "each", "n"
    )


class Point(NamedTuple):
    n: int


SENTENCES = {
    "asynchronous": "it gives a `RowStream`, so it must be a plain `def`: a call waits for nothing",
    "plain": "a @query method must be `async def`; only one that gives a `RowStream` is a plain",
    "bare": "`RowStream` does not say what its rows are; write `RowStream[T]`",
}


@pytest.mark.parametrize("method", SENTENCES)
def test_stub_and_annotation_must_agree(method: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        make_spec(declarations_of(Numbers)[method], Numbers)
    (problem,) = caught.value.problems
    assert f": {SENTENCES[method]}" in problem


# -- using -----------------------------------------------------------------------------------------


async def test_the_block_gives_all_rows_and_ends() -> None:
    feed = Feed([1, 2], [3])
    stream = RowStream._make(feed)
    assert repr(stream) == "<RowStream of Numbers.export, not entered>"
    async with stream as rows:
        assert repr(stream) == "<RowStream of Numbers.export, open>"
        assert repr(rows) == "<Rows of Numbers.export>"
        assert [row async for row in rows] == [1, 2, 3]
        assert [row async for row in rows] == []
    assert repr(stream) == "<RowStream of Numbers.export, ended>"
    assert feed.log == ["open", *["take"] * 4, "close"]


async def test_chunks_come_as_they_are() -> None:
    feed = Feed([1, 2, 3], [4, 5], [6])
    async with RowStream._make(feed) as rows:
        async for row in rows:
            assert row == 1
            break
        assert [chunk async for chunk in rows.chunks()] == [[2, 3], [4, 5], [6]]
        assert [chunk async for chunk in rows.chunks()] == []


async def test_an_error_ends_the_iteration_and_leaves_the_block() -> None:
    feed = Feed([1], ValueError("no"))
    seen = []
    with pytest.raises(ValueError, match="no"):
        async with RowStream._make(feed) as rows:
            async for row in rows:
                seen.append(row)  # noqa: PERF401  # what came before the error is the point
    assert seen == [1]
    assert feed.log[-1] == "close"


async def test_what_is_left_of_a_chunk_goes_with_the_block() -> None:
    feed = Feed([1, 2, 3])
    async with RowStream._make(feed) as rows:
        async for _ in rows:
            break
    assert [row async for row in rows] == []  # the feed itself refuses


async def test_an_open_that_fails_is_closed() -> None:
    feed = Feed()
    feed.open_error = ValueError("no")
    stream = RowStream._make(feed)
    with pytest.raises(ValueError, match="no"):
        async with stream:
            pass
    assert feed.log == ["open", "close"]
    assert repr(stream) == "<RowStream of Numbers.export, ended>"


async def test_it_is_entered_once() -> None:
    stream = RowStream._make(Feed([1]))
    async with stream as rows:
        with pytest.raises(SessionError, match=r"^This stream of Numbers\.export was entered bef"):
            async with stream:
                pass
        assert [row async for row in rows] == [1]
    with pytest.raises(SessionError, match=r"Call Numbers\.export again\.$"):
        async with stream:
            pass


async def test_it_is_not_iterated_without_its_block() -> None:
    stream: Any = RowStream._make(Feed())
    sentence = (
        r"^Numbers\.export gives a stream, which holds a connection and must be entered; it was"
        r" {}\. Write `async with export\(\.\.\.\) as rows:` and in it `async for row in rows:`\.$"
    )
    with pytest.raises(TypeError, match=sentence.format("iterated")):
        await anext(stream)
    with pytest.raises(TypeError, match=sentence.format("iterated")):
        async for _ in stream:
            pass
    with pytest.raises(TypeError, match=sentence.format("awaited")):
        await stream


def test_neither_is_made_by_hand() -> None:
    with pytest.raises(TypeError, match="RowStream has no public constructor"):
        RowStream()
    with pytest.raises(TypeError, match="Rows has no public constructor"):
        Rows()


async def test_rows_are_an_async_iterable() -> None:
    async with RowStream._make(Feed()) as rows:
        assert isinstance(rows, AsyncIterable)
        assert isinstance(rows.chunks(), AsyncIterable)
    await trio.lowlevel.checkpoint()
