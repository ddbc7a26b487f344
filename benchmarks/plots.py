"""Plots of a run, as PNG and SVG. Each shows one thing, and says in its title what to see.

    python -m benchmarks.publish RESULTS.json

makes them all for the documentation, along with its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("Agg")  # no window

from matplotlib import pyplot as plt  # after the choice of how to draw
from matplotlib.ticker import FuncFormatter

from benchmarks.judge import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.figures import Figures, Run

OURS: Final = "trio_sqlrepo"
_COLOURS: Final = {
    OURS: "#c2410c",
    "apsw.aio": "#1d4ed8",
    "aiosqlite": "#15803d",
    "aiosqlite commit()": "#4ade80",
    "aiosqlitepool": "#0e7490",
    "sqlite-anyio": "#7e22ce",
    "anyio-sqlite": "#a16207",
    "SQLAlchemy": "#be185d",
    "trio.to_thread": "#475569",
    "bare loop": "#000000",
}
_OTHER: Final = "#94a3b8"
_LOOKUPS: Final = {
    1: "one_task_lookup",
    10: "ten_tasks_lookup",
    50: "fifty_tasks_lookup",
    100: "hundred_tasks_lookup",
    1_000: "thousand_tasks_lookup",
    10_000: "ten_thousand_tasks_lookup",
}
_INSERTS: Final = {
    1: "one_task_insert",
    10: "ten_tasks_insert",
    50: "fifty_tasks_insert",
    500: "five_hundred_tasks_insert",
}
_CURVES: Final = {
    "readers_curve": "readers",
    "waiting_tasks_curve": "waiting tasks",
    "declared_queries_curve": "declared queries",
    "file_size_curve": "MB in the file",
}
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "svg.hashsalt": "trio_sqlrepo",  # the same figures give the same file
    "svg.fonttype": "none",
}


def draw_all(run: Run, directory: Path) -> list[str]:
    """Draw what the run has figures for; give the names of the files, without their ends."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, draw in PLOTS.items():
            figure = draw(run)
            if figure is None:
                continue
            for end in ("png", "svg"):
                metadata = {"Date": None} if end == "svg" else {"Software": None}
                figure.savefig(directory / f"{name}.{end}", dpi=150, metadata=metadata)
            plt.close(figure)
            drawn.append(name)
    return drawn


def throughput(run: Run, workloads: dict[int, str], what: str) -> Figure | None:
    """Calls per second over tasks, a line per contender."""
    there = {tasks: run.find(name) for tasks, name in workloads.items()}
    found = {tasks: figures for tasks, figures in there.items() if figures is not None}
    if len(found) < 2:
        return None
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    ends = []
    for name in _contenders(found.values()):
        points = [
            (tasks, [1e6 / us for us in figures.of_contender(name, "us")])
            for tasks, figures in found.items()
        ]
        points = [(tasks, rates) for tasks, rates in points if rates]
        if not points:
            continue
        _line(axes, name, points)
        ends.append((points[-1][0], Spread.of(points[-1][1]), name))
    axes.set(xscale="log", yscale="log", xlabel="tasks at once", ylabel=f"{what} per second")
    axes.set_xticks(list(found), [f"{tasks:,}" for tasks in found])
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_title(
        f"{what.capitalize()} per second over tasks (more is better)", loc="left", weight="bold"
    )
    _label_ends(axes, [(x, spread.median, name) for x, spread, name in ends if spread])
    return figure


