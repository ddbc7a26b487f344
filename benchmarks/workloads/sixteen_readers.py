"""Do sixteen readers cost more than one, where one would do?"""

from __future__ import annotations

from benchmarks.contenders import ONE_READER, SIXTEEN_READERS
from benchmarks.goals import Ratio
from benchmarks.measure import Size
from benchmarks.workload import Workload
from benchmarks.workloads.fifty_tasks_lookup import run

WORKLOAD = Workload(
    name="sixteen_readers",
    question="Do sixteen readers cost fifty looking tasks more than one?",
    contenders=(ONE_READER, SIXTEEN_READERS),
    goals=(Ratio(of=SIXTEEN_READERS.name, to=ONE_READER.name, at_most=1.25),),
    size=Size(seconds=1.0),
    quick=Size(seconds=0.05),
    run=run,
    one_core=True,
)
