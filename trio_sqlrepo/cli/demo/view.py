"""What is seen while the demo runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trio_sqlrepo.cli.demo.meter import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_sqlrepo import LaneStats
    from trio_sqlrepo.cli.demo.meter import Kind, Latencies
    from trio_sqlrepo.cli.demo.plan import Plan
    from trio_sqlrepo.cli.demo.sample import Sample

PERCENTILES: Final = (50, 95, 99)

_BARS: Final = "▁▂▃▄▅▆▇█"
_HISTORY: Final = 40  # rates shown, one bar each: ten seconds
_WIDTH: Final = 80


class View(Protocol):
    """Shows samples as they come."""

    every: float  # seconds between two samples

    def show(self, sample: Sample) -> None:
        """Show one. Blocks for as long as the terminal does, so it runs on a thread."""
        ...


@contextmanager
def open_view(console: Console, plan: Plan) -> Iterator[View]:
    """The view that suits the console: live where it is a terminal that can move its cursor."""
    if not console.file.isatty() or console.is_dumb_terminal:
        yield PlainView(console)
        return
    # Drawn by `show` alone, and gone at the end: the report takes its place.
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveView(live, plan)


@final
class PlainView:
    """A line each second."""

    every: float = 1.0

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, sample: Sample) -> None:
        """Print the line."""
        parts = [f"{sample.elapsed:5.1f} s"]
        for kind in KINDS:
            _, _, p99 = (milliseconds(value) for value in percentiles(sample.latencies(kind)))
            parts.append(f"{sample.rate(kind):,.0f} {kind}s/s, p99 {p99} ms")
        parts += [
            f"{sample.writes_per_commit:.1f} writes per commit",
            f"{sample.stats.readers.waiting} reads waiting",
            f"{sample.errors} errors",
        ]
        print("  |  ".join(parts), file=self._console.file, flush=True)


@final
class LiveView:
    """A panel that is drawn again and again in its place."""

    every: float = 0.25

    def __init__(self, live: Live, plan: Plan) -> None:
        self._live = live
        self._plan = plan
        self._rates: dict[Kind, deque[float]] = {
            "read": deque(maxlen=_HISTORY),
            "write": deque(maxlen=_HISTORY),
        }

    def show(self, sample: Sample) -> None:
        """Draw the panel."""
        for kind, rates in self._rates.items():
            rates.append(sample.rate(kind))
        self._live.update(self._panel(sample), refresh=True)

    def _panel(self, sample: Sample) -> RenderableType:
        plan = self._plan
        return Panel(
            Group(
                self._clock(sample),
                "",
                _operations(sample),
                "",
                self._lanes(sample),
            ),
            title=f"[bold]chat service[/] on {plan.path.name}, {plan.crowd}",
            title_align="left",
            subtitle="Ctrl-C ends it",
            subtitle_align="right",
            border_style="dim",
            padding=(1, 2),
            width=min(self._live.console.width, _WIDTH),
        )

    def _clock(self, sample: Sample) -> RenderableType:
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        elapsed = min(sample.elapsed, self._plan.seconds)
        grid.add_row(
            ProgressBar(total=self._plan.seconds, completed=elapsed, complete_style="cyan"),
            f"{elapsed:.0f} of {self._plan.seconds:g} s",
        )
        return grid

    def _lanes(self, sample: Sample) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True, style="green")
        stats = sample.stats
        lanes: dict[Kind, LaneStats] = {"read": stats.readers, "write": stats.writers}
        for kind, lane in lanes.items():
            grid.add_row(
                f"{kind}s",
                f"{sample.rate(kind):,.0f} per second",
                _bars(self._rates[kind]) if not self._live.console.options.ascii_only else "",
            )
            grid.add_row("", *_connections(lane, sample.busy[kind]))
        grid.add_row(
            "commits",
            f"{sample.commit_rate:,.0f} per second",
            Text(f"{sample.writes_per_commit:.1f} writes per commit", style="bold cyan"),
        )
        return grid


def _connections(lane: LaneStats, busy: float) -> tuple[str, Text]:
    noun = "connection" if lane.size == 1 else "connections"
    state = f"{busy:.0%} busy, {lane.idle} idle, {lane.leased} leased, {lane.waiting} waiting"
    return f"{lane.size} {noun}", Text(state, style="default")


def _bars(rates: Sequence[float]) -> str:
    highest = max(rates) or 1.0
    return "".join(_BARS[round(rate / highest * (len(_BARS) - 1))] for rate in rates)


def _operations(sample: Sample) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operation", no_wrap=True)
    for heading in ("per second", "calls", *(f"p{p} ms" for p in PERCENTILES), "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in sample.lines:
        table.add_row(
            line.name,
            f"{line.rate:,.0f}",
            f"{line.calls:,}",
            *map(milliseconds, percentiles(line.latencies)),
            Text(f"{line.errors:,}", style="bold red" if line.errors else "dim"),
            style="cyan" if line.kind == "read" else "magenta",
        )
    return table


def percentiles(latencies: Latencies) -> tuple[float | None, ...]:
    """Seconds, for each of `PERCENTILES`."""
    return tuple(latencies.percentile(percent) for percent in PERCENTILES)


def milliseconds(seconds: float | None) -> str:
    """A latency in three digits or so."""
    if seconds is None:
        return "-"
    value = seconds * 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
