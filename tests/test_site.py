"""The reference of the site is complete: each public name has its entry, and each entry its name.

That the site is built without a warning is a step of .ci/run.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest

from tests.support import ROOT
from trio_sqlrepo import query

MODULES = [
    "trio_sqlrepo",
    "trio_sqlrepo.testing",
    *(
        f"trio_sqlrepo.testing.{path.stem}"
        for path in sorted((ROOT / "trio_sqlrepo" / "testing").iterdir())
        if not path.stem.startswith("_")
    ),
]
ENTRY = re.compile(
    r"^\.\. (?P<directive>currentmodule|data|auto(?!module)\w+):: (?P<name>[\w.]+)$", re.MULTILINE
)


def entries() -> dict[str, list[str]]:
    """The names that docs/reference.md has an entry of, by module."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for entry in ENTRY.finditer((ROOT / "docs" / "reference.md").read_text("utf-8")):
        if entry["directive"] == "currentmodule":
            names = found.setdefault(entry["name"], [])
        else:
            names.append(entry["name"])
    return found


def public_names(module: ModuleType) -> list[str]:
    aside = {"annotations", "TYPE_CHECKING"}
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name not in aside
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_one_entry(module: str) -> None:
    names = public_names(importlib.import_module(module))
    assert sorted(entries()[module]) == sorted(names)


def test_no_other_module_has_entries() -> None:
    assert sorted(entries()) == sorted(MODULES)


def test_every_form_of_query_is_told() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    forms = [name for name in vars(type(query)) if name == "__call__" or name[0] != "_"]
    told = re.findall(r"automethod:: trio_sqlrepo\._query\.querying\.Query\.(\w+)", text)
    assert sorted(told) == sorted(forms)
