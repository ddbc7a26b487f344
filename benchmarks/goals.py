"""The goals, by workload. Times are in µs, "p99_ms" and the like in ms.

A goal missed is no failure of a run: it is printed as missed, with what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.contenders import (
    AIOSQLITE,
    APSW,
    BARE,
    BARE_MAPPED,
    BARE_ONE_COMMIT,
    FILES,
    MEMORY,
    OURS,
    OURS_FEWER_COLLECTIONS,
    OURS_NORMAL,
    OURS_STREAM,
    PEERS,
    QUERIES,
    READERS,
    SQLITE_ANYIO,
    WAITING,
    WAITING_OTHERWISE,
)
from benchmarks.judge import BestPeer, Flat, Limit, PerPiece, Ratio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders import Contender
    from benchmarks.judge import Goal


def _ahead_of(peer: Contender, times: float) -> Ratio:
    return Ratio(of=peer.name, to=OURS.name, at_least=times)


def _ours(metric: str, title: str, at_most: float, *, worst: bool = False) -> Limit:
    return Limit(of=OURS.name, metric=metric, title=title, at_most=at_most, worst=worst)


def _flat(title: str, points: tuple[Contender, ...]) -> Flat:
    names = tuple(point.name for point in points)
    return Flat(points=names, title=title, metric="cpu_us", at_most=1.15)


_NOTHING_LOST: Final = tuple(
    _ours(metric, title, 0, worst=True)
    for metric, title in (
        ("dropped", "dropped"),
        ("refused", "refused"),
        ("lock_errors", "lock errors"),
        ("errors", "other errors"),
        ("lost", "lost acknowledged writes"),
    )
)

GOALS: Final[Mapping[str, tuple[Goal, ...]]] = {
    "one_task_lookup": (
        _ahead_of(APSW, 3.0),
        _ahead_of(AIOSQLITE, 3.0),
        _ahead_of(SQLITE_ANYIO, 9.0),
    ),
    "fifty_tasks_lookup": (
        _ahead_of(APSW, 2.6),
        _ahead_of(AIOSQLITE, 3.5),
        _ahead_of(BARE, 0.4),
    ),
    "readers_curve": (_flat("a lookup as readers grow", READERS),),
    "waiting_tasks_curve": (
        _flat("a lookup as waiting tasks grow", WAITING),
        _flat("the same with fewer collections", WAITING_OTHERWISE),
    ),
    "declared_queries_curve": (_flat("a lookup as declared queries grow", QUERIES),),
    "file_size_curve": (_flat("a lookup as the file grows", FILES),),
    "snapshot_body": (Ratio(of=OURS.name, to=BARE_MAPPED.name, at_most=1.7),),
    "fifty_tasks_insert": (_ahead_of(APSW, 10.0), _ahead_of(AIOSQLITE, 20.0)),
    "full_or_normal": (
        Ratio(of=OURS.name, to=OURS_NORMAL.name, at_most=1.4),
        Ratio(of=OURS.name, to=BARE_ONE_COMMIT.name, at_most=20.0),
    ),
    "ten_thousand_requests": (
        _ours("p95_ms", "p95 in ms", 5.0),
        _ours("p99_ms", "p99 in ms", 15.0),
        *_NOTHING_LOST,
    ),
    "thirty_five_thousand_requests": (
        _ours("p95_ms", "p95 in ms", 5.0),
        _ours("p99_ms", "p99 in ms", 15.0),
        *_NOTHING_LOST,
    ),
    "highest_rate": (
        BestPeer(
            of=OURS.name,
            peers=tuple(peer.name for peer in PEERS),
            metric="rate",
            title="highest rate",
            at_least=3.5,
        ),
    ),
    "lag_while_fetching": (
        _ours("lag_p99_ms", "p99 of the lag in ms", 10.0),
        *(
            Limit(of=way.name, metric="lag_p99_ms", title="p99 of the lag in ms", at_most=10.0)
            for way in (OURS_STREAM, OURS_FEWER_COLLECTIONS)
        ),
    ),
    "lag_during_scan": (_ours("lag_p99_ms", "p99 of the lag in ms", 5.0),),
    "beside_a_scan": (_ours("p99_ms", "p99 in ms", 0.5),),
    "live_queries": (
        Ratio(of="100 watchers", to="nobody", at_most=1 / 0.95),  # 0.95 times as many writes
        Limit(of="100 watchers", metric="p95_ms", title="commit to value, p95 in ms", at_most=5.0),
    ),
    "row_stream": (
        Ratio(of=OURS.name, to=BARE_MAPPED.name, at_most=1 / 0.6),
        _ours("grown_mib", "growth in MiB", 16.0),
        _ours("first_ms", "first row in ms", 5.0),
    ),
    "memory": (
        PerPiece(
            low=MEMORY[1].name,
            high=MEMORY[2].name,
            pieces=92,
            metric="rss_mb",
            title="MB of RSS per further reader",
            at_most=2.5,
        ),
    ),
    # What a minute adds by chance is a few allocator arenas.
    "memory_under_load": (_ours("growth_mb", "MB of growth, first to last quarter", 1.0),),
    "opening": (
        Limit(
            of="100 queries, 8 readers",
            metric="first_ms",
            title="first opening in ms",
            at_most=150.0,
        ),
    ),
    "binding": (_ours("us", "µs to make a repository", 1.0),),
}