def latency(run: Run) -> Figure | None:
    """Percentiles of open load, a row per contender."""
    figures = run.find("ten_thousand_requests")
    if figures is None:
        return None
    figure = _percentiles(
        figures,
        {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms"},
        "10 000 requests/s, 40 % durable writes: latency (less is better)",
    )
    axes = figure.axes[0]
    for row, name in enumerate(reversed(figures.rounds)):
        lost = sum(figures.of_contender(name, "dropped"))
        worst = figures.median(name, "p99_ms")
        if lost and worst:
            axes.annotate(
                f"{lost:,.0f} dropped", (worst, row), xytext=(10, 0), textcoords="offset points",
                va="center", fontsize=9, color="#b91c1c",
            )  # fmt: skip
    return figure


def lag(run: Run) -> Figure | None:
    """How late the loop is, during a fetch and during a scan."""
    found = [run.find("lag_while_fetching"), run.find("lag_during_scan")]
    titles = ("during a 100 000-row fetch", "during a 1 s scan")
    there = [(f, title) for f, title in zip(found, titles, strict=True) if f is not None]
    if not there:
        return None
    figure, all_axes = plt.subplots(
        1, len(there), figsize=(11, 4.6), squeeze=False, layout="constrained"
    )  # each with rows of its own: not all take part in both
    for axes, (figures, title) in zip(all_axes[0], there, strict=True):
        _dots(axes, figures, {"p50": "lag_p50_ms", "p99": "lag_p99_ms", "worst": "lag_worst_ms"})
        axes.set_title(title, loc="left", fontsize=11)
    figure.legend(*all_axes[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    figure.suptitle(
        "Event-loop lag (less is better)", x=0.01, ha="left", weight="bold", fontsize=13
    )
    return figure


def beside_a_scan(run: Run) -> Figure | None:
    """Lookups beside scans."""
    figures = run.find("beside_a_scan")
    if figures is None:
        return None
    return _percentiles(
        figures,
        {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms"},
        "Lookups beside scans of 100 ms: latency (less is better)",
    )


def highest_rate(run: Run) -> Figure | None:
    """The highest rate each sustains."""
    figures = run.find("highest_rate")
    if figures is None:
        return None
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    names = list(reversed(figures.rounds))
    for row, name in enumerate(names):
        spread = Spread.of(figures.of_contender(name, "rate"))
        if spread is None:
            continue
        axes.barh(row, spread.median, color=_COLOURS.get(name, _OTHER), height=0.62)
        axes.plot([spread.least, spread.most], [row, row], color="black", linewidth=1.2)
        axes.annotate(
            f"{spread.median:,.0f}" if spread.median else "none",
            (spread.most, row), xytext=(6, 0), textcoords="offset points", va="center",
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set(xlabel="requests per second")
    axes.grid(visible=False, axis="y")
    axes.set_title(
        "Highest rate with p95 ≤ 10 ms, 40 % durable writes (more is better)",
        loc="left", weight="bold",
    )  # fmt: skip
    return figure


def cost_curves(run: Run) -> Figure | None:
    """What a lookup costs as something grows, beside its cost at the first point."""
    there = [(run.find(name), title) for name, title in _CURVES.items()]
    found = [(figures, title) for figures, title in there if figures is not None]
    if not found:
        return None
    figure, all_axes = plt.subplots(
        1, len(found), figsize=(3 * len(found) + 1, 3.8), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (figures, title) in zip(all_axes[0], found, strict=True):
        points = [
            (int(name.split()[0]), figures.of_contender(name, figures.compare))
            for name in figures.rounds
            if "," not in name  # beside the curve
        ]
        points = [(x, us) for x, us in points if us]
        axes.axhspan(0, 15, color="#dcfce7", zorder=0)
        if points:
            first = Spread.of(points[0][1])
            assert first is not None, "points without figures were left out"
            changes = [(x, [(u / first.median - 1) * 100 for u in us]) for x, us in points]
            _line(axes, OURS, changes)
            axes.set(xscale="log", xlabel=title)
            axes.set_xticks([x for x, _ in points], [f"{x:,}" for x, _ in points])
            axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
            axes.set_title(
                f"at {points[0][0]}: {first.median:.1f} µs",
                loc="left",
                fontsize=10,
                color="#475569",
            )
            axes.margins(x=0.12)
        axes.axhline(0, color="#94a3b8", linewidth=0.8)
    low, high = all_axes[0][0].get_ylim()
    all_axes[0][0].set_ylim(min(low, -20), max(high, 30))
    all_axes[0][0].set_ylabel("CPU time of a lookup, change in %")
    figure.suptitle(
        "CPU time of a lookup as something grows (green: the goal, within 15 %)",
        x=0.01, ha="left", weight="bold", fontsize=13,
    )  # fmt: skip
    return figure


PLOTS: Final[dict[str, Callable[[Run], Figure | None]]] = {
    "lookups-over-tasks": lambda run: throughput(run, _LOOKUPS, "lookups"),
    "inserts-over-tasks": lambda run: throughput(run, _INSERTS, "durable inserts"),
    "latency": latency,
    "highest-rate": highest_rate,
    "lag": lag,
    "beside-a-scan": beside_a_scan,
    "cost-curves": cost_curves,
}


def _contenders(found: Iterable[Figures]) -> list[str]:
    """Whoever has a colour of its own: variants would crowd the picture."""
    names = dict.fromkeys(name for figures in found for name in figures.rounds)
    return [name for name in names if name in _COLOURS]


def _line(axes: Axes, name: str, points: Sequence[tuple[float, Sequence[float]]]) -> None:
    """Draw medians, with their range as a band."""
    spreads = [(x, Spread.of(figures)) for x, figures in points]
    there = [(x, spread) for x, spread in spreads if spread is not None]
    xs = [x for x, _ in there]
    own = name == OURS
    colour = _COLOURS.get(name, _OTHER)
    axes.plot(
        xs, [spread.median for _, spread in there], marker="o", color=colour,
        markersize=6 if own else 4, linewidth=2.8 if own else 1.4, zorder=3 if own else 2,
        linestyle="--" if name == "bare loop" else "-",
    )  # fmt: skip
    axes.fill_between(
        xs, [spread.least for _, spread in there], [spread.most for _, spread in there],
        color=colour, alpha=0.15, linewidth=0,
    )  # fmt: skip


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write each line's name at its end, moved apart where they would overlap."""
    figure = axes.get_figure()
    assert figure is not None, "axes are of a figure"
    figure.canvas.draw()
    placed: list[float] = []
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        at = float(axes.transData.transform((x, y))[1])
        height = max([at, *(p + _LABEL for p in placed[-1:])])
        placed.append(height)
        axes.annotate(
            name, (x, y), xytext=(10, (height - at) * 72 / figure.get_dpi()),
            textcoords="offset points", va="center", fontsize=9.5,
            color=_COLOURS.get(name, _OTHER), weight="bold" if name == OURS else "normal",
            annotation_clip=False,
        )  # fmt: skip


_LABEL: Final = 17.0  # pixels between two labels, at the usual 100 dots per inch
_MARKS: Final = ("o", "D", "X")
_SHADES: Final = (0.35, 0.65, 1.0)


def _percentiles(figures: Figures, metrics: dict[str, str], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    _dots(axes, figures, metrics)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3)
    axes.set_title(title, loc="left", weight="bold")
    return figure


def _dots(axes: Axes, figures: Figures, metrics: dict[str, str]) -> None:
    """Give a row per contender with a mark for each percentile, joined by a line."""
    names = list(reversed(figures.rounds))
    for row, name in enumerate(names):
        medians = [figures.median(name, metric) for metric in metrics.values()]
        values = [max(value, 1e-3) for value in medians if value is not None]
        colour = _COLOURS.get(name.partition(",")[0], _OTHER)  # another way to use the same
        axes.plot(values, [row] * len(values), color=colour, linewidth=2.2, alpha=0.5, zorder=2)
        for value, mark, shade in zip(values, _MARKS, _SHADES, strict=False):
            axes.plot(value, row, mark, color=colour, alpha=shade, markersize=8, zorder=3)
    for mark, shade, label in zip(_MARKS, _SHADES, metrics, strict=True):
        axes.plot([], [], mark, color="#475569", alpha=shade, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set(xscale="log", xlabel="ms")
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    if axes.get_xlim()[1] < axes.get_xlim()[0] * 30:  # less than a power and a half: more ticks
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.grid(visible=False, axis="y")


def _thousands(value: float, _position: object) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
