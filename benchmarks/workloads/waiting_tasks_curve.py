"""Does a lookup cost more when more tasks wait?

What grows is what the garbage collector looks at, again and again: every task and call that waits.
"""

from __future__ import annotations

from benchmarks.contenders import PEERS, WAITING, WAITING_OTHERWISE
from benchmarks.measure import Size
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "waiting_tasks_curve",
    "What does a lookup cost as waiting tasks grow?",
    (*WAITING, *WAITING_OTHERWISE),
    {peer.name: "the workloads *_tasks_lookup show it of each" for peer in PEERS},
    size=Size(seconds=1.5),
    quick=Size(seconds=0.05, tasks=100),
)
