"""The table at the end."""

from __future__ import annotations

import io
from typing import Any

import attrs
import pytest
from rich.console import Console

from tests.cli.records import FINDINGS, lane, meter, outcome, stats
from tests.cli.test_view import Terminal
from trio_sqlrepo.cli.demo.report import Outcome, print_report


def printed(outcome: Outcome, file: io.StringIO | None = None, **options: Any) -> list[str]:
    file = file or io.StringIO()
    print_report(Console(file=file, **options), outcome)
    return [" ".join(line.strip("┃│ ").split()) for line in file.getvalue().splitlines()]


def test_a_good_end() -> None:
    rows = printed(
        outcome(
            meters=[
                meter("open a room", "read", 1.0),
                meter("page history", "read", *[5.0] * 99),
                meter("post message", "write", *[20.0] * 94, *[30.0] * 4, 40.0, 40.0),
            ],
            stats=stats(
                commits=100,
                writes=2500,
                readers=lane(size=4, replaced=1),
                writers=lane(replaced=2),
            ),
        )
    )
    assert rows[:2] == ["", "50 users for 10.0 s"]
    assert rows[2:] == [
        rows[2],
        "operation ┃ calls ┃ per second ┃ p50 ms ┃ p95 ms ┃ p99 ms ┃ errors",
        rows[4],
        "open a room │ 1 │ 0 │ 1.00 │ 1.00 │ 1.00 │ 0",
        "page history │ 99 │ 10 │ 5.09 │ 5.09 │ 5.09 │ 0",
        "post message │ 100 │ 10 │ 20.4 │ 30.2 │ 40.7 │ 0",
        rows[8],
        "all reads │ 100 │ 10 │ 5.09 │ 5.09 │ 5.09 │ 0",
        "all writes │ 100 │ 10 │ 20.4 │ 30.2 │ 40.7 │ 0",
        rows[11],
        "lock errors 0",
        "writes per commit 25.0 (2,500 writes in 100 commits)",
        "connections 4 reading, 1 writing, 3 replaced",
        "messages 1,000 posted, 300 pruned, 700 in the file",
        "rooms all know how many threads they have",
        "PRAGMA integrity_check ok (SQLite 3.54.1, in a child process)",
    ]
    assert outcome().is_well


def test_errors_are_counted_by_type() -> None:
    made = outcome()
    made.meters[0].errors.update(NoResult=1, DatabaseLocked=3)
    made.meters[1].errors.update(NoResult=2)
    rows = printed(made)
    assert not made.is_well
    assert any(row.startswith("page history ") and row.endswith("│ 4") for row in rows)
    assert any(row.startswith("all writes ") and row.endswith("│ 2") for row in rows)
    assert rows[rows.index("lock errors 3") + 1] == "NoResult 3"
    assert not any(row.startswith("DatabaseLocked") for row in rows)


@pytest.mark.parametrize(
    ("findings", "row"),
    [
        (
            attrs.evolve(FINDINGS, messages=699),
            "messages 1,000 posted, 300 pruned, 699 in the file, not 700",
        ),
        (attrs.evolve(FINDINGS, wrong_rooms=2), "rooms 2 have lost count of their threads"),
        (
            attrs.evolve(FINDINGS, integrity="row 5 missing from index x"),
            "PRAGMA integrity_check row 5 missing from index x (SQLite 3.54.1, in a child",
        ),
        ("demo.db is gone", "PRAGMA integrity_check not done: demo.db is gone"),
    ],
)
def test_a_bad_end_is_told(findings: Any, row: str) -> None:
    made = outcome(findings=findings)
    assert not made.is_well
    assert any(found.startswith(row) for found in printed(made))


def test_a_demo_that_ended_before_its_first_call() -> None:
    made = outcome(meters=[meter("page history", "read")], elapsed=0.128, posted=0, pruned=-700)
    assert "50 users for 0.13 s" in printed(made)
    assert "all reads │ 0 │ 0 │ - │ - │ - │ 0" in printed(made)
    assert made.is_well


def test_a_terminal_gives_its_own_width_and_colours() -> None:
    made = outcome(findings="demo.db is gone")
    made.meters[0].errors.update(NoResult=1)
    rows = printed(made, Terminal(), width=120, _environ={"TERM": "xterm"}, force_terminal=True)
    text = "\n".join(rows)
    assert "\x1b[32m0" in text  # no lock errors: good
    assert "\x1b[1;31mnot done: demo.db is gone" in text
    assert "\x1b[1;31m1" in text


def test_a_long_word_is_folded_and_not_cut() -> None:
    rows = printed(outcome(findings="x" * 200), width=60)
    (first,) = (row for row in rows if row.startswith("PRAGMA integrity_check not done:"))
    rest = rows[rows.index(first) + 1 :]
    assert rest
    assert (first + "".join(rest)).count("x") == 200
