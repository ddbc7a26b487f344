"""Does a lookup cost more in a larger file?

What grows is what SQLite does: the tree is deeper, and its cache of 2 MB holds less of it, so
that more pages come from the system's. The bare loop and the mapped file tell how much that is.
"""

from __future__ import annotations

from benchmarks.contenders import FILES, FILES_OTHERWISE, PEERS
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "file_size_curve",
    "What does a lookup cost as the file grows? (rows of 1 kB, ids at random)",
    (*FILES, *FILES_OTHERWISE),
    {peer.name: "what grows is SQLite's own work, the same for all" for peer in PEERS},
)
