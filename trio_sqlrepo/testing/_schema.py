"""The schema of repositories, where a test does not say it."""

from __future__ import annotations

import sys
from types import EllipsisType
from typing import TYPE_CHECKING

from trio_sqlrepo._data.migration import CONVENTIONAL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_sqlrepo import Repository
    from trio_sqlrepo._data.migration import MigrationSource


def schema_of(
    caller: str, repositories: Sequence[type[Repository]], given: MigrationSource | EllipsisType
) -> MigrationSource:
    """What was given, or else what the classes' modules call `MIGRATIONS`.

    Raises:
        TypeError: they have none, or not the same.
    """
    if not isinstance(given, EllipsisType):
        return given
    found: dict[int, tuple[type, MigrationSource]] = {}
    for repository in repositories:
        source = next(_migrations_around(repository.__module__), None)
        if source is None:
            raise TypeError(
                f"{caller} knows no schema for {repository.__qualname__}: its module"
                f" {repository.__module__} has no {CONVENTIONAL_NAME}, nor has a package around it."
                " Give it as migrations=…"
            )
        found.setdefault(id(source), (repository, source))
    if not found:
        return None
    (first, source), *others = found.values()
    if others:
        raise TypeError(
            f"{caller} knows two schemas: {first.__qualname__} of {first.__module__} and"
            f" {others[0][0].__qualname__} of {others[0][0].__module__} have different"
            f" {CONVENTIONAL_NAME}. Give the one that is meant as migrations=…"
        )
    return source


def _migrations_around(module: str) -> Iterator[MigrationSource]:
    """Those of a module and of the packages around it, the nearest first."""
    while module:
        found: MigrationSource = getattr(sys.modules.get(module), CONVENTIONAL_NAME, None)
        if found is not None:
            yield found
        module = module.rpartition(".")[0]
