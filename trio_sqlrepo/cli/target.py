"""Import paths, as `uvicorn` has them: `package.module:NAME`, found from the working directory."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trio_sqlrepo import DeclarationError, Repository
from trio_sqlrepo._data.migration import CONVENTIONAL_NAME, is_empty, read_migrations
from trio_sqlrepo._query.declare import declarations_of
from trio_sqlrepo.cli.refusal import Failed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from trio_sqlrepo._data.migration import MigrationSource

T = TypeVar("T")


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Put the working directory first on `sys.path`, for a `with` block."""
    before = list(sys.path)
    try:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109  # `sys.path` holds text
    except FileNotFoundError:
        raise Refused("The working directory is gone; change to another one.") from None
    try:
        yield
    finally:
        sys.path[:] = before


def find(target: str) -> Any:
    """Import what `package.module:NAME` names; NAME may be dotted; without one it is the module.

    Raises:
        Refused: there is no such thing.
        Failed: the module raises.
    """
    name, colon, path = target.partition(":")
    if not name or (colon and not path) or name.startswith("."):
        raise Refused(f"{target!r} is no import path; write it as package.module:NAME.")
    found: Any = _import(name)
    for part in path.split(".") if path else ():
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Refused(
                f"{target!r} leads nowhere: {_called(found)} has no {part!r}; correct the name."
            ) from None
    return found


def find_repositories(target: str) -> list[type[Repository]]:
    """The repository classes that an import path names; see `check --help`.

    Raises:
        Refused: there are none.
        Failed: the module, or the function that should give them, raises.
    """
    found = find(target)
    _refuse_query(target)
    if ":" not in target:
        classes = _defined_in(found)
        if not classes:
            raise Refused(
                f"{target} defines no repository class; write {target}:NAME for what it imports."
            )
        return classes
    if callable(found) and not isinstance(found, type):
        found = _guarded(found, f"{target}()")
    classes = list(found) if isinstance(found, list | tuple | set | frozenset) else [found]
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Repository)):
            raise Refused(
                f"{target!r} gives {_called(each)}, which is no repository class; name a class that"
                " derives from Repository, or a list of them."
            )
    if not classes:
        raise Refused(f"{target!r} is empty; there is nothing to check.")
    return classes


def _refuse_query(target: str) -> None:
    """Tell one who names a single query which command is for that."""
    owner_path, _, name = target.rpartition(".")
    if ":" not in owner_path:
        return
    owner = find(owner_path)
    if not (isinstance(owner, type) and issubclass(owner, Repository)):
        return
    declaration = declarations_of(owner).get(name)
    if declaration is not None:
        raise Refused(
            f"{target!r} names a @{declaration.kind.value} of {owner.__name__}; check its class,"
            f" {owner_path}. For one query there is `explain`."
        )


def find_migrations(option: str | None, target: str) -> MigrationSource:
    """The migrations that `--migrations` names: a directory, or an import path.

    Without the option they are what the module of `target` calls MIGRATIONS.

    Raises:
        Refused: there are none.
        Failed: the module raises.
    """
    if option is None:
        module = target.partition(":")[0]
        found = getattr(find(module), CONVENTIONAL_NAME, None)
        if found is None:
            raise Refused(
                f"{module} has no {CONVENTIONAL_NAME}; say what the schema is: --migrations"
                " DIRECTORY, --migrations package.module:NAME, or --database FILE."
            )
        return _checked(found, f"{module}:{CONVENTIONAL_NAME}")
    directory = Path(option)
    if directory.is_dir():
        check_directory(directory)
        return directory
    if ":" not in option:
        raise Refused(
            f"--migrations {option}: there is no such directory; give one, or package.module:NAME."
        )
    return _checked(find(option), option)


def check_directory(directory: Path) -> None:
    """Refuse a directory without migrations: far more often a wrong name than a wish."""
    if is_empty(directory):
        raise Refused(
            f"The directory {directory} holds no NNNN_name.sql or NNNN_name.py file; give the one"
            " where the migrations are."
        )


def _checked(found: Any, target: str) -> MigrationSource:
    if found is None or isinstance(found, str | bytes):
        raise Refused(
            f"{target!r} is {_called(found)}; migrations are a directory (pathlib.Path), or a list"
            " of Migration or SQL scripts."
        )
    try:
        return read_migrations(found)
    except TypeError as error:
        raise Refused(f"{target!r} is {_called(found)}: {error}") from error


def find_instance(option: str, target: str | None, kind: type) -> Any:
    """What an option names, which must be a `kind`; None without the option.

    Raises:
        Refused: it is none.
        Failed: the module raises.
    """
    if target is None:
        return None
    found = find(target)
    if not isinstance(found, kind):
        raise Refused(f"{option} {target}: it is {_called(found)}, not a {kind.__name__}.")
    return found


def _import(name: str) -> ModuleType:
    try:
        return _guarded(lambda: import_module(name), name)
    except ModuleNotFoundError as error:
        # Part of what was asked for, or something that it needs?
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Refused(
                f"There is no module {error.name!r}, neither in this directory nor installed;"
                " correct the name, or run the command where the application is."
            ) from None
        raise Failed(_told(error, name)) from error


def _guarded(function: Callable[[], T], name: str) -> T:
    """Call what is the application's own; whatever it raises becomes a sentence."""
    try:
        return function()
    except (DeclarationError, ModuleNotFoundError):
        raise
    except (Exception, SystemExit) as error:
        raise Failed(_told(error, name)) from error


def _told(error: BaseException, name: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}"
    else:
        where = f"{own[-1].filename}:{own[-1].lineno}"
    said = str(error)
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"{name} cannot be used, it raises {what} ({where})."


def _defined_in(module: ModuleType) -> list[type[Repository]]:
    """The repositories of a module, or of a package; none that is left generic."""
    package = f"{module.__name__}."
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Repository)
        and f"{each.__module__}.".startswith(package)
        and not getattr(each, "__parameters__", ())
    ]


def _called(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__qualname__}"
    name = getattr(found, "__name__", None)
    return f"{name}" if isinstance(name, str) else f"an object of type {type(found).__name__}"
