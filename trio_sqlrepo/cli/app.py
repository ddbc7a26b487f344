"""The commands and their options; what they do lives in a package of its own for each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from trio_sqlrepo.cli.backup import backup
from trio_sqlrepo.cli.demo import Plan, Refused, run_demo
from trio_sqlrepo.cli.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence

# What typer raises for options it cannot read. Older ones raise click's own class, newer ones one
# of theirs; both show this child of it.
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])

app: Final = typer.Typer(name="trio-sqlrepo", add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def trio_sqlrepo(context: typer.Context) -> None:
    """Typed repositories on SQLite for trio."""
    if context.invoked_subcommand is None:
        raise Refused("Missing command: `demo` shows what it does, `--help` says what there is.")


@app.command()
def demo(
    *,
    seconds: Annotated[float, typer.Option(help="How long to run.")] = 10.0,
    users: Annotated[int, typer.Option(help="How many users chat at once.")] = 50,
    path: Annotated[
        Path, typer.Option(help="The database file; made if it is missing, kept afterwards.")
    ] = Path("demo.db"),
) -> int:
    """Run a chat service under full load on a real database file and measure it."""
    return run_demo(Plan(seconds=seconds, users=users, path=path))


app.command()(migrate)
app.command()(backup)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 2, and one sentence, for what cannot be done."""
    command = typer.main.get_command(app)
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), standalone_mode=False
        )
    except Refused as refusal:
        print(f"trio-sqlrepo: {refusal}", file=sys.stderr)
        return 2
    except _UsageError as error:
        print(f"trio-sqlrepo: {error.format_message()}", file=sys.stderr)
        return 2
    return code or 0
