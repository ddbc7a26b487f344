"""The options that say which schema a command goes by."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import cattrs

from trio_sqlrepo import SQLiteConfig
from trio_sqlrepo._review import open_schema
from trio_sqlrepo.cli.interrupt import ctrl_c_calls
from trio_sqlrepo.cli.refusal import Refused
from trio_sqlrepo.cli.target import find_instance, find_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_sqlrepo._sqlite import SqliteDriver


@attrs.frozen(kw_only=True)
class SchemaOptions:
    """As they were given; None where they were not."""

    app: str
    database: Path | None
    migrations: str | None
    sqlite: str | None
    converter: str | None

    def __attrs_post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.database is not None and self.migrations is not None:
            raise Refused("--database and --migrations are two schemas; give one of them.")

    @contextmanager
    def open(self) -> Iterator[SqliteDriver]:
        """Open the schema in memory, for a `with` block."""
        sqlite = find_instance("--sqlite", self.sqlite, SQLiteConfig) or SQLiteConfig()
        migrations = None if self.database else find_migrations(self.migrations, self.app)
        with open_schema(
            file=self.database, migrations=migrations, sqlite=sqlite, watched=ctrl_c_calls
        ) as driver:
            yield driver

    def find_converter(self) -> cattrs.BaseConverter | None:
        """The converter that the application gives to `open_database`."""
        found: cattrs.BaseConverter | None = find_instance(
            "--converter", self.converter, cattrs.BaseConverter
        )
        return found
