"""Statistics: frozen, and plain for JSON."""

from __future__ import annotations

import json

import attrs
import pytest

from trio_sqlrepo._base.stats import LaneStats, StatementStats, Stats
from trio_sqlrepo._base.warnings import DegradedSize

LANE = LaneStats(
    size=2,
    idle=1,
    leased=0,
    waiting=3,
    created=4,
    replaced=2,
    failed=1,
    acquisitions=70,
    timeouts=5,
    overloads=6,
    busy_seconds=1.5,
    degraded="no more files",
)
STATEMENT = StatementStats(
    calls=10, errors=1, rows=90, total_seconds=0.5, max_seconds=0.125, precompiled=True
)
WARNING = DegradedSize(connections="reader", size=2, most=4, reason="no more files")
STATS = Stats(
    path="chat.db",
    state="open",
    outage=None,
    readers=LANE,
    writers=LANE,
    commits=4,
    writes=10,
    statements={"Messages.get": STATEMENT},
    warnings=(WARNING,),
)


def test_writes_per_commit() -> None:
    assert STATS.writes_per_commit == 2.5
    assert attrs.evolve(STATS, commits=0, writes=0).writes_per_commit == 0.0


def test_as_dict_is_plain() -> None:
    plain = json.loads(json.dumps(STATS.as_dict()))
    assert plain == {
        "path": "chat.db",
        "state": "open",
        "outage": None,
        "readers": attrs.asdict(LANE),
        "writers": attrs.asdict(LANE),
        "commits": 4,
        "writes": 10,
        "writes_per_commit": 2.5,
        "statements": {"Messages.get": attrs.asdict(STATEMENT)},
        "warnings": [WARNING.as_dict()],
    }


@pytest.mark.parametrize("record", [LANE, STATEMENT, STATS, WARNING])
def test_records_are_frozen(record: attrs.AttrsInstance) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(record, attrs.fields(type(record))[0].name, 0)
