"""What the tests of declarations share: a small schema, and what an opening refuses."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import attrs
import pytest

from trio_sqlrepo import UNSET, Database, DeclarationError, Repository, Unset, declared
from trio_sqlrepo.testing import memory_database

SCHEMA = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY, room TEXT NOT NULL, body TEXT NOT NULL DEFAULT 'nothing',
    stars INTEGER, size INTEGER GENERATED ALWAYS AS (length(body))
) STRICT;
CREATE TABLE member (
    room TEXT, user INTEGER, role TEXT NOT NULL, email TEXT UNIQUE, PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE loose (a, b);
CREATE TABLE log (what TEXT);
"""


@attrs.frozen
class NewMessage:
    room: str
    body: str
    stars: int | None = None


@attrs.frozen
class Message:
    id: int
    room: str
    body: str
    stars: int | None
    size: int


@attrs.frozen
class Patch:
    room: str | Unset = UNSET
    body: str | Unset = UNSET
    stars: int | Unset | None = UNSET


@attrs.frozen
class Member:
    room: str
    user: int
    role: str
    email: str | None = None


def opened(
    *repositories: type[Repository], more: str = ""
) -> AbstractAsyncContextManager[Database]:
    return memory_database(*repositories, migrations=[SCHEMA + more])


async def problems(*repositories: type[Repository], more: str = "") -> list[str]:
    """What is wrong with them, without the place."""
    with pytest.raises(DeclarationError) as caught:
        async with opened(*repositories, more=more):
            pass
    return [problem.partition(": ")[2] for problem in caught.value.problems]


def sql_of(repository: Repository, name: str) -> str:
    (statement,) = declared(repository)[name].statements
    return statement.sql
