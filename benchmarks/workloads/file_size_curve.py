"""Does a lookup cost more in a larger file?"""

from __future__ import annotations

from benchmarks.contenders import FILES, PEERS
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "file_size_curve",
    "What does a lookup cost as the file grows? (rows of 1 kB, ids at random)",
    FILES,
    {peer.name: "what grows is SQLite's own work, the same for all" for peer in PEERS},
)
