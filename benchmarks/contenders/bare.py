"""A bare synchronous apsw loop: the limit. Nobody waits for anybody."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import apsw

from benchmarks.data import DIFFERENT, INSERT, LOOKUP, SCAN, Message, new_messages, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Bare:
    """One connection and what is done with it. `trio.to_thread` calls the same."""

    def __init__(self, path: Path, *, mapped: bool = False, one_commit: bool = False) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("synchronous", "full")
        self._execute = self._connection.execute
        self._new = [values(message) for message in new_messages()]
        self._one_commit = one_commit
        self.lookup = self.lookup_mapped if mapped else self.lookup_tuple

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

    def insert(self, number: int) -> object:
        return self._execute(INSERT, self._new[number & (DIFFERENT - 1)])

    def scan(self, width: int) -> object:
        return self._execute(SCAN, (width,)).fetchall()

    def settings(self) -> Mapping[str, object]:
        return {name: self._connection.pragma(name) for name in ("journal_mode", "synchronous")}


@contextmanager
def open_bare(path: Path, *, mapped: bool = False, one_commit: bool = False) -> Iterator[Bare]:
    bare = Bare(path, mapped=mapped, one_commit=one_commit)
    try:
        yield bare
    finally:
        bare.close()
