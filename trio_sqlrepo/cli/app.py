"""The commands; what they do lives in a module or package of its own for each."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from trio_sqlrepo import DatabaseLocked, SqlRepoError
from trio_sqlrepo.cli.backup import backup
from trio_sqlrepo.cli.check.command import check
from trio_sqlrepo.cli.demo import Plan, run_demo
from trio_sqlrepo.cli.explain import explain
from trio_sqlrepo.cli.migrate import migrate
from trio_sqlrepo.cli.output import Output, fit_output
from trio_sqlrepo.cli.refusal import Failed, Refused
from trio_sqlrepo.cli.stats import stats
from trio_sqlrepo.cli.target import working_directory_importable

if TYPE_CHECKING:
    from collections.abc import Sequence

# What typer raises for options it cannot read. Older ones raise click's own class, newer ones one
# of theirs; both show this child of it.
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
_INTERRUPTED: Final = 128 + signal.SIGINT  # what a shell expects of a process that Ctrl-C has ended

app: Final = typer.Typer(
    name="trio-sqlrepo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a docstring's paragraph are one paragraph
)


@app.callback(invoke_without_command=True, epilog="Example: trio-sqlrepo check chat.repositories")
def trio_sqlrepo(context: typer.Context) -> None:
    """Typed repositories on SQLite for trio."""
    if context.invoked_subcommand is None:
        raise Refused("Missing command: `demo` shows what it does, `--help` says what there is.")


# A command is a function with its options; its epilog shows how it is called.
app.command(epilog="Example: trio-sqlrepo check chat:Messages --fail-on scan")(check)
app.command(epilog="Example: trio-sqlrepo explain chat:Messages.recent --database chat.db")(explain)
app.command(epilog="Example: trio-sqlrepo stats chat.db --svg chat.svg")(stats)
app.command(epilog="Example: trio-sqlrepo migrate chat.db migrations --status")(migrate)
app.command(epilog="Example: trio-sqlrepo backup chat.db chat-monday.db")(backup)


@app.command(epilog="Example: trio-sqlrepo demo --seconds 5 --users 20")
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


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    2, and one sentence, for what cannot be done; 1 for what is found to be broken.
    """
    with fit_output() as output:
        return _run(arguments, output)


def _run(arguments: Sequence[str] | None, output: Output) -> int:
    command = typer.main.get_command(app)
    try:
        with working_directory_importable():
            code = command.main(
                args=None if arguments is None else list(arguments),
                prog_name=app.info.name,  # whatever `python -m` makes of it
                standalone_mode=False,
            )
        output.flush()  # here, where it can be caught
    except Refused as refusal:
        return _say(str(refusal), 2)
    except _UsageError as error:
        return _say(_with_help(error), 2)
    except (Failed, SqlRepoError) as error:
        again = " Try again when the process that holds the lock has finished."
        return _say(f"{error}{again if isinstance(error, DatabaseLocked) else ''}", 1)
    except typer.Abort:  # what older versions of typer make of Ctrl-C
        code = _INTERRUPTED
    except OSError as error:
        return _tell_of(error, output)
    if code == _INTERRUPTED:
        return _say("interrupted.", _INTERRUPTED)
    return code or 0


def _with_help(error: typer.BadParameter) -> str:
    said = error.format_message()
    if not said.endswith((".", "?")):
        said += "."
    return said if error.ctx is None else f"{said} See `{error.ctx.command_path} --help`."


def _tell_of(error: OSError, output: Output) -> int:
    """Say what the system refused: the output, a path that the command was given, or another."""
    if error is output.error:
        output.drop()
        if isinstance(error, BrokenPipeError):  # `| head`: nobody reads on
            return 1
        return _say(
            f"The output cannot be written: {_why(error)}; make room, or print elsewhere.", 1
        )
    if error.filename is not None:
        return _say(f"{error.filename} cannot be used: {_why(error)}; give another path.", 2)
    return _say(
        f"The system refused what the command needs: {_why(error)}; try again when it can.", 1
    )


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _say(sentence: str, code: int) -> int:
    print(f"trio-sqlrepo: {sentence}", file=sys.stderr)
    return code
