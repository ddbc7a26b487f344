"""Fixtures for pytest, found by its entry point wherever trio_sqlrepo is installed.

- `database_path`: where a test's own database file goes; nothing is there yet.
- `leak_guard`: fails the test if it leaves threads or descriptors behind. It gives `LeakGuard`, for
  `async with leak_guard(db):` around a part of the test.
- `child_reader`: a child process that reads database files, one for the whole session.

Every test run loads this module, so it imports what the fixtures need only when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_sqlrepo.testing import ChildReader, LeakGuard


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """Where the test's database file goes: a path in a fresh directory; nothing is there yet."""
    return tmp_path / "test.db"


@pytest.fixture
def leak_guard() -> Iterator[type[LeakGuard]]:
    """Fail the test if it leaves threads or descriptors behind; give `LeakGuard`.

    Fixtures named before it are not guarded. For all tests of a module:
    `pytestmark = pytest.mark.usefixtures("leak_guard")`.
    """
    from trio_sqlrepo.testing import LeakGuard  # noqa: PLC0415  # see the module's docstring

    with LeakGuard():
        yield LeakGuard


@pytest.fixture(scope="session")
def child_reader() -> Iterator[ChildReader]:
    """A child process that reads database files: `child_reader.read(path, sql, *bindings)`.

    The test's own process must not open a file that its pool has open. It blocks; see
    `trio_sqlrepo.testing.ChildReader`.
    """
    from trio_sqlrepo.testing import ChildReader  # noqa: PLC0415  # as above

    with ChildReader() as reader:
        yield reader
