"""Declared reads that are stepped bit by bit, while other statements may run between the bits.

A statement half-way keeps SQLite's interrupt flag standing: an interrupt that is meant for another
statement of the connection would end it too, and everything that runs until then. So while one is
open nothing is interrupted. SQLite asks a progress handler every so many steps instead, which asks
whether the job that runs now is given up; it ends the statement that runs, and leaves no flag.
"""

from __future__ import annotations

from itertools import chain, islice
from sys import getsizeof
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, final

from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._sqlite.cache import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._base.job import Parameters
    from trio_sqlrepo._sqlite.link import Link

# Steps of SQLite's machine between two questions: a few microseconds, or as many calls of a slow
# SQL function.
_STEPS: Final = 200
# Rows between two looks at the bounds: so many may be beyond them.
_SLICE: Final = 16
# To weigh each row costs a fifth of reading it. A slice that took less than this many seconds can't
# hold more than a few hundred kilobytes: of such a one a single row stands for all.
_QUICK: Final = 0.0001


@final
class OpenRows:
    """One open read. Its statement is reset when it comes to its end, fails, or is closed."""

    __slots__ = ("_failure", "_kept", "_lent", "_streams", "is_open")

    def __init__(self, streams: Streams, kept: Kept, *, lent: bool) -> None:
        self._streams = streams
        self._kept = kept
        self._lent = lent  # by the cache; otherwise compiled for this one alone
        self._failure: BaseException | None = None  # of the row behind those that were given
        self.is_open = True

    def __repr__(self) -> str:
        return f"<OpenRows of {self._kept.name}, {'open' if self.is_open else 'ended'}>"

    @property
    def has_more(self) -> bool:
        """Whether another `fetch` may give rows, or an error."""
        return self.is_open or self._failure is not None

    def fetch(self, most: int, size: int, seconds: float) -> list[Any]:
        """Step and build up to `most` rows: fewer if they weigh `size` bytes or take `seconds`.

        A row that does not fit is an error of the fetch that begins with it.
        """
        until = perf_counter() + seconds
        failure, self._failure = self._failure, None
        chunk: list[Any] = []
        if failure is None and self.is_open:
            try:
                self._fill(chunk, most, size, until)
            except BaseException as error:  # noqa: BLE001  # what a builder or a function raises
                failure = self._streams.failed(self, error)
        if failure is None:
            return chunk
        if chunk and isinstance(failure, MappingError):
            self._failure = failure
            return chunk
        # Here and not in the handler, so that apsw's error does not become its context.
        raise failure

    def _fill(self, chunk: list[Any], most: int, size: int, until: float) -> None:
        cursor, build = self._kept.cursor, self._kept.build
        assert build is not None, "what is declared as a stream gives rows"
        now = perf_counter()
        while most > 0:
            wanted = min(most, _SLICE)
            before = now
            rows = list(islice(cursor, wanted))
            chunk += map(build, rows)  # what comes before a row that does not fit is kept
            if len(rows) < wanted:
                self.close()
                return
            now = perf_counter()
            most -= wanted
            if now - before > _QUICK:
                size -= sum(map(getsizeof, chain.from_iterable(rows)))
            else:
                size -= wanted * sum(map(getsizeof, rows[len(chunk) // _SLICE % wanted]))
            if size <= 0 or now >= until:
                return

    def close(self) -> None:
        """Reset the statement. A second call does nothing."""
        if self.is_open:
            self._streams.close(self)


@final
class Streams:
    """The open reads of one connection. Used on the connection's thread only."""

    __slots__ = ("_failed", "_link", "_open", "_poll", "_verify")

    def __init__(
        self,
        link: Link,
        poll: Callable[[bool], None],
        verify: Callable[[Kept], None],
        failed: Callable[[Kept, BaseException], BaseException],
    ) -> None:
        self._link = link
        self._poll = poll  # told before the first is opened, and when the last is closed
        self._verify = verify
        self._failed = failed
        self._open: dict[OpenRows, None] = {}

    def __repr__(self) -> str:
        return f"<Streams, {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    def open(self, kept: Kept, parameters: Parameters) -> OpenRows:
        """Start it, up to its first row."""
        lent = all(each._kept is not kept for each in self._open)
        if lent:
            self._link.cache.lend(kept)
        else:
            # Its cursor is in use: compile it once more, past the cache.
            kept = Kept(kept.connection, kept.sql, kept.statement)
        opened = OpenRows(self, kept, lent=lent)
        if not self._open:
            self._set_polling(on=True)
        self._open[opened] = None
        try:
            kept.execute(kept.sql, parameters, can_cache=lent)
            if kept.seen != self._link.gate.calls:
                self._verify(kept)
        except BaseException as error:  # noqa: BLE001  # a function of the user's may raise anything
            failure = self.failed(opened, error)
        else:
            return opened
        raise failure

    def failed(self, rows: OpenRows, error: BaseException) -> BaseException:
        """Close it and make our error of what it met."""
        self._forget(rows)
        return self._failed(rows._kept, error)

    def close(self, rows: OpenRows) -> None:
        """Close it."""
        rows._kept.reset()
        self._forget(rows)

    def close_all(self) -> None:
        """Close what is open: the transaction ends."""
        for rows in list(self._open):
            self.close(rows)

    def _forget(self, rows: OpenRows) -> None:
        rows.is_open = False
        del self._open[rows]
        if rows._lent:
            self._link.cache.take_back(rows._kept)
        if not self._open:
            self._set_polling(on=False)

    def _set_polling(self, *, on: bool) -> None:
        connection = self._link.connection
        # The order matters: whoever interrupts does so by one way or the other.
        if on:
            connection.set_progress_handler(self._asked, _STEPS, id=self)
            self._poll(True)
        else:
            self._poll(False)
            connection.set_progress_handler(None, id=self)

    def _asked(self) -> bool:
        return self._link.busy.give_up()
