"""Options that several commands have."""

# No `from __future__ import annotations`: typer reads these at run time.
from pathlib import Path
from typing import Annotated

import typer

DatabaseOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The schema of this database file. It is read and never written.",
    ),
]
MigrationsOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|APP:NAME",
        help="The schema these make, in memory. Default: what APP calls MIGRATIONS.",
    ),
]
SqliteOption = Annotated[
    str | None,
    typer.Option(metavar="APP:NAME", help="The SQLiteConfig that APP opens its database with."),
]
ConverterOption = Annotated[
    str | None,
    typer.Option(metavar="APP:NAME", help="The cattrs converter, likewise."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
