"""What is seen while the demo runs."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from tests.cli.records import PLAN, lane, meter, stats
from trio_sqlrepo.cli.demo.sample import Line, Sample
from trio_sqlrepo.cli.demo.view import LiveView, PlainView, milliseconds, open_view

ERASE_LINE = "\x1b[2K"


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def sample(**values: Any) -> Sample:
    reads = meter("page history", "read", *[1.0] * 98, 70.0, 70.0).latencies
    writes = meter("post message", "write", *[20.0] * 9, 1500.0).latencies
    defaults: dict[str, Any] = {
        "elapsed": 2.5,
        "lines": (
            Line(
                name="page history",
                kind="read",
                calls=90_123,
                errors=0,
                rate=12_345.6,
                latencies=reads,
            ),
            Line(
                name="post message",
                kind="write",
                calls=4_000,
                errors=3,
                rate=2_000.4,
                latencies=writes,
            ),
        ),
        "stats": stats(readers=lane(size=4, idle=1, leased=2, waiting=7), writers=lane(waiting=9)),
        "commit_rate": 81.2,
        "writes_per_commit": 24.64,
        "busy": {"read": 0.123, "write": 0.988},
    }
    return Sample(**{**defaults, **values})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.000_049, "0.05"), (0.009_99, "9.99"), (0.0123, "12.3"), (1.5, "1,500")],
)
def test_latencies_have_three_digits_or_so(seconds: float | None, text: str) -> None:
    assert milliseconds(seconds) == text


def test_without_a_terminal_there_are_plain_lines() -> None:
    file = io.StringIO()
    with open_view(Console(file=file, width=20), PLAN) as view:
        assert isinstance(view, PlainView)
        view.show(sample())
        view.show(sample(elapsed=10.0, lines=()))
    first, last = file.getvalue().splitlines()
    assert first == (
        "  2.5 s  |  12,346 reads/s, p99 70.9 ms  |  2,000 writes/s, p99 1,526 ms"
        "  |  24.6 writes per commit  |  7 reads waiting  |  3 errors"
    )
    assert last.startswith(" 10.0 s  |  0 reads/s, p99 - ms  |  0 writes/s, p99 - ms  |")


def test_a_dumb_terminal_gets_plain_lines() -> None:
    console = Console(file=Terminal(), _environ={"TERM": "dumb"})
    with open_view(console, PLAN) as view:
        assert isinstance(view, PlainView)


def seen(console: Console, *samples: Sample) -> list[str]:
    """The rows of the panel as it was last drawn, and that it is gone afterwards."""
    with open_view(console, PLAN) as view:
        assert isinstance(view, LiveView)
        for one in samples:
            view.show(one)
        drawn = console.export_text()
        assert drawn.count("Ctrl-C ends it") == len(samples)
    assert isinstance(console.file, Terminal)
    assert console.file.getvalue().endswith(ERASE_LINE)
    last = drawn[drawn.rindex("chat service") :]
    return [" ".join(line.strip("│|").split()) for line in last.splitlines()]


def terminal(**options: Any) -> Console:
    options = {"width": 100, "file": Terminal(), "record": True, **options}
    return Console(force_terminal=True, _environ={"TERM": "xterm"}, **options)


def test_a_terminal_gets_a_live_view() -> None:
    rows = seen(terminal(), sample(lines=()), sample())
    assert "chat service on demo.db, 50 users" in rows[0]
    assert any(row.endswith("2 of 10 s") for row in rows)
    assert "operation per second calls p50 ms p95 ms p99 ms errors" in rows
    assert "page history 12,346 90,123 1.00 1.00 70.9 0" in rows
    assert "post message 2,000 4,000 20.4 1,526 1,526 3" in rows
    assert "reads 12,346 per second ▁█" in rows
    assert "4 connections 12% busy, 1 idle, 2 leased, 7 waiting" in rows
    assert "writes 2,000 per second ▁█" in rows
    assert "1 connection 99% busy, 0 idle, 0 leased, 9 waiting" in rows
    assert "commits 81 per second 24.6 writes per commit" in rows


def test_the_panel_is_tidy() -> None:
    console = terminal()
    with open_view(console, PLAN) as view:
        view.show(sample())
        drawn = console.export_text(styles=True)
    plain = [re.sub(r"\x1b\[[?0-9;]*[a-z]", "", line) for line in drawn.splitlines()]
    assert {len(line) for line in plain} == {80}
    (clock,) = (line for line in plain if " of 10 s" in line)
    assert clock.endswith("━  2 of 10 s  │")
    assert [line[3:40].rstrip() for line in plain[8:13]] == [
        "reads    12,346 per second  █",
        "             4 connections  12% busy,",
        "writes    2,000 per second  █",
        "              1 connection  99% busy,",
        "commits      81 per second  24.6 writ",
    ]
    assert "\x1b[1mreads" in drawn
    assert "\x1b[32m█" in drawn


def test_a_terminal_is_drawn_often_and_lines_are_few() -> None:
    assert (PlainView.every, LiveView.every) == (1.0, 0.25)


def test_before_the_first_call_nothing_divides_by_zero() -> None:
    assert "reads 0 per second ▁" in seen(terminal(), sample(lines=()))


def test_a_terminal_without_unicode_gets_no_bars() -> None:
    file = Terminal()
    file.encoding = "ascii"
    assert "reads 12,346 per second" in seen(terminal(file=file), sample())
    file.getvalue().encode("ascii")


def test_the_clock_stops_at_the_end() -> None:
    assert any(row.endswith(" 10 of 10 s") for row in seen(terminal(), sample(elapsed=10.7)))


def test_the_view_fits_into_80_columns() -> None:
    rows = seen(terminal(width=80), sample())
    assert "page history 12,346 90,123 1.00 1.00 70.9 0" in rows
