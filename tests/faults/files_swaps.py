"""What happens to a database file that somebody else moves, deletes or replaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs


@attrs.frozen
class Place:
    """The files of one swap: a directory that holds the database's own, and others."""

    directory: Path

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def path(self) -> Path:
        return self.home / "app.db"

    @property
    def wal(self) -> Path:
        return self.home / "app.db-wal"

    @property
    def kept(self) -> Path:
        """The file that was opened, under another name."""
        return self.directory / "kept.db"

    @property
    def backup(self) -> Path:
        """A copy of it, made by another process under load."""
        return self.directory / "backup.db"

    @property
    def other(self) -> Path:
        """A sound database that the declared queries do not fit."""
        return self.directory / "other.db"

    @property
    def elsewhere(self) -> Path:
        return self.directory / "elsewhere"


def _delete(place: Place) -> None:
    place.kept.hardlink_to(place.path)  # or nobody could see what was in it
    place.path.unlink()


def _replace_by_another(place: Place) -> None:
    place.kept.hardlink_to(place.path)
    place.other.replace(place.path)


def _replace_by_the_backup(place: Place) -> None:
    place.kept.hardlink_to(place.path)
    place.backup.replace(place.path)


def _restore_the_backup(place: Place) -> None:
    place.backup.replace(place.path)


def _move_away(place: Place) -> None:
    place.path.rename(place.kept)


def _move_back(place: Place) -> None:
    place.kept.rename(place.path)


def _delete_the_wal(place: Place) -> None:
    place.wal.unlink()


def _rename_the_directory(place: Place) -> None:
    place.home.rename(place.elsewhere)


def _rename_it_back(place: Place) -> None:
    place.elsewhere.rename(place.home)


def _put_another_directory(place: Place) -> None:
    place.home.mkdir()
    place.backup.replace(place.path)


@attrs.frozen
class Swap:
    """What is done to the files, and what is then done to mend it."""

    name: str
    do: Callable[[Place], None]
    mend: Callable[[Place], None] | None = None  # None: it leaves a well file
    # Where the file lies in the end that was opened.
    first: Callable[[Place], Path] = attrs.field(default=lambda place: place.kept)
    keeps_wal: bool = True

    def __str__(self) -> str:
        return self.name


SWAPS: Final = (
    Swap("deleted", _delete, _restore_the_backup),
    Swap("replaced by another database", _replace_by_another, _restore_the_backup),
    Swap("replaced by a copy", _replace_by_the_backup),
    Swap("moved away and back", _move_away, _move_back, lambda place: place.path),
    Swap("its WAL deleted", _delete_the_wal, None, lambda place: place.path, keeps_wal=False),
    Swap("its directory renamed", _rename_the_directory, _rename_it_back, lambda place: place.path),
    Swap(
        "another directory in place of its own",
        _rename_the_directory,
        _put_another_directory,
        lambda place: place.elsewhere / place.path.name,
    ),
)
