"""Does a lookup cost more when more queries are declared?"""

from __future__ import annotations

from benchmarks.contenders import PEERS, QUERIES
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "declared_queries_curve",
    "What does a lookup cost as declared queries grow, ten of them used in turn?",
    QUERIES,
    {peer.name: "it declares no queries" for peer in PEERS},
    expected=2.5,
)
