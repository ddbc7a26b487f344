"""Does a lookup cost more when more declared queries are used in turn?"""

from __future__ import annotations

from benchmarks.contenders import PEERS, USED_QUERIES
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "used_queries_curve",
    "What does a lookup cost as more and more declared queries are used in turn?",
    USED_QUERIES,
    {peer.name: "it declares no queries" for peer in PEERS},
    expected=2.5,
)
