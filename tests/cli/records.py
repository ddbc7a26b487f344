"""Records of a demo that never ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from trio_sqlrepo import LaneStats, Stats
from trio_sqlrepo.cli.demo.meter import Meter
from trio_sqlrepo.cli.demo.plan import Plan
from trio_sqlrepo.cli.demo.report import Outcome
from trio_sqlrepo.cli.demo.witness import Findings

PLAN = Plan(seconds=10.0, users=50, path=Path("chats/demo.db"))

_LANE = LaneStats(
    size=1,
    idle=0,
    leased=0,
    waiting=0,
    created=1,
    replaced=0,
    failed=0,
    acquisitions=0,
    timeouts=0,
    overloads=0,
    busy_seconds=0.0,
    degraded=None,
)

FINDINGS = Findings(integrity="ok", messages=700, wrong_rooms=0, sqlite="3.54.1")


def lane(**values: Any) -> LaneStats:
    return attrs.evolve(_LANE, **values)


def stats(**values: Any) -> Stats:
    defaults: dict[str, Any] = {
        "path": "demo.db",
        "state": "open",
        "outage": None,
        "readers": _LANE,
        "writers": _LANE,
        "commits": 0,
        "writes": 0,
        "statements": {},
    }
    return Stats(**{**defaults, **values})


def meter(name: str, kind: Any, *milliseconds: float) -> Meter:
    made = Meter(name, kind)
    for value in milliseconds:
        made.latencies.add(value / 1e3)
    return made


def outcome(**values: Any) -> Outcome:
    defaults: dict[str, Any] = {
        "plan": PLAN,
        "elapsed": 10.0,
        "meters": [meter("page history", "read", 1, 1, 1), meter("post message", "write", 20, 30)],
        "posted": 1000,
        "pruned": 300,
        "stats": stats(commits=100, writes=2500),
        "findings": FINDINGS,
    }
    return Outcome(**{**defaults, **values})
