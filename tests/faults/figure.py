"""What a run of a promise gives, and where the promises are."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Final, Protocol

import attrs

import tests.faults

_PREFIX: Final = "figure_"


@attrs.frozen
class Figure:
    """What was measured: a sentence for people, and the numbers in it by name."""

    sentence: str
    numbers: dict[str, float]


class Promise(Protocol):
    """A module of this package that puts one promise to the test."""

    PROMISE: str

    def run(self, seed: int, *, full: bool) -> Figure:
        """Give the figure, or raise an AssertionError that says what was broken."""
        ...


def promises() -> list[str]:
    """Their names, sorted."""
    found = pkgutil.iter_modules(tests.faults.__path__)
    return sorted(
        module.name.removeprefix(_PREFIX) for module in found if module.name.startswith(_PREFIX)
    )


def load(name: str) -> Promise:
    module: Any = importlib.import_module(f"tests.faults.{_PREFIX}{name}")
    return module  # type: ignore[no-any-return]  # a module is whatever it defines
