"""`check`: its options and its exit code."""

# No `from __future__ import annotations`: typer reads these at run time.
import json
from typing import Annotated

import typer

from trio_sqlrepo import DeclarationError
from trio_sqlrepo._review import Concern, review
from trio_sqlrepo.cli.check.document import document_of, errors_of
from trio_sqlrepo.cli.check.table import print_review
from trio_sqlrepo.cli.options import (
    ConverterOption,
    DatabaseOption,
    JsonOption,
    MigrationsOption,
    SqliteOption,
)
from trio_sqlrepo.cli.schema import SchemaOptions
from trio_sqlrepo.cli.target import find_repositories
from trio_sqlrepo.cli.terminal import make_console

_FOUND = 3  # the exit code where --fail-on has found something


def check(
    app: Annotated[
        str,
        typer.Argument(
            metavar="APP:REPOSITORIES",
            help="package.module:NAME, a repository class, a list of them, or a function that gives"
            " one; or package.module, all that it defines.",
        ),
    ],
    *,
    database: DatabaseOption = None,
    migrations: MigrationsOption = None,
    sqlite: SqliteOption = None,
    converter: ConverterOption = None,
    fail_on: Annotated[
        list[Concern] | None,
        typer.Option(
            metavar="KIND",
            help="End with code 3 on a finding of this kind: scan, sort, nullable or unused-index."
            " May be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Check every declared query against a schema, without running the application.

    Shows what each reads and changes, what its columns fill, how SQLite would run it, and what may
    be an oversight: a table read whole, a sort, a nullable column, an index that nothing uses.
    """
    options = SchemaOptions(
        app=app, database=database, migrations=migrations, sqlite=sqlite, converter=converter
    )
    try:
        with options.open() as driver:
            found = review(driver, find_repositories(app), options.find_converter())
    except DeclarationError as error:
        if not as_json:
            raise
        print(json.dumps(errors_of(error), indent=2))
        return 1
    failed = {each.concern for each in found.findings} & set(fail_on or ())
    if as_json:
        print(json.dumps(document_of(found, failed), indent=2))
    else:
        print_review(make_console(), found, failed)
    return _FOUND if failed else 0
