"""What a command is given by name: `APP:NAME`, an object of the user's."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from trio_sqlrepo import SQLiteConfig
from trio_sqlrepo.cli.demo.plan import Refused

CONFIG_HELP: Final = (
    "APP:NAME of the SQLiteConfig to open it with, if the schema needs functions or extensions."
)


def load(name: str) -> object:
    """Import what `package.module:name` names, from the working directory as well.

    Raises:
        Refused: there is no such thing, or importing it failed.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise Refused(f"{name!r} is neither a directory nor a name like yourapp.schema:MIGRATIONS.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = import_module(module_name)
    except Exception as error:
        raise Refused(
            f"importing {module_name} failed: {type(error).__name__}: {error}."
        ) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Refused(f"{module_name} has no {attribute}.") from None
    return found


def load_config(name: str | None) -> SQLiteConfig:
    """Import a `SQLiteConfig`; the usual one without a name.

    Raises:
        Refused: as above, or it is something else.
    """
    if name is None:
        return SQLiteConfig()
    found = load(name)
    if not isinstance(found, SQLiteConfig):
        raise Refused(f"{name} must be a SQLiteConfig; it is a {type(found).__name__}.")
    return found
