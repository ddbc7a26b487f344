"""Drivers with broken isolation: what the checkers of histories must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import SqliteDriver, open_driver


class Planted:
    """Stands before a driver. What it does not break it passes on."""

    def __init__(self, inner: SqliteDriver, role: Role) -> None:
        self.inner = inner
        self.role = role

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def give_up(self) -> Callable[[], bool]:
        return self.inner.give_up

    @give_up.setter
    def give_up(self, ask: Callable[[], bool]) -> None:
        self.inner.give_up = ask


def opener(kind: type[Planted]) -> Callable[..., Planted]:
    """What opens connections of this kind; migrations run on sound ones."""

    def open_planted(path: str, settings: Any, role: Role, **more: Any) -> Any:
        driver = open_driver(path, settings, role, **more)
        return driver if role is Role.MIGRATOR else kind(driver, role)

    return open_planted


class Sound(Planted):
    """Breaks nothing: what stands between is not what is found."""


class NoView(Planted):
    """A reader's transaction fixes no view: each statement sees the newest state."""

    reading = False

    @property
    def in_transaction(self) -> bool:
        return self.reading or self.inner.in_transaction

    def begin_read(self) -> None:
        self.reading = True

    def rollback(self) -> None:
        self.reading = False
        self.inner.rollback()


class OldView(Planted):
    """A reader keeps the view of its first query: later ones are stale."""

    def run(self, statement: Any, parameters: Any) -> Any:
        if self.role is Role.READER and not self.inner.in_transaction:
            self.inner.begin_read()
        return self.inner.run(statement, parameters)

    def begin_read(self) -> None:
        if not self.inner.in_transaction:
            self.inner.begin_read()

    def rollback(self) -> None:
        if self.role is not Role.READER:
            self.inner.rollback()

    def is_clean(self) -> bool:
        return self.role is Role.READER or self.inner.is_clean()


class NoTransaction(Planted):
    """A writer's transaction is none: each statement commits by itself, others come between."""

    writing = False

    @property
    def in_transaction(self) -> bool:
        return self.writing or self.inner.in_transaction

    @property
    def savepoint_depth(self) -> int:
        return 0

    def begin_write(self) -> None:
        self.writing = True

    def run(self, statement: Any, parameters: Any) -> Any:
        if not self.writing:
            return self.inner.run(statement, parameters)
        self.inner.begin_write()
        try:
            rows = self.inner.run(statement, parameters)
            self.inner.commit()
        finally:
            self.inner.rollback()
        return rows

    def savepoint(self) -> None:
        pass

    def release(self) -> None:
        pass

    def undo(self) -> None:
        pass

    def commit(self) -> None:
        self.writing = False

    def rollback(self) -> None:
        self.writing = False
        self.inner.rollback()


class EarlyAnswer(Planted):
    """A COMMIT is answered at once and put off until the next write; the last is forgotten."""

    owed = False

    def begin_write(self) -> None:
        if self.owed:
            self.owed = False
            self.inner.commit()
        self.inner.begin_write()

    def commit(self) -> None:
        self.owed = True

    def rollback(self) -> None:
        if not self.owed:
            self.inner.rollback()

    def is_clean(self) -> bool:
        return self.owed or self.inner.is_clean()


class RollbackCommits(Planted):
    """What fails, or is cancelled, stays."""

    def rollback(self) -> None:
        if self.role is Role.WRITER and self.inner.in_transaction:
            self.inner.commit()
        self.inner.rollback()

    def undo(self) -> None:
        self.inner.release()
