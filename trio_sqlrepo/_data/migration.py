"""What a migration is, and reading migrations from where they are kept."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias, final

import attrs

from trio_sqlrepo._base.errors import MigrationError
from trio_sqlrepo._sqlite import Connection


def _text(owner: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{type(owner).__name__}.{field.name} must be text; it is {value!r}.")


def _function(owner: object, field: attrs.Attribute[Any], value: object) -> None:
    name = f"{type(owner).__name__}.{field.name}"
    if not callable(value):
        raise TypeError(f"{name} must be a function of the connection; it is {value!r}.")
    if inspect.iscoroutinefunction(value):
        raise TypeError(
            f"{name} must be a plain function: it runs on the connection's thread. {value!r} is"
            " async."
        )


def _namespace(owner: object, field: attrs.Attribute[str], value: str) -> None:
    _text(owner, field, value)
    if _NAMESPACE.fullmatch(value) is None:
        raise ValueError(
            f"{type(owner).__name__}.{field.name} must be a name like 'acme_jobs': letters, digits,"
            f" _, - and dots, and a letter or _ first; it is {value!r}."
        )


_NAMESPACE: Final = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


@final
@attrs.frozen
class Migration:
    """One script, or one function, that takes a database a step further.

    It has either `sql` or `run`. Either way it is one transaction. Foreign keys are off meanwhile,
    so that a table can be rebuilt without losing its children, and are checked before the commit.

    Attributes:
        name: what it is recorded under, unique in its namespace.
        sql: any number of statements. They must not control transactions themselves. The text is
            recorded by its checksum: it must not change once it was applied.
        run: a plain function for what SQL can't do. It gets the raw connection (apsw's), in the
            open transaction, on the connection's thread; it must not keep it, nor commit. Of a
            function only the name is recorded: changing its code is not noticed.
        namespace: of the package whose it is; `""` is the application's. A `MigrationSet` gives
            its own to all it holds.
    """

    name: str = attrs.field(validator=_text)
    sql: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_text), repr=False
    )
    run: Callable[[Connection], object] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_function), kw_only=True, repr=False
    )
    namespace: str = attrs.field(default="", kw_only=True)

    @namespace.validator
    def _check_namespace(self, field: attrs.Attribute[str], value: str) -> None:
        if value != "":
            _namespace(self, field, value)

    def __attrs_post_init__(self) -> None:
        """Refuse a name that no message could show, and what does nothing or two things."""
        if not self.name.strip():
            raise ValueError(f"Migration.name must not be blank; it is {self.name!r}.")
        if (self.sql is None) == (self.run is None):
            raise TypeError(f"Migration {self.name!r} needs either sql or run=, and not both.")

    @property
    def label(self) -> str:
        """How messages name it: `0001_room`, or `acme_jobs/0001_job`."""
        return label(self.namespace, self.name)


def label(namespace: str, name: str) -> str:
    """How messages name a migration."""
    return f"{namespace}/{name}" if namespace else name


@final
@attrs.frozen
class MigrationSet:
    """The migrations of a package that keeps tables of its own beside the application's.

    A package offers one as a constant, and the application names it among its migrations::

        # acme_jobs/__init__.py
        MIGRATIONS = MigrationSet("acme_jobs", files("acme_jobs") / "migrations")

        # the application
        open_database(path, migrations=[acme_jobs.MIGRATIONS, Path("migrations")])

    Its names and order are its own: they neither meet nor follow those of the application. Giving
    the same set twice, because two packages need it, is giving it once.

    Attributes:
        namespace: the package's name, or another that nobody else will use.
        source: a directory, or a sequence of `Migration` or SQL scripts.
    """

    namespace: str = attrs.field(validator=_namespace)
    source: os.PathLike[str] | Traversable | Sequence[Migration | str] = attrs.field()

    @source.validator
    def _check_source(self, _: object, source: object) -> None:
        if not isinstance(source, str | bytes) and isinstance(
            source, (os.PathLike, Traversable, Sequence)
        ):
            return
        raise TypeError(
            f"MigrationSet({self.namespace!r}) takes a directory (a path or an importlib.resources"
            " Traversable) or a sequence of Migration or SQL scripts, not a"
            f" {type(source).__name__}."
        )


MigrationElement: TypeAlias = Migration | str | MigrationSet | os.PathLike[str] | Traversable
# What a module that has repositories calls its `MigrationSource`, for tools that are given neither.
CONVENTIONAL_NAME: Final = "MIGRATIONS"

MigrationSource: TypeAlias = (
    os.PathLike[str] | Traversable | MigrationSet | Sequence[MigrationElement] | None
)

_FILE: Final = re.compile(r"(?P<number>\d{4})_[\w-]+\.(?:sql|py)", re.ASCII)


def read_migrations(source: MigrationSource) -> tuple[Migration, ...]:
    """The migrations of `source`, in the order they are to be applied. Blocks on the disk.

    Args:
        source: a directory of `NNNN_name.sql` and `NNNN_name.py` files (UTF-8), applied by number;
            or a `MigrationSet`; or a sequence of `Migration`, SQL scripts, directories and sets,
            applied as they stand, a script being named by its position among the application's own
            (`0001`, `0002`, …); or None, which is the same as an empty sequence.

    Raises:
        TypeError: `source` is none of these.
        MigrationError: a directory cannot be read, holds no migrations or misnamed ones; a number
            or a name occurs twice.
    """
    if source is None:
        return ()
    if isinstance(source, str | bytes):
        raise TypeError(
            f"migrations={_shortened(source)} is a bare {type(source).__name__}, which may be a"
            " directory or a script: give a directory as pathlib.Path(…), scripts as a list."
        )
    if isinstance(source, (os.PathLike, Traversable, MigrationSet)):
        source = [source]
    if not isinstance(source, Sequence):
        raise TypeError(
            "migrations must be a directory (a path or an importlib.resources Traversable), a"
            " MigrationSet, or a sequence of these, of Migration or of SQL scripts; it is a"
            f" {type(source).__name__}."
        )
    migrations = tuple(_from_sequence(source))
    counted = Counter((migration.namespace, migration.name) for migration in migrations)
    if twice := [label(*names) for names, count in counted.items() if count > 1]:
        raise MigrationError(
            f"Two migrations are named {twice[0]!r}; what is applied is recorded by name, so give"
            " one of them another."
        )
    return migrations


def _shortened(source: str | bytes) -> str:
    whole, most = repr(source), 40
    return whole if len(whole) <= most else f"{whole[:most]}…"


def _from_sequence(source: Sequence[MigrationElement]) -> Iterator[Migration]:
    own = 0  # how many of the application's have come
    sets: dict[str, MigrationSet] = {}
    for position, element in enumerate(source):
        if isinstance(element, MigrationSet):
            known = sets.get(element.namespace)
            if known is None:
                sets[element.namespace] = element
                yield from _from_set(element)
            elif known != element:
                raise MigrationError(
                    f"Two different migration sets have the namespace {element.namespace!r}; what"
                    " is applied is recorded by it, so one package must choose another."
                )
            continue
        found = _from_element(f"migrations[{position}]", own + 1, element)
        own += sum(not migration.namespace for migration in found)
        yield from found


def _from_set(given: MigrationSet) -> Iterator[Migration]:
    source = given.source
    elements = source if isinstance(source, Sequence) else [source]
    number = 0
    for position, element in enumerate(elements):
        place = f"MigrationSet({given.namespace!r}).source[{position}]"
        for migration in _from_element(place, number + 1, element):
            if migration.namespace not in {"", given.namespace}:
                raise MigrationError(
                    f"{place} has the namespace {migration.namespace!r}; a set holds its own only."
                )
            number += 1
            yield attrs.evolve(migration, namespace=given.namespace)


def _from_element(place: str, number: int, element: object) -> Sequence[Migration]:
    if isinstance(element, Migration):
        return (element,)
    if isinstance(element, str):
        return (Migration(f"{number:04}", element),)
    if isinstance(element, os.PathLike):  # first: a trio.Path looks like a Traversable
        return _from_directory(Path(element))
    if isinstance(element, Traversable):
        return _from_directory(element)
    raise TypeError(
        f"{place} must be a Migration, an SQL script (str), a directory or a MigrationSet; it is a"
        f" {type(element).__name__}."
    )


def _from_directory(directory: Traversable) -> tuple[Migration, ...]:
    files = _files_in_order(directory)
    if not files:
        # Far more often a wrong path, or a wheel built without its data files, than a wish.
        raise MigrationError(
            f"The migrations directory {directory} holds no NNNN_name.sql or NNNN_name.py file;"
            " check the path, and that the files are packed with the application."
        )
    return tuple(_from_file(file) for file in files.values())


def is_empty(directory: Traversable) -> bool:
    """Whether a directory holds no migrations. Raises as `read_migrations`; blocks on the disk."""
    return not _files_in_order(directory)


def _from_file(file: Traversable) -> Migration:
    text = _read(file)
    stem, _, suffix = file.name.rpartition(".")
    return (
        Migration(stem, text) if suffix == "sql" else Migration(stem, run=_Module(str(file), text))
    )


def _files_in_order(directory: Traversable) -> dict[str, Traversable]:
    """By number. All numbers are equally long, so the order of the names is theirs."""
    try:
        entries = sorted(directory.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise MigrationError(
            f"The migrations directory {directory} cannot be read: {error.strerror or error}."
        ) from error
    files: dict[str, Traversable] = {}
    for entry in entries:
        match = _FILE.fullmatch(entry.name)
        if match is None:
            # Hidden files are what editors and file systems leave beside a script, and modules
            # that are named otherwise (`__init__.py`) what migrations import.
            if entry.name.startswith(".") or not entry.name.lower().endswith(".sql"):
                continue
            raise MigrationError(
                f"{entry.name!r} in the migrations directory {directory} is not named like"
                " 0001_create_message.sql: four digits, an underscore, letters, digits, _ or -."
                " Rename it, or move it elsewhere if it is no migration."
            )
        other = files.setdefault(match["number"], entry)
        if other is not entry:
            raise MigrationError(
                f"{other.name!r} and {entry.name!r} in the migrations directory {directory} bear"
                " the same number; give the one that is not applied anywhere yet the next free."
            )
    return files


def _read(script: Traversable) -> str:
    try:
        # A byte-order mark is some editors' signature, and no SQL.
        text = script.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MigrationError(
            f"The migration {script} cannot be read: {error.strerror or error}."
        ) from error
    except UnicodeDecodeError as error:
        raise MigrationError(
            f"The migration {script} is not UTF-8 (byte {error.start}); save it as UTF-8."
        ) from error
    return normalised(text)


@final
@attrs.frozen
class _Module:
    """The function `run` of a file of Python.

    The file is executed when it is applied, and never after: what an old one imports may be gone.
    """

    path: str
    text: str = attrs.field(repr=False)

    def __call__(self, connection: Connection) -> object:
        module = ModuleType(f"_trio_sqlrepo_migration_{id(self)}")
        module.__file__ = self.path
        sys.modules[module.__name__] = module  # where dataclasses look for the names of their types
        try:
            exec(compile(self.text, self.path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # as trusted as the scripts beside it
            run = getattr(module, "run", None)
            if not callable(run) or inspect.iscoroutinefunction(run):
                raise MigrationError(
                    f"{self.path} must define a plain function `def run(connection)`."
                )
            return run(connection)
        finally:
            del sys.modules[module.__name__]


def normalised(text: str) -> str:
    """The text whatever a checkout has made of its newlines."""
    # A checkout on Windows may have turned every newline into two characters.
    return text.replace("\r\n", "\n").replace("\r", "\n")
