"""A bare synchronous apsw loop: the limit. Nobody waits for anybody."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import apsw

from benchmarks.contenders.rows import (
    GET_TALLY,
    INSERT,
    LATEST,
    LOOKUP,
    NEW,
    NEXT_PAGE,
    PRUNE,
    SCAN,
    SET_TALLY,
    new_rows,
)  # fmt: skip
from benchmarks.data import DIFFERENT, EVERYTHING, HEALTH, READ_ALL, Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


class Bare:
    """One connection and what is done with it. `trio.to_thread` calls the same."""

    def __init__(self, path: Path, *, mapped: bool = False, one_commit: bool = False) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(5_000)
        self._connection.pragma("synchronous", "full")
        self._execute = self._connection.execute
        self._one_commit = one_commit
        self.lookup = self.lookup_mapped if mapped else self.lookup_tuple
        self._rows = self._objects if mapped else self._tuples

    def close(self) -> None:
        self._connection.close()

    def begin(self) -> None:
        """Before inserts."""
        if self._one_commit:
            self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """After inserts."""
        if self._one_commit:
            self._execute("COMMIT")

    def lookup_tuple(self, id: int) -> object:
        return self._execute(LOOKUP, (id,)).fetchall()[0]

    def lookup_mapped(self, id: int) -> object:
        for id_, room, author, body, sent_at in self._execute(LOOKUP, (id,)):
            found = Message(room, author, body, datetime.fromisoformat(sent_at), id_)
        return found

    def page(self, after: int) -> Sequence[object]:
        return self._rows(NEXT_PAGE, (after,))

    def everything(self) -> Sequence[object]:
        return self._rows(EVERYTHING, ())

    def latest(self, room: str) -> Sequence[object]:
        return self._rows(LATEST, (room,))

    def health(self) -> object:
        return self._execute(HEALTH).fetchall()[0][0]

    def scan(self, width: int) -> object:
        return self._execute(SCAN, (width,)).fetchall()[0][0]

    def read_all(self) -> object:
        return self._execute(READ_ALL).fetchall()[0][0]

    def insert(self, number: int) -> object:
        return self._execute(INSERT, NEW[number & (DIFFERENT - 1)])

    def insert_all(self, count: int) -> None:
        with self._transaction():
            self._connection.executemany(INSERT, new_rows(count))

    def increment(self, id: int) -> None:
        with self._transaction():
            count: Any = self._execute(GET_TALLY, (id,)).fetchall()[0][0]
            self._execute(SET_TALLY, (count + 1, id))

    def prune(self, keep: int) -> int:
        self._execute(PRUNE, (keep,))
        return self._connection.changes()

    def settings(self) -> Mapping[str, object]:
        return {name: self._connection.pragma(name) for name in ("journal_mode", "synchronous")}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")

    def _tuples(self, sql: str, values: tuple[Any, ...]) -> Sequence[object]:
        return self._execute(sql, values).fetchall()

    def _objects(self, sql: str, values: tuple[Any, ...]) -> Sequence[object]:
        return [
            Message(room, author, body, datetime.fromisoformat(sent_at), id)
            for id, room, author, body, sent_at in self._execute(sql, values)
        ]


@contextmanager
def open_bare(path: Path, *, mapped: bool = False, one_commit: bool = False) -> Iterator[Bare]:
    bare = Bare(path, mapped=mapped, one_commit=one_commit)
    try:
        yield bare
    finally:
        bare.close()
