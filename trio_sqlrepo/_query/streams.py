"""`RowStream` and `Rows`: what a declared stream gives, wherever its rows come from."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, Self, TypeVar, final

from trio_sqlrepo._base.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

T_co = TypeVar("T_co", covariant=True)

_NOTHING: Final[tuple[Any, ...]] = ()


class Feed(Protocol):
    """Where the rows of one stream come from: a connection's thread, or the thread itself."""

    label: str  # the query, as errors name it

    async def open(self) -> None:
        """Get hold of a connection and fix the view."""
        ...

    async def take(self) -> list[Any]:
        """Wait for the next chunk; an empty one is the end. Raises what the query raises."""
        ...

    async def close(self) -> None:
        """Give back what `open` got hold of, if it did; the statement is reset. Shielded."""
        ...


class _State(enum.Enum):
    """NEW → OPEN → ENDED, never back."""

    NEW = "not entered"
    OPEN = "open"
    ENDED = "ended"


@final
class RowStream(Generic[T_co]):
    """The rows of one call of a query, for an `async with` block.

    A stub that is a plain `def` and returns `RowStream[T]` declares one; see `Rows` for what the
    block gets. Nothing runs before the block is entered. Entering waits for a connection and fixes
    the state of the database that all rows are of; leaving, in whatever way, interrupts what still
    runs and gives the connection back. On a `Database` it holds one reader for as long as the
    block lasts; on a `Snapshot` or `Transaction` it uses the connection that is held already.

    Example::

        class Messages(Repository):
            @query("SELECT * FROM message ORDER BY id")
            def export(self) -> RowStream[Message]: ...


        async with Messages(db).export() as rows:
            async for message in rows:
                ...

    Entering raises:
        PoolTimeout, PoolOverloaded, PoolClosed: no connection was to be had.
        ReentrantUse: this task holds every connection that streams may take.
        SessionError: it was entered before, or its session has ended (`SessionEnded`).
    """

    __slots__ = ("_feed", "_rows", "_state")

    _feed: Feed
    _rows: Rows[T_co]
    _state: _State

    def __init__(self) -> None:
        """Refuse: streams come from declared queries."""
        message = (
            "RowStream has no public constructor: declare a query as `def name(self) ->"
            " RowStream[T]` and call it."
        )
        raise TypeError(message)

    @classmethod
    def _make(cls, feed: Feed) -> RowStream[Any]:
        stream = cls.__new__(cls)
        stream._feed = feed
        stream._state = _State.NEW
        return stream

    def __repr__(self) -> str:
        return f"<RowStream of {self._feed.label}, {self._state.value}>"

    async def __aenter__(self) -> Rows[T_co]:
        """Wait for a connection and fix the view."""
        feed = self._feed
        if self._state is not _State.NEW:
            message = (
                f"This stream of {feed.label} was entered before; each call gives one stream, for"
                f" one block. Call {feed.label} again."
            )
            raise SessionError(message)
        self._state = _State.OPEN
        try:
            await feed.open()
            self._rows = Rows._make(feed)
        except BaseException:
            self._state = _State.ENDED
            await feed.close()
            raise
        return self._rows

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what runs, reset the statement, give the connection back. Not cancellable."""
        self._state = _State.ENDED
        self._rows._chunk = iter(_NOTHING)
        await self._feed.close()

    if not TYPE_CHECKING:  # pragma: no branch  # the other one is a type checker's
        # What a type checker refuses already gets a sentence at run time.

        def __aiter__(self) -> NoReturn:
            raise self._not_entered("iterated")

        def __anext__(self) -> NoReturn:
            raise self._not_entered("iterated")

        def __await__(self) -> NoReturn:
            raise self._not_entered("awaited")

        def _not_entered(self, what: str) -> TypeError:
            label = self._feed.label
            return TypeError(
                f"{label} gives a stream, which holds a connection and must be entered; it was"
                f" {what}. Write `async with {label.rpartition('.')[2]}(...) as rows:` and in it"
                " `async for row in rows:`."
            )


@final
class Rows(Generic[T_co]):
    """The rows of an open `RowStream`: iterate with `async for`, one task at a time.

    All are of the state of the database in which the block was entered. They are read ahead while
    the task works on those it has, two chunks at most; a chunk is what takes a few milliseconds to
    read or to work on, 256 rows or 1 MiB at most (and always a row). A task that is much faster
    than the reading gets one chunk after the other, of 512 rows at most.

    The first row of each chunk is a checkpoint; the others are there at once. A cancelled wait
    loses nothing: whoever catches the cancellation inside the block may go on.

    Iterating raises:
        MappingError: a row does not fit; the rows before it have been given.
        DatabaseError: what SQLite reports. Either ends the iteration.
        SessionError: two tasks wait for rows at once, or the block has ended (`SessionEnded`).
    """

    __slots__ = ("_chunk", "_feed")

    _chunk: Iterator[T_co]  # what is left of the chunk in hand
    _feed: Feed

    def __init__(self) -> None:
        """Refuse: rows come from a `RowStream`."""
        message = "Rows has no public constructor: it is what `async with` a RowStream gives."
        raise TypeError(message)

    @classmethod
    def _make(cls, feed: Feed) -> Rows[Any]:
        rows = cls.__new__(cls)
        rows._feed = feed
        rows._chunk = iter(_NOTHING)
        return rows

    def __repr__(self) -> str:
        return f"<Rows of {self._feed.label}>"

    def __aiter__(self) -> Self:
        """Itself: a second `async for` goes on where the first one stopped."""
        return self

    async def __anext__(self) -> T_co:
        """Give the next row."""
        for row in self._chunk:
            return row
        self._chunk = iter(await self._feed.take())
        for row in self._chunk:
            return row
        raise StopAsyncIteration

    def chunks(self) -> AsyncIterator[list[T_co]]:
        """Iterate over lists of rows, as they come from the connection; none is empty.

        For a consumer that has a use for many at once: `write`, `executemany`, a progress bar. What
        is left of a chunk that `async for row in rows` has begun comes first.
        """
        return _Chunks(self)


@final
class _Chunks(Generic[T_co]):
    """`Rows.chunks()`."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Rows[T_co]) -> None:
        self._rows = rows

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T_co]:
        rest = list(self._rows._chunk)
        if rest:
            return rest
        chunk: list[T_co] = await self._rows._feed.take()
        if not chunk:
            raise StopAsyncIteration
        return chunk


# `__module__` shows the public name.
for _public in (RowStream, Rows):
    _public.__module__ = "trio_sqlrepo"
del _public
