"""What a block leaves behind: threads, descriptors, transactions, statements."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, final

import trio

from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import SqlRepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from trio_sqlrepo._base.driver import Driver
    from trio_sqlrepo._database import Database
    from trio_sqlrepo._pool.lane import Lane
    from trio_sqlrepo._worker.thread import Worker

# How long what is on its way out may take: a thread that ends, a call whose connection comes to
# rest. Seconds, and only where something is left.
_PATIENCE: Final = 1.0
_PAUSE: Final = 0.001  # seconds between two looks, where there is no loop
# trio keeps idle threads for ten seconds; one that works bears the name of its work.
_IDLE_OF_TRIO: Final = re.compile(r"Trio thread \d+")
# Sockets and pipes have numbers of their own: what counts is how many there are.
_NUMBERED: Final = re.compile(r"(socket|pipe):\[\d+\]")
# Where the system lists a process's open descriptors: Linux, then macOS and the BSDs.
_LISTINGS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))


@final
class LeakGuard:
    """A block that must leave nothing behind: `with LeakGuard():` or `async with LeakGuard(db):`.

    It fails if there is more after the block than before it of

    - threads (idle ones that trio keeps for later are no leak);
    - file descriptors, where the system lists them (Linux with their names; macOS and BSD without;
      elsewhere they are not looked at);
    - open transactions, snapshots and running calls on the connections of `databases`;
    - statements half-way on these connections.

    What is on its way out is waited for, a second at most. `databases` must be open for all of the
    block, and no other task may use them at its end. Their own threads and files don't count, as a
    pool may grow. To see that a database itself leaves nothing, put a guard around
    `open_database`.

    Raises:
        AssertionError: at the block's end; it names everything that is left. If the block raises an
            error, that is what leaves it, with what is left in a note.
    """

    def __init__(self, *databases: Database) -> None:
        """Guard a block.

        Args:
            databases: whose connections are looked at. With any, the block is an `async with`.
        """
        self._databases = databases
        self._before: Counter[str] = Counter()

    def __repr__(self) -> str:
        watched = ", ".join(repr(database._pool.name) for database in self._databases)
        return f"<LeakGuard of {watched or 'threads and descriptors'}>"

    def __enter__(self) -> Self:
        """Take stock. Raises TypeError if there are databases: they need `async with`."""
        if self._databases:
            message = "A LeakGuard with databases waits for their connections: use `async with`."
            raise TypeError(message)
        self._before = self._stock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Compare, waiting for threads that end."""
        if self._left():
            gc.collect()  # what only waits for the collector is no leak
        deadline = time.monotonic() + _PATIENCE
        while self._left() and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        _complain(self._left(), error)

    async def __aenter__(self) -> Self:
        """Take stock, once the connections have come to rest."""
        await _wait_while(lambda: any(map(_is_moving, self._databases)))
        self._before = self._stock()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Compare, waiting for threads that end and connections that come to rest."""
        if self._left():
            gc.collect()  # as above
        await _wait_while(self._left)
        _complain(self._left(), error)

    def _left(self) -> Counter[str]:
        return self._stock() - self._before

    def _stock(self) -> Counter[str]:
        # The databases' own threads may come and go.
        own = Counter(_thread_name(worker) for one in self._databases for worker in _workers(one))
        threads = Counter(_thread_names()) - own
        stock = Counter({f"the thread {name!r}": count for name, count in threads.items()})
        stock.update(f"a descriptor of {name}" for name in self._descriptors())
        for database in self._databases:
            stock.update(_of_connections(database))
        return stock

    def _descriptors(self) -> Iterator[str]:
        """Name every open descriptor but those of the databases' connections."""
        signals = {
            worker.signal.fileno() for database in self._databases for worker in _workers(database)
        }
        files = {
            os.path.realpath(database._pool.name) + suffix
            for database in self._databases
            for suffix in ("", "-wal", "-shm")
        }
        for number, name in _open_descriptors():
            if number not in signals and name not in files:
                yield name


async def _wait_while(condition: Callable[[], object]) -> None:
    """Wait at most a moment, shielded, and not on trio's clock, which may stand still in a test."""
    deadline = time.monotonic() + _PATIENCE
    with trio.CancelScope(shield=True):
        while condition() and time.monotonic() < deadline:
            await trio.lowlevel.checkpoint()


def _thread_names() -> Iterator[str]:
    for thread in threading.enumerate():
        if not _IDLE_OF_TRIO.fullmatch(thread.name):
            yield thread.name


def _open_descriptors() -> Iterator[tuple[int, str]]:
    """Number and name of each; nothing where the system does not tell."""
    listing = next(filter(Path.is_dir, _LISTINGS), None)
    if listing is None:
        return
    for entry in list(listing.iterdir()):
        try:
            # With macOS's and BSD's listing there is no name to read.
            name = str(entry.readlink()) if listing == _LISTINGS[0] else "a file"
        except FileNotFoundError:
            continue  # the listing's own, closed by now
        yield int(entry.name), _NUMBERED.sub(r"a \1", name)


def _workers(database: Database) -> Iterator[Worker]:
    for lane in database._pool.lanes:
        yield from lane.workers


def _thread_name(worker: Worker) -> str:
    return f"trio_sqlrepo {worker.name}"


def _is_moving(database: Database) -> bool:
    """Whether a connection neither rests nor is held. Loop thread."""
    return any(
        worker not in lane.idle and not _is_held(lane, worker)
        for lane in database._pool.lanes
        for worker in lane.workers
    )


def _is_held(lane: Lane, worker: Worker) -> bool:
    lease = lane.held.get(worker)
    return lease is not None and lease.holder is not None


def _of_connections(database: Database) -> Iterator[str]:
    """What is open or under way on a database's connections. Loop thread."""
    pool = database._pool
    for lane in pool.lanes:
        if lane.waiting:
            yield f"calls that wait for a {lane.name} connection of {pool.name!r}"
        for worker in lane.workers:
            for found in _of_connection(lane, worker):
                yield f"{found} on {worker.name} of {pool.name!r}"


def _of_connection(lane: Lane, worker: Worker) -> Iterable[str]:
    if _is_held(lane, worker):
        lease = lane.held[worker]
        return [f"an open {lease.label}, held by task {lease.holder.name!r},"]
    # An idle worker's thread blocks until this thread wakes it: its connection may be looked at
    # from here.
    if worker not in lane.idle or worker.driver is None:
        return ["a call that has not ended"]
    return _of_driver(worker.driver)


def _of_driver(driver: Driver) -> Iterator[str]:
    """What a connection at rest should not have."""
    if driver.in_transaction:
        yield "an open transaction"
    elif not driver.is_clean():
        yield "an open read transaction, or changed settings,"
    # An interrupt stays in effect until all statements of the connection have ended: it meets the
    # next statement only if there is one half-way (https://sqlite.org/c3ref/interrupt.html).
    driver.abort()
    try:
        driver.probe()
    except Interrupted:
        yield "a statement that was not reset"
    except SqlRepoError:
        pass  # the file is not well, which is no leak


def _complain(left: Counter[str], error: BaseException | None) -> None:
    if not left:
        return
    lines = [f"  {what}" + (f" ({count} times)" * (count > 1)) for what, count in left.items()]
    message = "\n".join(["The block has left behind:", *lines])
    if error is None or _is_cancelled(error):  # nobody would see a note of that
        raise AssertionError(message)
    error.add_note(message)


def _is_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)
