"""The demo from its first line to its exit code."""

from __future__ import annotations

import signal
import sys
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

import trio
from rich.console import Console

from trio_sqlrepo import PoolConfig, SqlRepoError, Stats, open_database
from trio_sqlrepo.cli.demo.chat import MIGRATIONS, Chat
from trio_sqlrepo.cli.demo.load import Load
from trio_sqlrepo.cli.demo.plan import Plan, check_file
from trio_sqlrepo.cli.demo.report import Outcome, print_report
from trio_sqlrepo.cli.demo.sample import Sampler
from trio_sqlrepo.cli.demo.view import View, open_view
from trio_sqlrepo.cli.demo.witness import ask_witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def run_demo(plan: Plan) -> int:
    """Run the demo and print what came of it.

    Returns:
        The exit code: 0 if every call was answered and the file holds what was acknowledged.

    Raises:
        Refused: the file cannot be used; nothing was touched.
    """
    check_file(plan.path)
    console = Console()
    try:
        outcome = trio.run(_run, plan, console)
    except SqlRepoError as error:
        print(f"trio-sqlrepo: {error}", file=sys.stderr)
        return 1
    print_report(console, outcome)
    return 0 if outcome.is_well else 1


async def _run(plan: Plan, console: Console) -> Outcome:
    # Every user waits in one call at a time, so the queue need not be longer than their number.
    pool = PoolConfig(max_waiting=PoolConfig().max_waiting + plan.users)
    async with open_database(
        plan.path.absolute(), repositories=[Chat], migrations=MIGRATIONS, pool=pool
    ) as db:
        load = Load(Chat(db), retention=plan.retention, random=Random())
        await load.clear()
        print(
            f"A chat service on {plan.path}: {plan.crowd} for {plan.seconds:g} s, as fast as"
            " it answers.\nEvery write is on disk before it is answered.",
            flush=True,
        )
        elapsed, stats = await _use(plan, console, load, db.stats)
    return Outcome(
        plan=plan,
        elapsed=elapsed,
        meters=load.meters,
        posted=load.posted,
        pruned=load.pruned,
        stats=stats,
        findings=await ask_witness(plan.path.absolute(), load.run),
    )


async def _use(
    plan: Plan, console: Console, load: Load, read_stats: Callable[[], Stats]
) -> tuple[float, Stats]:
    """Run the load until its time is up or somebody ends it; how long it was, and the stats."""
    with (
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        open_view(console, plan) as view,
        trio.move_on_after(plan.seconds) as limit,
    ):
        start = perf_counter()
        sampler = Sampler(load.meters, read_stats, perf_counter)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, signals, limit)
            nursery.start_soon(_watch, view, sampler, limit)
            nursery.start_soon(load.use, plan.users)
    return perf_counter() - start, read_stats()


async def _end_on_signal(signals: AsyncIterator[int], limit: trio.CancelScope) -> None:
    async for _ in signals:
        limit.cancel()


async def _watch(view: View, sampler: Sampler, limit: trio.CancelScope) -> None:
    try:
        while True:
            await trio.sleep(view.every)
            # On a thread: a terminal that does not keep up must not slow the service down.
            await trio.to_thread.run_sync(view.show, sampler.sample())
    except BrokenPipeError:  # `| head`: nobody is watching any more
        limit.cancel()
