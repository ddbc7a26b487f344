"""What all sessions share: nobody makes one by hand, and only registered repositories are bound."""

from __future__ import annotations

from typing import Any

import pytest

from tests.notes import Notes, open_notes
from trio_sqlrepo import (
    Database,
    NotRegistered,
    Repository,
    Session,
    SessionError,
    Snapshot,
    Transaction,
    open_database,
)
from trio_sqlrepo._data.calls import LoopSession


class Stranger(Repository):
    pass


@pytest.mark.parametrize("kind", [Session, Database, Transaction, Snapshot])
def test_sessions_are_not_made_by_hand(kind: type[Session]) -> None:
    with pytest.raises(TypeError, match=f"^{kind.__name__} has no public constructor: use open_da"):
        kind()


async def test_a_stranger_is_refused_by_every_session() -> None:
    async with open_notes(":memory:") as db, db.transaction() as tx:
        for session in (db, tx):
            with pytest.raises(NotRegistered) as caught:
                Stranger(session)
            assert "test_session.Stranger was not given to open_database" in str(caught.value)
            assert str(caught.value).endswith("registered: Notes.")
            assert isinstance(caught.value, SessionError)
            assert caught.value.__cause__ is None
            with pytest.raises(NotRegistered):
                Stranger.using(Stranger.__new__(Stranger), session)


async def test_a_subclass_is_registered_by_itself() -> None:
    """Its queries may be others, so they have to be checked."""

    class More(Notes):
        pass

    async with open_notes(":memory:") as db:
        with pytest.raises(NotRegistered, match="More was not given"):
            More(db)


async def test_with_nothing_registered_the_message_says_so() -> None:
    async with open_database(":memory:") as db:
        with pytest.raises(NotRegistered, match=r"registered: none\.$"):
            Notes(db)


async def to_await(anything: object) -> None:
    del anything


async def test_only_subclasses_can_do_anything() -> None:
    async with open_notes(":memory:") as db:
        nothing: Any = None
        for call in (
            lambda: Session.execute(db, "SELECT 1"),
            lambda: Session._call(db, nothing, ()),
            lambda: to_await(Session._stream(db, nothing, ())),
            lambda: Session._run_body(db, nothing, nothing, (), {}),
            lambda: LoopSession._send(db, nothing),
        ):
            with pytest.raises(NotImplementedError):
                await call()
