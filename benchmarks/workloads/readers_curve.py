"""Do more readers cost more than one, where one would do?"""

from __future__ import annotations

from benchmarks.contenders import PEERS, READERS
from benchmarks.workload import own_choice
from benchmarks.workloads._lookups import curve

WORKLOAD = curve(
    "readers_curve",
    "What does a lookup of fifty tasks cost as readers grow?",
    READERS,
    own_choice(*PEERS),
)
