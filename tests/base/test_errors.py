"""Errors: one tree, sentences, and the same after a journey between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from trio_sqlrepo._base import errors
from trio_sqlrepo._base.errors import (
    DatabaseError,
    DeclarationError,
    SqlRepoError,
    UniqueViolation,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
DATABASE_ERRORS = [kind for kind in ALL if issubclass(kind, DatabaseError)]

TREE = """\
SqlRepoError
  BackupError
  DatabaseError
    DatabaseCorrupt
    DatabaseLocked
    DatabaseReadOnly
    DatabaseReplaced
    DiskFull
    IntegrityError
      CheckViolation
      DatatypeViolation
      ForeignKeyViolation
      NotNullViolation
      TriggerViolation
      UniqueViolation
    OutcomeUnknown
    SqlError
      SearchSyntaxError
  DeclarationError
  InternalError
  MappingError
  MigrationError
  MultipleResults
  NoResult
  OpenError
  PoolError
    ForkedProcess
    PoolClosed
    PoolOverloaded
    PoolTimeout
    ReentrantUse
  SessionError
    ForeignAwait
    NotRegistered
    ReadOnlySession
    SessionEnded
    TransactionAborted
"""


def drawn(kind: type, depth: int = 0) -> str:
    children = sorted((c for c in ALL if c.__bases__ == (kind,)), key=lambda c: c.__name__)
    return f"{'  ' * depth}{kind.__name__}\n" + "".join(drawn(c, depth + 1) for c in children)


def test_the_tree_is_the_one_of_the_documents() -> None:
    assert drawn(SqlRepoError) == TREE
    assert len(ALL) == TREE.count("\n")


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_what_it_means(kind: type) -> None:
    assert vars(kind)["__doc__"]  # its own, not its parent's


def test_one_wrong_declaration_stands_alone() -> None:
    error = DeclarationError("Messages.get: no such column.")
    assert str(error) == "Messages.get: no such column."
    assert error.problems == ("Messages.get: no such column.",)


def test_several_wrong_declarations_are_numbered() -> None:
    error = DeclarationError("This.", "That.")
    assert str(error) == "2 declarations are wrong:\n  1. This.\n  2. That."
    assert error.problems == ("This.", "That.")


@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_declaration_errors_travel(travel: object) -> None:
    error = DeclarationError("This.", "That.")
    assert callable(travel)
    arrived = travel(error)
    assert type(arrived) is DeclarationError
    assert (str(arrived), arrived.problems) == (str(error), error.problems)


@pytest.mark.parametrize("kind", DATABASE_ERRORS)
def test_database_errors_travel(kind: type[DatabaseError]) -> None:
    error = kind("It failed.", code=19, extended_code=2067, query="Messages.post")
    error.add_note("A note.")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert str(arrived) == "It failed."
    assert (arrived.code, arrived.extended_code) == (19, 2067)
    assert arrived.query == "Messages.post"
    assert arrived.__notes__ == ["A note."]


def test_what_sqlite_does_not_say_is_empty() -> None:
    error = UniqueViolation("It failed.")
    assert (error.code, error.extended_code, error.query) == (0, 0, None)
    assert (error.table, error.columns, error.constraint) == (None, (), None)
    error.table = "message"
    assert pickle.loads(pickle.dumps(error)).table == "message"
