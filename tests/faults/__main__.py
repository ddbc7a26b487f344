"""`python -m tests.faults`: put the promises to the test and print what was measured."""

from __future__ import annotations

import logging
import random
import sys
import time
import traceback
from typing import Annotated

import typer

from tests.faults.figure import load, promises


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which promises; all of them.")] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="The full sizes; takes hours.")] = False,
    seed: Annotated[int | None, typer.Option(help="Repeats a run; drawn and printed.")] = None,
) -> None:
    """Put promises to the test under faults. Exits with 1 if one is broken."""
    logging.getLogger("trio_sqlrepo").setLevel(logging.CRITICAL)  # what is done to it, it reports
    known = promises()
    if unknown := sorted(set(names or ()) - set(known)):
        typer.echo(f"There is no {', '.join(unknown)} among {', '.join(known)}.", err=True)
        raise typer.Exit(2)
    seed = random.randrange(1 << 32) if seed is None else seed
    broken = 0
    for name in names or known:
        promise = load(name)
        print(f"{name}: {promise.PROMISE} (seed {seed}{', full' if full else ''})", flush=True)
        started = time.monotonic()
        try:
            said = promise.run(seed, full=full).sentence
        except Exception:
            broken += 1
            said = f"BROKEN\n{traceback.format_exc()}"
        print(f"    {said} [{time.monotonic() - started:.1f} s]", flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    typer.run(main)
