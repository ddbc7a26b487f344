"""What does it cost to make a repository for one request?"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from benchmarks.contenders import OURS, PEERS
from benchmarks.measure import Metrics, Size, Watch
from benchmarks.workload import Column, Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Client
    from benchmarks.contenders.ours import Ours
    from benchmarks.loops import Loop

_TURN: Final = range(1000)  # made between two looks at the clock


async def run(client: Client, _loop: Loop, size: Size) -> Metrics:
    bind = cast("Ours", client).bind
    _make(bind, size.warm_up)
    watch = Watch()
    return watch.read(_make(bind, size.seconds))


def _make(bind: Callable[[], object], seconds: float) -> int:
    made = 0
    until = perf_counter() + seconds
    while perf_counter() < until:
        for _ in _TURN:
            bind()
        made += len(_TURN)
    return made


WORKLOAD = Workload(
    name="binding",
    question="What does it cost to make a repository, as a server does for each request?",
    contenders=(OURS,),
    size=Size(seconds=0.5),
    quick=Size(seconds=0.05),
    run=run,
    columns=(Column("us", "µs each", 3), Column("cpu_us", "CPU µs", 3)),
    reads_only=True,
    not_run={peer.name: "it has no repositories" for peer in PEERS},
)
